package fsm_test

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

const (
	refuse = fsmpb.OnLimit_ON_LIMIT_REFUSE
	oldest = fsmpb.OnLimit_ON_LIMIT_EVICT_OLDEST
	idle   = fsmpb.OnLimit_ON_LIMIT_EVICT_IDLE
)

var onLimitNames = map[fsmpb.OnLimit]string{refuse: "refuse", oldest: "evict_oldest", idle: "evict_idle"}

type modelLimits struct {
	user, address, total int
	onLimit              fsmpb.OnLimit
	single, permanents   bool
}

// change lays a command's limits over l and names the first field that is impossible.
func (l *modelLimits) change(c *fsmpb.PutPolicy) string {
	take := func(to *int, from *uint32) {
		if from != nil {
			*to = int(*from)
		}
	}
	take(&l.user, c.MaxSessionsPerUser)
	take(&l.address, c.MaxSessionsPerAddress)
	take(&l.total, c.MaxSessions)
	if c.OnLimit != 0 {
		l.onLimit = c.OnLimit
	}
	if c.SingleSession != nil {
		l.single = *c.SingleSession
	}
	if c.PermanentCounted != nil {
		l.permanents = *c.PermanentCounted
	}
	return l.impossible()
}

func (l *modelLimits) impossible() string {
	switch {
	case l.user > session.MaxSessionsPerOwner:
		return "max_sessions_per_user"
	case l.address > session.MaxSessionsPerOwner:
		return "max_sessions_per_address"
	case l.total > session.MaxSessions:
		return "max_sessions"
	case onLimitNames[l.onLimit] == "":
		return "on_limit"
	}
	return ""
}

func (m *model) putLimits(c *fsmpb.PutLimits, r *fsmpb.Result) {
	if _, code := m.judge(c.Authority, nil); code != 0 {
		set(r, code, "authority")
		return
	}
	if c.ExpectedVersion != nil && *c.ExpectedVersion != m.version2 {
		set(r, fsmpb.Code_CODE_VERSION_MISMATCH, "limits")
		return
	}
	next := m.limits
	if field := next.change(&fsmpb.PutPolicy{MaxSessions: c.MaxSessions, OnLimit: c.OnLimit}); field != "" {
		set(r, fsmpb.Code_CODE_INVALID, field)
		return
	}
	m.limits, m.version2 = next, m.nextVersion()
	r.Payload = &fsmpb.Result_Version{Version: m.version2}
}

// modelLimit is one limit as a log-in meets it.
type modelLimit struct {
	field   string
	most    int
	onLimit fsmpb.OnLimit
	cause   fsm.Cause
	owner   bool
	of      func(*modelSession) bool // the recorded sessions that it is about
}

// makeRoom lets s under the limits, in place of the session that its log-in replaces, or answers why not.
func (m *model) makeRoom(s, old *modelSession, r *fsmpb.Result) bool {
	m.pinned = s.user
	code, field := m.judgeLimits(s, old)
	if code == 0 {
		if old != nil {
			m.endNow(old, fsm.CauseReplaced)
		}
		for _, l := range m.limitsOf(s) {
			for n := 0; m.count(l) >= l.most && m.spend(n); n++ {
				victim, cause := m.victim(l), l.cause
				if !m.alive(victim) {
					cause = m.deathOf(victim)
				}
				m.endNow(victim, cause)
			}
		}
	}
	m.pinned = nil
	if code != 0 {
		set(r, code, field)
		if s.user != nil {
			m.forget(s.user)
		}
	}
	return code == 0
}

func (m *model) limitsOf(s *modelSession) (limits []modelLimit) {
	p := s.policy
	add := func(field string, most int, o fsmpb.OnLimit, cause fsm.Cause, owner bool, of func(*modelSession) bool) {
		permanents := p.limits.permanents && field != "single_session" && field != "cluster"
		if most > 0 && (permanents || !s.permanent) {
			limits = append(limits, modelLimit{field, most, o, cause, owner, func(o *modelSession) bool { return (permanents || !o.permanent) && of(o) }})
		}
	}
	own := func(o *modelSession) bool { return o.policy == p && o.user == s.user && !o.condemned }
	single := s.user != nil && p.limits.single && !s.permanent
	if single {
		add("single_session", 1, oldest, fsm.CauseReplaced, true, own)
	}
	if s.user != nil && (!single || p.limits.permanents) {
		add("max_sessions_per_user", p.limits.user, p.limits.onLimit, fsm.CauseEvicted, true, own)
	}
	if s.address != "" {
		add("max_sessions_per_address", p.limits.address, p.limits.onLimit, fsm.CauseEvicted, true,
			func(o *modelSession) bool { return o.policy == p && o.address == s.address })
	}
	add("max_sessions", p.limits.total, p.limits.onLimit, fsm.CauseEvicted, false, func(o *modelSession) bool { return o.policy == p })
	add("cluster", m.limits.total, m.limits.onLimit, fsm.CauseEvicted, false, func(*modelSession) bool { return true })
	return limits
}

