package fsm

import (
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// The ways in which a session's user proved who it is, as bits.
const (
	methodPassword = 1 << iota
	methodService
	methodDirectory

	allMethods = methodPassword | methodService | methodDirectory
)

// covered returns the roles whose rights some roles include: a service may do what a user may, an admin everything.
func covered(roles uint8) uint8 {
	switch {
	case roles&roleAdmin != 0:
		return roleUser | roleService | roleAdmin
	case roles&roleService != 0:
		return roleUser | roleService
	}
	return roleUser
}

// rolesOf gives the roles in force for a session: what it was given and what its user still has. So a loss counts at once, and a
// gain from the session's rotation. Users without account have no roles of their own.
func (s *state) rolesOf(r *sessionRec) uint8 {
	u := s.users.recs.at(r.user)
	if !u.stored() {
		return r.roles
	}
	return covered(r.roles) & covered(u.roles) & (r.roles | u.roles)
}

// rolesDue gives the roles that a rotation would leave the session with. One for which only services have ever vouched gains
// nothing by it: a service cannot come to an admin's session by vouching early.
func (s *state) rolesDue(r *sessionRec) uint8 {
	u := s.users.recs.at(r.user)
	if !u.stored() || r.methods == methodService {
		return r.roles
	}
	return u.roles
}

// gains tells whether a rotation would give the session rights that it does not have.
func (s *state) gains(r *sessionRec) bool {
	return covered(s.rolesDue(r))&^covered(r.roles) != 0
}

// outsideRoles reads what an authenticator outside gives to a session; false when it names a role that there is not.
func outsideRoles(l *fsmpb.RoleList) (uint8, bool) {
	roles, known := roleBits(l.GetRoles())
	if roles == 0 {
		roles = roleUser
	}
	return roles, known
}

func methodVerified(outside bool) uint8 {
	if outside {
		return methodDirectory
	}
	return methodPassword
}

// methodBits folds a list of methods; false when one of them is unknown.
func methodBits(methods []fsmpb.Method) (bits uint8, known bool) {
	for _, m := range methods {
		switch m {
		case fsmpb.Method_METHOD_PASSWORD:
			bits |= methodPassword
		case fsmpb.Method_METHOD_SERVICE:
			bits |= methodService
		case fsmpb.Method_METHOD_DIRECTORY:
			bits |= methodDirectory
		default:
			return 0, false
		}
	}
	return bits, true
}

// methodSets holds the sorted methods of every combination of bits, so that no read makes one.
type methodSets struct {
	domain [allMethods + 1][]session.Method
	proto  [allMethods + 1][]fsmpb.Method
}

func newMethodSets() (sets methodSets) {
	for bits := range uint8(len(sets.domain)) {
		for _, m := range []struct {
			bit    uint8
			domain session.Method
			proto  fsmpb.Method
		}{
			// In the order of the methods' names.
			{methodDirectory, session.MethodDirectory, fsmpb.Method_METHOD_DIRECTORY},
			{methodPassword, session.MethodPassword, fsmpb.Method_METHOD_PASSWORD},
			{methodService, session.MethodService, fsmpb.Method_METHOD_SERVICE},
		} {
			if bits&m.bit != 0 {
				sets.domain[bits] = append(sets.domain[bits], m.domain)
				sets.proto[bits] = append(sets.proto[bits], m.proto)
			}
		}
	}
	return sets
}
