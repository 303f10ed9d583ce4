package session

import (
	"context"
	"net/netip"
	"time"
)

// Consistency of a read.
type Consistency string

const (
	// Linearizable reads see every write acknowledged anywhere before the read began. The default.
	Linearizable Consistency = ""
	// Local reads see this node's memory without asking anybody; they extend nothing.
	Local Consistency = "local"
)

// IndexToken names a point of a history: "<history>:<index>". "" means none. Restoring a backup begins a new history.
type IndexToken string

// Call says who asks, from where, and how fresh the answer must be. Every method of Service takes one and
// authenticates it by itself, so that no protocol can forget to.
type Call struct {
	Key       Key        // the caller's own key; zero = none
	Address   netip.Addr // the caller's address, behind trusted proxies only
	UserAgent string
	// Credentials prove who asks in place of Key, for this call alone; nil = none. Not for what is about a session of the caller's own.
	Credentials *Credentials
	// Subject is the session that a service or an admin acts on in place of its own; nil = its own.
	Subject *Presented
	// Operator marks a call over the node's own Unix socket: it acts as an admin without a key.
	Operator    bool
	Consistency Consistency
	MinIndex    IndexToken // with it a read is local but waits until that index is applied
	// MaxAuthAge makes a Check fail with CodeReauthenticate when the user proved who it is longer ago than that; 0 = any time
	// will do.
	MaxAuthAge time.Duration
}

// Presented is a user's key as a service presents it.
type Presented struct {
	Key       Key
	Address   netip.Addr // invalid = not told
	UserAgent string
}

// Meta comes with every answer.
type Meta struct {
	Index IndexToken    // of the write, or the index that the read saw at least
	Age   time.Duration // of local reads: the time since this node's data was known to be current; -1 otherwise
	// Node names the node whose sessions alone the answer speaks of, in lists and counts too; "" = all of the cluster's.
	Node string
}

// Login asks for a new session. It takes the place of the session whose key comes with the call, as Subject or, for a log-in by
// password, as the caller's own: that one ends in the same moment, and if it is the same user's, its attributes are carried over. A
// key with role service or admin of another user is no such key: it says who asks.
type Login struct {
	User     string
	Password string  // ignored when Vouched, and with a Digest
	Digest   *Digest // in place of the password; nil = none
	// Vouched: no password; the caller has role service or admin and answers for the user.
	Vouched   bool
	Policy    string // "" = the user's first policy
	Permanent bool   // no timer ends the session; its policy must allow that
	// BindAddress binds the session to its client's address, whatever its policy says.
	BindAddress bool
	// IdleTimeout of this session alone, 0 = none; nil = the policy's. A longer one than the policy's is for services and admins.
	IdleTimeout    *time.Duration
	Attributes     Attributes
	Sealed         Attributes // further attributes, kept encrypted
	Reserved       Attributes // what a protocol keeps of the session, see Session
	ClientAddress  netip.Addr // services and admins only; invalid = Call.Address for password log-ins, unknown for vouched ones
	UserAgent      string
	IdempotencyKey string // "" = none
}

// Alteration changes what a session has of its own. It is not for users to ask for: protocols do, in whose terms it is.
type Alteration struct {
	IdleTimeout *time.Duration // from now on, 0 = none; nil stays
	Reserved    AttributePatch // nil stays
}

// Issued answers a Login, a Rotate and a Reauthenticate: the only places where a key is revealed.
type Issued struct {
	Key Key
	Session
	Attributes Attributes
	Sealed     Attributes // nil = none
	Meta
}

// Checked answers whether a key is good.
type Checked struct {
	Session
	Roles []Role // in force: those that the session was given, as far as its user still has them
	// Rotate: there are other roles for the session, or another key than the one that was presented, to be had by Rotate.
	Rotate     bool
	Attributes Attributes
	Sealed     Attributes // in the clear, for the session's own bearer and services; nil = none, or not for this caller
	At         time.Time  // of the replicated clock, as the answering node knows it
	Meta
}

