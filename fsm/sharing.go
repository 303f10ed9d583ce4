package fsm

import (
	"slices"
	"sync"
)

// sharing knows which snapshots of a state are running. Snapshots end on their own goroutines; the state asks once per entry,
// so that a snapshot counts as running for the whole of an entry.
type sharing struct {
	mu      sync.Mutex
	last    uint64
	running []uint64 // ascending
}

// begin registers a new snapshot.
func (s *sharing) begin() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	s.running = append(s.running, s.last)
	return s.last
}

// end forgets a snapshot; a second time it does nothing.
func (s *sharing) end(generation uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i, found := slices.BinarySearch(s.running, generation); found {
		s.running = slices.Delete(s.running, i, i+1)
	}
}

// bounds returns the oldest and the newest running snapshot, 0 and 0 when there is none.
func (s *sharing) bounds() (oldest, newest uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.running) == 0 {
		return 0, 0
	}
	return s.running[0], s.running[len(s.running)-1]
}
