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

// Without a majority the page shows who is missing, before gossip has noticed it.
func TestStatusWithoutAMajority(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 4, nil)
	c.admin(0)
	for i := range c.nodes {
		eventually(t, fmt.Sprintf("node %d to know all", i+1), func() error {
			if s, err := c.nodes[i].ClusterStatus(t.Context(), operator); err != nil || !s.Healthy || s.Failures != 1 {
				return fmt.Errorf("healthy %v, %d may be lost, %v", s.Healthy, s.Failures, err)
			}
			return nil
		})
	}
	c.isolate(2)
	c.isolate(3)
	eventually(t, "node 1 to know no leader, and what node 2 says of itself", func() error {
		s, err := c.nodes[0].ClusterStatus(t.Context(), operator)
		if err != nil || s.LeaderID != "" {
			return fmt.Errorf("leader %q, %v", s.LeaderID, err)
		}
		if s.Healthy || s.Failures != 0 {
			t.Errorf("without a majority: healthy %v, %d may be lost", s.Healthy, s.Failures)
		}
		for _, m := range s.Members {
			switch here := m.Name == "n1" || m.Name == "n2"; {
			case !here && (m.Healthy || m.Version != ""):
				t.Errorf("member %s, which nobody hears: healthy %v, version %q", m.Name, m.Healthy, m.Version)
			case here && (!m.Healthy || m.Version == ""):
				return fmt.Errorf("member %s: healthy %v, version %q", m.Name, m.Healthy, m.Version)
			}
		}
		return nil
	})
}