// Proof is how the user of a session proves anew who it is.
type Proof struct {
	Password string // ignored when Vouched
	Vouched  bool   // the service that presents the key answers for the user
}

// Filter selects sessions; the zero Filter selects all that are not permanent. Fields combine with "and".
type Filter struct {
	User           string
	ClientAddress  netip.Addr
	Policy         string
	IdleLongerThan time.Duration // 0 = any
	Permanent      bool          // permanent sessions, which are listed apart, instead of the others
}

// IsZero tells that the filter narrows nothing.
func (f Filter) IsZero() bool { return f == Filter{} }

// UserSessions says which of a user's sessions are meant; the zero value: all that are not permanent.
type UserSessions struct {
	Permanent     bool // the permanent ones instead
	ExceptCurrent bool // not the caller's own
	// Numbers names them, permanent or not, at most MaxSessionNumbers; those that do not live are passed over. nil = all. It goes with neither of the above.
	Numbers []uint64
}

// Named gives the numbers that are named, or what is wrong with naming them.
func (w UserSessions) Named() (map[uint64]bool, error) {
	switch {
	case w.Permanent || w.ExceptCurrent:
		return nil, Invalid("numbers", "name the sessions: nothing else can be chosen beside them")
	case len(w.Numbers) > MaxSessionNumbers:
		return nil, TooLarge("numbers", "at most %d sessions can be named at once", MaxSessionNumbers)
	}
	named := make(map[uint64]bool, len(w.Numbers))
	for _, number := range w.Numbers {
		named[number] = true
	}
	return named, nil
}

// Preferences of one user.
type Preferences struct {
	Values Attributes
	Meta
}

// Page asks for a part of a list. Cursor "" = from the start; Limit 0 = DefaultPageSize.
type Page struct {
	Limit  int
	Cursor string
}

// SessionList is one page, in order of creation. NextCursor "" = that was the last one.
type SessionList struct {
	Items      []Session
	NextCursor string
	Meta
}

// Revoked answers a revocation of many.
type Revoked struct {
	Count int // sessions that were alive and are ended now
	Meta
}

// NewUser describes a user to create. Password "" = none: only vouched log-ins.
type NewUser struct {
	Name     string
	Password string
	Roles    []Role
	Policies []string
	Disabled bool
	MD5Login bool // see UserChange
}

// UserChange is a merge patch of a user; nil fields stay. A new password ends the user's sessions other than the caller's.
type UserChange struct {
	Password *string
	// CurrentPassword goes with the caller's own new password and with no other.
	CurrentPassword *string
	Roles           *[]Role
	Policies        *[]string
	Disabled        *bool
	// MD5Login lets the user log in by the MD5 of its password, or by a challenge, which some protocols need. Then the cluster keeps that MD5,
	// sealed, from the user's next log-in or change of password on. CodeConflict: the cluster has no seal key.
	MD5Login *bool
	IfMatch  *uint64 // version that must be current
	// EndPermanent lets a new password end the user's permanent sessions too.
	EndPermanent bool
}

// UserResult is one user.
type UserResult struct {
	User
	Meta
}

// UserList is one page of users in the order of their names.
type UserList struct {
	Items      []User
	NextCursor string
	Meta
}

// PolicyResult is one policy.
type PolicyResult struct {
	Policy
	Meta
}

// PolicyChange is a merge patch of a policy; nil fields stay, or take the default when the policy is new.
type PolicyChange struct {
	IdleTimeout       *time.Duration
	AbsoluteLifetime  *time.Duration
	TouchWindow       *time.Duration // TouchWindowAuto = default
	Attributes        *AttributesPlace
	AttributesWrite   *AttributesWriter
	InactivityTimeout *time.Duration
	NoTickle          *bool
	BindAddress       *AddressBinding
	PermanentAllowed  *bool
	LongerIdleAllowed *bool
	RotateGrace       *time.Duration
	KeyFormat         *KeyFormat
	LimitsChange
	IfMatch *uint64
}

// PolicyList has all policies in the order of their names; there are at most MaxPolicies.
type PolicyList struct {
	Items []Policy
	Meta
}

