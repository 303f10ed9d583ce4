package backend

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/session"
)

// recordFormat is written into every record. A record of a higher one was written by a later release, and is left alone.
const recordFormat = 1

type header struct {
	Format int `json:"format"`
}

func (h *header) stamp()      { h.Format = recordFormat }
func (h *header) format() int { return h.Format }

type formatted interface {
	stamp()
	format() int
}

// encode gives a record's value.
func encode(r formatted) ([]byte, error) {
	r.stamp()
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false) // attributes keep their bytes
	if err := e.Encode(r); err != nil {
		return nil, fmt.Errorf("encode record: %w", err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// decode reads a record's value. A field that this release does not know is an error: it would be lost with the next change.
func decode(value []byte, r formatted) error {
	d := json.NewDecoder(bytes.NewReader(value))
	d.DisallowUnknownFields()
	if err := d.Decode(r); err != nil {
		return fmt.Errorf("decode record: %w", err)
	}
	if r.format() != recordFormat {
		return fmt.Errorf("decode record: format %d is not this release's", r.format())
	}
	return nil
}

// clusterID is the id of the one record of its kind.
const clusterID = "cluster"

// clusterRecord is what all share. A decoded one may be shared, and is changed as a copy.
type clusterRecord struct {
	header
	ID       string           `json:"id"` // of this store, random
	Policies []session.Policy `json:"policies"`
	PastIn   []pastRef        `json:"past_in,omitempty"`
	Admins   []string         `json:"admins"` // enabled; at least one of them is real, if there is any
	Seals    []sealRecord     `json:"seals,omitempty"`
	LastSeal uint32           `json:"last_seal,omitempty"`
	Floor    uint64           `json:"floor,omitempty"` // numbers of sessions of users whose record was dropped are not above it
	Version  uint64           `json:"version"`         // the highest version that a policy ever had

	// While a Service has it: what stands in the records of PastIn, which is empty then.
	Past []pastPolicy `json:"past,omitempty"`
	// While a Service has it: what the Directory knows, if there is one.
	PastElsewhere []PolicyPast `json:"past_elsewhere,omitempty"`
	MaxSessions   int          `json:"max_sessions,omitempty"`
}

// pastPolicy is a policy as it was until it was changed. It matters to sessions that were last used before that: what was dead under it stays dead, and
// no absolute end comes further.
type pastPolicy struct {
	Name string `json:"name"`
	pastForm
}

type pastForm struct {
	Version uint64 `json:"version"`
	UntilMS int64  `json:"until_ms"`
	timers         // AbsoluteEndMS counts from the session's creation
}

// pastRecord is what is past of one policy. It is never changed.
type pastRecord struct {
	header
	Policy string     `json:"policy"`
	Forms  []pastForm `json:"forms"`
}

// pastRef names the record of what is past of a policy.
type pastRef struct {
	Policy string `json:"policy"`
	ID     string `json:"id"` // random
}

// sealRecord is what is known of a seal key.
type sealRecord struct {
	ID uint32 `json:"id"`
	auth.SealRecipe
}

func (c *clusterRecord) policy(name string) *session.Policy {
	for i := range c.Policies {
		if c.Policies[i].Name == name {
			return &c.Policies[i]
		}
	}
	return nil
}

func (c *clusterRecord) clone() *clusterRecord {
	copied := *c
	copied.Policies, copied.Admins, copied.Seals = slices.Clone(c.Policies), slices.Clone(c.Admins), slices.Clone(c.Seals)
	copied.Past = slices.Clone(c.Past)
	return &copied
}

// userRecord is a user: an account, or only the list of sessions of somebody whom others know.
type userRecord struct {
	header
	Account    *account    `json:"account,omitempty"`
	LastNumber uint64      `json:"last_number"`
	Version    uint64      `json:"version,omitempty"`  // the highest that an account of this name ever had
	Sessions   []listed    `json:"sessions,omitempty"` // in the order of their numbers
	PruneAt    int         `json:"prune_at,omitempty"` // with so many sessions a log-in looks which of them have ended
	Requests   []requested `json:"requests,omitempty"` // log-ins with an Idempotency-Key, oldest first

	Preferences map[string]json.RawMessage `json:"preferences,omitempty"`

	// Where a Directory keeps the accounts: which of them the preferences are of, and, while a Service has the record, the marks of new sessions.
	PreferencesOf string `json:"preferences_of,omitempty"`
	Marks         *marks `json:"marks,omitempty"`
	// Ended are, while a Service has the record, those that a change of the account has ended and that are still listed in the store.
	Ended []listed `json:"ended,omitempty"`
}

type account struct {
	PasswordHash string         `json:"password_hash,omitempty"`
	Roles        []session.Role `json:"roles"`
	Policies     []string       `json:"policies"`
	Disabled     bool           `json:"disabled,omitempty"`
	CreatedMS    int64          `json:"created_ms"`
	Version      uint64         `json:"version"`

	MD5Login bool         `json:"md5_login,omitempty"`
	Verifier *sealedValue `json:"verifier,omitempty"` // the password's MD5, where the user may log in by that and it is known
}

// listed is a session in its user's list: without it there, it is none.
type listed struct {
	ID        session.ID `json:"id"`
	Number    uint64     `json:"number"`
	Policy    string     `json:"policy"`
	Permanent bool       `json:"permanent,omitempty"`
	Under     string     `json:"under,omitempty"` // a Directory's mark; see overlay
}

// requested is a session that a log-in with an Idempotency-Key has made.
type requested struct {
	Scope   []byte     `json:"scope"`
	Body    []byte     `json:"body"`
	ID      session.ID `json:"id"`
	UntilMS int64      `json:"until_ms"`
}

func (u *userRecord) find(id session.ID) *listed {
	for i := range u.Sessions {
		if u.Sessions[i].ID == id {
			return &u.Sessions[i]
		}
	}
	return nil
}

// drop takes ids out of the list.
func (u *userRecord) drop(ids ...session.ID) {
	u.Sessions = slices.DeleteFunc(u.Sessions, func(l listed) bool { return slices.Contains(ids, l.ID) })
}

func (u *userRecord) isAdmin() bool {
	return u.Account != nil && !u.Account.Disabled && slices.Contains(u.Account.Roles, session.RoleAdmin)
}

func (u *userRecord) disabled() bool { return u.Account != nil && u.Account.Disabled }

// sessionRecord is a session. Its number stands in its user's list.
type sessionRecord struct {
	header
	User              string                     `json:"user"`
	Policy            string                     `json:"policy"`
	Key               session.KeyHash            `json:"key"`
	Retired           []retired                  `json:"retired,omitempty"`       // earlier keys, oldest first
	KeysUntilMS       int64                      `json:"keys_until_ms,omitempty"` // when the first of its keys' records expires; 0 = never
	Permanent         bool                       `json:"permanent,omitempty"`
	CreatedMS         int64                      `json:"created_ms"`
	MadeMS            int64                      `json:"made_ms"` // when this record was made: later, if the session was moved here
	LastUseMS         int64                      `json:"last_use_ms"`
	LastActivityMS    int64                      `json:"last_activity_ms"`
	AuthMS            int64                      `json:"auth_ms"`
	OwnIdleMS         *int64                     `json:"own_idle_ms,omitempty"` // its own idle timeout, 0 = none
	Timers            timers                     `json:"timers"`                // as its policy had them at the last recorded use
	PolicyVersion     uint64                     `json:"policy_version"`        // at that time
	Roles             []session.Role             `json:"roles"`                 // that it was given
	Methods           []session.Method           `json:"methods"`               // sorted
	Address           netip.Addr                 `json:"address"`
	Bound             bool                       `json:"bound,omitempty"` // to its address, whatever its policy says
	UserAgent         string                     `json:"user_agent,omitempty"`
	Attributes        map[string]json.RawMessage `json:"attributes,omitempty"`
	Sealed            map[string]sealedValue     `json:"sealed,omitempty"`
	AttributesVersion uint64                     `json:"attributes_version"`
	Heir              session.ID                 `json:"heir,omitzero"` // the session of a log-in that was about to take this one's place
}

// sealedValue is a value as the key with that id has sealed it: nonce and ciphertext.
type sealedValue struct {
	Key  uint32 `json:"key"`
	Data []byte `json:"data"`
}

// retired is a key that has been rotated. Graces never fall from one to the next: where a key works, so do those after it.
type retired struct {
	Hash    session.KeyHash `json:"hash"`
	GraceMS int64           `json:"grace_ms,omitempty"` // it works before this instant; 0 = not any more
	Sealed  []byte          `json:"sealed,omitempty"`   // its successor, while there is a grace
}

// keyRecord leads from a key's hash to its session.
type keyRecord struct {
	header
	User    string     `json:"user"`
	Session session.ID `json:"session"`
	UntilMS int64      `json:"until_ms,omitempty"` // when the record expires, 0 = never; it never comes nearer
}

// requestRecord says what an Idempotency-Key was used for.
type requestRecord struct {
	header
	Body    []byte `json:"body"`
	UntilMS int64  `json:"until_ms"`
}

// attemptRecord is one counter of the login throttle. It is a leaking bucket: each attempt pours in one share, full is the
// window, and a millisecond leaks in a millisecond. So all of it is one instant: the one at which the bucket will be dry.
type attemptRecord struct {
	header
	DryMS int64 `json:"dry_ms"`
	RunMS int64 `json:"run_ms"` // of the first attempt since it was dry, which names that time
}

func userName(name string) Name                   { return Name{KindUser, name} }
func sessionName(id session.ID) Name              { return Name{KindSession, id.String()} }
func clusterName() Name                           { return Name{KindCluster, clusterID} }
func keyName(h session.KeyHash) Name              { text, _ := h.MarshalText(); return Name{KindKey, string(text)} }
func requestName(scope [32]byte) Name             { n := keyName(scope); n.Kind = KindRequest; return n }
func instant(ms int64) time.Time                  { return time.UnixMilli(ms).UTC() }
func milliseconds(ms int64) time.Duration         { return time.Duration(ms) * time.Millisecond }
func nextVersion(last uint64, nowMS int64) uint64 { return max(last+1, uint64(max(nowMS, 0))) }
