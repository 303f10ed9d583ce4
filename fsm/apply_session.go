package fsm

import (
	"bytes"
	"crypto/sha256"
	"time"

	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// login is a CreateSession whose parts have been judged.
type login struct {
	key      session.KeyHash
	id       session.ID
	user     uint32 // slot; 0 = a shell is to be made
	policy   uint8
	roles    uint8
	outside  uint8 // roles that an authenticator outside gives
	method   uint8
	flags    uint8
	idem     *idempotencyKey
	blob     []byte           // attributes
	own      extras           // with sessionOwnIdle
	replaces *session.KeyHash // the key of the session in whose place it comes

	old     uint32   // that session; 0 = there is none
	address [16]byte // zero = unknown
}

type idempotencyKey struct{ scope, body [32]byte }

func (s *state) createSession(c *fsmpb.CreateSession, r *fsmpb.Result) {
	var l login
	if !l.parse(c) || c.Attempt != nil && !s.validAttempt(c.Attempt) {
		fail(r, fsmpb.Code_CODE_INVALID, "")
		return
	}
	if s.home.Node {
		fail(r, fsmpb.Code_CODE_CONFLICT, homeField)
		return
	}
	s.findReplaced(c, &l) // now, because a spent key ends its session though nobody be logged in
	if len(c.UserAgent) > session.MaxUserAgentBytes {
		fail(r, fsmpb.Code_CODE_TOO_LARGE, "user_agent")
		return
	}
	blob, code := s.firstAttributes(nil, c.Attributes)
	if code != fsmpb.Code_CODE_OK {
		fail(r, code, "attributes")
		return
	}
	l.blob = blob
	by, code, field := s.admit(c, &l)
	if code == fsmpb.Code_CODE_OK {
		code, field = s.choosePolicy(c, by, &l)
	}
	if code == fsmpb.Code_CODE_OK {
		code, field = s.chooseTimers(c, by, &l)
	}
	if code == fsmpb.Code_CODE_OK {
		code, field = s.judgeTerms(c, &l)
	}
	if code == fsmpb.Code_CODE_OK && (s.keyTaken(l.key) || s.findID(l.id) != 0) {
		code, field = fsmpb.Code_CODE_CONFLICT, "key_hash"
	}
	if code != fsmpb.Code_CODE_OK {
		fail(r, code, field)
		return
	}
	if l.idem != nil && s.repeat(&l, c.Address, r) {
		if r.Code == fsmpb.Code_CODE_OK {
			s.uncount(c.Attempt)
		}
		return
	}
	if s.sessions.n >= maxSessions {
		fail(r, fsmpb.Code_CODE_TOO_LARGE, "sessions")
		return
	}
	if s.findReplaced(c, &l); l.old != 0 {
		if l.blob, code, field = s.carryOver(c, &l, l.old); code != fsmpb.Code_CODE_OK {
			fail(r, code, field)
			return
		}
	}
	if code, limit := s.makeRoom(c, &l); code != fsmpb.Code_CODE_OK {
		fail(r, code, limit)
		return
	}
	s.uncount(c.Attempt)
	slot := s.logIn(c, &l)
	s.sessionResult(slot, c.User, r)
}

// parse judges what does not depend on the state.
func (l *login) parse(c *fsmpb.CreateSession) bool {
	var key, id bool
	l.key, key = keyHash(c.KeyHash)
	l.id, id = sessionID(c.Id)
	if !key || !id || !validUserName(c.User) || !validAddress(c.Address) || len(c.Policy) > session.MaxPolicyNameBytes || keyFormat(c.KeyFormat) == "" {
		return false
	}
	if c.Vouched != (c.Authority != nil) || c.Vouched && (c.UserVersion != 0 || c.Outside != nil) {
		return false
	}
	if c.Outside.GetGrantsPolicy() && c.Policy == "" {
		return false
	}
	var known bool
	if l.outside, known = outsideRoles(c.Outside.GetRoles()); !known {
		return false
	}
	if len(c.Replaces) > 0 {
		replaces, ok := keyHash(c.Replaces)
		if l.replaces = &replaces; !ok {
			return false
		}
	}
	if n := len(c.CarriesDigest); n != 0 && n != sha256.Size {
		return false
	}
	copy(l.address[:], c.Address)
	if c.Idempotency == nil {
		return true
	}
	l.idem = &idempotencyKey{}
	return len(c.Idempotency.ScopeHash) == copy(l.idem.scope[:], c.Idempotency.ScopeHash) && len(c.Idempotency.ScopeHash) == 32 &&
		len(c.Idempotency.BodyHash) == copy(l.idem.body[:], c.Idempotency.BodyHash) && len(c.Idempotency.BodyHash) == 32
}

// admit judges whether the user may be logged in: by the one who vouches, or by the password that was verified.
func (s *state) admit(c *fsmpb.CreateSession, l *login) (caller, fsmpb.Code, string) {
	l.user = s.findUser(c.User)
	if !c.Vouched {
		by, code, field := s.admitVerified(l.user, c.UserVersion, c.Outside != nil)
		if code == fsmpb.Code_CODE_OK && !s.hasAccount(l.user) {
			by.roles = l.outside
		}
		l.roles, l.method = by.roles, methodVerified(c.Outside != nil)
		return by, code, field
	}
	l.roles, l.method = roleUser, methodService
	by, code := s.judge(c.Authority, 0)
	switch {
	case code != fsmpb.Code_CODE_OK:
		return by, code, "authority"
	case !by.mayActForOthers():
		return by, fsmpb.Code_CODE_FORBIDDEN, "authority"
	case l.user == 0:
		return by, fsmpb.Code_CODE_OK, ""
	}
	if u := s.users.recs.at(l.user); u.disabled() || u.roles&(roleService|roleAdmin) != 0 {
		return by, fsmpb.Code_CODE_FORBIDDEN, "user"
	}
	return by, fsmpb.Code_CODE_OK, ""
}

// admitVerified judges a user whose password was verified: its account must be the one that was verified against, or as absent as
// then. The password of an account that has one is nobody else's to verify.
func (s *state) admitVerified(slot uint32, verified uint64, outside bool) (caller, fsmpb.Code, string) {
	by := caller{user: slot, roles: roleUser}
	version := uint64(0)
	if s.hasAccount(slot) {
		u := s.users.recs.at(slot)
		if u.disabled() || outside && u.password != 0 {
			return caller{}, fsmpb.Code_CODE_CONFLICT, "user"
		}
		by.roles, version = u.roles, u.version
	}
	if version != verified || version == 0 && !outside {
		return caller{}, fsmpb.Code_CODE_CONFLICT, "user"
	}
	return by, fsmpb.Code_CODE_OK, ""
}

// choosePolicy finds the session's policy. A user chooses among its own, services and admins among all.
func (s *state) choosePolicy(c *fsmpb.CreateSession, by caller, l *login) (fsmpb.Code, string) {
	var own []byte
	if l.user != 0 {
		own = s.arena.get(s.users.recs.at(l.user).policies)
	}
	name := c.Policy
	if name == "" {
		if len(own) > 0 {
			l.policy = own[0]
			return fsmpb.Code_CODE_OK, ""
		}
		name = session.DefaultPolicyName
	}
	index, p := s.policies.find(name)
	if p == nil {
		return fsmpb.Code_CODE_NOT_FOUND, "policy"
	}
	l.policy = index
	allowed := by.mayActForOthers() || c.Outside.GetGrantsPolicy() || len(own) == 0 && name == session.DefaultPolicyName
	for _, i := range own {
		allowed = allowed || i == index
	}
	if !allowed {
		return fsmpb.Code_CODE_FORBIDDEN, "policy"
	}
	return fsmpb.Code_CODE_OK, ""
}

// chooseTimers judges whether the session may be permanent, have an idle timeout of its own, and be bound to its address.
func (s *state) chooseTimers(c *fsmpb.CreateSession, by caller, l *login) (fsmpb.Code, string) {
	p := s.policies.byIndex[l.policy]
	switch {
	case p.BindAddress == session.BindStrict && len(c.Address) == 0, c.BindAddress && l.address == ([16]byte{}):
		return fsmpb.Code_CODE_INVALID, "client_ip"
	case c.Permanent && c.IdleMs != nil:
		return fsmpb.Code_CODE_INVALID, "idle_timeout_s"
	case c.Permanent && !p.PermanentAllowed:
		return fsmpb.Code_CODE_FORBIDDEN, "permanent"
	case c.Permanent:
		l.flags |= sessionPermanent
	}
	if c.BindAddress {
		l.flags |= sessionBound
	}
	if c.IdleMs == nil {
		return fsmpb.Code_CODE_OK, ""
	}
	own, ok := ownIdle(*c.IdleMs)
	if !ok {
		return fsmpb.Code_CODE_INVALID, "idle_timeout_s"
	}
	if !by.mayHaveIdle(own, &p.Policy) {
		return fsmpb.Code_CODE_FORBIDDEN, "idle_timeout_s"
	}
	l.flags |= sessionOwnIdle
	l.own = extras{idleMS: *c.IdleMs, windowMS: p.OwnTouchWindow(own).Milliseconds()}
	return fsmpb.Code_CODE_OK, ""
}

// mayHaveIdle tells whether the caller may give a session an idle timeout of its own.
func (c caller) mayHaveIdle(own time.Duration, p *session.Policy) bool {
	return p.LongerIdleAllowed || p.IdleTimeout == 0 || own != 0 && own <= p.IdleTimeout || c.mayActForOthers()
}

// repeat answers a repeated request with the session made first, under the new key. It returns false when a session has to
// be made: the request is new, or its session has ended.
func (s *state) repeat(l *login, address []byte, r *fsmpb.Result) bool {
	at := s.findScope(l.idem.scope)
	if at == 0 || s.idem.recs.at(at).outdated(s.clock) {
		return false
	}
	rec := s.idem.recs.at(at)
	slot := s.sessions.order.find(rec.seq)
	if rec.body != l.idem.body || slot != 0 && s.sessions.recs.at(slot).user != l.user {
		fail(r, fsmpb.Code_CODE_IDEMPOTENCY_MISMATCH, "idempotency")
		return true
	}
	if slot == 0 || !s.alive(slot) {
		return false
	}
	if !s.bound(slot, address) {
		// The new key would open nothing where it is handed out, the first one would open nothing any more, and the session
		// would have been used from a wrong address.
		fail(r, fsmpb.Code_CODE_IDEMPOTENCY_MISMATCH, "client_ip")
		return true
	}
	s.rekey(slot, l.key)
	if p := s.pastOf(slot); p.firstGrace() != 0 {
		p.capGraces(s.clock, s.clock) // they led to the key that has just ended
		s.setPast(slot, &p)
	}
	if l.method == methodDirectory && !s.hasAccount(l.user) {
		s.mutSession(slot).roles = l.roles // its groups may have changed since
	}
	s.use(slot, false)
	s.sessionResult(slot, "", r)
	r.Repeated = true
	return true
}

// logIn makes the session. Everything has been judged.
func (s *state) logIn(c *fsmpb.CreateSession, l *login) uint32 {
	if l.user == 0 {
		l.user = s.addUser(c.User)
	}
	u := s.mutUser(l.user)
	u.lastNumber++
	rec := sessionRec{
		key: l.key, id: l.id, address: l.address, seq: s.sessions.lastSeq + 1, number: u.lastNumber, lastUseMS: s.clock,
		createdMS:         s.policies.byIndex[l.policy].birth(s.clock),
		attributesVersion: s.index, user: l.user, policy: l.policy, roles: l.roles, methods: l.method,
		attributes: s.arena.put(l.blob), agent: s.arena.put([]byte(c.UserAgent)), flags: l.flags,
	}
	s.setExtras(&rec, l.own)
	slot := s.placeSession(rec)
	s.countSealed(l.blob, 1)
	if l.idem != nil {
		s.rememberLogin(l.idem, rec.seq)
	}
	return slot
}

// rememberLogin lets repetitions find the session. A record whose session has ended keeps its age.
func (s *state) rememberLogin(key *idempotencyKey, seq uint64) {
	if at := s.findScope(key.scope); at != 0 && !s.idem.recs.at(at).outdated(s.clock) {
		s.idem.recs.mut(at, s.shared).seq = seq
		return
	}
	s.remember(key.scope, key.body, seq)
}

// findReplaced finds the session in whose place the log-in comes.
func (s *state) findReplaced(c *fsmpb.CreateSession, l *login) {
	if l.replaces != nil {
		l.old, _ = s.present(*l.replaces, c.Address, false)
	}
}

// carryOver gives the attributes of the new session: those of the same user's session before, and over them the log-in's own. What is sealed
// opens in its own session only: the node seals it anew for this one and sends it with the log-in.
func (s *state) carryOver(c *fsmpb.CreateSession, l *login, old uint32) ([]byte, fsmpb.Code, string) {
	rec := s.sessions.recs.at(old)
	if rec.user != l.user {
		return l.blob, fsmpb.Code_CODE_OK, ""
	}
	all := s.arena.get(rec.attributes)
	if len(c.CarriesDigest) > 0 && [sha256.Size]byte(c.CarriesDigest) != digestOfCarried(all) {
		return nil, fsmpb.Code_CODE_CONFLICT, fieldReplaces // or a patch that has been acknowledged would be lost
	}
	before := s.inTheClear(all)
	if c.AttributesLocal || s.policies.byIndex[rec.policy].Attributes == session.AttributesLocal {
		before = onlyReserved(before)
	}
	// A copy: the old session ends, and its blob with it, before the new one is made.
	blob, code := s.firstAttributes(bytes.Clone(before), c.Attributes)
	return blob, code, "attributes"
}