// Service is what every protocol speaks to. All methods are safe for concurrent use, return *Error only, and
// end within the node's request timeout or earlier when ctx ends. A write whose ctx ends may still happen.
type Service interface {
	Sessions
	Proofs
	Users
	Policies
	Cluster
	Moves
	// Ready tells whether a request would be served: a linearizable one, or with local a local one. It never blocks.
	Ready(local bool) error
}

// Sessions is the heart of Service.
type Sessions interface {
	// Login creates a session. Errors: CodeUnauthenticated for every wrong log-in, CodeForbidden, CodeInvalid, CodeTooLarge,
	// CodeConflict (the user changed meanwhile; ask again), CodeIdempotencyMismatch, CodeThrottled (too many wrong passwords),
	// CodeSessionLimit.
	Login(ctx context.Context, c Call, l Login) (Issued, error)
	// Check answers for the called session (own or Subject) and counts as a use, unless look is true or the read is local.
	Check(ctx context.Context, c Call, look bool) (Checked, error)
	// Touch keeps the called session alive and is no activity: a tickle.
	Touch(ctx context.Context, c Call) (Checked, error)
	// Rotate gives the called session another key. The present one works for the policy's RotateGrace and leads to the same
	// successor, whoever asks, unless the session gains a role by the rotation: then it ends at once. A use after that ends the
	// session. CodeConflict: rotated too often within the grace.
	Rotate(ctx context.Context, c Call) (Issued, error)
	// Reauthenticate is a Rotate that sets AuthTime, and after which the present key ends at once. CodeConflict: the key
	// has a successor already, or the user changed meanwhile.
	Reauthenticate(ctx context.Context, c Call, p Proof) (Issued, error)
	// PatchAttributes changes attributes and counts as a use. ifMatch nil = unconditionally.
	PatchAttributes(ctx context.Context, c Call, p AttributePatch, ifMatch *uint64) (Checked, error)
	// SealAttributes is PatchAttributes for values that are kept encrypted: only the session's own bearer and services see them.
	// An attribute is either sealed or not; the last patch that names it decides. CodeConflict: the cluster has no seal key.
	SealAttributes(ctx context.Context, c Call, p AttributePatch, ifMatch *uint64) (Checked, error)
	// Alter changes what the called session has of its own, and counts as a use. Errors: CodeConflict (a permanent session has no
	// idle timeout), CodeForbidden (a longer one than the policy allows).
	Alter(ctx context.Context, c Call, a Alteration) (Checked, error)
	// Preferences are what the called session's user has chosen for itself, in whichever session; reading them is a use.
	Preferences(ctx context.Context, c Call) (Preferences, error)
	// PatchPreferences changes them and is a tickle. They have the limits of attributes, and go with their user.
	PatchPreferences(ctx context.Context, c Call, p AttributePatch) (Checked, error)
	// Logout ends the called session. A key that opens nothing is no error: what was asked for is true.
	Logout(ctx context.Context, c Call) (Meta, error)
	// ListSessions lists live sessions; a user without role admin must filter by itself.
	ListSessions(ctx context.Context, c Call, f Filter, p Page) (SessionList, error)
	// RevokeSessions ends exactly what ListSessions would have shown at one point, and answers when all are ended.
	RevokeSessions(ctx context.Context, c Call, f Filter) (Revoked, error)
	// GetSession and RevokeSession are for the session's user and admins; for others the session does not exist.
	GetSession(ctx context.Context, c Call, id ID) (Checked, error)
	RevokeSession(ctx context.Context, c Call, id ID) (Meta, error)
	// RevokeUserSessions ends all sessions of a user, or all its permanent ones, in one log entry; or those that are named.
	RevokeUserSessions(ctx context.Context, c Call, user string, which UserSessions) (Revoked, error)
}

// Proofs are other ways to prove who one is than a key or a password.
type Proofs interface {
	// IssueChallenge gives a challenge for a Digest. Everybody may ask. CodeConflict: see ErrNoMD5Login.
	IssueChallenge(ctx context.Context, c Call) (Challenge, error)
	// Identify tells who asks, by the Credentials or the key of the call. It makes no session.
	Identify(ctx context.Context, c Call) (Identity, error)
}

