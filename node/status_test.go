package node_test

import (
	"fmt"
	"testing"
)

// Every node knows of every member how far it has come, not only the leader.
func TestStatusIsCompleteAtEveryNode(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, nil)
	c.admin(0)
	for i, n := range c.nodes {
		eventually(t, fmt.Sprintf("node %d to know all", i+1), func() error {
			s, err := n.ClusterStatus(t.Context(), operator)
			if err != nil {
				return err
			}
			if len(s.Members) != 3 || !s.Healthy || s.Failures != 1 {
				return fmt.Errorf("%d members, healthy %v, %d may be lost", len(s.Members), s.Healthy, s.Failures)
			}
			for _, m := range s.Members {
				if m.Applied == 0 || m.Version == "" {
					return fmt.Errorf("member %s: applied %d, version %q", m.Name, m.Applied, m.Version)
				}
			}
			return nil
		})
	}
	for i := range c.nodes {
		c.isolate(i)
	}
	if _, err := c.nodes[0].ClusterStatus(t.Context(), operator); err != nil {
		t.Errorf("without a majority: %v", err)
	}
}
