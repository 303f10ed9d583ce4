package fsm

import (
	"slices"

	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// MaxPasswordHashBytes bounds an encoded password hash.
const MaxPasswordHashBytes = 512

func setVersion(r *fsmpb.Result, v uint64) { r.Payload = &fsmpb.Result_Version{Version: v} }

// userChange is a PutUser whose parts have been judged; nil fields stay.
type userChange struct {
	password *string
	roles    *uint8
	policies *[]byte
	disabled *bool
	md5      *bool
	verifier []byte // with another password

	endPermanent bool // by another password
}

func (s *state) putUser(c *fsmpb.PutUser, r *fsmpb.Result) {
	change, code, field := s.parseUser(c)
	if code != fsmpb.Code_CODE_OK {
		fail(r, code, field)
		return
	}
	slot := s.findUser(c.Name)
	by, code := s.judge(c.Authority, slot)
	if code == fsmpb.Code_CODE_OK && !by.mayChange(slot, c) {
		code = fsmpb.Code_CODE_FORBIDDEN
	}
	if code != fsmpb.Code_CODE_OK {
		fail(r, code, "authority")
		return
	}
	stored := slot != 0 && s.users.recs.at(slot).stored()
	switch {
	case c.Mode == fsmpb.PutUser_MODE_UPDATE && !stored:
		fail(r, fsmpb.Code_CODE_NOT_FOUND, "user")
		return
	case c.Mode == fsmpb.PutUser_MODE_CREATE && stored,
		c.Mode == fsmpb.PutUser_MODE_BOOTSTRAP_ADMIN && (stored || s.users.admins > 0):
		fail(r, fsmpb.Code_CODE_EXISTS, "user")
		return
	case c.ExpectedVersion != nil && (!stored || *c.ExpectedVersion != s.users.recs.at(slot).version):
		fail(r, fsmpb.Code_CODE_VERSION_MISMATCH, "user")
		return
	case !s.mayKeepVerifier(slot, &change):
		fail(r, fsmpb.Code_CODE_CONFLICT, verifierField)
		return
	case stored && s.isLastAdmin(slot) && change.endsAdmin():
		fail(r, fsmpb.Code_CODE_CONFLICT, lastAdmin)
		return
	}
	if slot == 0 {
		slot = s.addUser(c.Name)
	}
	before := s.account(slot)
	s.changeUser(slot, change, c.ExceptId)
	version := s.users.recs.at(slot).version
	setVersion(r, version)
	s.reportUser(before, s.account(slot), version)
}

// lastAdmin is the field of refusals that keep the cluster from having nobody who may change it.
const lastAdmin = "last_admin"

func (u *userChange) endsAdmin() bool {
	return u.disabled != nil && *u.disabled || u.roles != nil && *u.roles&roleAdmin == 0
}

// mayChange tells whether the caller may make the change to the user of this slot: admins any, users their own password.
func (c caller) mayChange(slot uint32, put *fsmpb.PutUser) bool {
	if c.system || c.roles&roleAdmin != 0 {
		return true
	}
	return c.user == slot && put.Mode == fsmpb.PutUser_MODE_UPDATE && put.GetPasswordHash() != "" &&
		put.Roles == nil && put.Policies == nil && put.Disabled == nil && put.Md5Login == nil
}

// upgradePassword replaces a hash by another one of the same password.
func (s *state) upgradePassword(c *fsmpb.UpgradePassword, r *fsmpb.Result) {
	switch {
	case !validUserName(c.User) || c.PasswordHash == "" && len(c.Md5Verifier) == 0 || !possibleVerifier(c.Md5Verifier):
		fail(r, fsmpb.Code_CODE_INVALID, "")
		return
	case len(c.PasswordHash) > MaxPasswordHashBytes:
		fail(r, fsmpb.Code_CODE_TOO_LARGE, "password_hash")
		return
	}
	slot := s.findUser(c.User)
	if slot == 0 || !s.users.recs.at(slot).stored() || s.users.recs.at(slot).version != c.ExpectedVersion || s.users.recs.at(slot).password == 0 {
		fail(r, fsmpb.Code_CODE_CONFLICT, "user")
		return
	}
	if !s.validVerifier(c.Md5Verifier) {
		fail(r, fsmpb.Code_CODE_CONFLICT, verifierField)
		return
	}
	u := s.mutUser(slot)
	if c.PasswordHash != "" {
		s.arena.drop(u.password, s.shared)
		u.password = s.arena.put([]byte(c.PasswordHash))
	}
	if len(c.Md5Verifier) > 0 && u.md5() {
		s.setVerifier(u, c.Md5Verifier)
	}
	setVersion(r, u.version)
}

// parseUser judges the parts of a PutUser. The list of policies depends on the state, nothing else.
func (s *state) parseUser(c *fsmpb.PutUser) (u userChange, code fsmpb.Code, field string) {
	roles, known := roleBits(c.Roles.GetRoles())
	switch {
	case !validUserName(c.Name) || !validExcept(c.ExceptId) || !known || !possibleVerifier(c.Md5Verifier) || len(c.Md5Verifier) > 0 && c.GetPasswordHash() == "":
		return u, fsmpb.Code_CODE_INVALID, ""
	case c.Mode < fsmpb.PutUser_MODE_CREATE || c.Mode > fsmpb.PutUser_MODE_BOOTSTRAP_ADMIN:
		return u, fsmpb.Code_CODE_INVALID, "mode"
	case len(c.GetPasswordHash()) > MaxPasswordHashBytes:
		return u, fsmpb.Code_CODE_TOO_LARGE, "password_hash"
	case len(c.Policies.GetNames()) > session.MaxPoliciesPerUser:
		return u, fsmpb.Code_CODE_TOO_LARGE, "policies"
	}
	u.password, u.disabled, u.endPermanent = c.PasswordHash, c.Disabled, c.EndPermanent
	u.md5, u.verifier = c.Md5Login, c.Md5Verifier
	if roles == 0 && c.Roles != nil {
		roles = roleUser
	}
	if c.Mode == fsmpb.PutUser_MODE_BOOTSTRAP_ADMIN {
		roles |= roleAdmin
	}
	if roles != 0 {
		u.roles = &roles
	}
	if c.Policies == nil {
		return u, fsmpb.Code_CODE_OK, ""
	}
	indexes, code := s.policyIndexes(c.Policies.Names)
	u.policies = &indexes
	return u, code, "policies"
}

func (s *state) policyIndexes(names []string) ([]byte, fsmpb.Code) {
	indexes := make([]byte, 0, len(names))
	for _, name := range names {
		index, p := s.policies.find(name)
		if p == nil {
			return nil, fsmpb.Code_CODE_NOT_FOUND
		}
		if slices.Contains(indexes, index) {
			return nil, fsmpb.Code_CODE_INVALID
		}
		indexes = append(indexes, index)
	}
	return indexes, fsmpb.Code_CODE_OK
}

// changeUser makes a record an account, or changes one. It ends the user's sessions when they were won with what is no longer true;
// a permanent one is no proof of a password, and survives another one unless that is asked for.
func (s *state) changeUser(slot uint32, c userChange, exceptID []byte) {
	s.countUser(slot, -1)
	u := s.mutUser(slot)
	if !u.stored() {
		u.createdMS = s.clock
		s.clothe(slot)
	}
	killAll, killOthers := false, false
	if c.roles != nil {
		u.roles = *c.roles // its sessions lose at once what it loses, and gain by rotation only: see rolesOf
	}
	if c.password != nil && *c.password != string(s.arena.get(u.password)) {
		killOthers = true
		s.arena.drop(u.password, s.shared)
		u.password = s.arena.put([]byte(*c.password))
		s.setVerifier(u, nil)
	}
	s.changeMD5(u, c)
	if c.policies != nil {
		s.arena.drop(u.policies, s.shared)
		u.policies = s.arena.put(*c.policies)
	}
	u.flags |= userStored
	if c.disabled != nil && *c.disabled {
		killAll = true
	}
	exempt := s.exemptUnless(killAll, slot, exceptID)
	var spared session.ID
	if !killAll {
		spared, _ = sessionID(exceptID)
	}
	if c.disabled != nil {
		u.flags &^= userDisabled
		if *c.disabled {
			u.flags |= userDisabled
		}
	}
	u.version = s.nextVersion()
	s.countUser(slot, 1)
	if killAll || killOthers {
		s.endAtNodes(u, u.version, killAll || c.endPermanent, spared)
	}
	if killAll || killOthers {
		s.condemn(slot, false, exempt)
	}
	if killAll || killOthers && c.endPermanent {
		s.condemn(slot, true, exempt)
	}
}

func (s *state) exemptUnless(all bool, slot uint32, exceptID []byte) uint64 {
	if all {
		return 0
	}
	return s.exempt(slot, exceptID)
}

func (s *state) deleteUser(c *fsmpb.DeleteUser, r *fsmpb.Result) {
	if !validUserName(c.Name) {
		fail(r, fsmpb.Code_CODE_INVALID, "")
		return
	}
	if _, code := s.judge(c.Authority, 0); code != fsmpb.Code_CODE_OK {
		fail(r, code, "authority")
		return
	}
	slot := s.findUser(c.Name)
	if slot == 0 || !s.users.recs.at(slot).stored() {
		fail(r, fsmpb.Code_CODE_NOT_FOUND, "user")
		return
	}
	if c.ExpectedVersion != nil && *c.ExpectedVersion != s.users.recs.at(slot).version {
		fail(r, fsmpb.Code_CODE_VERSION_MISMATCH, "user")
		return
	}
	if s.isLastAdmin(slot) {
		fail(r, fsmpb.Code_CODE_CONFLICT, lastAdmin)
		return
	}
	before := s.account(slot)
	version := s.nextVersion()
	s.unstore(slot, version)
	setVersion(r, version)
	s.reportUser(before, nil, version)
}

// unstore turns an account into a shell whose sessions are dead, and which goes with the last of them.
func (s *state) unstore(slot uint32, version uint64) {
	s.countUser(slot, -1)
	u := s.mutUser(slot)
	s.arena.drop(u.password, s.shared)
	s.arena.drop(u.policies, s.shared)
	s.setVerifier(u, nil)
	s.arena.drop(u.preferences, s.shared)
	u.password, u.policies, u.preferences, u.roles, u.flags, u.version = 0, 0, 0, roleUser, 0, 0
	s.endAtNodes(u, version, true, session.ID{})
	s.countUser(slot, 1)
	s.condemnAll(slot)
	s.dropIfForgotten(slot)
}
