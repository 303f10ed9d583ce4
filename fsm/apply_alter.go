package fsm

import (
	"slices"
	"strings"
	"time"

	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

func (s *state) alterSession(c *fsmpb.AlterSession, r *fsmpb.Result) {
	changes, code := s.checkReserved(c.Changes)
	if code != fsmpb.Code_CODE_OK {
		fail(r, code, "attributes")
		return
	}
	var own time.Duration
	if c.IdleMs != nil {
		var possible bool
		if own, possible = ownIdle(*c.IdleMs); !possible {
			fail(r, fsmpb.Code_CODE_INVALID, "idle_timeout_s")
			return
		}
	}
	shown, ok := s.presented(c, c.Authority, r)
	if !ok {
		return
	}
	rec := s.sessions.recs.at(shown.slot)
	switch {
	case c.IdleMs == nil:
	case rec.permanent():
		fail(r, fsmpb.Code_CODE_CONFLICT, "permanent")
		return
	case !shown.by.mayHaveIdle(own, &s.policies.byIndex[rec.policy].Policy):
		fail(r, fsmpb.Code_CODE_FORBIDDEN, "idle_timeout_s")
		return
	}
	old := s.arena.get(rec.attributes)
	blob, code := mergeAttributes(old, changes)
	if code != fsmpb.Code_CODE_OK {
		fail(r, code, "attributes")
		return
	}
	if string(blob) != string(old) {
		s.storeAttributes(shown.slot, blob)
	}
	s.use(shown.slot, false)
	if c.IdleMs != nil {
		s.setOwnIdle(shown.slot, own)
	}
	s.answer(shown, r)
}

// checkReserved is checkChanges for attributes that only the server's own rooms may name.
func (s *state) checkReserved(changes []*fsmpb.AttributeChange) ([]*fsmpb.AttributeChange, fsmpb.Code) {
	if slices.ContainsFunc(changes, func(c *fsmpb.AttributeChange) bool {
		return !strings.HasPrefix(c.Name, session.ReservedAttributePrefix)
	}) {
		return nil, fsmpb.Code_CODE_INVALID
	}
	return s.checkOpen(changes)
}

// setOwnIdle gives a session that has just been used an idle timeout of its own: so nothing that is due comes of it.
func (s *state) setOwnIdle(slot uint32, own time.Duration) {
	s.disarm(slot)
	rec := s.mutSession(slot)
	x := s.extrasOf(rec)
	x.idleMS, x.windowMS = own.Milliseconds(), s.policies.byIndex[rec.policy].OwnTouchWindow(own).Milliseconds()
	rec.flags |= sessionOwnIdle
	s.setExtras(rec, x)
	s.arm(slot)
}
