package cluster

import "sync"

// leadershipState holds the newest leadership that the log tells of, and wakes
// those who wait for a change. Whether it still holds is judged when it is read:
// see Cluster.Leadership.
type leadershipState struct {
	mu      sync.Mutex
	current Leadership
	changed chan struct{}
}

func newLeadershipState() *leadershipState {
	return &leadershipState{changed: make(chan struct{})}
}

// get returns the leadership and a channel that closes at the next change.
func (s *leadershipState) get() (Leadership, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current, s.changed
}

// set records a leadership and wakes the waiters.
func (s *leadershipState) set(l Leadership) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = l
	close(s.changed)
	s.changed = make(chan struct{})
}

// touch wakes the waiters: what this node makes of the leadership has changed.
func (s *leadershipState) touch() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
}
