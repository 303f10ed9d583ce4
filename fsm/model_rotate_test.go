package fsm_test

import (
	"slices"

	"github.com/hydrastore/hydrastore/fsm/fsmpb"
)

// rank orders the roles by their rights, each of which includes those below.
func rank(r fsmpb.Role) int { return slices.Index([]fsmpb.Role{plain, service, admin}, r) }

func highest(roles []fsmpb.Role) int {
	most := 0
	for _, r := range roles {
		most = max(most, rank(r))
	}
	return most
}

// rolesInForce are the roles that the session was given or its user has, as far as both have their rights.
func (s *modelSession) rolesInForce() (out []fsmpb.Role) {
	if !s.user.stored {
		return s.roles
	}
	most := min(highest(s.roles), highest(s.user.roles))
	for _, r := range []fsmpb.Role{plain, service, admin} {
		if rank(r) <= most && (slices.Contains(s.roles, r) || slices.Contains(s.user.roles, r)) {
			out = append(out, r)
		}
	}
	return out
}

// rolesDue are those that a rotation leaves it with.
func (s *modelSession) rolesDue() []fsmpb.Role {
	if !s.user.stored || len(s.methods) == 1 && s.methods[0] == fsmpb.Method_METHOD_SERVICE {
		return s.roles
	}
	return s.user.roles
}

func (s *modelSession) shouldRotate() bool {
	return !slices.Equal(sortedRoles(s.roles), sortedRoles(s.rolesDue()))
}

func (m *model) taken(key []byte) bool {
	_, retired := m.byRetired(key)
	return retired != nil || m.byKey(key) != nil
}

// hint tells whoever presented a rotated key that there is another one.
func (m *model) hint(key []byte, s *modelSession, r *fsmpb.Result) {
	if string(s.key[:]) != string(key) {
		r.GetSession().Rotate = true
	}
}

func (s *modelSession) capGraces(end int64) {
	for _, k := range s.retired {
		k.until = min(k.until, end)
	}
}

func badRoles(l *fsmpb.RoleList) bool {
	return slices.ContainsFunc(l.GetRoles(), func(r fsmpb.Role) bool { return r < plain || r > admin })
}

// orPlain are the roles that a directory gives.
func orPlain(l *fsmpb.RoleList) []fsmpb.Role {
	if len(l.GetRoles()) == 0 {
		return []fsmpb.Role{plain}
	}
	return l.Roles
}

func (m *model) rotate(c *fsmpb.RotateSession, r *fsmpb.Result) {
	a := c.Reauthentication
	if len(c.SuccessorHash) != 32 || len(c.SealedSuccessor) != 48 || a.GetVouched() && (c.Authority == nil || a.UserVersion != 0 || a.Outside) ||
		a != nil && !a.Outside && a.Roles != nil || badRoles(a.GetRoles()) {
		set(r, fsmpb.Code_CODE_INVALID, "")
		return
	}
	s, by := m.presented(c, c.Authority, r)
	if s == nil {
		return
	}
	if string(s.key[:]) != string(c.KeyHash) {
		m.succeed(c, s, r)
		return
	}
	before, grace := highest(s.roles), s.policy.grace
	if a != nil {
		grace = 0
	}
	if highest(s.rolesDue()) > before {
		grace = 0
	}
	inGrace := 0
	for _, k := range s.retired {
		if m.clock < k.until {
			inGrace++
		}
	}
	switch {
	case a != nil && !a.Vouched && s.user.refusesVerified(a.UserVersion, a.Outside):
		set(r, fsmpb.Code_CODE_CONFLICT, "user")
		return
	case a.GetVouched() && !mayActForOthers(by):
		set(r, fsmpb.Code_CODE_FORBIDDEN, "authority")
		return
	case a.GetVouched() && powerful(s.user.roles):
		set(r, fsmpb.Code_CODE_FORBIDDEN, "user")
		return
	case m.taken(c.SuccessorHash):
		set(r, fsmpb.Code_CODE_CONFLICT, "successor_hash")
		return
	case inGrace == 16 && grace > 0:
		set(r, fsmpb.Code_CODE_CONFLICT, "rotate")
		return
	}
	s.capGraces(m.clock + grace)
	s.retired = append(s.retired, &modelKey{s.key, m.clock + grace, string(c.SealedSuccessor)})
	s.retired = s.retired[max(0, len(s.retired)-16):]
	copy(s.key[:], c.SuccessorHash)
	if a != nil {
		method := verifiedMethod(a.Outside)
		if a.Vouched {
			method = fsmpb.Method_METHOD_SERVICE
		}
		if s.auth = m.clock; !slices.Contains(s.methods, method) {
			s.methods = append(slices.Clone(s.methods), method)
		}
	}
	s.roles = s.rolesDue()
	if a.GetOutside() && !s.user.stored {
		s.roles = orPlain(a.Roles)
	}
	m.use(s, false, r)
}

// succeed answers who presents a rotated key in its grace with all keys since.
func (m *model) succeed(c *fsmpb.RotateSession, s *modelSession, r *fsmpb.Result) {
	if c.Reauthentication != nil {
		set(r, fsmpb.Code_CODE_CONFLICT, "key")
		return
	}
	m.use(s, false, r)
	keys, from := []fsmpb.Successor{}, false
	for _, k := range s.retired {
		if from = from || string(k.key[:]) == string(c.KeyHash); from {
			keys = append(keys, fsmpb.Successor{Sealed: []byte(k.sealed)})
		}
	}
	at := len(s.retired) - len(keys)
	for i := range keys {
		hash := s.key
		if at+i+1 < len(s.retired) {
			hash = s.retired[at+i+1].key
		}
		r.Successors = append(r.Successors, &fsmpb.Successor{Hash: hash[:], Sealed: keys[i].Sealed})
	}
}
