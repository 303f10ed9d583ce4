package fsm

import (
	"bytes"

	"github.com/hydrastore/hydrastore/session"
)

// ownerSessions are a user's or an address's sessions under one policy.
type ownerSessions struct {
	s          *state
	kind       int
	user       uint32
	address    [16]byte
	policy     uint8
	permanents bool // the permanent ones count
}

func (o ownerSessions) tree(permanent bool) (ownerTree, uint32) {
	if o.kind == ofUser {
		return o.s.sessions.tree(ofUser), *o.s.users.links.at(o.user).root(permanent)
	}
	return o.s.sessions.tree(ofAddress), o.s.addressRoot(o.address)
}

func (o ownerSessions) under(permanent bool) ownerRange {
	tree, root := o.tree(permanent)
	return tree.under(root, kinOf(o.policy, permanent))
}

func (o ownerSessions) count() int { return int(o.under(false).count) + o.lasting() }

func (o ownerSessions) lasting() int {
	if !o.permanents {
		return 0
	}
	return int(o.under(true).count)
}

func (o ownerSessions) has(r *sessionRec) bool {
	return r.policy == o.policy && (o.permanents || !r.permanent()) &&
		(o.kind == ofUser && r.user == o.user || o.kind == ofAddress && r.address == o.address)
}

func (o ownerSessions) victim(on session.OnLimit) uint32 {
	if on == session.OnLimitIdle {
		return o.under(false).idle
	}
	return o.under(false).first
}

// dead looks at the sessions one by one, unless it is known that all of them live. Permanent ones are never due.
func (o ownerSessions) dead(session.OnLimit) (slot uint32, known bool) {
	if o.s.room.backlog || o.kind == ofAddress && o.s.sessions.condemned > 0 {
		if slot, known = o.look(false); slot != 0 || !known {
			return slot, known
		}
	}
	if o.permanents && o.kind == ofAddress && o.s.sessions.doomed > 0 {
		return o.look(true)
	}
	return 0, true
}

func (o ownerSessions) look(permanent bool) (slot uint32, known bool) {
	work := &o.s.room
	tree, root := o.tree(permanent)
	known = tree.each(root, kinOf(o.policy, permanent), func(at uint32) bool {
		if work.looks--; work.looks < 0 {
			return false
		}
		if !o.s.alive(at) {
			slot = at
		}
		return slot == 0
	})
	return slot, known || slot != 0
}

// policySessions are all sessions under one policy.
type policySessions struct {
	s          *state
	policy     uint8
	permanents bool // the permanent ones count
}

func (p policySessions) some() []*policy { return p.s.policies.byIndex[p.policy : p.policy+1] }

func (p policySessions) has(r *sessionRec) bool {
	return r.policy == p.policy && (p.permanents || !r.permanent())
}

func (p policySessions) count() int { return p.s.policies.byIndex[p.policy].standing + p.lasting() }

func (p policySessions) lasting() int {
	if !p.permanents {
		return 0
	}
	return p.s.policies.byIndex[p.policy].lasting
}

func (p policySessions) victim(o session.OnLimit) uint32 { return p.s.headOf(p.some(), o) }

func (p policySessions) dead(o session.OnLimit) (uint32, bool) { return p.s.deadOf(p.some(), o), true }

// allSessions are all of the cluster that are not permanent.
type allSessions struct{ s *state }

func (a allSessions) has(r *sessionRec) bool { return !r.permanent() }

func (a allSessions) count() int { return a.s.sessions.standing }

func (a allSessions) lasting() int { return 0 }

func (a allSessions) victim(o session.OnLimit) uint32 { return a.s.headOf(a.s.policies.all(), o) }

func (a allSessions) dead(o session.OnLimit) (uint32, bool) {
	return a.s.deadOf(a.s.policies.all(), o), true
}

// deadOf finds the session of some policies that is due first, or else, where one is to be evicted, the dead one that stands in the way.
func (s *state) deadOf(some []*policy, o session.OnLimit) uint32 {
	if s.room.backlog {
		if d, ok := firstOf(some); ok && d.deadline <= s.clock {
			return d.slot
		}
	}
	if s.sessions.condemned > 0 && o.Evicts() {
		if head := s.headOf(some, o); head != 0 && !s.alive(head) {
			return head
		}
	}
	return 0
}

// headOf returns the session of some policies that was created first or unused for longest; of those in the same millisecond the one of
// the lowest id. 0 = there is none.
func (s *state) headOf(some []*policy, o session.OnLimit) (head uint32) {
	var first int64
	consider := func(heap *deadlineHeap) {
		slot, key, ok := heap.min()
		if ok && (head == 0 || key < first || key == first && bytes.Compare(s.idOf(slot), s.idOf(head)) < 0) {
			head, first = slot, key
		}
	}
	for _, p := range some {
		switch {
		case p == nil:
		case o == session.OnLimitIdle:
			consider(&p.idle)
			consider(&p.recent)
		default:
			consider(&p.absolute)
		}
	}
	return head
}

func (s *state) idOf(slot uint32) []byte { return s.sessions.recs.at(slot).id[:] }