func (m *model) spend(done int) bool {
	if done > 0 {
		m.spare--
		if m.spare < 0 {
			m.spare = 0
			return false
		}
	}
	return true
}

// count is what a limit counts: dead sessions of an address that were condemned go before they could matter.
func (m *model) count(l modelLimit) int {
	return len(m.of(func(s *modelSession) bool { return l.of(s) && (l.owner || !s.condemned) }))
}

func (m *model) judgeLimits(s, leaving *modelSession) (fsmpb.Code, string) {
	limits := m.limitsOf(s)
	countOf := func(l modelLimit) int {
		if leaving != nil && l.of(leaving) {
			return m.count(l) - 1
		}
		return m.count(l)
	}
	for _, l := range limits {
		for n := 0; countOf(l) >= l.most; n++ {
			dead := m.dead(l)
			if dead == nil {
				break
			}
			if !m.spend(n) {
				return fsmpb.Code_CODE_BUSY, l.field
			}
			m.endNow(dead, m.deathOf(dead))
		}
	}
	freed := 0
	for _, l := range limits {
		over := countOf(l) - l.most + 1
		if l.field != "max_sessions_per_address" {
			over -= freed
		} else if freed > 0 && freed == countOf(limits[0]) {
			over -= len(m.of(func(o *modelSession) bool { return o != leaving && limits[0].of(o) && o.address == s.address }))
		}
		lasting := len(m.of(func(o *modelSession) bool { return o != leaving && l.of(o) && o.permanent && (l.owner || !o.condemned) }))
		if over > 0 && (l.onLimit == refuse || lasting >= l.most) {
			return fsmpb.Code_CODE_SESSION_LIMIT, l.field
		}
		freed = max(freed, min(over, 1+m.spare))
	}
	return 0, ""
}

// dead finds what has to go first. An owner's sessions are looked at in the order of their last use.
func (m *model) dead(l modelLimit) *modelSession {
	if l.owner {
		dead := m.of(func(s *modelSession) bool { return l.of(s) && !m.alive(s) })
		return least(dead, func(a, b *modelSession) int {
			return cmp.Or(cmp.Compare(permanence(a), permanence(b)), cmp.Compare(a.lastUse, b.lastUse), cmp.Compare(a.seq, b.seq))
		})
	}
	due := m.of(func(s *modelSession) bool { return l.of(s) && s.deadline() <= m.clock })
	if len(due) > 0 {
		return least(due, func(a, b *modelSession) int {
			return cmp.Or(cmp.Compare(a.deadline(), b.deadline()), bytes.Compare(a.id[:], b.id[:]))
		})
	}
	if head := m.victim(l); l.onLimit != refuse && head != nil && !m.alive(head) {
		return head
	}
	return nil
}

func (m *model) victim(l modelLimit) *modelSession {
	return least(m.of(func(s *modelSession) bool { return l.of(s) && !s.permanent }), func(a, b *modelSession) int {
		tie := cmp.Compare(a.seq, b.seq)
		if !l.owner {
			tie = bytes.Compare(a.id[:], b.id[:])
		}
		if l.onLimit == idle {
			return cmp.Or(cmp.Compare(a.lastUse, b.lastUse), tie)
		}
		if l.owner {
			return tie
		}
		return cmp.Or(cmp.Compare(a.created, b.created), tie)
	})
}

// permanence orders permanent sessions behind others.
func permanence(s *modelSession) int {
	if s.permanent {
		return 1
	}
	return 0
}

func least(of []*modelSession, compare func(a, b *modelSession) int) *modelSession {
	if len(of) == 0 {
		return nil
	}
	return slices.MinFunc(of, compare)
}
