package link

import (
	"sync"
	"time"
)

// A misconfigured peer dials many times a second; its sentence is logged once in quietTime.
const (
	quietTime     = 10 * time.Second
	throttleSlots = 256 // remembered sentences; past that all are forgotten, so that strangers cannot fill memory
)

// throttle lets the same log line through only now and then.
type throttle struct {
	mu   sync.Mutex
	last map[string]time.Time
}

// allow reports whether the line may be written now.
func (t *throttle) allow(line string) bool {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if at, ok := t.last[line]; ok && now.Sub(at) < quietTime {
		return false
	}
	if t.last == nil || len(t.last) >= throttleSlots {
		t.last = make(map[string]time.Time)
	}
	t.last[line] = now
	return true
}
