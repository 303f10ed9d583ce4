package node

import (
	"sync"
	"time"
)

// maxPoints bounds the confirmations that wait for their index to be applied; the newest replaces the last beyond that.
const maxPoints = 64

// freshness knows how old this node's data is at most: the time since a leader was known to lead, with everything
// committed at that moment applied here.
type freshness struct {
	clock   Clock
	applied func() uint64

	mu     sync.Mutex
	points []point // ascending in both fields; the first is the newest that is applied, if any is
	any    bool    // points[0] is applied
}

// point says that everything up to commit was all there was at the moment at.
type point struct {
	at     time.Duration
	commit uint64
}

func newFreshness(c Clock, applied func() uint64) *freshness {
	return &freshness{clock: c, applied: applied}
}

// confirm tells that at a moment of this node's monotonic clock a leader led and had committed everything up to commit.
func (f *freshness) confirm(at time.Duration, commit uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := len(f.points); n > 0 && at <= f.points[n-1].at {
		return
	}
	if len(f.points) >= maxPoints {
		f.points = f.points[:maxPoints-1]
	}
	f.points = append(f.points, point{at, commit})
	f.advanceLocked()
}

// age returns the greatest possible age of this node's data; false if that is unknown since the start.
func (f *freshness) age() (time.Duration, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.advanceLocked()
	if !f.any {
		return 0, false
	}
	return max(0, f.clock.Monotonic()-f.points[0].at), true
}

func (f *freshness) advanceLocked() {
	applied := f.applied()
	for i := len(f.points) - 1; i >= 0; i-- {
		if f.points[i].commit <= applied {
			f.points, f.any = append(f.points[:0], f.points[i:]...), true
			return
		}
	}
}
