package fsm

import (
	"bytes"
	"slices"

	"github.com/hydrastore/hydrastore/fsm/fsmpb"
)

// A user's preferences are a blob of the form that attributes have, within the same limits. They are no part of the user's version: a log-in
// under way does not fail because its user has chosen another colour.

func (s *state) patchPreferences(c *fsmpb.PatchPreferences, r *fsmpb.Result) {
	changes, code := s.checkOpen(c.Changes)
	if code != fsmpb.Code_CODE_OK {
		fail(r, code, "preferences")
		return
	}
	if c.Authority != nil {
		s.patchPreferencesOfCaller(c, changes, r)
		return
	}
	shown, ok := s.presented(c, nil, r)
	if ok && s.prefer(s.sessions.recs.at(shown.slot).user, changes, r) {
		s.use(shown.slot, true)
		s.answer(shown, r)
	}
}

// patchPreferencesOfCaller is for users whose session is not here.
func (s *state) patchPreferencesOfCaller(c *fsmpb.PatchPreferences, changes []*fsmpb.AttributeChange, r *fsmpb.Result) {
	if len(c.KeyHash)+len(c.Address) > 0 {
		fail(r, fsmpb.Code_CODE_INVALID, "")
		return
	}
	by, code := s.judge(c.Authority, 0)
	switch {
	case code != fsmpb.Code_CODE_OK:
		fail(r, code, "authority")
	case by.user == 0 || !s.hasAccount(by.user):
		fail(r, fsmpb.Code_CODE_FORBIDDEN, "authority")
	default:
		s.prefer(by.user, changes, r)
	}
}

// prefer merges changes into a user's preferences, if they stay within the limits.
func (s *state) prefer(user uint32, changes []*fsmpb.AttributeChange, r *fsmpb.Result) bool {
	old := s.arena.get(s.users.recs.at(user).preferences)
	blob, code := mergeAttributes(old, changes)
	if code != fsmpb.Code_CODE_OK {
		fail(r, code, "preferences")
		return false
	}
	if !bytes.Equal(blob, old) {
		u := s.mutUser(user)
		s.arena.drop(u.preferences, s.shared)
		u.preferences = s.arena.put(blob)
	}
	return true
}

// checkOpen is checkChanges where no sealed value may stand.
func (s *state) checkOpen(changes []*fsmpb.AttributeChange) ([]*fsmpb.AttributeChange, fsmpb.Code) {
	if slices.ContainsFunc(changes, func(c *fsmpb.AttributeChange) bool { return !inTheOpen(c.Value) }) {
		return nil, fsmpb.Code_CODE_INVALID
	}
	return s.checkChanges(changes)
}

// validPreferences tells whether bytes from a snapshot are a user's preferences.
func validPreferences(blob []byte) bool { return validBlob(blob, inTheOpen) }

// inTheOpen tells values that are not sealed.
func inTheOpen(value []byte) bool { return len(value) == 0 || value[0] != sealMark }

// Preferences are those of a user, in the order of their names.
func (m *Machine) Preferences(user string) []Attribute {
	return reading(m, func(s *state) []Attribute {
		slot := s.findUser(user)
		if slot == 0 {
			return nil
		}
		return attributesOf(s.arena.get(s.users.recs.at(slot).preferences))
	})
}
