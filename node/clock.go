package node

import "time"

// Clock is a node's own sense of time, replaced in tests. Nothing that is decided in the state machine looks at it:
// it only feeds the time that a leader writes into the log (see timekeeper).
type Clock interface {
	// Wall returns the time of day; it may be wrong and may jump.
	Wall() time.Time
	// Monotonic returns the time since some fixed moment; it never goes back.
	Monotonic() time.Duration
}

// systemClock is the machine's clock.
type systemClock struct{ start time.Time }

// SystemClock returns the machine's clock.
func SystemClock() Clock { return systemClock{start: time.Now()} }

func (c systemClock) Wall() time.Time          { return time.Now() }
func (c systemClock) Monotonic() time.Duration { return time.Since(c.start) }
