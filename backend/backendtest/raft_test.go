package backendtest_test

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/backend/backendtest"
	"github.com/hydrastore/hydrastore/e2e/freeport"
	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/session"
)

// TestRaft holds the cluster itself to what every home of sessions promises: so the suite says what Hydrastore does, and not what one of
// its backends happens to do.
func TestRaft(t *testing.T) {
	t.Parallel()
	for _, c := range backendtest.ServiceCases() {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			c.Run(t, startCluster(t, 1))
		})
	}
}

// TestRaftOfThree does the same at two nodes of three.
func TestRaftOfThree(t *testing.T) {
	if testing.Short() {
		t.Skip("fifty clusters of three nodes")
	}
	t.Parallel()
	for _, c := range backendtest.ServiceCases() {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			c.Run(t, startCluster(t, 3))
		})
	}
}

var ports = freeport.New()

// clock is one that all nodes of a cluster have.
type clock struct {
	begun  time.Time
	passed atomic.Int64
}

func (c *clock) Wall() time.Time { return c.begun.Add(c.Monotonic()) }
func (c *clock) Monotonic() time.Duration {
	return time.Since(c.begun) + time.Duration(c.passed.Load())
}

func startCluster(t *testing.T, n int, changes ...func(*node.Config)) backendtest.ServiceHarness {
	t.Helper()
	shared := &clock{begun: time.Now()}
	var addresses []string
	for range n {
		address, err := ports.Address()
		if err != nil {
			t.Fatal(err)
		}
		addresses = append(addresses, address)
	}
	h := backendtest.ServiceHarness{Cluster: true, Counts: true, Advance: func(d time.Duration) { shared.passed.Add(int64(d)) }}
	var nodes []*node.Node
	t.Cleanup(func() { stopTogether(t, nodes) })
	for _, address := range addresses {
		nodes = append(nodes, startNode(t, address, addresses, shared, changes))
	}
	for _, n := range nodes {
		awaitReady(t, n)
		h.Services = append(h.Services, n)
	}
	return h
}

// stopTogether ends nodes side by side: the last ones of several would first look for others to lead them.
func stopTogether(t *testing.T, nodes []*node.Node) {
	var work sync.WaitGroup
	for _, n := range nodes {
		work.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			if err := n.Shutdown(ctx); err != nil {
				t.Logf("stop: %v", err)
			}
		})
	}
	work.Wait()
}

func startNode(t *testing.T, address string, all []string, clock node.Clock, changes []func(*node.Config)) *node.Node {
	t.Helper()
	cheap := auth.Params{MemoryKiB: 64, Iterations: 1, Parallelism: 1}
	c := node.DefaultConfig()
	c.Cluster.Dir, c.Cluster.PeerListen, c.Cluster.GossipListen = t.TempDir(), address, "127.0.0.1:0"
	c.Cluster.Join, c.Cluster.BootstrapExpect = all, len(all)
	c.AdminPassword = backendtest.AdminPassword
	c.Hashing.Params = cheap
	c.Sealing = auth.Sealing{Password: backendtest.SafePassword, Params: cheap}
	c.Clock = clock
	c.RequestTimeout = time.Minute // no request fails because a busy machine elects again
	if len(all) > 1 {
		c.Cluster.ElectionTimeout = 2 * time.Second
	}
	c.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	c.Fatal = func(err error) { t.Errorf("the node cannot go on: %v", err) }
	for _, change := range changes {
		change(&c)
	}
	n, err := node.New(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return n
}

func awaitReady(t *testing.T, s session.Service) {
	t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(60 * time.Second); s.Ready(false) != nil; <-ticker.C {
		if time.Now().After(end) {
			t.Fatalf("not ready: %v", s.Ready(false))
		}
	}
}
