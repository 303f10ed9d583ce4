package fsm

import (
	"net/netip"

	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// EventKind names what happened, as audit lines spell it. Each has a line in docs/audit.md.
type EventKind string

const (
	EventLogin               EventKind = "login"                 // a session was made
	EventLoginRepeated       EventKind = "login_repeated"        // a repeated create: the session made first has a new key
	EventLoginFailed         EventKind = "login_failed"          // Reason tells why
	EventKeyRotated          EventKind = "key_rotated"           // a session has another key
	EventReauthenticated     EventKind = "reauthenticated"       // the same, and its user has proved anew who it is: Method tells how
	EventSessionEnded        EventKind = "session_ended"         // Cause tells why
	EventUserSessionsRevoked EventKind = "user_sessions_revoked" // all of a user's, but Session: dead from here on
	EventUserCreated         EventKind = "user_created"
	EventUserChanged         EventKind = "user_changed"
	EventUserDeleted         EventKind = "user_deleted"
	EventPolicyCreated       EventKind = "policy_created"
	EventPolicyChanged       EventKind = "policy_changed"
	EventPolicyDeleted       EventKind = "policy_deleted"
	EventLimitsChanged       EventKind = "limits_changed" // of the cluster
	EventFormatLevel         EventKind = "format_level_raised"
	EventSessionHome         EventKind = "session_home_changed" // Reason tells where sessions live from here on: "cluster" or "node"
	EventImportBegun         EventKind = "import_begun"         // nothing that was there is there any more: what follows comes from another home
	EventUserImported        EventKind = "user_imported"        // an account
	EventSessionImported     EventKind = "session_imported"     // a session that was made in another home
	EventImportFinished      EventKind = "import_finished"
	EventClusterClosed       EventKind = "cluster_closed" // nothing changes until it is opened
	EventClusterOpened       EventKind = "cluster_opened"
)

// Event is something that an entry did and that an audit trail tells. It comes from the log alone, so that the events of an entry, and
// their order, are the same on every node and at every replay. It holds no key, no password and no hash of one.
type Event struct {
	Kind EventKind

	// What it is about. Zero = not said.
	User      string
	Session   session.ID
	Number    uint64
	Policy    string
	Address   netip.Addr // where the session's user logged in, or tried to
	UserAgent string
	Version   uint64 // of the user or policy after the change; the format level

	Method    string // how a log-in, or a reauthentication, was proved: "password", "directory" or "vouched"
	Cause     Cause  // why a session ended
	Reason    string // why a log-in was refused; where sessions live
	Field     string // what Reason speaks of
	Permanent bool   // the session, or those revoked at once, are permanent ones
	Count     uint64 // sessions revoked at once, or that a cluster has whose sessions are moved; failed log-ins reported at once
	Users     uint64 // accounts that such a cluster has
	Origin    string // the home that it was filled from

	// What a change made of a user or policy; nil before the first value and after the last.
	UserBefore, UserAfter     *session.User
	PolicyBefore, PolicyAfter *session.Policy
	LimitsBefore, LimitsAfter *session.ClusterLimits
	PasswordChanged           bool

	Actor Actor
}

// Actor is who caused an event: a session, or the cluster itself and its operator, or, with neither, time.
type Actor struct {
	System  bool
	User    string
	Session session.ID
	Address netip.Addr // where the command came from; invalid = unknown
}

// recorder gathers the events of one entry. A nil one gathers nothing; who builds an event looks first.
type recorder struct {
	events []Event
	actor  Actor // of the present command
}

// add reports e, as an act of the present command's actor.
func (r *recorder) add(e Event) {
	e.Actor = r.actor
	r.events = append(r.events, e)
}

// take hands over the entry's events and readies r for the next one.
func (r *recorder) take() []Event {
	if r == nil {
		return nil
	}
	events := r.events
	*r = recorder{}
	return events
}

// nobody is the actor until a command's authority has been judged.
func (r *recorder) nobody() {
	if r != nil {
		r.actor = Actor{}
	}
}

// stranger is the actor of what a key does that opens nothing, unless a service presents it.
func (r *recorder) stranger(address []byte) {
	if r != nil && r.actor == (Actor{}) {
		r.actor = Actor{Address: addressOf(address)}
	}
}

func (r *recorder) system() {
	if r != nil {
		r.actor = Actor{System: true}
	}
}

// actsBySession makes a living session the actor of what follows, asking from address.
func (s *state) actsBySession(slot uint32, address []byte) {
	if s.events == nil {
		return
	}
	r := s.sessions.recs.at(slot)
	s.events.actor = Actor{User: string(s.userName(r.user)), Session: r.id, Address: addressOf(address)}
}

// actsByPassword makes a user without session the actor of what follows, asking from address.
func (s *state) actsByPassword(user string, address []byte) {
	if s.events != nil {
		s.events.actor = Actor{User: user, Address: addressOf(address)}
	}
}

// actsByLogin makes the session that a log-in with a password is about to make the actor of what follows.
func (s *state) actsByLogin(c *fsmpb.CreateSession, id session.ID) {
	if s.events != nil && !c.Vouched {
		s.events.actor = Actor{User: c.User, Session: id, Address: addressOf(c.Address)}
	}
}

// byTime runs f as an act of nobody.
func (s *state) byTime(f func()) {
	if s.events == nil {
		f()
		return
	}
	actor := s.events.actor
	s.events.nobody()
	f()
	s.events.actor = actor
}

func addressOf(b []byte) netip.Addr {
	if len(b) != 16 || [16]byte(b) == ([16]byte{}) {
		return netip.Addr{}
	}
	return netip.AddrFrom16([16]byte(b)).Unmap()
}

// reportSession reports something about a recorded session; finish adds what is particular.
func (s *state) reportSession(kind EventKind, slot uint32, finish func(*Event)) {
	r := s.sessions.recs.at(slot)
	e := Event{
		Kind: kind, User: string(s.userName(r.user)), Session: r.id, Number: r.number, Policy: s.policies.byIndex[r.policy].Name,
		Address: addressOf(r.address[:]), Permanent: r.permanent(),
	}
	finish(&e)
	s.events.add(e)
}

// reportRotation tells that a session has another key.
func (s *state) reportRotation(slot uint32, rot *rotation) {
	if s.events == nil {
		return
	}
	kind, method := EventKeyRotated, ""
	switch {
	case rot.methods&methodPassword != 0:
		kind, method = EventReauthenticated, "password"
	case rot.methods&methodDirectory != 0:
		kind, method = EventReauthenticated, "directory"
	case rot.methods&methodService != 0:
		kind, method = EventReauthenticated, "vouched"
	}
	s.reportSession(kind, slot, func(e *Event) { e.Method = method })
}

// reportLogin tells what a create came to.
func (s *state) reportLogin(c *fsmpb.CreateSession, r *fsmpb.Result) {
	if s.events == nil {
		return
	}
	e := Event{Kind: EventLogin, Address: addressOf(c.Address), Method: "password"}
	if validUserName(c.User) && len(c.Policy) <= session.MaxPolicyNameBytes {
		e.User, e.Policy = c.User, c.Policy
	}
	switch {
	case c.Vouched:
		e.Method = "vouched"
	case c.Outside != nil:
		e.Method = "directory"
	}
	made := r.GetSession()
	if OnOtherTerms(r) || TookAlongOlder(r) {
		return
	}
	if made == nil {
		e.Kind, e.Reason, e.Field = EventLoginFailed, string(ErrorCode(r.Code)), r.Field
		s.events.add(e)
		return
	}
	if r.Repeated {
		e.Kind = EventLoginRepeated
	}
	e.Session, _ = sessionID(made.Id)
	e.Number, e.Policy, e.UserAgent, e.Permanent = made.Number, made.Policy, made.UserAgent, made.Permanent
	if !c.Vouched {
		s.events.actor = Actor{User: e.User, Session: e.Session, Address: e.Address}
	}
	s.events.add(e)
}

// loginFailed reports a log-in that no create followed.
func (s *state) loginFailed(c *fsmpb.LoginFailed, r *fsmpb.Result) {
	reason, known := loginFailures[c.Reason]
	if !known || !validAddress(c.Address) || c.User != "" && !validUserName(c.User) || (c.Count != 0) != (c.Reason == fsmpb.LoginFailed_REASON_UNREPORTED) {
		fail(r, fsmpb.Code_CODE_INVALID, "")
		return
	}
	if s.events != nil {
		s.events.add(Event{Kind: EventLoginFailed, User: c.User, Address: addressOf(c.Address), Reason: reason, Count: c.Count, Method: "password"})
	}
}

var loginFailures = map[fsmpb.LoginFailed_Reason]string{
	fsmpb.LoginFailed_REASON_UNKNOWN_USER: "unknown_user",
	fsmpb.LoginFailed_REASON_NO_PASSWORD:  "no_password",
	fsmpb.LoginFailed_REASON_DIRECTORY:    "directory",
	fsmpb.LoginFailed_REASON_PASSWORD:     "wrong_password",
	fsmpb.LoginFailed_REASON_DISABLED:     "user_disabled",
	fsmpb.LoginFailed_REASON_UNREPORTED:   "unreported",
	fsmpb.LoginFailed_REASON_THROTTLED:    "throttled",
	fsmpb.LoginFailed_REASON_CHALLENGE:    "challenge",
	fsmpb.LoginFailed_REASON_NO_VERIFIER:  "no_md5_login",
}

// account copies an account for an event, nil when there is none or nobody asks.
func (s *state) account(slot uint32) *UserRecord {
	if s.events == nil || slot == 0 || !s.users.recs.at(slot).stored() {
		return nil
	}
	u := s.userRecord(slot)
	return &u
}

// reportUser reports what became of an account.
func (s *state) reportUser(before, after *UserRecord, version uint64) {
	if s.events == nil {
		return
	}
	e := Event{Kind: EventUserChanged, Version: version}
	switch {
	case before == nil:
		e.Kind, e.User, e.UserAfter, e.PasswordChanged = EventUserCreated, after.Name, &after.User, after.PasswordHash != ""
	case after == nil:
		e.Kind, e.User, e.UserBefore = EventUserDeleted, before.Name, &before.User
	default:
		e.User, e.UserBefore, e.UserAfter = after.Name, &before.User, &after.User
		e.PasswordChanged = before.PasswordHash != after.PasswordHash
	}
	s.events.add(e)
}

// reportPolicy reports what became of a policy.
func (s *state) reportPolicy(before, after *session.Policy, version uint64) {
	if s.events == nil {
		return
	}
	e := Event{Kind: EventPolicyChanged, Version: version, PolicyBefore: before, PolicyAfter: after}
	switch {
	case before == nil:
		e.Kind, e.Policy = EventPolicyCreated, after.Name
	case after == nil:
		e.Kind, e.Policy = EventPolicyDeleted, before.Name
	default:
		e.Policy = after.Name
	}
	s.events.add(e)
}
