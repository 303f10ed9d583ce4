package node

import (
	"sync"
	"time"
)

// maxSlewPPM bounds how fast leader time is pulled towards the voters' wall clocks: 500 ppm, as adjtime(3) does,
// is less than the drift that any deadline notices.
const maxSlewPPM = 500

// maxStepBack bounds, in µs, how far one message sets the continuation back: enough for the drift between two beacons many
// times over, too little for a message that was held up to matter.
const maxStepBack = 1_000

// timekeeper carries the leader's time from leader to leader.
//
// Time is not asked of a wall clock again at each election: a node remembers the newest leader time that it heard and adds its own
// monotonic time (the continuation), and a new leader goes on from the largest continuation of a majority. So a leader with a
// wrong wall clock moves no deadline.
//
// Only beacons and read-index answers count as heard. Log entries do not: a restarted node replays old ones, and
// taking those for the present would hold time back by as long as the node was down.
type timekeeper struct {
	clock Clock

	mu      sync.Mutex
	heard   bool
	epoch   uint64        // of the leader that was heard, or of the own leadership
	base    int64         // µs since the Unix epoch at monotonic time baseAt
	baseAt  time.Duration // own monotonic clock
	leading bool
	slewPPM int64
	slewFor time.Duration // how long after baseAt
}

func newTimekeeper(clock Clock) *timekeeper { return &timekeeper{clock: clock} }

// hear takes over the time of the leader of epoch, unless a newer leader was heard or this node leads.
func (t *timekeeper) hear(epoch uint64, us int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if epoch < t.epoch || (t.leading && epoch == t.epoch) {
		return
	}
	if epoch == t.epoch && t.heard {
		us = max(us, t.nowLocked()-maxStepBack)
	}
	t.heard, t.leading, t.slewPPM = true, false, 0
	t.epoch, t.base, t.baseAt = epoch, us, t.clock.Monotonic()
}

// continuation returns the newest leader time heard plus the monotonic time since, and the epoch of that leader; false if none
// was heard since the start.
func (t *timekeeper) continuation() (us int64, epoch uint64, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.nowLocked(), t.epoch, t.heard
}

// lead begins this node's leadership of epoch at the given time.
func (t *timekeeper) lead(epoch uint64, us int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if epoch < t.epoch {
		return
	}
	if t.heard {
		us = max(us, t.nowLocked())
	}
	t.heard, t.leading, t.slewPPM = true, true, 0
	t.epoch, t.base, t.baseAt = epoch, us, t.clock.Monotonic()
}

// now returns leader time in milliseconds if this node keeps it for epoch.
func (t *timekeeper) now(epoch uint64) (ms int64, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.nowLocked() / 1000, t.leading && t.epoch == epoch
}

// steer pulls leader time towards the voters' median wall clock, which is ahead by offset µs, during the next interval. Who is not called again by its end
// has pulled enough: going on would overshoot, by a second an hour.
func (t *timekeeper) steer(epoch uint64, offset int64, interval time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.leading || t.epoch != epoch {
		return
	}
	t.base, t.baseAt = t.nowLocked(), t.clock.Monotonic()
	most := interval.Microseconds() * maxSlewPPM / 1_000_000
	t.slewPPM = min(max(offset, -most), most) * 1_000_000 / interval.Microseconds()
	t.slewFor = interval
}

func (t *timekeeper) nowLocked() int64 {
	elapsed := t.clock.Monotonic() - t.baseAt
	return t.base + elapsed.Microseconds() + min(elapsed, t.slewFor).Microseconds()*t.slewPPM/1_000_000
}