// Users is for admins. UpdateUser is also for users who change their own password; CodeForbidden when the current one is wrong.
type Users interface {
	CreateUser(ctx context.Context, c Call, u NewUser) (UserResult, error)
	GetUser(ctx context.Context, c Call, name string) (UserResult, error)
	ListUsers(ctx context.Context, c Call, p Page) (UserList, error)
	UpdateUser(ctx context.Context, c Call, name string, ch UserChange) (UserResult, error)
	DeleteUser(ctx context.Context, c Call, name string) (Meta, error)
}

// Policies is for admins.
type Policies interface {
	ListPolicies(ctx context.Context, c Call) (PolicyList, error)
	GetPolicy(ctx context.Context, c Call, name string) (PolicyResult, error)
	// PutPolicy creates or replaces (absent fields take their default), PatchPolicy merges into an existing one.
	PutPolicy(ctx context.Context, c Call, name string, ch PolicyChange) (PolicyResult, error)
	PatchPolicy(ctx context.Context, c Call, name string, ch PolicyChange) (PolicyResult, error)
	DeletePolicy(ctx context.Context, c Call, name string) (Meta, error)
	// GetLimits and PatchLimits are about what caps the whole cluster; nil fields of a change stay.
	GetLimits(ctx context.Context, c Call) (ClusterLimitsResult, error)
	PatchLimits(ctx context.Context, c Call, ch ClusterLimitsChange) (ClusterLimitsResult, error)
}

// Cluster is for admins; every method works at every node.
type Cluster interface {
	ClusterStatus(ctx context.Context, c Call) (ClusterStatus, error)
	// AddMember invites the node that waits at peerAddress (host:port of its peer port) into this cluster.
	AddMember(ctx context.Context, c Call, peerAddress string) (Meta, error)
	RemoveMember(ctx context.Context, c Call, nodeID string) (Meta, error)
	// Reseal seals anew, with the present safe password, what earlier ones have sealed: one page of the sessions after cursor.
	Reseal(ctx context.Context, c Call, cursor string) (Resealed, error)
	// TransferLeadership to nodeID; "" = the most up-to-date voter.
	TransferLeadership(ctx context.Context, c Call, nodeID string) (Meta, error)
}

// LeftUnknown stands for a number of values where nobody counts them: then nothing is left after a whole Reseal that found none, once all servers have
// the present safe password.
const LeftUnknown = -1

// Resealed answers a Reseal. NextCursor "" = that was the last page.
type Resealed struct {
	Count      int // values sealed anew
	Left       int // values that earlier safe passwords still seal, in the whole cluster; LeftUnknown: nobody counts them
	NextCursor string
	Meta
}

// ClusterStatus is one node's view of the cluster.
type ClusterStatus struct {
	ClusterID   string
	NodeID      string // the answering node
	LeaderID    string // "" = none known
	Term        uint64
	CommitIndex uint64
	Applied     uint64 // by the answering node
	FormatLevel uint32
	Time        time.Time // the replicated clock
	Sessions    int
	SessionsOf  string // the node whose Sessions are counted; "" = all of the cluster
	Healthy     bool
	Failures    int // servers that may still be lost while a majority stays
	// Phase says whether the cluster serves; PhaseSince is when the phase began, zero while it is open.
	Phase      MovePhase
	PhaseSince time.Time
	Members    []Member
}

// Member is one server of the cluster.
type Member struct {
	ID            string
	Name          string
	PeerAddress   string
	APIAddress    string
	GossipAddress string
	Role          string // leader, follower, non-voter
	Healthy       bool
	State         string        // of gossip: alive, suspect, dead, left, unknown
	Applied       uint64        // last known; 0 = unknown
	Lag           uint64        // entries behind the commit index; 0 when Applied is unknown
	LastContact   time.Duration // since the member last answered the leader; -1 = unknown or the leader itself
	Version       string
	FormatLevel   uint32
}
