package node_test

import (
	"sync"
	"time"
)

// fakeClock is a clock that tests set. Its monotonic part runs with the machine's unless it is frozen.
type fakeClock struct {
	mu     sync.Mutex
	frozen bool
	step   time.Duration // that a frozen clock goes on by at each look at its monotonic part
	start  time.Time
	wall   time.Duration // error of the wall clock
	mono   time.Duration // added to the monotonic clock and to the wall clock
}

func newFakeClock() *fakeClock   { return &fakeClock{start: time.Now()} }
func newFrozenClock() *fakeClock { return &fakeClock{start: time.Now(), frozen: true} }

func (c *fakeClock) Wall() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.start.Add(c.elapsedLocked() + c.wall)
}

func (c *fakeClock) Monotonic() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mono += c.step
	return c.elapsedLocked()
}

func (c *fakeClock) elapsedLocked() time.Duration {
	if c.frozen {
		return c.mono
	}
	return time.Since(c.start) + c.mono
}

// advance lets time pass.
func (c *fakeClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mono += d
}

// advanceTogether lets time pass for clocks of one cluster. Nobody sees some of them moved and others not: those would be wrong clocks.
func advanceTogether(clocks []*fakeClock, d time.Duration) {
	for _, c := range clocks {
		c.mu.Lock()
		defer c.mu.Unlock()
	}
	for _, c := range clocks {
		c.mono += d
	}
}

// freezeTogether stops clocks: from here on time passes by advance alone, however long the machine takes. A microsecond passes at each look, so that
// nodes can still tell what came first.
func freezeTogether(clocks []*fakeClock) {
	for _, c := range clocks {
		c.mu.Lock()
		defer c.mu.Unlock()
	}
	now := time.Now()
	for _, c := range clocks {
		if !c.frozen {
			c.mono, c.frozen, c.step = c.mono+now.Sub(c.start), true, time.Microsecond
		}
	}
}

// setWallError makes the time of day wrong by d.
func (c *fakeClock) setWallError(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall = d
}
