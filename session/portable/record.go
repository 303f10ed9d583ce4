// Package portable is the form in which sessions travel from one home to another: out of a cluster's log, a folder, Redis or DynamoDB, into any of
// them, or through a file of JSON lines. It holds hashes of keys and passwords and sealed values, never a key or a password. All instants are milliseconds
// since 1970, all durations milliseconds.
package portable

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"

	"github.com/hydrastore/hydrastore/session"
)

// MaxRecordBytes bounds a record as JSON: far above what the limits on attributes and names let one grow to.
const MaxRecordBytes = 256 << 10

// MaxForms bounds the earlier forms of one policy that a record tells of: several times what any home keeps.
const MaxForms = 256

// Record is one of four; the others are nil.
type Record struct {
	Cluster *Cluster `json:"cluster,omitempty"`
	Past    *Past    `json:"past,omitempty"`
	User    *User    `json:"user,omitempty"`
	Session *Session `json:"session,omitempty"`
}

// Cluster is what all sessions share. There is one, and it comes first, and then what is past of its policies: see Records.
type Cluster struct {
	ID       string       `json:"id"` // of the home where it all began; it stays over moves
	Policies []Policy     `json:"policies"`
	Past     []PastPolicy `json:"-"`               // in records of their own, because there may be too many for one
	Seals    []SealKey    `json:"seals,omitempty"` // by their ids, ascending
	LastSeal uint32       `json:"last_seal,omitempty"`
	Limits   Limits       `json:"limits"`
	Floor    uint64       `json:"floor,omitempty"` // a new user's sessions get numbers above it
	Version  uint64       `json:"version"`         // no user, policy or limits ever had a higher one
}

// Records are the cluster's record, without what is past, and one for each policy that has a past.
func (c *Cluster) Records() []Record {
	alone := *c
	alone.Past = nil
	out := []Record{{Cluster: &alone}}
	at := map[string]*Past{}
	for _, p := range c.Past {
		past := at[p.Policy]
		if past == nil {
			past = &Past{Policy: p.Policy}
			at[p.Policy] = past
			out = append(out, Record{Past: past})
		}
		past.Forms = append(past.Forms, p.PastForm)
	}
	return out
}

// take takes up what is past of one policy.
func (c *Cluster) take(p *Past) {
	for _, form := range p.Forms {
		c.Past = append(c.Past, PastPolicy{p.Policy, form})
	}
}

// Limits cap all sessions, whatever their policies.
type Limits struct {
	MaxSessions int             `json:"max_sessions,omitempty"` // 0 = no limit
	OnLimit     session.OnLimit `json:"on_limit,omitempty"`
	Version     uint64          `json:"version,omitempty"`
}

// Past is all that is past of one policy.
type Past struct {
	Policy string     `json:"policy"`
	Forms  []PastForm `json:"forms"` // 1 to MaxForms
}

// PastPolicy is an earlier form of a policy.
type PastPolicy struct {
	Policy string
	PastForm
}

// PastForm says what an earlier form of a policy still means for sessions that were made, or last used, before it was changed: what was dead under it
// stays dead, and no absolute end comes further.
type PastForm struct {
	Version      uint64 `json:"version"`
	UntilMS      int64  `json:"until_ms"`
	IdleMS       int64  `json:"idle_ms,omitempty"`
	InactivityMS int64  `json:"inactivity_ms,omitempty"`
	WindowMS     int64  `json:"window_ms,omitempty"`
	LifetimeMS   int64  `json:"lifetime_ms,omitempty"` // 0 = none
}

// SealKey is what is known of a key that seals values: enough to derive it from the password, and to know it again.
type SealKey struct {
	ID          uint32 `json:"id"`
	Salt        []byte `json:"salt"`  // 16 bytes
	Check       []byte `json:"check"` // 16 bytes
	MemoryKiB   uint32 `json:"memory_kib"`
	Iterations  uint32 `json:"iterations"`
	Parallelism uint8  `json:"parallelism"`
}

// Sealed is a value as the key with that id has sealed it: nonce, ciphertext and tag.
type Sealed struct {
	Key  uint32 `json:"key"`
	Data []byte `json:"data"`
}

// User is an account, or somebody whom others know and who has sessions.
type User struct {
	Name        string                     `json:"name"` // folded
	Account     *Account                   `json:"account,omitempty"`
	LastNumber  uint64                     `json:"last_number"`       // no session of the user ever had a higher one
	Version     uint64                     `json:"version,omitempty"` // no account of this name ever had a higher one
	Preferences map[string]json.RawMessage `json:"preferences,omitempty"`
}

// Account is what an admin knows of a user.
type Account struct {
	PasswordHash string         `json:"password_hash,omitempty"` // "" = none
	Roles        []session.Role `json:"roles"`
	Policies     []string       `json:"policies"` // the first is the default
	Disabled     bool           `json:"disabled,omitempty"`
	CreatedMS    int64          `json:"created_ms"`
	Version      uint64         `json:"version"`
	MD5Login     bool           `json:"md5_login,omitempty"`
	Verifier     *Sealed        `json:"verifier,omitempty"` // the password's MD5
}

