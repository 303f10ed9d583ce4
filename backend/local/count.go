package local

import (
	"sync"

	"github.com/hydrastore/hydrastore/backend"
)

// counts are how many records of each kind the folder holds.
type counts struct {
	mu sync.Mutex
	of map[backend.Kind]int
}

func (c *counts) add(kind backend.Kind, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = map[backend.Kind]int{}
	}
	c.of[kind] += n
}

// Count tells how many records of a kind the folder holds, without looking at them: those that are dead and not taken away yet are among them.
func (s *Store) Count(kind backend.Kind) int {
	s.counts.mu.Lock()
	defer s.counts.mu.Unlock()
	return s.counts.of[kind]
}
