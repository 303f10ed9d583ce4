package fsm

import (
	"bytes"
	"slices"

	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// MaxImport bounds the users, or sessions, of one command.
const MaxImport = 512

// importedUser is a user of an ImportUsers that has been judged.
type importedUser struct {
	name                                      []byte
	rec                                       userRec // without blobs
	password, verifier, policies, preferences []byte
}

func (s *state) importUsers(c *fsmpb.ImportUsers, r *fsmpb.Result) {
	if !s.isFilledBy(c.Filling, c.Origin, r) {
		return
	}
	if len(c.Users) > MaxImport {
		fail(r, fsmpb.Code_CODE_TOO_LARGE, "users")
		return
	}
	fresh, names := make([]importedUser, 0, len(c.Users)), make(map[string]bool, len(c.Users))
	for _, m := range c.Users {
		u, code, field := s.parseMovedUser(m)
		if code == fsmpb.Code_CODE_OK && names[m.Name] {
			code, field = fsmpb.Code_CODE_INVALID, "user"
		}
		if code != fsmpb.Code_CODE_OK {
			fail(r, code, field)
			return
		}
		names[m.Name] = true
		switch slot := s.findUser(m.Name); {
		case slot == 0:
			fresh = append(fresh, u)
		case !s.isUser(slot, &u):
			fail(r, fsmpb.Code_CODE_CONFLICT, "user")
			return
		}
	}
	if s.users.accounts.Len()+s.users.shells+len(fresh) > maxSessions {
		fail(r, fsmpb.Code_CODE_TOO_LARGE, "users")
		return
	}
	s.events.system()
	for i := range fresh {
		s.recordUser(&fresh[i])
	}
	setCount(r, uint64(len(fresh)))
}

// parseMovedUser judges a user as a restore does.
func (s *state) parseMovedUser(m *fsmpb.MovedUser) (u importedUser, code fsmpb.Code, field string) {
	if !validUserName(m.Name) {
		return u, fsmpb.Code_CODE_INVALID, "user"
	}
	if m.LastNumber > maxMoved {
		return u, fsmpb.Code_CODE_INVALID, "last_number"
	}
	if slices.ContainsFunc(m.Preferences, func(a *fsmpb.Attribute) bool { return !inTheOpen(a.Value) }) {
		return u, fsmpb.Code_CODE_INVALID, "preferences"
	}
	if u.preferences, code = s.firstAttributes(nil, m.Preferences); code != fsmpb.Code_CODE_OK {
		return u, code, "preferences"
	}
	u.name = []byte(m.Name)
	u.rec = userRec{lastNumber: m.LastNumber, createdMS: s.clock, roles: roleUser}
	if m.Account == nil {
		return u, fsmpb.Code_CODE_OK, ""
	}
	code, field = s.parseMovedAccount(m.Account, &u)
	return u, code, field
}

func (s *state) parseMovedAccount(m *fsmpb.MovedAccount, u *importedUser) (code fsmpb.Code, field string) {
	var known bool
	u.rec.roles, known = roleBits(m.Roles)
	switch {
	case !known || u.rec.roles == 0:
		return fsmpb.Code_CODE_INVALID, "roles"
	case m.Version == 0 || m.Version > s.version:
		return fsmpb.Code_CODE_INVALID, "version"
	case m.CreatedMs < 0 || m.CreatedMs > MaxClockMS:
		return fsmpb.Code_CODE_INVALID, "created_ms"
	case len(m.PasswordHash) > MaxPasswordHashBytes:
		return fsmpb.Code_CODE_TOO_LARGE, "password_hash"
	case len(m.Policies) > session.MaxPoliciesPerUser:
		return fsmpb.Code_CODE_TOO_LARGE, "policies"
	case len(m.Md5Verifier) > 0 && (!m.Md5Login || m.PasswordHash == ""), !s.validVerifier(m.Md5Verifier):
		return fsmpb.Code_CODE_INVALID, verifierField
	}
	if u.policies, code = s.policyIndexes(m.Policies); code != fsmpb.Code_CODE_OK {
		return fsmpb.Code_CODE_INVALID, "policies"
	}
	u.rec.flags, u.rec.createdMS, u.rec.version = userStored, m.CreatedMs, m.Version
	if m.Disabled {
		u.rec.flags |= userDisabled
	}
	if m.Md5Login {
		u.rec.flags |= userMD5
	}
	u.password, u.verifier = []byte(m.PasswordHash), m.Md5Verifier
	return fsmpb.Code_CODE_OK, ""
}

// isUser tells whether a user is recorded just so.
func (s *state) isUser(slot uint32, u *importedUser) bool {
	rec := s.users.recs.at(slot)
	return rec.lastNumber == u.rec.lastNumber && rec.version == u.rec.version && rec.roles == u.rec.roles && rec.flags == u.rec.flags &&
		(!u.rec.stored() || rec.createdMS == u.rec.createdMS) &&
		bytes.Equal(s.arena.get(rec.password), u.password) && bytes.Equal(s.arena.get(rec.verifier), u.verifier) &&
		bytes.Equal(s.arena.get(rec.policies), u.policies) && bytes.Equal(s.arena.get(rec.preferences), u.preferences)
}

// recordUser stores a user. Everything has been judged.
func (s *state) recordUser(u *importedUser) {
	s.users.serial++
	rec := u.rec
	rec.serial = s.users.serial
	rec.password, rec.verifier = s.arena.put(u.password), s.arena.put(u.verifier)
	rec.policies, rec.preferences = s.arena.put(u.policies), s.arena.put(u.preferences)
	s.countVerifier(u.verifier, 1)
	slot := s.placeUser(rec, u.name)
	if !rec.stored() {
		s.addBare(slot)
		return
	}
	if s.events != nil {
		after := s.userRecord(slot)
		s.events.add(Event{Kind: EventUserImported, User: after.Name, UserAfter: &after.User, Version: rec.version, PasswordChanged: rec.password != 0})
	}
}
