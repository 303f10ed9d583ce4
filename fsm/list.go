package fsm

import "github.com/hydrastore/hydrastore/session"

// MaxScan bounds how many sessions one call of ListSessions looks at, so that applies do not wait for it.
const MaxScan = 1024

// ListSessions returns living sessions that match f, in the order of creation: those with afterSeq < Seq ≤ maxSeq (0 = no
// bound), at most limit of them, looking at no more than scanBudget (at most MaxScan). done tells that there are no more; otherwise
// the list goes on after nextSeq, and items may be empty.
func (m *Machine) ListSessions(f session.Filter, afterSeq, maxSeq uint64, limit, scanBudget int) (items []Record, nextSeq uint64, done bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	l := listing{s: m.state, maxSeq: maxSeq, nextSeq: afterSeq}
	if maxSeq == 0 {
		l.maxSeq = m.state.sessions.lastSeq
	}
	l.budget = max(2, min(scanBudget, MaxScan))
	l.limit = max(1, min(limit, session.MaxPageSize))
	if l.done = !l.resolve(f); !l.done {
		l.run()
	}
	return l.items, l.nextSeq, l.done
}

// listing is one call of ListSessions. It walks one of the user's rings or the address's when the filter names one, otherwise
// all sessions.
type listing struct {
	s       *state
	maxSeq  uint64
	budget  int
	limit   int
	matches []func(*sessionRec) bool

	head   uint32 // of the ring; 0 = all sessions
	next   func(*sessionLinks) uint32
	member func(*sessionRec) bool // of the ring

	items   []Record
	nextSeq uint64
	done    bool
}

// resolve turns names into slots; false = nothing can match.
func (l *listing) resolve(f session.Filter) bool {
	s := l.s
	l.matches = append(l.matches, func(r *sessionRec) bool { return r.permanent() == f.Permanent })
	if f.Policy != "" {
		index, p := s.policies.find(f.Policy)
		if p == nil {
			return false
		}
		l.matches = append(l.matches, func(r *sessionRec) bool { return r.policy == index })
	}
	if f.IdleLongerThan > 0 {
		latest := s.clock - f.IdleLongerThan.Milliseconds()
		l.matches = append(l.matches, func(r *sessionRec) bool { return r.lastUseMS < latest })
	}
	if f.ClientAddress.IsValid() {
		address := f.ClientAddress.As16()
		l.head, l.next = s.findAddress(address), func(k *sessionLinks) uint32 { return k.addressNext }
		l.member = func(r *sessionRec) bool { return r.address == address }
		if l.head == 0 {
			return false
		}
		l.matches = append(l.matches, l.member)
	}
	if f.User != "" {
		user := s.findUser(f.User)
		if user == 0 || *s.users.links.at(user).head(f.Permanent) == 0 {
			return false
		}
		l.head, l.next = *s.users.links.at(user).head(f.Permanent), func(k *sessionLinks) uint32 { return k.userNext }
		l.member = func(r *sessionRec) bool { return r.user == user && r.permanent() == f.Permanent }
		l.matches = append(l.matches, l.member)
	}
	return true
}

func (l *listing) run() {
	if l.head == 0 {
		l.walkAll(func(uint32) bool { return false })
		return
	}
	if slot := l.startInRing(); slot != 0 || l.done {
		l.walkRing(slot)
		return
	}
	// The cursor's session has ended and the ring is long: look through all sessions for the ring's next one.
	l.walkAll(func(slot uint32) bool {
		if !l.member(l.s.sessions.recs.at(slot)) {
			return false
		}
		l.walkRing(slot)
		return true
	})
}

// startInRing finds the ring's first session after the cursor: from the cursor's session, or else from the ring's head with half of
// the budget. 0 = not found; with done there is none.
func (l *listing) startInRing() uint32 {
	ss := &l.s.sessions
	slot := l.head
	if at := ss.order.find(l.nextSeq); at != 0 && l.member(ss.recs.at(at)) {
		slot = l.follow(at)
	}
	for n := l.budget / 2; n > 0 && slot != 0; n-- {
		if ss.recs.at(slot).seq > l.nextSeq {
			return slot
		}
		l.budget--
		slot = l.follow(slot)
	}
	l.done = slot == 0
	return 0
}

// follow returns the next session in the ring, 0 after the last.
func (l *listing) follow(slot uint32) uint32 {
	if next := l.next(l.s.sessions.links.at(slot)); next != l.head {
		return next
	}
	return 0
}

func (l *listing) walkRing(slot uint32) {
	for slot != 0 {
		if !l.visit(slot) {
			return
		}
		slot = l.follow(slot)
	}
	l.done = true
}

// walkAll goes through all sessions after the cursor, until instead takes over.
func (l *listing) walkAll(instead func(slot uint32) bool) {
	order := &l.s.sessions.order
	for c := order.seek(l.nextSeq + 1); ; c = order.next(c) {
		_, slot, ok := order.get(c)
		if !ok {
			l.done = true
			return
		}
		if instead(slot) || !l.visit(slot) {
			return
		}
	}
}

// visit looks at one session; false = the call ends here.
func (l *listing) visit(slot uint32) bool {
	r := l.s.sessions.recs.at(slot)
	if l.done = r.seq > l.maxSeq; l.done || l.budget <= 0 || len(l.items) == l.limit {
		return false
	}
	l.budget--
	l.nextSeq = r.seq
	if !l.s.alive(slot) {
		return true
	}
	for _, match := range l.matches {
		if !match(r) {
			return true
		}
	}
	l.items = append(l.items, l.s.record(slot))
	return true
}
