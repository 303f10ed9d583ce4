package cluster_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/cluster"
)

// benchCluster returns a running cluster of three with production timeouts.
func benchCluster(b *testing.B) (leader *cluster.Cluster, follower *cluster.Cluster) {
	b.Helper()
	addrs := []string{freeAddress(b), freeAddress(b), freeAddress(b)}
	var nodes []*cluster.Cluster
	for _, addr := range addrs {
		cfg := testConfig(b)
		cfg.PeerListen, cfg.Join, cfg.BootstrapExpect = addr, addrs, 3
		cfg.ElectionTimeout = 2 * time.Second
		c, err := cluster.Open(cfg, new(register))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = c.Shutdown(b.Context()) })
		if err := c.Start(b.Context()); err != nil {
			b.Fatal(err)
		}
		nodes = append(nodes, c)
	}
	for leader == nil {
		for i, c := range nodes {
			if _, ok := c.Leading(); ok {
				leader, follower = c, nodes[(i+1)%3]
			}
		}
		time.Sleep(time.Millisecond)
	}
	return leader, follower
}

// BenchmarkReadIndex: the leader asks the voters itself.
func BenchmarkReadIndex(b *testing.B) {
	leader, _ := benchCluster(b)
	for b.Loop() {
		if _, _, err := leader.ReadIndex(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReadIndexShared: many callers share the rounds.
func BenchmarkReadIndexShared(b *testing.B) {
	leader, _ := benchCluster(b)
	b.ResetTimer()
	b.SetParallelism(64)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, _, err := leader.ReadIndex(b.Context()); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkReadIndexWithVote: a follower's own vote makes the majority.
func BenchmarkReadIndexWithVote(b *testing.B) {
	leader, follower := benchCluster(b)
	for b.Loop() {
		vote := cluster.Vote{NodeID: follower.NodeID(), Term: follower.Term()}
		if _, _, err := leader.ReadIndex(b.Context(), vote); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPropose: entries of 512 bytes from 64 callers.
func BenchmarkPropose(b *testing.B) {
	leader, _ := benchCluster(b)
	data := make([]byte, 512)
	var failed atomic.Uint64
	b.ResetTimer()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			p := leader.Propose(data)
			if <-p.Done(); p.Err() != nil {
				failed.Add(1)
			}
		}
	})
	if n := failed.Load(); n > 0 {
		b.Errorf("%d proposals failed", n)
	}
}
