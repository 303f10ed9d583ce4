package fsm_test

import (
	"maps"
	"slices"
	"strings"

	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

func (m *model) alter(c *fsmpb.AlterSession, r *fsmpb.Result) {
	open := func(change *fsmpb.AttributeChange) bool {
		return strings.HasPrefix(change.Name, session.ReservedAttributePrefix) && (len(change.Value) == 0 || change.Value[0] != 0)
	}
	switch {
	case repeatsName(c.Changes), slices.ContainsFunc(c.Changes, func(change *fsmpb.AttributeChange) bool { return !open(change) }):
		set(r, fsmpb.Code_CODE_INVALID, "attributes")
		return
	case impossibleIdle(c.IdleMs):
		set(r, fsmpb.Code_CODE_INVALID, "idle_timeout_s")
		return
	}
	s, by := m.presented(c, c.Authority, r)
	switch {
	case s == nil:
		return
	case c.IdleMs != nil && s.permanent:
		set(r, fsmpb.Code_CODE_CONFLICT, "permanent")
		return
	case c.IdleMs != nil && s.policy.isLonger(*c.IdleMs) && !s.policy.mayLonger && !mayActForOthers(by):
		set(r, fsmpb.Code_CODE_FORBIDDEN, "idle_timeout_s")
		return
	}
	s.attributes = merged(s.attributes, c.Changes)
	s.use(m.clock, false)
	if c.IdleMs != nil {
		s.own, s.ownWindow = c.IdleMs, s.policy.ownWindow(*c.IdleMs)
	}
	m.answer(s, r)
	m.hint(c.KeyHash, s, r)
}

func (m *model) patchPreferences(c *fsmpb.PatchPreferences, r *fsmpb.Result) {
	sealed := func(change *fsmpb.AttributeChange) bool { return len(change.Value) > 0 && change.Value[0] == 0 }
	if repeatsName(c.Changes) || slices.ContainsFunc(c.Changes, sealed) {
		set(r, fsmpb.Code_CODE_INVALID, "preferences")
		return
	}
	if c.Authority != nil {
		if len(c.KeyHash)+len(c.Address) > 0 {
			set(r, fsmpb.Code_CODE_INVALID, "")
			return
		}
		by, code := m.judge(c.Authority, nil)
		switch {
		case code != 0:
			set(r, code, "authority")
		case by == nil || !by.user.stored:
			set(r, fsmpb.Code_CODE_FORBIDDEN, "authority")
		default:
			by.user.preferences = merged(by.user.preferences, c.Changes)
		}
		return
	}
	s, _ := m.presented(c, nil, r)
	if s == nil {
		return
	}
	s.user.preferences = merged(s.user.preferences, c.Changes)
	m.use(s, true, r)
	m.hint(c.KeyHash, s, r)
}

func repeatsName(changes []*fsmpb.AttributeChange) bool {
	names := map[string]bool{}
	for _, c := range changes {
		if names[c.Name] {
			return true
		}
		names[c.Name] = true
	}
	return false
}

func merged(before map[string]string, changes []*fsmpb.AttributeChange) map[string]string {
	after := maps.Clone(before)
	if after == nil {
		after = map[string]string{}
	}
	for _, c := range changes {
		if c.Delete {
			delete(after, c.Name)
		} else {
			after[c.Name] = string(c.Value)
		}
	}
	return after
}

func impossibleIdle(ms *int64) bool { return ms != nil && (*ms < 0 || *ms > 0 && *ms < 1000) }

// isLonger tells whether an idle timeout keeps a session for longer than the policy's.
func (p *modelPolicy) isLonger(own int64) bool { return p.idle != 0 && (own == 0 || own > p.idle) }
