package node_test

import (
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

// TestAPolicyChangeIsInForceEverywhereWhenItIsAnswered: living sessions follow it at the other nodes from the first read after the answer on, and so
// do log-ins.
func TestAPolicyChangeIsInForceEverywhereWhenItIsAnswered(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, nil)
	app := c.service(0)
	c.policy(0, "web", session.PolicyChange{IdleTimeout: ptr(time.Hour), TouchWindow: ptr(time.Duration(0))})
	living := c.vouch(app, 1, "web")
	for round := range 30 {
		idle := time.Duration(round+1) * time.Minute
		if _, err := c.nodes[round%3].PatchPolicy(t.Context(), session.Call{Operator: true}, "web", session.PolicyChange{IdleTimeout: &idle}); err != nil {
			t.Fatal(err)
		}
		for _, other := range []int{(round + 1) % 3, (round + 2) % 3} {
			got, err := c.nodes[other].Check(t.Context(), with(living.Key), true)
			if err != nil {
				t.Fatalf("round %d: node %d: %v", round, other+1, err)
			}
			if got.IdleTimeout != idle || got.ExpiresAt.Sub(got.LastUsedAt) != idle {
				t.Errorf("round %d: at node %d the session has %v and ends %v after its use, want %v", round, other+1, got.IdleTimeout, got.ExpiresAt.Sub(got.LastUsedAt), idle)
			}
			if fresh := c.vouch(app, other, "web"); fresh.IdleTimeout != idle {
				t.Errorf("round %d: a log-in at node %d has %v, want %v", round, other+1, fresh.IdleTimeout, idle)
			}
		}
	}
}
