package local

import (
	"encoding/binary"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
)

// clock is the store's own: it begins with the time of day, or with that of the last write if that is later, and goes on by the machine's monotonic
// clock. So no change of the time of day brings a session's end nearer while the server runs, and none brings back what has ended.
type clock struct {
	wall  func() time.Time
	begin time.Time // with its monotonic reading, if wall has one
	shift time.Duration

	mu   sync.Mutex
	last time.Time
}

func newClock(wall func() time.Time, lastMS int64) *clock {
	c := &clock{wall: wall, begin: wall()}
	if behind := time.UnixMilli(lastMS).Sub(c.begin); behind > 0 {
		c.shift = behind
	}
	return c
}

// ahead is how far the clock is before the time of day.
func (c *clock) ahead() time.Duration { return c.shift }

func (c *clock) now() time.Time {
	now := c.begin.Add(c.wall().Sub(c.begin) + c.shift) // by the monotonic readings
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.After(c.last) {
		c.last = now
	}
	return c.last
}

var (
	metaBucket    = []byte("meta")
	expiresBucket = []byte("expires")
	clockKey      = []byte("clock")
	toldKey       = []byte("told") // a time that is not the store's own
)

func readInstant(meta *bolt.Bucket, key []byte) int64 {
	if raw := meta.Get(key); len(raw) == 8 {
		return int64(binary.BigEndian.Uint64(raw))
	}
	return 0
}

func writeInstant(meta *bolt.Bucket, key []byte, now time.Time) error {
	return meta.Put(key, binary.BigEndian.AppendUint64(nil, uint64(now.UnixMilli())))
}

// KeepTime implements backend.TimeKeeper.
func (s *Store) KeepTime(now func() time.Time) (last time.Time) {
	s.told.Store(&now)
	if s.keptMS == 0 {
		return time.Time{}
	}
	return time.UnixMilli(s.keptMS)
}

// writeTimes keeps the time of a write, by the store's clock and by whoever has given it another.
func (s *Store) writeTimes(meta *bolt.Bucket) error {
	if told := s.told.Load(); told != nil {
		if err := writeInstant(meta, toldKey, (*told)()); err != nil {
			return err
		}
	}
	return writeInstant(meta, clockKey, s.clock.now())
}
