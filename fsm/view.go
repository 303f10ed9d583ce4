package fsm

import (
	"bytes"
	"net/netip"
	"time"

	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// roleSets holds the sorted roles of every combination of bits, so that no read makes one.
type roleSets struct {
	domain [8][]session.Role
	proto  [8][]fsmpb.Role
}

func newRoleSets() roleSets {
	var sets roleSets
	for bits := range uint8(8) {
		// In the order of the roles' names.
		if bits&roleAdmin != 0 {
			sets.domain[bits] = append(sets.domain[bits], session.RoleAdmin)
			sets.proto[bits] = append(sets.proto[bits], fsmpb.Role_ROLE_ADMIN)
		}
		if bits&roleService != 0 {
			sets.domain[bits] = append(sets.domain[bits], session.RoleService)
			sets.proto[bits] = append(sets.proto[bits], fsmpb.Role_ROLE_SERVICE)
		}
		if bits&roleUser != 0 {
			sets.domain[bits] = append(sets.domain[bits], session.RoleUser)
			sets.proto[bits] = append(sets.proto[bits], fsmpb.Role_ROLE_USER)
		}
	}
	return sets
}

// orZero spells "never" as it is spelled outside of this package.
func orZero(instant int64) int64 {
	if instant == forever {
		return 0
	}
	return instant
}

// record copies a session out.
func (s *state) record(slot uint32) Record {
	r := s.sessions.recs.at(slot)
	u := s.users.recs.at(r.user)
	p := s.policies.byIndex[r.policy]
	e := s.endsOf(r)
	out := Record{
		ID: r.id, Seq: r.seq, Number: r.number, User: string(s.arena.get(u.name)), UserVersion: u.version,
		Roles: s.roles.domain[s.rolesOf(r)], Rotate: r.roles != s.rolesDue(r), AuthMS: s.authMS(slot), Methods: s.methods.domain[r.methods],
		Policy: p.Name, CreatedMS: r.createdMS, LastUseMS: r.lastUseMS,
		AbsoluteEndMS: orZero(e.absolute), DeadlineMS: orZero(e.first()),
		IdleMS: s.idleMS(r), WindowMS: s.windowMS(r), AttributesWrite: p.AttributesWrite, AttributesLocal: p.Attributes == session.AttributesLocal,
		LastActivityMS: r.lastActivity(s.extrasOf(r)), InactivityMS: s.inactivityMS(r), NoTickle: p.NoTickle, Permanent: r.permanent(),
		BindAddress:       s.binding(r),
		AttributesVersion: r.attributesVersion, UserAgent: string(s.arena.get(r.agent)),
		Attributes: attributesOf(s.arena.get(r.attributes)),
	}
	if r.address != ([16]byte{}) {
		out.Address = netip.AddrFrom16(r.address).Unmap()
	}
	return out
}

func bindingTo(b session.AddressBinding) fsmpb.AddressBinding {
	switch b {
	case session.BindLog:
		return fsmpb.AddressBinding_ADDRESS_BINDING_LOG
	case session.BindStrict:
		return fsmpb.AddressBinding_ADDRESS_BINDING_STRICT
	}
	return fsmpb.AddressBinding_ADDRESS_BINDING_OFF
}

// sessionAnswer is a result's payload in one allocation.
type sessionAnswer struct {
	payload fsmpb.Result_Session
	state   fsmpb.SessionState
	id      session.ID
	address [16]byte
}

// sessionResult answers with a session. user saves copying the name when the caller has it, otherwise it is "".
func (s *state) sessionResult(slot uint32, user string, out *fsmpb.Result) {
	if !s.awaited {
		return
	}
	r := s.sessions.recs.at(slot)
	u := s.users.recs.at(r.user)
	p := s.policies.byIndex[r.policy]
	if user == "" {
		user = string(s.arena.get(u.name))
	}
	a := &sessionAnswer{id: r.id, address: r.address}
	st := &a.state
	st.Id, st.Number, st.Seq, st.CreatedMs, st.LastUseMs = a.id[:], r.number, r.seq, r.createdMS, r.lastUseMS
	e := s.endsOf(r)
	st.AbsoluteEndMs, st.DeadlineMs = orZero(e.absolute), orZero(e.first())
	st.IdleMs, st.WindowMs, st.User, st.Policy = s.idleMS(r), s.windowMS(r), user, p.Name
	st.LastActivityMs, st.InactivityMs, st.NoTickle = r.lastActivity(s.extrasOf(r)), s.inactivityMS(r), p.NoTickle
	st.AttributesLocal = p.Attributes == session.AttributesLocal
	st.Permanent, st.BindAddress = r.permanent(), bindingTo(s.binding(r))
	st.Roles, st.AttributesVersion, st.UserAgent = s.roles.proto[s.rolesOf(r)], r.attributesVersion, string(s.arena.get(r.agent))
	st.Rotate, st.AuthMs, st.Methods = r.roles != s.rolesDue(r), s.authMS(slot), s.methods.proto[r.methods]
	st.AttributesWrite = fsmpb.AttributesWriter_ATTRIBUTES_WRITER_SERVICE
	if p.AttributesWrite == session.WriteByBearer {
		st.AttributesWrite = fsmpb.AttributesWriter_ATTRIBUTES_WRITER_BEARER
	}
	if r.address != ([16]byte{}) {
		st.Address = a.address[:]
	}
	st.Attributes = protoAttributes(s.arena.get(r.attributes))
	a.payload.Session = st
	out.Payload = &a.payload
}

// userRecord copies a user out.
func (s *state) userRecord(slot uint32) UserRecord {
	u, links := s.users.recs.at(slot), s.users.links.at(slot)
	out := UserRecord{
		User: session.User{
			Name: string(s.arena.get(u.name)), Roles: s.roles.domain[u.roles], Disabled: u.disabled(), HasPassword: u.password != 0, MD5Login: u.md5(),
			Sessions: int(links.livings[0] + links.livings[1]), CreatedAt: time.UnixMilli(u.createdMS).UTC(), Version: u.version,
		},
		PasswordHash: string(s.arena.get(u.password)), Verifier: bytes.Clone(s.arena.get(u.verifier)),
		Shell: !u.stored(),
	}
	for _, index := range s.arena.get(u.policies) {
		out.Policies = append(out.Policies, s.policies.byIndex[index].Name)
	}
	return out
}
