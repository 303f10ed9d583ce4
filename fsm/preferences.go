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
	shown, ok := s.presented(c.KeyHash, c.Address, nil, r)
	if !ok {
		return
	}
	user := s.sessions.recs.at(shown.slot).user
	old := s.arena.get(s.users.recs.at(user).preferences)
	blob, code := mergeAttributes(old, changes)
	if code != fsmpb.Code_CODE_OK {
		fail(r, code, "preferences")
		return
	}
	if !bytes.Equal(blob, old) {
		u := s.mutUser(user)
		s.arena.drop(u.preferences, s.shared)
		u.preferences = s.arena.put(blob)
	}
	s.use(shown.slot, true)
	s.answer(shown, r)
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
