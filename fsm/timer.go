package fsm

// timer is one of a policy's timers that recorded uses move. It tells when a session ends by the instant that was recorded, and keeps
// what a change of the policy has left due.
type timer struct {
	span int64 // forever = none

	// Sessions recorded at or before lapsed were due when a change gave the timer a longer span. They stay dead, with lapsedSpan
	// (the shortest that any of them had) as their span. They are ended soon; none are there when lapsed is before all records.
	lapsed     int64
	lapsedSpan int64
}

// noLapse is before every record.
const noLapse = int64(-1)

// end is when a session recorded then ends through this timer. It never falls as recorded rises, and rises strictly where it is finite.
func (t *timer) end(recorded int64) int64 {
	switch {
	case recorded <= t.lapsed:
		return recorded + min(t.lapsedSpan, t.span)
	case t.span == forever:
		return forever
	}
	return recorded + t.span
}

// change gives the timer another span and keeps dead what was due under the old one. oldest is the least record of any session
// that follows the timer; any is false when there is none.
func (t *timer) change(span, clock, oldest int64, any bool) {
	if !any || oldest > t.lapsed {
		t.lapsed, t.lapsedSpan = noLapse, 0
	}
	if span > t.span && any && oldest <= clock-t.span {
		if t.lapsed == noLapse {
			t.lapsedSpan = t.span
		}
		t.lapsedSpan = min(t.lapsedSpan, t.span)
		t.lapsed = max(t.lapsed, clock-t.span)
	}
	t.span = span
}
