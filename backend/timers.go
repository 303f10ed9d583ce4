package backend

import (
	"time"

	"github.com/hydrastore/hydrastore/session"
)

// forever is the deadline that never comes.
const forever = int64(1<<63 - 1)

// timers end a session, in milliseconds; 0 = there is no such one.
type timers struct {
	IdleMS        int64 `json:"idle_ms,omitempty"`
	InactivityMS  int64 `json:"inactivity_ms,omitempty"`
	WindowMS      int64 `json:"window_ms,omitempty"`
	AbsoluteEndMS int64 `json:"absolute_end_ms,omitempty"` // an instant
}

// timersOf are the timers of a new session, or of one that is used now.
func timersOf(p *session.Policy, ownIdleMS *int64, createdMS int64) timers {
	t := timers{IdleMS: p.IdleTimeout.Milliseconds(), InactivityMS: p.InactivityTimeout.Milliseconds(), WindowMS: p.EffectiveTouchWindow().Milliseconds()}
	if p.AbsoluteLifetime > 0 {
		t.AbsoluteEndMS = createdMS + p.AbsoluteLifetime.Milliseconds()
	}
	if ownIdleMS == nil {
		return t
	}
	if t.IdleMS = *ownIdleMS; t.IdleMS != 0 {
		t.WindowMS = min(t.WindowMS, p.OwnTouchWindow(milliseconds(t.IdleMS)).Milliseconds())
	}
	return t
}

