package fsm

import (
	"net/netip"

	"github.com/hydrastore/hydrastore/session"
)

// Record is a copy of a living session as it stands at the replicated clock. Its strings and byte slices are the
// caller's, except Roles and Methods, which are shared and must not be changed.
type Record struct {
	ID            session.ID
	Seq           uint64 // order of creation in the cluster, never used twice: the cursor of lists
	Number        uint64 // order of creation for this user
	User          string
	UserVersion   uint64
	Roles         []session.Role // in force for the session, sorted
	Rotate        bool           // it should be rotated: the user has other roles, or the presented key a successor
	AuthMS        int64          // when the user last proved who it is
	Methods       []session.Method
	Policy        string
	CreatedMS     int64
	LastUseMS     int64 // last recorded use
	AbsoluteEndMS int64 // 0 = never
	DeadlineMS    int64 // last recorded use + idle + window, not beyond its other ends; 0 = never
	IdleMS        int64 // the session's own or its policy's; 0 = none
	WindowMS      int64 // the effective touch window

	LastActivityMS int64 // last recorded use that was no tickle, or was one while nothing but use ended the session
	InactivityMS   int64 // of the policy; 0 = none
	NoTickle       bool  // tickles move no timer
	Permanent      bool  // no timer ends it
	BindAddress    session.AddressBinding

	AttributesWrite   session.AttributesWriter
	AttributesLocal   bool        // those that are not reserved are not here but at nodes
	Attributes        []Attribute // in the order of their names
	AttributesVersion uint64
	Address           netip.Addr // invalid = unknown; IPv4 is unmapped
	UserAgent         string
}

// Attribute is one named value of a session: canonical JSON.
type Attribute struct {
	Name  string
	Value []byte
}

// UserRecord is a copy of a user's record.
type UserRecord struct {
	session.User        // Sessions counts those not ended; while ends lag behind the clock, due ones are among them
	PasswordHash string // "" = none
	Verifier     []byte // the sealed MD5 of the password; empty = none
	// Shell marks a user known only through sessions that others vouched for, or one deleted whose sessions are
	// still being ended. It is no account: it has no password, and goes with its last session.
	Shell bool
}

// Cause says why a session ended. Each has a name below, and a line in docs/audit.md.
type Cause uint8

const (
	CauseIdle     Cause = iota + 1 // unused for longer than its idle timeout and window
	CauseAbsolute                  // at the end of its absolute lifetime
	CauseUser                      // its user was disabled, deleted, given a new password, or had its sessions revoked
	CauseLogout                    // whoever presents its key logged out
	CauseRevoked                   // named by its id, by its user or an admin
	CauseInactive                  // nothing but tickles for longer than the policy's inactivity timeout, the time to answer, and window
	CauseReused                    // a rotated key was used after its grace
	CauseReplaced                  // by a log-in that presented its key, or by one under a policy with one session a user
	CauseEvicted                   // to make room for a new session under a limit
)

var causeNames = [...]string{
	CauseIdle: "idle", CauseAbsolute: "absolute", CauseUser: "user", CauseLogout: "logout", CauseRevoked: "revoked",
	CauseInactive: "inactive",
	CauseReused:   "reused_key", CauseReplaced: "replaced", CauseEvicted: "evicted",
}

// String names the cause as metrics and events spell it.
func (c Cause) String() string {
	if c == 0 || int(c) >= len(causeNames) {
		return "unknown"
	}
	return causeNames[c]
}

// Ended is a session that the machine removed in an entry, without a command that names it by its id or its user.
type Ended struct {
	ID         session.ID
	Number     uint64
	User       string
	Cause      Cause
	DeadlineMS int64 // 0 = never
}
