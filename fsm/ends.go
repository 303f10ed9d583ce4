package fsm

import (
	"encoding/binary"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

// What a session's flags say.
const (
	sessionPermanent = 1 << iota // no timer ends it
	sessionOwnIdle               // it has an idle timeout of its own: see extras
	sessionTickled               // its last recorded use was a tickle: see extras
	sessionBound                 // to its address, whatever its policy says

	allSessionFlags = sessionPermanent | sessionOwnIdle | sessionTickled | sessionBound
)

func (r *sessionRec) permanent() bool { return r.flags&sessionPermanent != 0 }
func (r *sessionRec) ownIdle() bool   { return r.flags&sessionOwnIdle != 0 }
func (r *sessionRec) tickled() bool   { return r.flags&sessionTickled != 0 }

// extras are what few sessions have, kept in the arena. A session without own idle timeout and whose last recorded use was an
// activity has none.
type extras struct {
	idleMS, windowMS int64 // with sessionOwnIdle; idleMS 0 = no idle timeout
	activityMS       int64 // with sessionTickled: the last recorded use that was no tickle
}

const extrasBytes = 3 * 8

func (s *state) extrasOf(r *sessionRec) extras { return parseExtras(s.arena.get(r.extras)) }

func parseExtras(b []byte) (x extras) {
	if len(b) != extrasBytes {
		return x
	}
	x.idleMS = int64(binary.LittleEndian.Uint64(b))
	x.windowMS = int64(binary.LittleEndian.Uint64(b[8:]))
	x.activityMS = int64(binary.LittleEndian.Uint64(b[16:]))
	return x
}

// setExtras stores what the record's flags say that it has.
func (s *state) setExtras(r *sessionRec, x extras) {
	s.arena.drop(r.extras, s.shared)
	r.extras = 0
	if r.flags&(sessionOwnIdle|sessionTickled) != 0 {
		var b [extrasBytes]byte
		r.extras = s.arena.put(appendUints(b[:0], uint64(x.idleMS), uint64(x.windowMS), uint64(x.activityMS)))
	}
}

// ownIdle converts an idle timeout; false when no session can have it.
func ownIdle(ms int64) (time.Duration, bool) {
	if ms < 0 || ms > session.MaxTimeout.Milliseconds() {
		return 0, false
	}
	idle := time.Duration(ms) * time.Millisecond
	return idle, session.ValidateOwnIdleTimeout(idle) == nil
}

// ownEnd is when a session with an idle timeout of its own ends through it. No change of its policy moves it.
func (x extras) ownEnd(lastUse int64) int64 {
	if x.idleMS == 0 {
		return forever
	}
	return lastUse + x.idleMS + x.windowMS
}

// ends are the instants at which a session ends through each of its timers.
type ends struct{ idle, inactive, absolute int64 }

func (e ends) first() int64 { return min(e.idle, e.inactive, e.absolute) }

// cause names the timer that ends the session first.
func (e ends) cause() Cause {
	switch e.first() {
	case e.absolute:
		return CauseAbsolute
	case e.idle:
		return CauseIdle
	}
	return CauseInactive
}

func (s *state) endsOf(r *sessionRec) ends {
	p := s.policies.byIndex[r.policy]
	if r.flags == 0 {
		return ends{p.uses.end(r.lastUseMS), p.activities.end(r.lastUseMS), p.absoluteEnd(r.createdMS)}
	}
	if r.permanent() {
		return ends{forever, forever, forever}
	}
	x := s.extrasOf(r)
	e := ends{p.uses.end(r.lastUseMS), p.activities.end(r.lastActivity(x)), p.absoluteEnd(r.createdMS)}
	if r.ownIdle() {
		e.idle = x.ownEnd(r.lastUseMS)
	}
	return e
}

func (s *state) deadline(r *sessionRec) int64 { return s.endsOf(r).first() }

func (r *sessionRec) lastActivity(x extras) int64 {
	if r.tickled() {
		return x.activityMS
	}
	return r.lastUseMS
}

// idleMS is the idle timeout that the session follows, 0 when there is none.
func (s *state) idleMS(r *sessionRec) int64 {
	switch {
	case r.permanent():
		return 0
	case r.ownIdle():
		return s.extrasOf(r).idleMS
	}
	return s.policies.byIndex[r.policy].IdleTimeout.Milliseconds()
}

func (s *state) inactivityMS(r *sessionRec) int64 {
	if r.permanent() {
		return 0
	}
	return s.policies.byIndex[r.policy].InactivityTimeout.Milliseconds()
}

// windowMS is the session's touch window: within it all its timers cover uses that are not recorded.
func (s *state) windowMS(r *sessionRec) int64 {
	window := s.policies.byIndex[r.policy].windowMS()
	if x := s.extrasOf(r); r.ownIdle() && x.idleMS != 0 {
		window = min(window, x.windowMS)
	}
	return window
}

// arm puts a session into the heaps that its timers need. A permanent one stands in none.
func (s *state) arm(slot uint32) {
	r := s.sessions.recs.at(slot)
	p := s.policies.byIndex[r.policy]
	if r.permanent() {
		p.permanents++
		return
	}
	p.absolute.push(slot, r.createdMS)
	x := s.extrasOf(r)
	switch {
	case !r.ownIdle():
		p.idle.push(slot, r.lastUseMS)
	case x.idleMS != 0:
		p.own.push(slot, x.ownEnd(r.lastUseMS))
	}
	if r.ownIdle() || r.tickled() {
		p.inactive.push(slot, r.lastActivity(x))
	}
	if r.ownIdle() {
		p.recent.push(slot, r.lastUseMS)
	}
}

func (s *state) disarm(slot uint32) {
	r := s.sessions.recs.at(slot)
	p := s.policies.byIndex[r.policy]
	if r.permanent() {
		p.permanents--
		return
	}
	p.absolute.remove(slot)
	switch {
	case !r.ownIdle():
		p.idle.remove(slot)
	case s.extrasOf(r).idleMS != 0:
		p.own.remove(slot)
	}
	if r.ownIdle() || r.tickled() {
		p.inactive.remove(slot)
	}
	if r.ownIdle() {
		p.recent.remove(slot)
	}
}

// use records an activity at the clock, or a tickle. Only a session judged alive may be used: a use revives nothing.
//
// Where nothing but use ends sessions a tickle is as good as an activity, and is recorded as one: so all sessions have an activity to
// count from when their policy gets an inactivity timeout.
func (s *state) use(slot uint32, tickle bool) {
	r := s.mutSession(slot)
	p := s.policies.byIndex[r.policy]
	if r.permanent() {
		s.usedAt(slot, max(r.lastUseMS, s.clock))
		return
	}
	if tickle && p.NoTickle {
		return
	}
	if tickle = tickle && p.InactivityTimeout > 0; !tickle {
		s.noteActivity(slot, r, p)
	} else if s.clock > r.lastUseMS {
		s.noteTickle(slot, r, p)
	}
	if s.clock <= r.lastUseMS {
		return
	}
	s.usedAt(slot, s.clock)
	if !r.ownIdle() {
		p.idle.later(slot, s.clock)
		return
	}
	p.recent.later(slot, s.clock)
	if x := s.extrasOf(r); x.idleMS != 0 {
		p.own.later(slot, x.ownEnd(s.clock))
	}
}

// noteActivity makes the clock the session's last activity: use makes it the last use, which then stands for both.
func (s *state) noteActivity(slot uint32, r *sessionRec, p *policy) {
	if r.ownIdle() {
		p.inactive.later(slot, s.clock)
	}
	if !r.tickled() {
		return
	}
	if !r.ownIdle() {
		p.inactive.remove(slot)
	}
	x := s.extrasOf(r)
	x.activityMS = 0
	r.flags &^= sessionTickled
	s.setExtras(r, x)
}

// noteTickle keeps the last activity apart before use moves the last use.
func (s *state) noteTickle(slot uint32, r *sessionRec, p *policy) {
	if r.tickled() {
		return
	}
	if !r.ownIdle() {
		p.inactive.push(slot, r.lastUseMS)
	}
	x := s.extrasOf(r)
	x.activityMS = r.lastUseMS
	r.flags |= sessionTickled
	s.setExtras(r, x)
}

// useSparingly records an activity if half of the touch window has passed since the last recorded one. Until the whole of it has,
// the deadlines cover uses that are not recorded.
func (s *state) useSparingly(slot uint32) {
	r := s.sessions.recs.at(slot)
	if s.clock-r.lastActivity(s.extrasOf(r)) > s.windowMS(r)/2 {
		s.use(slot, false)
	}
}

// binding is what the address of a session's log-in means for it.
func (s *state) binding(r *sessionRec) session.AddressBinding {
	if r.flags&sessionBound != 0 {
		return session.BindStrict
	}
	return s.policies.byIndex[r.policy].BindAddress
}

// bound tells whether a key may be presented at an address: 16 bytes, or none when it is not known.
func (s *state) bound(slot uint32, address []byte) bool {
	r := s.sessions.recs.at(slot)
	return s.binding(r) != session.BindStrict || r.address == ([16]byte{}) || string(r.address[:]) == string(address)
}
