package ownsessions_test

import (
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/backend/backendtest"
	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/session"
)

// TestService holds a node with its own sessions to what every home of sessions promises, and its audit trail to the beginnings and ends of all of them.
func TestService(t *testing.T) {
	t.Parallel()
	for _, c := range backendtest.ServiceCases() {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			h, m := harness(t, 1, withAudit(t.TempDir()))
			c.Run(t, h)
			m.wantEachOnce()
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
			h, _ := harness(t, 3)
			c.Run(t, h)
		})
	}
}

func harness(t *testing.T, n int, changes ...func(*node.Config)) (backendtest.ServiceHarness, *member) {
	t.Helper()
	shared := &clock{begun: time.Now()}
	all := startCluster(t, n, shared, changes...)
	last := all[n-1]
	for _, m := range all {
		if status, err := m.ClusterStatus(t.Context(), session.Call{Operator: true}); err == nil && status.LeaderID != m.NodeID() {
			last = m
		}
	}
	return backendtest.ServiceHarness{Services: []session.Service{last}, Advance: shared.advance}, last
}
