package fsm

import (
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
)

// MaxRevokeIDs bounds the ids of one RevokeSessions.
const MaxRevokeIDs = 512

func setCount(r *fsmpb.Result, n uint64) { r.Payload = &fsmpb.Result_Count{Count: n} }

func (s *state) revokeSession(c *fsmpb.RevokeSession, r *fsmpb.Result) {
	if len(c.Id) == 0 {
		s.revokeByKey(c, r)
		return
	}
	id, ok := sessionID(c.Id)
	if !ok || len(c.KeyHash) != 0 {
		fail(r, fsmpb.Code_CODE_INVALID, "")
		return
	}
	slot, owner := s.findID(id), uint32(0)
	if slot != 0 && s.alive(slot) {
		owner = s.sessions.recs.at(slot).user
	}
	_, code := s.judge(c.Authority, owner)
	switch {
	case code == fsmpb.Code_CODE_FORBIDDEN && c.Authority.OrOwner, code == fsmpb.Code_CODE_OK && owner == 0:
		// For others than its user the session does not exist.
		fail(r, fsmpb.Code_CODE_NOT_FOUND, "id")
	case code != fsmpb.Code_CODE_OK:
		fail(r, code, "authority")
	default:
		s.revoke(slot, CauseRevoked)
		setCount(r, 1)
	}
}

// revokeByKey never tells whether the key was good: what was asked for is true either way.
func (s *state) revokeByKey(c *fsmpb.RevokeSession, r *fsmpb.Result) {
	key, ok := keyHash(c.KeyHash)
	if !ok || !validAddress(c.Address) {
		fail(r, fsmpb.Code_CODE_INVALID, "")
		return
	}
	if c.Authority != nil {
		if _, code := s.judge(c.Authority, 0); code != fsmpb.Code_CODE_OK {
			fail(r, code, "authority")
			return
		}
	}
	slot, _ := s.presentAnywhere(key, c.Address, false) // it was to end in any case
	if slot == 0 {
		setCount(r, 0)
		return
	}
	if c.Authority == nil {
		s.actsBySession(slot, c.Address)
	}
	s.revoke(slot, CauseLogout)
	setCount(r, 1)
}

func (s *state) revoke(slot uint32, cause Cause) {
	s.ended.named++
	s.removeSession(slot, cause)
}

func (s *state) revokeSessions(c *fsmpb.RevokeSessions, r *fsmpb.Result) {
	if len(c.Ids) > MaxRevokeIDs {
		fail(r, fsmpb.Code_CODE_TOO_LARGE, "ids")
		return
	}
	for _, b := range c.Ids {
		if _, ok := sessionID(b); !ok {
			fail(r, fsmpb.Code_CODE_INVALID, "ids")
			return
		}
	}
	by, code := s.judge(c.Authority, 0)
	ownOnly := code == fsmpb.Code_CODE_FORBIDDEN && c.Authority.OrOwner
	if ownOnly {
		by, code = s.judgeOwner(c.Authority)
	}
	if code != fsmpb.Code_CODE_OK {
		fail(r, code, "authority")
		return
	}
	count := uint64(0)
	for _, b := range c.Ids {
		id, _ := sessionID(b)
		slot := s.findID(id)
		if slot == 0 || !s.alive(slot) || ownOnly && s.sessions.recs.at(slot).user != by.user {
			continue
		}
		s.revoke(slot, CauseRevoked)
		count++
	}
	setCount(r, count)
}

// judgeOwner judges an authority that acts on what belongs to its own user only.
func (s *state) judgeOwner(a *fsmpb.Authority) (caller, fsmpb.Code) {
	return s.judge(&fsmpb.Authority{KeyHash: a.KeyHash, Verified: a.Verified, Address: a.Address}, 0)
}

func (s *state) revokeUserSessions(c *fsmpb.RevokeUserSessions, r *fsmpb.Result) {
	if !validUserName(c.User) || !validExcept(c.ExceptId) {
		fail(r, fsmpb.Code_CODE_INVALID, "")
		return
	}
	user := s.findUser(c.User)
	if _, code := s.judge(c.Authority, user); code != fsmpb.Code_CODE_OK {
		fail(r, code, "authority")
		return
	}
	if user == 0 {
		setCount(r, 0)
		return
	}
	exempt := s.exempt(user, c.ExceptId)
	killed := s.condemn(user, c.Permanent, exempt)
	setCount(r, killed)
	if s.events != nil {
		e := Event{Kind: EventUserSessionsRevoked, User: c.User, Count: killed, Permanent: c.Permanent}
		if exempt != 0 {
			e.Session, _ = sessionID(c.ExceptId)
		}
		s.events.add(e)
	}
}

func validExcept(b []byte) bool {
	_, ok := sessionID(b)
	return ok || len(b) == 0
}

// exempt returns the sequence number of a living session of the user, 0 when there is no such one.
func (s *state) exempt(user uint32, b []byte) uint64 {
	id, ok := sessionID(b)
	if !ok {
		return 0
	}
	slot := s.findID(id)
	if slot == 0 || s.sessions.recs.at(slot).user != user || !s.alive(slot) {
		return 0
	}
	return s.sessions.recs.at(slot).seq
}