// sooner is the smaller of two, where 0 means that there is none.
func sooner(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// rules are a policy with what its past still means; the zero rules are those of a session whose policy was deleted.
type rules struct {
	policy *session.Policy
	past   []pastPolicy
	gone   *PolicyPast // a Directory's; nil = none
}

// rulesOf finds the rules for a session.
func (c *clusterRecord) rulesOf(r *sessionRecord) rules {
	out := rules{policy: c.policy(r.Policy)}
	if out.policy == nil || out.policy.Version == r.PolicyVersion {
		return out
	}
	for i := range c.PastElsewhere {
		if c.PastElsewhere[i].Name == r.Policy {
			out.gone = &c.PastElsewhere[i]
		}
	}
	for _, p := range c.Past {
		if p.Name == r.Policy && p.Version > r.PolicyVersion {
			out.past = append(out.past, p)
		}
	}
	return out
}

// timersNow are the timers in force. A change of the policy that ends sessions sooner counts at once. One that lets them live longer counts from the
// next use; and uses that are not recorded stay covered by the window that they were judged by.
func (r *sessionRecord) timersNow(u rules) timers {
	if u.policy == nil || u.policy.Version == r.PolicyVersion {
		return r.Timers
	}
	t := r.under(timersOf(u.policy, r.OwnIdleMS, r.CreatedMS))
	for _, p := range u.past {
		if p.AbsoluteEndMS != 0 {
			t.AbsoluteEndMS = sooner(t.AbsoluteEndMS, r.CreatedMS+p.AbsoluteEndMS)
		}
	}
	if life := u.gone.lifetimeMS(r.CreatedMS); life != 0 {
		t.AbsoluteEndMS = sooner(t.AbsoluteEndMS, r.CreatedMS+life)
	}
	return t
}

// under are the recorded timers where others end the session no sooner.
func (r *sessionRecord) under(others timers) timers {
	t := r.Timers
	t.InactivityMS, t.AbsoluteEndMS = sooner(t.InactivityMS, others.InactivityMS), sooner(t.AbsoluteEndMS, others.AbsoluteEndMS)
	if r.OwnIdleMS == nil {
		t.IdleMS = sooner(t.IdleMS, others.IdleMS)
	}
	return t
}

// deadlineMS is when the session ends by itself, or did: what was dead when its policy was changed does not come back.
func (r *sessionRecord) deadlineMS(u rules) int64 {
	if r.Permanent {
		return forever
	}
	for _, p := range u.past {
		t := r.under(p.timers)
		t.AbsoluteEndMS = 0
		if end := r.endUnder(t); end <= p.UntilMS {
			return end
		}
	}
	if end, gone := u.gone.ended(r); gone {
		return end
	}
	return r.endUnder(r.timersNow(u))
}

// lifetimeMS is the shorter absolute lifetime of sessions that were made then; 0 = there is none.
func (p *PolicyPast) lifetimeMS(createdMS int64) int64 {
	if p == nil {
		return 0
	}
	for _, l := range p.Lifetimes {
		if createdMS <= l.ThroughMS {
			return l.LifetimeMS
		}
	}
	return 0
}

// ended tells whether a session was due when its policy was extended, and since when it was. Uses that are not recorded may have come within its window.
func (p *PolicyPast) ended(r *sessionRecord) (sinceMS int64, ended bool) {
	if p == nil {
		return 0, false
	}
	if p.UsedMS != 0 && r.OwnIdleMS == nil && r.LastUseMS+r.Timers.WindowMS <= p.UsedMS {
		return r.LastUseMS + p.UsedSpanMS, true
	}
	if p.ActiveMS != 0 && r.LastActivityMS+r.Timers.WindowMS <= p.ActiveMS {
		return r.LastActivityMS + p.ActiveSpanMS, true
	}
	return 0, false
}

func (r *sessionRecord) endUnder(t timers) int64 {
	end := forever
	if t.AbsoluteEndMS != 0 {
		end = t.AbsoluteEndMS
	}
	if t.IdleMS != 0 {
		end = min(end, r.LastUseMS+t.IdleMS+t.WindowMS)
	}
	if t.InactivityMS != 0 {
		end = min(end, r.LastActivityMS+t.InactivityMS+session.PromptPeriod.Milliseconds()+t.WindowMS)
	}
	return end
}

// expiresAt is the earliest end that is promised after the last use and activity in r.
func (r *sessionRecord) expiresAt(u rules) time.Time {
	t := r.timersNow(u)
	t.WindowMS = 0
	if end := r.endUnder(t); !r.Permanent && end != forever {
		return instant(end)
	}
	return time.Time{}
}

// prompts tells whether the session is in the last PromptPeriod before it ends through inactivity.
func (r *sessionRecord) prompts(u rules, nowMS int64) bool {
	t := r.timersNow(u)
	return !r.Permanent && t.InactivityMS != 0 && nowMS >= r.LastActivityMS+t.InactivityMS+t.WindowMS
}

// use records an activity, or a tickle, and puts the policy's present timers in force.
//
// Where nothing but use ends sessions a tickle is as good as an activity, and is recorded as one: so all sessions have an activity to
// count from when their policy gets an inactivity timeout.
func (r *sessionRecord) use(u rules, nowMS int64, tickle bool) {
	p := u.policy
	if r.Permanent {
		r.LastUseMS = max(r.LastUseMS, nowMS)
		return
	}
	if p == nil {
		r.LastUseMS, r.LastActivityMS = max(r.LastUseMS, nowMS), max(r.LastActivityMS, nowMS)
		return
	}
	if tickle && p.NoTickle {
		return
	}
	end := r.timersNow(u).AbsoluteEndMS // it never comes further
	r.Timers, r.PolicyVersion = timersOf(p, r.OwnIdleMS, r.CreatedMS), p.Version
	r.Timers.AbsoluteEndMS = sooner(r.Timers.AbsoluteEndMS, end)
	r.LastUseMS = max(r.LastUseMS, nowMS)
	if !tickle || p.InactivityTimeout == 0 {
		r.LastActivityMS = max(r.LastActivityMS, nowMS)
	}
}

// dueness says what a use costs.
type dueness int

const (
	touchNone  dueness = iota // the recorded use is young enough: the deadline holds without a write
	touchAsync                // past half the window: written without waiting, so that later uses need not wait
	touchSync                 // past the window: written before the answer
)

// lastSeenWindow is how exact the last use of a session is recorded whose timers no use moves.
const lastSeenWindow = time.Minute

// dueness tells what a use now needs. Each deadline is the last recorded use, or activity, + timeout + window, so a use
// within the window is covered by what is recorded already: a session never ends early, and at most the window late.
func (r *sessionRecord) dueness(u rules, nowMS int64, tickle bool) dueness {
	p := u.policy
	if tickle && !r.Permanent && p != nil && p.NoTickle {
		return touchNone
	}
	t := r.timersNow(u)
	recorded, timed := r.LastActivityMS, !r.Permanent && (t.IdleMS != 0 || t.InactivityMS != 0)
	if tickle {
		recorded, timed = r.LastUseMS, !r.Permanent && t.IdleMS != 0
	}
	since := nowMS - recorded
	switch {
	case !r.Permanent && p != nil && p.Version != r.PolicyVersion:
		return touchSync // from here on the policy's present timers hold
	case !timed && since > max(t.WindowMS, lastSeenWindow.Milliseconds()):
		return touchAsync // no promise hangs on it
	case !timed:
		return touchNone
	case t.WindowMS == 0 || since > t.WindowMS:
		return touchSync
	case since > t.WindowMS/2:
		return touchAsync
	default:
		return touchNone
	}
}

// capGraces lets no grace last beyond end, and forgets the successors of those that are over.
func (r *sessionRecord) capGraces(endMS, nowMS int64) {
	for i := range r.Retired {
		k := &r.Retired[i]
		if k.GraceMS = min(k.GraceMS, endMS); k.GraceMS <= nowMS {
			k.GraceMS, k.Sealed = 0, nil
		}
	}
}

func (r *sessionRecord) findRetired(h session.KeyHash) int {
	for i := range r.Retired {
		if r.Retired[i].Hash.Equal(h) {
			return i
		}
	}
	return -1
}
