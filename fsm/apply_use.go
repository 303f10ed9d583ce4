package fsm

import (
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

func (s *state) touchSession(c *fsmpb.TouchSession, r *fsmpb.Result) {
	shown, ok := s.presented(c, c.Authority, r)
	if !ok {
		return
	}
	s.use(shown.slot, c.Tickle)
	s.answer(shown, r)
}

// presentation is a key that a command presents, and what it opens.
type presentation struct {
	key   session.KeyHash
	state keyState // keyCurrent or keyInGrace
	slot  uint32
	by    caller
}

// presenting is a command that presents the key of a session, from an address.
type presenting interface {
	GetKeyHash() []byte
	GetAddress() []byte
	GetJudged() bool
}

// presented finds the living session whose key a command presents, itself or through a service. On false r has the answer.
func (s *state) presented(c presenting, a *fsmpb.Authority, r *fsmpb.Result) (p presentation, ok bool) {
	if p.key, ok = keyHash(c.GetKeyHash()); !ok || !validAddress(c.GetAddress()) {
		fail(r, fsmpb.Code_CODE_INVALID, "")
		return p, false
	}
	if a != nil {
		var code fsmpb.Code
		if p.by, code = s.judge(a, 0); code != fsmpb.Code_CODE_OK {
			fail(r, code, "authority")
			return p, false
		}
	}
	if p.slot, p.state = s.present(p.key, c.GetAddress(), c.GetJudged()); p.slot == 0 {
		fail(r, fsmpb.Code_CODE_UNAUTHENTICATED, "")
		return p, false
	}
	if a == nil {
		rec := s.sessions.recs.at(p.slot)
		p.by = caller{user: rec.user, roles: s.rolesOf(rec)}
	}
	return p, true
}

// answer answers with the session. Who has presented a key in its grace learns that there is another one.
func (s *state) answer(shown presentation, r *fsmpb.Result) {
	s.sessionResult(shown.slot, "", r)
	if told := r.GetSession(); told != nil && shown.state == keyInGrace {
		told.Rotate = true
	}
}

func (s *state) patchAttributes(c *fsmpb.PatchAttributes, r *fsmpb.Result) {
	changes, code := s.checkChanges(c.Changes)
	if code != fsmpb.Code_CODE_OK {
		fail(r, code, "attributes")
		return
	}
	shown, ok := s.presented(c, c.Authority, r)
	if !ok {
		return
	}
	slot := shown.slot
	rec := s.sessions.recs.at(slot)
	if !shown.by.mayActForOthers() && s.policies.byIndex[rec.policy].AttributesWrite != session.WriteByBearer {
		fail(r, fsmpb.Code_CODE_FORBIDDEN, "attributes")
		return
	}
	if s.policies.byIndex[rec.policy].Attributes == session.AttributesLocal {
		fail(r, fsmpb.Code_CODE_CONFLICT, "attributes_local")
		return
	}
	if c.IfVersion != nil && *c.IfVersion != rec.attributesVersion {
		fail(r, fsmpb.Code_CODE_VERSION_MISMATCH, "attributes")
		return
	}
	old := s.arena.get(rec.attributes)
	blob, code := mergeAttributes(old, changes)
	if code != fsmpb.Code_CODE_OK {
		fail(r, code, "attributes")
		return
	}
	if string(blob) != string(old) {
		s.setAttributes(slot, blob)
	}
	s.use(slot, false)
	s.answer(shown, r)
}

// setAttributes gives the attributes a version that they never had: two patches in one entry must not share one.
func (s *state) setAttributes(slot uint32, blob []byte) {
	s.storeAttributes(slot, blob)
	rec := s.mutSession(slot)
	rec.attributesVersion = max(s.index, rec.attributesVersion+1)
}

// storeAttributes puts another blob in the place of a session's attributes.
func (s *state) storeAttributes(slot uint32, blob []byte) {
	rec := s.mutSession(slot)
	s.countSealed(s.arena.get(rec.attributes), -1)
	s.countSealed(blob, 1)
	s.arena.drop(rec.attributes, s.shared)
	rec.attributes = s.arena.put(blob)
}
