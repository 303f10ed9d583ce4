package fsm

import (
	"bytes"
	"slices"
	"strings"

	"github.com/hydrastore/hydrastore/session"
)

const (
	// forever is the deadline that never comes.
	forever = int64(1<<63 - 1)
	// maxLifetimeSteps bounds how many earlier absolute lifetimes of one policy are in force at once.
	maxLifetimeSteps = 64
)

// policy is a policy with what its past still means for living sessions, and its sessions in the order of their ends.
type policy struct {
	session.Policy
	users int // accounts that name it

	span     int64 // idle timeout + touch window; forever = no idle timeout
	lifetime int64 // absolute; forever = none

	// Sessions last used at or before lapsedUse were due when a change gave the policy a longer span. They stay dead, with
	// lapsedSpan (the shortest that any of them had) as their span. They are ended soon; none are there when lapsedUse is before all uses.
	lapsedUse  int64
	lapsedSpan int64

	// steps are the shorter lifetimes of sessions created earlier, oldest first, lifetimes ascending: an end
	// may come nearer, never further.
	steps  []lifetimeStep
	bornMS int64 // the latest creation under this policy

	idle     deadlineHeap // by last use
	absolute deadlineHeap // by creation
}

// lifetimeStep says that sessions created at or before throughMS live no longer than lifetime.
type lifetimeStep struct {
	throughMS int64
	lifetime  int64
}

// noLapse is before every use.
const noLapse = int64(-1)

func newPolicy(p session.Policy, s *sessions) *policy {
	n := &policy{lapsedUse: noLapse, idle: deadlineHeap{sessions: s}, absolute: deadlineHeap{sessions: s, which: 1}}
	n.setTimers(p)
	return n
}

func (p *policy) setTimers(n session.Policy) {
	p.Policy = n
	p.span, p.lifetime = forever, forever
	if n.IdleTimeout > 0 {
		p.span = (n.IdleTimeout + n.EffectiveTouchWindow()).Milliseconds()
	}
	if n.AbsoluteLifetime > 0 {
		p.lifetime = n.AbsoluteLifetime.Milliseconds()
	}
}

// idleEnd is when a session last used at lastUse ends through idleness. It never falls as lastUse rises.
func (p *policy) idleEnd(lastUse int64) int64 {
	switch {
	case lastUse <= p.lapsedUse:
		return lastUse + min(p.lapsedSpan, p.span)
	case p.span == forever:
		return forever
	}
	return lastUse + p.span
}

// absoluteEnd is when a session created then ends in any case. It never falls as created rises.
func (p *policy) absoluteEnd(created int64) int64 {
	lifetime := p.lifetime
	for _, step := range p.steps {
		if created <= step.throughMS {
			lifetime = step.lifetime
			break
		}
	}
	if lifetime == forever {
		return forever
	}
	return created + lifetime
}

func (p *policy) deadline(r *sessionRec) int64 {
	return min(p.idleEnd(r.lastUseMS), p.absoluteEnd(r.createdMS))
}

// change puts new timers in force for all sessions, living ones too, without a walk. False: too many earlier
// lifetimes are in force; nothing has changed.
func (p *policy) change(n session.Policy, clock int64) bool {
	next := policy{}
	next.setTimers(n)
	if !p.changeLifetime(next.lifetime) {
		return false
	}
	p.changeSpan(next.span, clock)
	p.setTimers(n)
	return true
}

// changeSpan keeps dead what was due under the old span.
func (p *policy) changeSpan(span, clock int64) {
	_, oldestUse, any := p.idle.min()
	if !any || oldestUse > p.lapsedUse {
		p.lapsedUse, p.lapsedSpan = noLapse, 0
	}
	if span <= p.span || !any || oldestUse > clock-p.span {
		return
	}
	if p.lapsedUse == noLapse {
		p.lapsedSpan = p.span
	}
	p.lapsedSpan = min(p.lapsedSpan, p.span)
	p.lapsedUse = max(p.lapsedUse, clock-p.span)
}

