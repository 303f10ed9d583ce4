package fsm

import (
	"bytes"

	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// importedSession is a session of an ImportSessions that has been judged.
type importedSession struct {
	rec                     sessionRec // without sequence number and blobs
	agent, attributes, past []byte
	own                     extras
}

// sessionImport judges the sessions of one command, each in the light of those before it.
type sessionImport struct {
	s     *state
	fresh []importedSession
	keys  map[session.KeyHash]bool // of fresh, retired ones too
	ids   map[session.ID]bool
	last  map[uint32]uint64 // the highest number of each user in fresh
}

func (s *state) importSessions(c *fsmpb.ImportSessions, r *fsmpb.Result) {
	if !s.isFilledBy(c.Filling, c.Origin, r) {
		return
	}
	if len(c.Sessions) > MaxImport {
		fail(r, fsmpb.Code_CODE_TOO_LARGE, "sessions")
		return
	}
	in := sessionImport{s: s, keys: map[session.KeyHash]bool{}, ids: map[session.ID]bool{}, last: map[uint32]uint64{}}
	for _, m := range c.Sessions {
		if code, field := in.take(m); code != fsmpb.Code_CODE_OK {
			fail(r, code, field)
			return
		}
	}
	if s.sessions.n+len(in.fresh) > maxSessions {
		fail(r, fsmpb.Code_CODE_TOO_LARGE, "sessions")
		return
	}
	s.events.system()
	for i := range in.fresh {
		s.recordSession(&in.fresh[i])
	}
	setCount(r, uint64(len(in.fresh)))
}

// take judges one more session.
func (in *sessionImport) take(m *fsmpb.MovedSession) (fsmpb.Code, string) {
	s := in.s
	n, code, field := s.parseMovedSession(m)
	if code != fsmpb.Code_CODE_OK {
		return code, field
	}
	if slot := s.findID(n.rec.id); slot != 0 {
		if !s.isSession(slot, &n) {
			return fsmpb.Code_CODE_CONFLICT, "id"
		}
		return fsmpb.Code_CODE_OK, ""
	}
	user := n.rec.user
	switch {
	case in.ids[n.rec.id]:
		return fsmpb.Code_CODE_INVALID, "id"
	case n.rec.number <= max(in.last[user], s.lastNumberOf(user)):
		return fsmpb.Code_CODE_INVALID, "number"
	}
	if code, field := in.takeKeys(&n); code != fsmpb.Code_CODE_OK {
		return code, field
	}
	in.ids[n.rec.id], in.last[user] = true, n.rec.number
	in.fresh = append(in.fresh, n)
	return fsmpb.Code_CODE_OK, ""
}

// takeKeys judges a session's keys: none may be another one's.
func (in *sessionImport) takeKeys(n *importedSession) (fsmpb.Code, string) {
	p, _ := decodePast(n.past)
	for i := range len(p.retired) + 1 {
		h := n.rec.key
		if i < len(p.retired) {
			h = p.retired[i].hash
		}
		switch {
		case in.keys[h]:
			return fsmpb.Code_CODE_INVALID, "key_hash"
		case in.s.keyTaken(h):
			return fsmpb.Code_CODE_CONFLICT, "key_hash"
		}
		in.keys[h] = true
	}
	return fsmpb.Code_CODE_OK, ""
}

// parseMovedSession judges a session by itself, as a restore does.
func (s *state) parseMovedSession(m *fsmpb.MovedSession) (n importedSession, code fsmpb.Code, field string) {
	if field := s.parseIdentity(m, &n.rec); field != "" {
		return n, fsmpb.Code_CODE_INVALID, field
	}
	if field := s.parseInstants(m, &n); field != "" {
		return n, fsmpb.Code_CODE_INVALID, field
	}
	past, field := s.parseMovedKeys(m)
	if field != "" {
		return n, fsmpb.Code_CODE_INVALID, field
	}
	n.past = past.encode()
	if n.attributes, code = s.firstAttributes(nil, m.Attributes); code != fsmpb.Code_CODE_OK {
		return n, code, "attributes"
	}
	if len(m.UserAgent) > session.MaxUserAgentBytes {
		return n, fsmpb.Code_CODE_TOO_LARGE, "user_agent"
	}
	n.agent = []byte(m.UserAgent)
	return n, fsmpb.Code_CODE_OK, ""
}

// parseIdentity judges what names a session, its user and policy; field says what is wrong.
func (s *state) parseIdentity(m *fsmpb.MovedSession, rec *sessionRec) (field string) {
	var ok bool
	if rec.key, ok = keyHash(m.KeyHash); !ok {
		return "key_hash"
	}
	if rec.id, ok = sessionID(m.Id); !ok {
		return "id"
	}
	if rec.user = s.findUser(m.User); rec.user == 0 || s.users.recs.at(rec.user).disabled() {
		return "user"
	}
	if rec.number = m.Number; m.Number == 0 || m.Number > s.users.recs.at(rec.user).lastNumber {
		return "number"
	}
	var p *policy
	if rec.policy, p = s.policies.find(m.Policy); p == nil {
		return "policy"
	}
	if rec.roles, ok = roleBits(m.Roles); !ok || rec.roles == 0 {
		return "roles"
	}
	if rec.methods, ok = methodBits(m.Methods); !ok || rec.methods == 0 {
		return "methods"
	}
	if !validAddress(m.Address) {
		return "address"
	}
	copy(rec.address[:], m.Address)
	if rec.attributesVersion = m.AttributesVersion; m.AttributesVersion > maxMoved {
		return "attributes_version"
	}
	return ""
}

// parseInstants judges a session's instants and timers; field says what is wrong.
func (s *state) parseInstants(m *fsmpb.MovedSession, n *importedSession) (field string) {
	rec := &n.rec
	rec.createdMS, rec.lastUseMS = m.CreatedMs, m.LastUseMs
	switch {
	case m.CreatedMs < 0 || m.CreatedMs > s.clock+maxBirthLeadMS:
		return "created_ms"
	case m.LastUseMs < 0 || m.LastUseMs > s.clock:
		return "last_use_ms"
	case m.LastActivityMs < 0 || m.LastActivityMs > m.LastUseMs, m.Permanent && m.LastActivityMs != m.LastUseMs:
		return "last_activity_ms"
	case m.BindAddress && rec.address == ([16]byte{}):
		return "bind_address"
	case m.Permanent && m.IdleMs != nil, m.IdleMs == nil && m.WindowMs != 0, m.WindowMs < 0 || m.WindowMs > m.GetIdleMs():
		return "idle_ms"
	}
	if m.Permanent {
		rec.flags |= sessionPermanent
	}
	if m.BindAddress {
		rec.flags |= sessionBound
	}
	if m.IdleMs != nil {
		if _, possible := ownIdle(*m.IdleMs); !possible {
			return "idle_ms"
		}
		rec.flags |= sessionOwnIdle
		n.own.idleMS, n.own.windowMS = *m.IdleMs, m.WindowMs
	}
	if m.LastActivityMs < m.LastUseMs {
		rec.flags |= sessionTickled
		n.own.activityMS = m.LastActivityMs
	}
	return ""
}

// parseMovedKeys judges what a session remembers of itself; field says what is wrong.
func (s *state) parseMovedKeys(m *fsmpb.MovedSession) (p past, field string) {
	if p.authMS = m.AuthMs; m.AuthMs < 0 || m.AuthMs != m.CreatedMs && (m.AuthMs == 0 || m.AuthMs > s.clock) {
		return p, "auth_ms"
	}
	if m.AuthMs == m.CreatedMs {
		p.authMS = 0
	}
	if len(m.Retired) > session.MaxRetiredKeys {
		return p, "retired"
	}
	for _, key := range m.Retired {
		var k retiredKey
		var ok bool
		if k.hash, ok = keyHash(key.Hash); !ok || key.GraceMs < 0 || (key.GraceMs == 0) != (len(key.Sealed) == 0) ||
			len(key.Sealed) > 0 && len(key.Sealed) != len(k.sealed) {
			return p, "retired"
		}
		if key.GraceMs > s.clock+session.MaxRotateGrace.Milliseconds() {
			return p, "grace_ms"
		}
		k.graceMS = key.GraceMs
		copy(k.sealed[:], key.Sealed)
		p.retired = append(p.retired, k)
	}
	if !p.possible(s.clock) {
		return p, "retired"
	}
	return p, ""
}

// isSession tells whether a session is recorded just so.
func (s *state) isSession(slot uint32, n *importedSession) bool {
	rec := *s.sessions.recs.at(slot)
	own := s.extrasOf(&rec)
	same := bytes.Equal(s.arena.get(rec.agent), n.agent) && bytes.Equal(s.arena.get(rec.attributes), n.attributes) && bytes.Equal(s.arena.get(rec.past), n.past)
	rec.seq, rec.agent, rec.attributes, rec.past, rec.extras = 0, 0, 0, 0, 0
	return same && rec == n.rec && own == n.own
}

// recordSession stores a session. Everything has been judged.
func (s *state) recordSession(n *importedSession) {
	rec := n.rec
	rec.seq = s.sessions.lastSeq + 1
	rec.agent, rec.attributes, rec.past = s.arena.put(n.agent), s.arena.put(n.attributes), s.arena.put(n.past)
	s.setExtras(&rec, n.own)
	p := s.policies.byIndex[rec.policy]
	p.bornMS = max(p.bornMS, rec.createdMS)
	slot := s.placeSession(rec)
	s.countSealed(n.attributes, 1)
	if s.events != nil {
		s.reportSession(EventSessionImported, slot, func(e *Event) { e.UserAgent = string(n.agent) })
	}
}
