package fsm

import (
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

func (s *state) touchSession(c *fsmpb.TouchSession, r *fsmpb.Result) {
	slot, _, ok := s.presented(c.KeyHash, c.Address, c.Authority, r)
	if !ok {
		return
	}
	s.use(slot, c.Tickle)
	s.sessionResult(slot, "", r)
}

// presented finds the living session whose key a command presents, itself or through a service. On false r has the answer.
func (s *state) presented(hash, address []byte, a *fsmpb.Authority, r *fsmpb.Result) (uint32, caller, bool) {
	key, ok := keyHash(hash)
	if !ok || !validAddress(address) {
		fail(r, fsmpb.Code_CODE_INVALID, "")
		return 0, caller{}, false
	}
	var by caller
	if a != nil {
		var code fsmpb.Code
		if by, code = s.judge(a, 0); code != fsmpb.Code_CODE_OK {
			fail(r, code, "authority")
			return 0, caller{}, false
		}
	}
	slot := s.opened(key, address)
	if slot == 0 {
		fail(r, fsmpb.Code_CODE_UNAUTHENTICATED, "")
		return 0, caller{}, false
	}
	if a == nil {
		user := s.sessions.recs.at(slot).user
		by = caller{user: user, roles: s.users.recs.at(user).roles}
	}
	return slot, by, true
}

func (s *state) patchAttributes(c *fsmpb.PatchAttributes, r *fsmpb.Result) {
	changes, code := checkChanges(c.Changes)
	if code != fsmpb.Code_CODE_OK {
		fail(r, code, "attributes")
		return
	}
	slot, by, ok := s.presented(c.KeyHash, c.Address, c.Authority, r)
	if !ok {
		return
	}
	rec := s.sessions.recs.at(slot)
	if !by.mayActForOthers() && s.policies.byIndex[rec.policy].AttributesWrite != session.WriteByBearer {
		fail(r, fsmpb.Code_CODE_FORBIDDEN, "attributes")
		return
	}
	if c.IfVersion != nil && *c.IfVersion != rec.attributesVersion {
		fail(r, fsmpb.Code_CODE_VERSION_MISMATCH, "attributes")
		return
	}
	old := s.arena.get(rec.attributes)
	blob, code := mergeAttributes(nil, old, changes)
	if code != fsmpb.Code_CODE_OK {
		fail(r, code, "attributes")
		return
	}
	if string(blob) != string(old) {
		s.setAttributes(slot, blob)
	}
	s.use(slot, false)
	s.sessionResult(slot, "", r)
}

// setAttributes gives the attributes a version that they never had: two patches in one entry must not share one.
func (s *state) setAttributes(slot uint32, blob []byte) {
	rec := s.mutSession(slot)
	s.arena.drop(rec.attributes, s.shared)
	rec.attributes = s.arena.put(blob)
	rec.attributesVersion = max(s.index, rec.attributesVersion+1)
}