// Session is a session that lives.
type Session struct {
	ID                session.ID                 `json:"id"`
	Number            uint64                     `json:"number"` // of its user's sessions, 1 or more
	User              string                     `json:"user"`
	Policy            string                     `json:"policy"`
	Key               session.KeyHash            `json:"key"`
	Retired           []RetiredKey               `json:"retired,omitempty"` // earlier keys, oldest first
	Permanent         bool                       `json:"permanent,omitempty"`
	CreatedMS         int64                      `json:"created_ms"`
	LastUseMS         int64                      `json:"last_use_ms"`
	LastActivityMS    int64                      `json:"last_activity_ms"`      // at most LastUseMS; the same for a permanent one
	AuthMS            int64                      `json:"auth_ms"`               // when its user last proved who it is
	OwnIdleMS         *int64                     `json:"own_idle_ms,omitempty"` // its own idle timeout, 0 = none; nil = its policy's
	Timers            Timers                     `json:"timers"`
	PolicyVersion     uint64                     `json:"policy_version"`    // of the policy that Timers are from
	EndsMS            int64                      `json:"ends_ms,omitempty"` // by the rules of the home that it comes from, if nobody uses it; 0 = never
	Roles             []session.Role             `json:"roles"`             // that it was given
	Methods           []session.Method           `json:"methods"`
	Address           netip.Addr                 `json:"address,omitzero"`
	Bound             bool                       `json:"bound,omitempty"` // to its address, whatever its policy says
	UserAgent         string                     `json:"user_agent,omitempty"`
	Attributes        map[string]json.RawMessage `json:"attributes,omitempty"` // canonical JSON; reserved ones too
	Sealed            map[string]Sealed          `json:"sealed,omitempty"`
	AttributesVersion uint64                     `json:"attributes_version"`
}

// Timers end a session; 0 = there is no such one.
type Timers struct {
	IdleMS        int64 `json:"idle_ms,omitempty"`
	InactivityMS  int64 `json:"inactivity_ms,omitempty"`
	WindowMS      int64 `json:"window_ms,omitempty"`
	AbsoluteEndMS int64 `json:"absolute_end_ms,omitempty"` // an instant
}

// RetiredKey is a key that has been rotated.
type RetiredKey struct {
	Hash    session.KeyHash `json:"hash"`
	GraceMS int64           `json:"grace_ms,omitempty"` // it works before this instant; 0 = not any more
	Sealed  []byte          `json:"sealed,omitempty"`   // its successor, under the key itself, while there is a grace
}

// Parse reads a record. A field that this release does not know is an error: it would be lost.
func Parse(text []byte) (r Record, err error) {
	if len(text) > MaxRecordBytes {
		return r, fmt.Errorf("a record has at most %d bytes, this has %d", MaxRecordBytes, len(text))
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return Record{}, fmt.Errorf("read a record: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Record{}, errors.New("read a record: something follows it")
	}
	return r, r.Validate()
}

// Encode gives a record as one line of JSON, without its end.
func (r Record) Encode() ([]byte, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	text, err := encode(r)
	if err == nil && len(text) > MaxRecordBytes {
		return nil, fmt.Errorf("a record has at most %d bytes, this has %d", MaxRecordBytes, len(text))
	}
	return text, err
}

func encode(v any) ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false) // attributes keep their bytes
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("write a record: %w", err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// Validate tells what no home can have written. Each home judges the rest when it takes a record.
func (r Record) Validate() error {
	kinds := 0
	for _, is := range []bool{r.Cluster != nil, r.Past != nil, r.User != nil, r.Session != nil} {
		if is {
			kinds++
		}
	}
	switch {
	case kinds != 1:
		return errors.New("a record is a cluster, the past of a policy, a user or a session")
	case r.Cluster != nil:
		return r.Cluster.validate()
	case r.Past != nil && (r.Past.Policy == "" || len(r.Past.Forms) == 0):
		return errors.New("the past of a policy has its name, and one earlier form at least")
	case r.Past != nil && len(r.Past.Forms) > MaxForms:
		return fmt.Errorf("of policy %q there are %d earlier forms, and at most %d can be moved", r.Past.Policy, len(r.Past.Forms), MaxForms)
	case r.User != nil:
		return validName(r.User.Name)
	case r.Session != nil:
		return r.Session.validate()
	}
	return nil
}

func (c *Cluster) validate() error {
	if c.ID == "" || len(c.ID) > 64 {
		return errors.New("the cluster's record has no id of 1 to 64 bytes")
	}
	for _, p := range c.Policies {
		if err := p.Session().Validate(); err != nil {
			return fmt.Errorf("policy %q: %w", p.Name, err)
		}
	}
	return nil
}

func (s *Session) validate() error {
	switch {
	case s.ID.IsZero() || s.Number == 0 || s.Key.IsZero():
		return errors.New("a session's record has no id, number or key")
	case s.Policy == "":
		return errors.New("a session's record has no policy")
	case len(s.Retired) > session.MaxRetiredKeys:
		return fmt.Errorf("a session has at most %d earlier keys", session.MaxRetiredKeys)
	case s.LastActivityMS > s.LastUseMS:
		return errors.New("a session's last activity is after its last use")
	}
	return validName(s.User)
}

func validName(name string) error {
	if folded, err := session.FoldUserName(name); err != nil || folded != name {
		return errors.Join(fmt.Errorf("%q is no user's name as it is kept", name), err)
	}
	return nil
}

// order is which record came last. It holds that the cluster comes once and first, then what is past of its policies, and users before sessions.
type order int

const (
	orderNothing order = iota
	orderCluster
	orderPast
	orderUsers
	orderSessions
)

func (o *order) next(r Record) error {
	is := orderSessions
	switch {
	case r.Cluster != nil:
		is = orderCluster
	case r.Past != nil:
		is = orderPast
	case r.User != nil:
		is = orderUsers
	}
	if is < *o || (is == orderCluster) != (*o == orderNothing) {
		return errors.New("records are not in order: the cluster comes once and first, then the past of its policies, then users, then sessions")
	}
	*o = is
	return nil
}