// changeLifetime keeps the shorter lifetimes that sessions have had since they were created.
func (p *policy) changeLifetime(lifetime int64) bool {
	steps := p.steps
	_, oldest, any := p.absolute.min()
	for len(steps) > 0 && (!any || steps[0].throughMS < oldest) {
		steps = steps[1:]
	}
	for len(steps) > 0 && steps[len(steps)-1].lifetime >= lifetime {
		steps = steps[:len(steps)-1]
	}
	steps = slices.Clone(steps)
	covered := len(steps) > 0 && steps[len(steps)-1].throughMS >= p.bornMS
	if lifetime > p.lifetime && any && !covered {
		if len(steps) == maxLifetimeSteps {
			return false
		}
		steps = append(steps, lifetimeStep{throughMS: p.bornMS, lifetime: p.lifetime})
	}
	p.steps = steps
	return true
}

// birth gives a new session's instant of creation: the clock, or the next millisecond that is not an earlier lifetime's.
func (p *policy) birth(clock int64) int64 {
	if n := len(p.steps); n > 0 {
		clock = max(clock, p.steps[n-1].throughMS+1)
	}
	p.bornMS = max(p.bornMS, clock)
	return clock
}

func (p *policy) idleMS() int64   { return p.IdleTimeout.Milliseconds() }
func (p *policy) windowMS() int64 { return p.EffectiveTouchWindow().Milliseconds() }

// policies holds at most session.MaxPolicies policies. A policy keeps its index while it lives; sessions and users name it by that.
type policies struct {
	byIndex [session.MaxPolicies]*policy
	n       int
	top     int // all indexes in use are below
}

func (ps *policies) find(name string) (uint8, *policy) {
	for i, p := range ps.byIndex[:ps.top] {
		if p != nil && p.Name == name {
			return uint8(i), p
		}
	}
	return 0, nil
}

// add takes the lowest free index; there must be one.
func (ps *policies) add(p *policy) {
	i := slices.Index(ps.byIndex[:], nil)
	ps.byIndex[i] = p
	ps.n++
	ps.top = max(ps.top, i+1)
}

func (ps *policies) remove(i uint8) {
	ps.byIndex[i] = nil
	ps.n--
}

// sorted returns the indexes of all policies in the order of their names.
func (ps *policies) sorted() []uint8 {
	var indexes []uint8
	for i, p := range ps.byIndex[:ps.top] {
		if p != nil {
			indexes = append(indexes, uint8(i))
		}
	}
	slices.SortFunc(indexes, func(a, b uint8) int {
		return strings.Compare(ps.byIndex[a].Name, ps.byIndex[b].Name)
	})
	return indexes
}

// due is a session and its end.
type due struct {
	slot     uint32
	deadline int64
	cause    Cause
}

// first returns the session that ends first, in the total order (deadline, session id) over all policies.
//
// Why the order is exact. Each session s stands in two heaps of its policy, with the ends I(s) by idleness and A(s) by
// age; its deadline is min(I, A). Within one heap I is a non-decreasing function of the key, strictly so where it is finite,
// because idleEnd adds a constant on either side of lapsedUse and the smaller one below it. A is likewise, because the
// lifetimes of steps ascend. So the heap's order (key, id) is the order (end, id), and its first item is its least
// pair. The least of these pairs over all heaps is the least of all pairs (I(s), id(s)) and (A(s), id(s)). For each session the
// lesser of its two pairs is (deadline, id), so the least pair of all is the least (deadline, id). Nothing here depends on how the
// heaps came to be.
func (ps *policies) first() (d due, ok bool) {
	d.deadline = forever
	var id []byte
	for _, p := range ps.byIndex[:ps.top] {
		if p == nil || p.idle.n == 0 {
			continue
		}
		slot, use, _ := p.idle.min()
		old, created, _ := p.absolute.min()
		for _, c := range [2]due{{old, p.absoluteEnd(created), CauseAbsolute}, {slot, p.idleEnd(use), CauseIdle}} {
			if c.deadline == forever || c.deadline > d.deadline {
				continue
			}
			cid := p.idle.sessions.recs.at(c.slot).id[:]
			if !ok || c.deadline < d.deadline || bytes.Compare(cid, id) < 0 {
				d, id, ok = c, cid, true
			}
		}
	}
	return d, ok
}
