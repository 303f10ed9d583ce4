package cluster_test

import (
	"context"
	"sync"
	"testing"
	"time"
)

// TestNodesThatStopTogether do not wait for each other's answers: a Raft that has ended gives none, and the time in which one must come is long here.
func TestNodesThatStopTogether(t *testing.T) {
	t.Parallel()
	for range 10 {
		nodes := several(t, nil, 3)
		for _, n := range nodes {
			n.kill()
			n.cfg.ElectionTimeout = longWait
			n.reopen()
			n.start()
		}
		leaderOf(t, nodes...)
		settled(t, nodes...)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second) // for the leader to hand over, while others stop
		var work sync.WaitGroup
		for _, n := range nodes {
			n.dead = true
			work.Go(func() {
				if err := n.Shutdown(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		work.Wait()
		cancel()
	}
}
