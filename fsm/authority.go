package fsm

import (
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// caller is who a judged authority turned out to be.
type caller struct {
	system bool
	user   uint32 // slot; 0 with system
	roles  uint8
}

// authorized is the session behind the authority of the present command; seq 0 = none.
type authorized struct {
	slot uint32
	seq  uint64
}

// useOfAuthority records that a command which succeeded was a use of the key behind it, if it has left that session alive.
func (s *state) useOfAuthority() {
	if s.by.seq != 0 && s.sessions.recs.at(s.by.slot).seq == s.by.seq && s.alive(s.by.slot) {
		s.useSparingly(s.by.slot)
	}
}

// mayActForOthers tells whether the caller may vouch for users, choose any policy, and write attributes that bearers may not.
func (c caller) mayActForOthers() bool { return c.system || c.roles&(roleService|roleAdmin) != 0 }

func roleBit(r fsmpb.Role) uint8 {
	switch r {
	case fsmpb.Role_ROLE_USER:
		return roleUser
	case fsmpb.Role_ROLE_SERVICE:
		return roleService
	case fsmpb.Role_ROLE_ADMIN:
		return roleAdmin
	}
	return 0
}

// roleBits folds a list of roles; false when one of them is unknown.
func roleBits(roles []fsmpb.Role) (uint8, bool) {
	var bits uint8
	for _, r := range roles {
		b := roleBit(r)
		if b == 0 {
			return 0, false
		}
		bits |= b
	}
	return bits, true
}

// judge judges a command's authority at the entry's clock. owner is the slot of the user that the command acts on, 0 when there
// is none: with or_owner that user needs no role.
func (s *state) judge(a *fsmpb.Authority, owner uint32) (caller, fsmpb.Code) {
	if a == nil {
		return caller{}, fsmpb.Code_CODE_UNAUTHENTICATED
	}
	anyOf, known := roleBits(a.AnyOf)
	if !known || !validAddress(a.Address) || kinds(a) != 1 {
		return caller{}, fsmpb.Code_CODE_INVALID
	}
	if a.System {
		s.events.system()
		return caller{system: true}, fsmpb.Code_CODE_OK
	}
	if a.Verified != nil {
		return s.judgeVerified(a, anyOf, owner)
	}
	key, ok := keyHash(a.KeyHash)
	if !ok {
		return caller{}, fsmpb.Code_CODE_INVALID
	}
	slot, _ := s.present(key, a.Address, a.Judged)
	if slot == 0 {
		return caller{}, fsmpb.Code_CODE_UNAUTHENTICATED
	}
	rec := s.sessions.recs.at(slot)
	c := caller{user: rec.user, roles: s.rolesOf(rec)}
	if c.mayAct(a, anyOf, owner) {
		s.by = authorized{slot: slot, seq: rec.seq}
		s.actsBySession(slot, a.Address)
		return c, fsmpb.Code_CODE_OK
	}
	return caller{}, fsmpb.Code_CODE_FORBIDDEN
}

// mayAct tells whether the caller has one of the roles that an authority asks for, or needs none.
func (c caller) mayAct(a *fsmpb.Authority, anyOf uint8, owner uint32) bool {
	return c.roles&anyOf != 0 || a.OrOwner && owner == c.user && owner != 0 || anyOf == 0 && !a.OrOwner
}

// kinds counts the ways in which an authority says whose it is: there is one.
func kinds(a *fsmpb.Authority) (n int) {
	for _, given := range []bool{a.System, len(a.KeyHash) > 0, a.Verified != nil} {
		if given {
			n++
		}
	}
	return n
}

// judgeVerified judges somebody whose password was verified. Who has no record here has no session either, and nothing to act on, unless it
// has roles by a session at a node.
func (s *state) judgeVerified(a *fsmpb.Authority, anyOf uint8, owner uint32) (caller, fsmpb.Code) {
	v := a.Verified
	roles, known := roleBits(v.Roles.GetRoles())
	if !validUserName(v.User) || !known {
		return caller{}, fsmpb.Code_CODE_INVALID
	}
	slot := s.findUser(v.User)
	c, code, _ := s.admitVerified(slot, v.UserVersion, v.Outside)
	if !s.hasAccount(slot) && roles != 0 {
		c.roles = roles
	}
	switch {
	case code != fsmpb.Code_CODE_OK || slot == 0 && roles == 0:
		return caller{}, fsmpb.Code_CODE_UNAUTHENTICATED
	case !c.mayAct(a, anyOf, owner):
		return caller{}, fsmpb.Code_CODE_FORBIDDEN
	}
	s.actsByPassword(v.User, a.Address)
	return c, fsmpb.Code_CODE_OK
}

// keyHash converts; false when the length is wrong.
func keyHash(b []byte) (h session.KeyHash, ok bool) {
	return h, len(b) == copy(h[:], b) && len(b) == len(h)
}

func sessionID(b []byte) (id session.ID, ok bool) {
	return id, len(b) == copy(id[:], b) && len(b) == len(id)
}

func validAddress(b []byte) bool { return len(b) == 0 || len(b) == 16 }

func validUserName(name string) bool { return name != "" && len(name) <= session.MaxUserNameBytes }
