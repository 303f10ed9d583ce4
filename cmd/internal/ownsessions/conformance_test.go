package ownsessions_test

import (
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/backend/backendtest"
	"github.com/hydrastore/hydrastore/session"
)

// TestService holds a node with its own sessions to what every home of sessions promises.
func TestService(t *testing.T) {
	t.Parallel()
	for _, c := range backendtest.ServiceCases() {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			c.Run(t, harness(t, 1))
		})
	}
}

// TestServiceOfThree does the same at a follower of three.
func TestServiceOfThree(t *testing.T) {
	if testing.Short() {
		t.Skip("fifty clusters of three nodes")
	}
	t.Parallel()
	for _, c := range backendtest.ServiceCases() {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel() // each waits for elections most of its time
			c.Run(t, harness(t, 3))
		})
	}
}

func harness(t *testing.T, n int) backendtest.ServiceHarness {
	t.Helper()
	shared := &clock{begun: time.Now()}
	all := startCluster(t, n, shared)
	last := all[n-1]
	for _, m := range all {
		if status, err := m.ClusterStatus(t.Context(), session.Call{Operator: true}); err == nil && status.LeaderID != m.NodeID() {
			last = m
		}
	}
	return backendtest.ServiceHarness{Services: []session.Service{last}, Advance: shared.advance}
}
