package fsm

import (
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// rotation is a RotateSession whose parts have been judged.
type rotation struct {
	successor session.KeyHash
	sealed    [session.SealedKeyBytes]byte
	outside   uint8 // roles that an authenticator outside gives; 0 = none was asked
	methods   uint8 // by which the user proved anew who it is; 0 = it did not
}

func (s *state) rotateSession(c *fsmpb.RotateSession, r *fsmpb.Result) {
	var rot rotation
	if !rot.parse(c) {
		fail(r, fsmpb.Code_CODE_INVALID, "")
		return
	}
	shown, ok := s.presented(c, c.Authority, r)
	if !ok {
		return
	}
	slot := shown.slot
	if code, field := s.mayRotate(c, &rot, shown); code != fsmpb.Code_CODE_OK {
		fail(r, code, field)
		return
	}
	if c.Authority == nil {
		s.actsBySession(slot, c.Address)
	}
	if shown.state == keyCurrent {
		s.rotate(slot, &rot)
		s.reportRotation(slot, &rot)
	}
	s.use(slot, false)
	s.sessionResult(slot, "", r)
	if shown.state == keyInGrace {
		r.Successors = s.successors(slot, shown.key)
	}
}

// parse judges what does not depend on the state.
func (rot *rotation) parse(c *fsmpb.RotateSession) bool {
	var ok bool
	rot.successor, ok = keyHash(c.SuccessorHash)
	if !ok || len(c.SealedSuccessor) != copy(rot.sealed[:], c.SealedSuccessor) || len(c.SealedSuccessor) != len(rot.sealed) {
		return false
	}
	switch a := c.Reauthentication; {
	case a == nil:
	case !a.Outside && a.Roles != nil:
		return false
	case !a.Vouched:
		rot.methods = methodVerified(a.Outside)
		if a.Outside {
			rot.outside, ok = outsideRoles(a.Roles)
			return ok
		}
	case c.Authority == nil || a.UserVersion != 0 || a.Outside:
		return false
	default:
		rot.methods = methodService
	}
	return true
}

// mayRotate judges what else can stand against a rotation of a living session.
func (s *state) mayRotate(c *fsmpb.RotateSession, rot *rotation, shown presentation) (fsmpb.Code, string) {
	if shown.state == keyInGrace {
		if rot.methods != 0 {
			return fsmpb.Code_CODE_CONFLICT, "key" // it would end whoever holds the successor
		}
		return fsmpb.Code_CODE_OK, ""
	}
	if code, field := s.mayReauthenticate(c.Reauthentication, shown); code != fsmpb.Code_CODE_OK {
		return code, field
	}
	if s.keyTaken(rot.successor) {
		return fsmpb.Code_CODE_CONFLICT, "successor_hash"
	}
	p := s.pastOf(shown.slot)
	full := len(p.retired) == session.MaxRetiredKeys && s.clock < p.retired[0].graceMS
	if full && s.graceAfter(shown.slot, rot) > 0 {
		return fsmpb.Code_CODE_CONFLICT, "rotate" // the oldest key would be forgotten before its grace is over
	}
	return fsmpb.Code_CODE_OK, ""
}

// mayReauthenticate judges who speaks for the user, as a log-in does.
func (s *state) mayReauthenticate(a *fsmpb.Reauthentication, shown presentation) (fsmpb.Code, string) {
	if a == nil {
		return fsmpb.Code_CODE_OK, ""
	}
	user := s.sessions.recs.at(shown.slot).user
	switch {
	case !a.Vouched:
		_, code, field := s.admitVerified(user, a.UserVersion, a.Outside)
		return code, field
	case !shown.by.mayActForOthers():
		return fsmpb.Code_CODE_FORBIDDEN, "authority"
	case s.users.recs.at(user).roles&(roleService|roleAdmin) != 0:
		return fsmpb.Code_CODE_FORBIDDEN, "user"
	}
	return fsmpb.Code_CODE_OK, ""
}

// graceAfter is how many milliseconds the present key works on after a rotation. None when the session is worth more afterwards:
// whoever got hold of the key before must not share in that.
func (s *state) graceAfter(slot uint32, rot *rotation) int64 {
	rec := s.sessions.recs.at(slot)
	if rot.methods != 0 || s.gains(rec) {
		return 0
	}
	return s.policies.byIndex[rec.policy].RotateGrace.Milliseconds()
}

// rotate gives a session its next key. Everything has been judged.
func (s *state) rotate(slot uint32, rot *rotation) {
	grace := s.graceAfter(slot, rot)
	p := s.pastOf(slot)
	p.capGraces(s.clock+grace, s.clock) // a key leads to its successor, so it must not outlast that one
	old := retiredKey{hash: s.sessions.recs.at(slot).key}
	if grace > 0 {
		old.graceMS, old.sealed = s.clock+grace, rot.sealed
	}
	if len(p.retired) == session.MaxRetiredKeys {
		s.sessions.byRetired.remove(s.hasher.random(p.retired[0].hash[:]), slot)
		p.retired = p.retired[1:]
	}
	p.retired = append(p.retired, old)
	if rot.methods != 0 {
		p.authMS = s.clock
	}
	s.rekey(slot, rot.successor)
	s.setPast(slot, &p)
	s.sessions.byRetired.insert(s.hasher.random(old.hash[:]), slot)
	rec := s.mutSession(slot)
	rec.methods |= rot.methods
	if rec.roles = s.rolesDue(rec); rot.outside != 0 && !s.hasAccount(rec.user) {
		rec.roles = rot.outside
	}
}

// successors lists the keys that followed one in its grace, up to the present one.
func (s *state) successors(slot uint32, key session.KeyHash) (out []*fsmpb.Successor) {
	p := s.pastOf(slot)
	for i := p.find(key); i < len(p.retired); i++ {
		next := s.sessions.recs.at(slot).key
		if i+1 < len(p.retired) {
			next = p.retired[i+1].hash
		}
		out = append(out, &fsmpb.Successor{Hash: next[:], Sealed: p.retired[i].sealed[:]})
	}
	return out
}
