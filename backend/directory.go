package backend

import (
	"context"
	"net/netip"
	"time"

	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/session"
)

// Directory is who keeps accounts, policies, the throttle and the time for a Service that keeps sessions alone. What it shows is no older than what was
// acknowledged anywhere before the last Read began that the request has made. All methods but Read and CheckPassword answer at once, are safe for concurrent use, and
// never go back.
type Directory interface {
	// Read waits until what the directory shows is as fresh as the call asks for, and says what an answer by it tells of its age.
	Read(ctx context.Context, c session.Call) (session.Meta, error)
	// Now is the time by which sessions live.
	Now() time.Time
	// User tells what is known of a user by its folded name.
	User(name string) DirectoryUser
	// Policies are those in force.
	Policies() DirectoryPolicies
	// CheckPassword counts an attempt and judges it. ctx ends with the request. Errors: CodeUnauthenticated, CodeThrottled, CodeOverloaded.
	CheckPassword(ctx context.Context, c DirectoryCheck) (DirectoryVerdict, error)
}

// DirectoryUser is what a Directory knows of a user.
type DirectoryUser struct {
	Account *DirectoryAccount // nil = none
	// Sessions and Permanent say under which mark sessions of each kind live: one that was made under another mark was ended since, except Spared,
	// which also lives under Before. Marks never come again, and are not empty.
	Sessions, Permanent DirectoryMark
	Spared              session.ID // zero = none
}

// DirectoryMark names the last change that ended sessions.
type DirectoryMark struct{ Now, Before string }

// DirectoryAccount is an account.
type DirectoryAccount struct {
	Roles       []session.Role
	Policies    []string
	Disabled    bool
	HasPassword bool
	CreatedAt   time.Time
	Version     uint64
}

// DirectoryPolicies are the policies in force.
type DirectoryPolicies struct {
	Version     uint64 // rises whenever the rest changes; not 0
	Items       []session.Policy
	Past        []PolicyPast // of those of Items that have one
	MaxSessions int          // of all sessions; 0 = no limit
}

// PolicyPast is what earlier changes of a policy mean for sessions that were last used, or made, before them.
type PolicyPast struct {
	Name string `json:"name"`
	// What was last used, or last active, at or before these instants was due then, after at least the span, and stays dead; 0 = nothing was.
	UsedMS       int64 `json:"used_ms,omitempty"`
	UsedSpanMS   int64 `json:"used_span_ms,omitempty"`
	ActiveMS     int64 `json:"active_ms,omitempty"`
	ActiveSpanMS int64 `json:"active_span_ms,omitempty"`
	// Lifetimes are shorter absolute ones of sessions made earlier, oldest first.
	Lifetimes []PastLifetime `json:"lifetimes,omitempty"`
}

// PastLifetime says that what was made at or before an instant lives no longer than that.
type PastLifetime struct {
	ThroughMS  int64 `json:"through_ms"`
	LifetimeMS int64 `json:"lifetime_ms"`
}

// DirectoryCheck is one try of a password.
type DirectoryCheck struct {
	User     string // folded
	Password string
	Digest   *session.Digest // in place of the password; nil = none
	Address  netip.Addr      // invalid = unknown
}

// DirectoryVerdict is a password that was right.
type DirectoryVerdict struct {
	Account  *DirectoryAccount // that it was checked against; nil = there was none
	Outside  bool              // an authenticator outside has verified it
	Grant    auth.Grant
	GiveBack func(context.Context) // uncounts the attempt
	KeepUp   func(context.Context) // keeps what should be kept of the password, once the request has succeeded
}

// checkByDirectory is checkPassword where a Directory knows the passwords.
func (s *Service) checkByDirectory(ctx context.Context, c passwordCheck) (checkedPassword, error) {
	if !s.settled.Load() {
		return checkedPassword{}, errStarting()
	}
	v, err := s.config.Directory.CheckPassword(ctx, DirectoryCheck{User: c.user, Password: c.password, Digest: c.digest, Address: c.address})
	if err != nil {
		return checkedPassword{}, err
	}
	p := proof{method: session.MethodPassword, subject: "user " + c.user, outside: v.Outside, grant: v.Grant}
	if v.Outside {
		p.method = session.MethodDirectory
	}
	out := checkedPassword{proof: p, attempt: &attempt{giveBack: v.GiveBack}, keepUp: v.KeepUp}
	if v.Account != nil {
		out.version, out.account = v.Account.Version, v.Account.record()
	}
	return out, nil
}

// hashElsewhere stands for a password's hash that a Directory keeps to itself.
const hashElsewhere = "elsewhere"

// record is an account as records have it.
func (a *DirectoryAccount) record() account {
	out := account{Roles: a.Roles, Policies: a.Policies, Disabled: a.Disabled, CreatedMS: a.CreatedAt.UnixMilli(), Version: a.Version}
	if a.HasPassword {
		out.PasswordHash = hashElsewhere
	}
	return out
}

// Identified is who asks, by a session's key.
type Identified struct {
	User    string
	Roles   []session.Role // in force
	Session session.ID
	Version uint64 // of the account that it was judged by; 0 = there is none
}

// Authenticate tells who asks by the key of the call, and counts that as a use of it. For calls that are about no session and that somebody else answers.
func (s *Service) Authenticate(ctx context.Context, c session.Call) (Identified, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	p, err := s.authenticateAs(ctx, session.Call{Key: c.Key, Address: c.Address, UserAgent: c.UserAgent}, session.Roles()...)
	if err != nil {
		return Identified{}, err
	}
	return p.found.identified(), nil
}

// Bearer tells whose the session is that a call is about, and counts no use of it. For what somebody else keeps of its user.
func (s *Service) Bearer(ctx context.Context, c session.Call) (Identified, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	t, err := s.target(ctx, c)
	if err != nil {
		return Identified{}, err
	}
	return t.identified(), nil
}

func (f *found) identified() Identified {
	out := Identified{User: f.session.User, Roles: f.roles(), Session: f.id}
	if a := f.user.Account; a != nil {
		out.Version = a.Version
	}
	return out
}

// CountOfUser tells how many sessions of a user live here.
func (s *Service) CountOfUser(ctx context.Context, name string) (int, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	u, err := s.readUser(ctx, name)
	if err != nil || u.user.disabled() {
		return 0, err
	}
	all, err := s.readListed(ctx, u, func(listed) bool { return true })
	count := 0
	for _, f := range all {
		if f.lives() {
			count++
		}
	}
	return count, err
}

// Confirm is called after another password, before that is acknowledged. It writes the user's list of sessions as it stands: a session that the change has spared is
// under the present mark from then on, so that the next change finds it alive.
func (s *Service) Confirm(ctx context.Context, name string) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	return s.changeUser(ctx, name, func(u *userChange) error {
		if u.at == absent {
			return errKeep
		}
		return nil
	})
}

// PolicyUsed tells whether a session here has the policy.
func (s *Service) PolicyUsed(ctx context.Context, name string) (bool, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	return s.policyUsed(ctx, name)
}
