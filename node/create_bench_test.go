package node_test

import (
	"io"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/session"
)

// BenchmarkCreate256 compares batched creates with one command an entry, on the same stack: three nodes on raft-boltdb
// with every entry flushed, and 256 callers at the leader or spread over all nodes. One command an entry still has Raft's own
// group commit, of up to 64 entries a flush.
//
//	go test ./node -run '^$' -bench Create256 -benchtime 5s
func BenchmarkCreate256(b *testing.B) {
	single := node.DefaultLimits()
	single.BatchCommands, single.BatchesInFlight, single.EntriesInFlight = 1, 256, 256
	for _, where := range []string{"at_the_leader", "over_all_nodes"} {
		b.Run(where+"/batched", func(b *testing.B) { benchmarkCreate(b, node.DefaultLimits(), where) })
		b.Run(where+"/one_command_an_entry", func(b *testing.B) { benchmarkCreate(b, single, where) })
	}
}

func benchmarkCreate(b *testing.B, limits node.Limits, where string) {
	const callers = 256
	nodes := benchCluster(b, limits)
	app := benchService(b, nodes[0])
	if where == "at_the_leader" {
		nodes = slices.DeleteFunc(nodes, func(n *node.Node) bool {
			s, err := n.ClusterStatus(b.Context(), operator)
			return err != nil || s.LeaderID != s.NodeID
		})
	}
	var left atomic.Int64
	left.Store(int64(b.N))
	b.ResetTimer()
	var work sync.WaitGroup
	for caller := range callers {
		work.Go(func() {
			for left.Add(-1) >= 0 {
				if _, err := nodes[caller%len(nodes)].Login(b.Context(), app, session.Login{User: "u" + strconv.Itoa(caller), Vouched: true}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	work.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "creates/s")
}

// benchCluster is startTrio for benchmarks: no faults, no logs.
func benchCluster(b *testing.B, limits node.Limits) []*node.Node {
	b.Helper()
	var addrs []string
	for range 3 {
		addrs = append(addrs, freeAddress(b))
	}
	nodes := make([]*node.Node, 3)
	for i := range nodes {
		c := node.DefaultConfig()
		c.Cluster.Dir, c.Cluster.PeerListen, c.Cluster.GossipListen = b.TempDir(), addrs[i], "127.0.0.1:0"
		c.Cluster.Join, c.Cluster.BootstrapExpect = addrs, 3
		c.AdminPassword, c.Hashing, c.Limits = adminPassword, cheapHashing, limits
		c.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
		c.Fatal = func(err error) { b.Error(err) }
		n, err := node.New(c)
		if err != nil {
			b.Fatal(err)
		}
		if err := n.Start(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = n.Shutdown(b.Context()) })
		nodes[i] = n
	}
	for _, n := range nodes {
		for start := time.Now(); n.Ready(false) != nil; time.Sleep(10 * time.Millisecond) {
			if time.Since(start) > patience {
				b.Fatal(n.Ready(false))
			}
		}
	}
	return nodes
}

func benchService(b *testing.B, n *node.Node) session.Call {
	b.Helper()
	operator := session.Call{Operator: true}
	if _, err := n.CreateUser(b.Context(), operator, session.NewUser{Name: "app", Password: "service-password", Roles: []session.Role{session.RoleService}}); err != nil {
		b.Fatal(err)
	}
	issued, err := n.Login(b.Context(), from("192.0.2.1"), session.Login{User: "app", Password: "service-password"})
	if err != nil {
		b.Fatal(err)
	}
	return session.Call{Key: issued.Key}
}

// BenchmarkCheck compares linearizable checks at a follower with local ones.
func BenchmarkCheck(b *testing.B) {
	nodes := benchCluster(b, node.DefaultLimits())
	app := benchService(b, nodes[0])
	follower := nodes[0]
	for _, n := range nodes {
		if s, err := n.ClusterStatus(b.Context(), session.Call{Operator: true}); err == nil && s.LeaderID != s.NodeID {
			follower = n
		}
	}
	for name, consistency := range map[string]session.Consistency{"linearizable": session.Linearizable, "local": session.Local} {
		call := app
		call.Consistency = consistency
		b.Run(name+"/one_caller", func(b *testing.B) {
			for b.Loop() {
				if _, err := follower.Check(b.Context(), call, false); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/64_callers", func(b *testing.B) {
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := follower.Check(b.Context(), call, false); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
