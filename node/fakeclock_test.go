package node_test

import (
	"sync"
	"time"
)

// fakeClock is a clock that tests set. Its monotonic part runs with the machine's unless it is frozen.
type fakeClock struct {
	mu     sync.Mutex
	frozen bool
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

// setWallError makes the time of day wrong by d.
func (c *fakeClock) setWallError(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall = d
}
