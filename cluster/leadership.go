package cluster

import "sync"

// leadershipState holds the newest leadership and wakes those who wait for the
// next one.
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

// touch wakes the waiters: this node's own part has changed. On taking office
// the old leadership is forgotten; on losing it, this node's own.
func (s *leadershipState) touch(gained bool) {
	l, _ := s.get()
	if gained || l.Self {
		l = Leadership{}
	}
	s.set(l)
}
