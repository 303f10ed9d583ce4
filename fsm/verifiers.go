package fsm

import (
	"bytes"

	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// A verifier is the MD5 of a user's password, sealed like an attribute. Nodes that have the seal key can check by it who knows the
// MD5 and does not send the password.

// MaxVerifierBytes is the length of a sealed verifier: an MD5 and what sealing adds.
const MaxVerifierBytes = 16 + session.SealOverheadBytes

// verifierField is the field of refusals that are about a verifier.
const verifierField = "md5_login"

// possibleVerifier judges the form of a verifier; none is possible.
func possibleVerifier(sealed []byte) bool {
	_, _, ok := CutSealed(sealed)
	return len(sealed) == 0 || ok && len(sealed) == MaxVerifierBytes
}

// validVerifier tells whether a verifier may be kept: its key is known.
func (s *state) validVerifier(sealed []byte) bool {
	return possibleVerifier(sealed) && s.mayStore(sealed)
}

// mayKeepVerifier tells whether the verifier that a change brings, if it will be kept at all, is one that may be.
func (s *state) mayKeepVerifier(slot uint32, c *userChange) bool {
	on := slot != 0 && s.users.recs.at(slot).md5()
	if c.md5 != nil {
		on = *c.md5
	}
	return !on || s.validVerifier(c.verifier)
}

// changeMD5 brings log-ins by MD5 to what a change says. The verifier of a password that the change has ended is gone already.
func (s *state) changeMD5(u *userRec, c userChange) {
	if c.md5 != nil {
		u.flags &^= userMD5
		if *c.md5 {
			u.flags |= userMD5
		}
	}
	switch {
	case !u.md5():
		s.setVerifier(u, nil)
	case len(c.verifier) > 0:
		s.setVerifier(u, c.verifier)
	}
}

// setVerifier puts a verifier in the place of the user's; nil removes it.
func (s *state) setVerifier(u *userRec, sealed []byte) {
	if u.verifier == 0 && len(sealed) == 0 {
		return
	}
	s.countVerifier(s.arena.get(u.verifier), -1)
	s.arena.drop(u.verifier, s.shared)
	u.verifier = s.arena.put(sealed)
	s.countVerifier(sealed, 1)
}

// countVerifier adds a verifier to its key's uses, or with -1 takes it out.
func (s *state) countVerifier(sealed []byte, n int) {
	if id, _, ok := CutSealed(sealed); ok {
		s.seals.keys[s.seals.find(id)].Uses += n
	}
}

// replaceVerifier puts a newly sealed verifier in the place of the one that still stands.
func (s *state) replaceVerifier(c *fsmpb.ReplaceSealed, r *fsmpb.Result) {
	if !validUserName(c.User) || len(c.Id) != 0 || len(c.Changes) != 1 || c.Changes[0].Name != "" || len(c.Changes[0].New) == 0 || !s.validVerifier(c.Changes[0].New) {
		fail(r, fsmpb.Code_CODE_INVALID, "")
		return
	}
	slot := s.findUser(c.User)
	if slot == 0 || !s.users.recs.at(slot).stored() {
		fail(r, fsmpb.Code_CODE_NOT_FOUND, "user")
		return
	}
	old := s.arena.get(s.users.recs.at(slot).verifier)
	if len(old) == 0 || !bytes.Equal(old, c.Changes[0].Old) {
		setCount(r, 0)
		return
	}
	s.setVerifier(s.mutUser(slot), c.Changes[0].New)
	setCount(r, 1)
}
