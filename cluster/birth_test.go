package cluster_test

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestBirthOfThree(t *testing.T) {
	t.Parallel()
	nodes := born(t, nil)
	id := nodes[0].ClusterID()
	for _, n := range nodes {
		if got := n.ClusterID(); got != id || id == "" {
			t.Errorf("cluster id %q, want %q", got, id)
		}
	}
	index := write(t, 7, nodes...)
	for _, n := range nodes {
		if err := n.WaitApplied(t.Context(), index); err != nil {
			t.Fatal(err)
		}
		if !n.sm.has(7) {
			t.Errorf("node %s has not applied the write", n.NodeID())
		}
	}
	got, epoch, err := leaderOf(t, nodes...).ReadIndex(t.Context())
	if err != nil || got < index || epoch == 0 {
		t.Errorf("ReadIndex = %d, %d, %v; want at least %d", got, epoch, err, index)
	}
}
