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
	users    int // accounts that name it
	standing int // sessions recorded, neither permanent nor condemned
	lasting  int // the same, and permanent

	uses       timer // idle timeout + touch window
	activities timer // inactivity timeout + time to be asked + touch window
	lifetime   int64 // absolute; forever = none

	// steps are the shorter lifetimes of sessions created earlier, oldest first, lifetimes ascending: an end
	// may come nearer, never further.
	steps  []lifetimeStep
	bornMS int64 // the latest creation under this policy

	idle       deadlineHeap // by last use: sessions that have no idle timeout of their own
	own        deadlineHeap // by their end through it: those that have one
	recent     deadlineHeap // by last use: those that are not in idle, for limits
	absolute   deadlineHeap // by creation: all that are not permanent
	inactive   deadlineHeap // by last activity: those whose place among the former does not tell it
	permanents int
}

// lifetimeStep says that sessions created at or before throughMS live no longer than lifetime.
type lifetimeStep struct {
	throughMS int64
	lifetime  int64
}

func newPolicy(p session.Policy, s *sessions) *policy {
	n := &policy{
		uses: timer{lapsed: noLapse}, activities: timer{lapsed: noLapse},
		idle: deadlineHeap{sessions: s}, absolute: deadlineHeap{sessions: s, which: 1}, inactive: deadlineHeap{sessions: s, which: 2},
		own: deadlineHeap{sessions: s}, recent: deadlineHeap{sessions: s, which: 3},
	}
	n.setTimers(p)
	return n
}

func (p *policy) setTimers(n session.Policy) {
	p.Policy = n
	p.uses.span, p.activities.span, p.lifetime = spans(n)
}

// spans are for how long a session may live after its recorded use, activity and creation; forever = that timer is off.
func spans(p session.Policy) (use, activity, lifetime int64) {
	use, activity, lifetime = forever, forever, forever
	if p.IdleTimeout > 0 {
		use = (p.IdleTimeout + p.EffectiveTouchWindow()).Milliseconds()
	}
	if p.InactivityTimeout > 0 {
		activity = (p.InactivityTimeout + session.PromptPeriod + p.EffectiveTouchWindow()).Milliseconds()
	}
	if p.AbsoluteLifetime > 0 {
		lifetime = p.AbsoluteLifetime.Milliseconds()
	}
	return use, activity, lifetime
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

// change puts new timers in force for all sessions, living ones too, without a walk. False: too many earlier
// lifetimes are in force; nothing has changed. atNodes tells that sessions live where nobody sees them from here: there may be one of every age.
func (p *policy) change(n session.Policy, clock int64, atNodes bool) bool {
	use, activity, lifetime := spans(n)
	if !p.changeLifetime(lifetime, clock, atNodes) {
		return false
	}
	_, oldest, any := p.idle.min()
	if atNodes {
		oldest, any = 0, true
	}
	p.uses.change(use, clock, oldest, any)
	if _, inactive, some := p.inactive.min(); some && (!any || inactive < oldest) {
		oldest, any = inactive, true
	}
	p.activities.change(activity, clock, oldest, any)
	p.setTimers(n)
	return true
}

// changeLifetime keeps the shorter lifetimes that sessions have had since they were created.
func (p *policy) changeLifetime(lifetime, clock int64, atNodes bool) bool {
	steps, born := p.steps, p.bornMS
	_, oldest, any := p.absolute.min()
	if atNodes {
		oldest, any, born = 0, true, max(born, clock)
	}
	for len(steps) > 0 && (!any || steps[0].throughMS < oldest) {
		steps = steps[1:]
	}
	for len(steps) > 0 && steps[len(steps)-1].lifetime >= lifetime {
		steps = steps[:len(steps)-1]
	}
	steps = slices.Clone(steps)
	covered := len(steps) > 0 && steps[len(steps)-1].throughMS >= born
	if lifetime > p.lifetime && any && !covered {
		if len(steps) == maxLifetimeSteps {
			return false
		}
		steps = append(steps, lifetimeStep{throughMS: born, lifetime: p.lifetime})
	}
	p.steps, p.bornMS = steps, born
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

func (p *policy) windowMS() int64 { return p.EffectiveTouchWindow().Milliseconds() }

// policies holds at most session.MaxPolicies policies. A policy keeps its index while it lives; sessions and users name it by that.
type policies struct {
	byIndex [session.MaxPolicies]*policy
	n       int
	top     int // all indexes in use are below
}

// all returns the policies by index, nil where there is none.
func (ps *policies) all() []*policy { return ps.byIndex[:ps.top] }

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
}

// first returns the session that ends first, in the total order (deadline, session id) over all policies.
//
// Why the order is exact. A session s ends through idleness at I(s), through inactivity at J(s), through age at A(s); its deadline is
// the least of them. Each heap's items have ends that are a strictly rising function of the key where they are finite: timer.end adds a
// constant on either side of lapsed and the smaller one below it, the lifetimes of steps ascend, and in own the key is the end.
// So a heap's order (key, id) is the order (end, id), and its first item is its least pair. J is found in the heap of last uses for
// sessions whose last use was an activity. For the others that heap says something later than J(s), which is harmless, because
// the heap of last activities says J(s) itself. So the least of the heads' pairs is the least of all pairs (I, id), (J, id) and (A, id),
// and thus the least (deadline, id). Nothing here depends on how the heaps came to be.
func (ps *policies) first() (d due, ok bool) { return firstOf(ps.all()) }

// firstOf is first over some of the policies.
func firstOf(some []*policy) (d due, ok bool) {
	d.deadline = forever
	var id []byte
	consider := func(p *policy, slot uint32, deadline int64) {
		if deadline == forever || deadline > d.deadline {
			return
		}
		cid := p.absolute.sessions.recs.at(slot).id[:]
		if !ok || deadline < d.deadline || bytes.Compare(cid, id) < 0 {
			d, id, ok = due{slot, deadline}, cid, true
		}
	}
	for _, p := range some {
		if p == nil {
			continue
		}
		if slot, end, any := p.own.min(); any {
			consider(p, slot, end)
		}
		if slot, created, any := p.absolute.min(); any {
			consider(p, slot, p.absoluteEnd(created))
		}
		if slot, use, any := p.idle.min(); any {
			consider(p, slot, min(p.uses.end(use), p.activities.end(use)))
		}
		if slot, activity, any := p.inactive.min(); any {
			consider(p, slot, p.activities.end(activity))
		}
	}
	return d, ok
}
