package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/cluster"
	"github.com/hydrastore/hydrastore/cluster/storage"
	"github.com/hydrastore/hydrastore/e2e/freeport"
)

// node is a Cluster with its state and its place, which it can be started at
// again.
type node struct {
	*cluster.Cluster
	t    *testing.T
	cfg  cluster.Config
	sm   *register
	net  *network
	disk storage.Faults // may be nil
	dead bool
}

// closeFailed closes a node whose disk has failed: it ends with that error.
func (n *node) closeFailed() {
	n.t.Helper()
	n.dead = true
	if err := n.Shutdown(n.t.Context()); !errors.Is(err, storage.ErrFailed) {
		n.t.Errorf("shutdown on a failed disk: %v, want storage.ErrFailed", err)
	}
}

// testConfig returns a configuration for a node on loopback.
func testConfig(t testing.TB) cluster.Config {
	cfg := cluster.DefaultConfig()
	cfg.Dir = t.TempDir()
	cfg.PeerListen, cfg.GossipListen = "127.0.0.1:0", "127.0.0.1:0"
	cfg.ElectionTimeout = electionTimeout
	cfg.PromoteAfter = time.Second
	cfg.WriteTimeout = 10 * patience // a slow disk fails no test
	cfg.TrailingBytes = 1            // as little as the store allows: followers that were away get a snapshot
	cfg.APIAddress = "127.0.0.1:8700"
	cfg.FormatLevel = 1
	cfg.Logger = testLogger(t)
	cfg.Fatal = func(err error) { t.Errorf("fatal: %v", err) }
	return cfg
}

func testLogger(t testing.TB) *slog.Logger {
	if os.Getenv("CLUSTER_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("test", t.Name())
}

// open opens a node without starting it.
func open(t *testing.T, net *network, cfg cluster.Config) *node {
	t.Helper()
	n := &node{t: t, cfg: cfg, sm: new(register), net: net}
	n.reopen()
	t.Cleanup(func() { n.kill() })
	return n
}

// reopen opens the node again on its data, at its address, with an empty state.
func (n *node) reopen() {
	n.t.Helper()
	n.sm = new(register)
	cfg := n.cfg
	cfg.Faults = &cluster.Faults{Disk: n.disk}
	var self atomic.Pointer[string] // the address of this life of the node
	if n.net != nil {
		cfg.Faults.Dial = n.net.dialer(&self)
	}
	c, err := cluster.Open(cfg, n.sm)
	if err != nil {
		n.t.Fatalf("open: %v", err)
	}
	n.Cluster, n.dead = c, false
	n.cfg.PeerListen = c.PeerAddress()
	addr := c.PeerAddress()
	self.Store(&addr)
}

// start starts the node.
func (n *node) start() *node {
	n.t.Helper()
	if err := n.Start(n.t.Context()); err != nil {
		n.t.Fatalf("start: %v", err)
	}
	return n
}

// kill ends the node without any goodbye.
func (n *node) kill() {
	n.t.Helper()
	if n.dead {
		return
	}
	n.dead = true
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if n.net != nil {
		n.net.isolate(n)
		defer n.net.heal(n)
	}
	if err := n.Shutdown(ctx); err != nil {
		n.t.Errorf("shutdown of %s: %v", n.NodeID(), err)
	}
}

// trio returns three nodes that know of each other and have not been started.
func trio(t *testing.T, net *network) []*node {
	t.Helper()
	return several(t, net, 3)
}

// several returns n nodes that expect each other.
func several(t *testing.T, net *network, n int) []*node {
	t.Helper()
	var nodes []*node
	var addrs []string
	for range n {
		addr := freeAddress(t)
		addrs = append(addrs, addr)
	}
	for i := range n {
		cfg := testConfig(t)
		cfg.PeerListen, cfg.Join, cfg.BootstrapExpect = addrs[i], addrs, n
		cfg.Name = fmt.Sprintf("n%d", i+1)
		nodes = append(nodes, open(t, net, cfg))
	}
	return nodes
}

// born returns a running cluster of three.
func born(t *testing.T, net *network) []*node {
	t.Helper()
	nodes := trio(t, net)
	for _, n := range nodes {
		n.start()
	}
	leaderOf(t, nodes...)
	settled(t, nodes...)
	return nodes
}

// settled waits until all nodes know all members with their records.
func settled(t *testing.T, nodes ...*node) {
	t.Helper()
	eventually(t, "all members known everywhere", func() bool {
		for _, n := range nodes {
			known := 0
			for _, m := range n.Members() {
				if m.FormatLevel > 0 {
					known++
				}
			}
			if known < len(nodes) {
				return false
			}
		}
		return true
	})
}

// leaderOf waits for the one node that leads.
func leaderOf(t *testing.T, nodes ...*node) *node {
	t.Helper()
	var leader *node
	eventually(t, "a leader", func() bool {
		for _, n := range nodes {
			if n.dead {
				continue
			}
			if _, ok := n.Leading(); ok {
				leader = n
				return true
			}
		}
		return false
	})
	return leader
}

// write proposes v at whichever node leads, until it is applied there.
func write(t *testing.T, v uint64, nodes ...*node) uint64 {
	t.Helper()
	var index uint64
	eventually(t, fmt.Sprintf("%d written", v), func() bool {
		p := leaderOf(t, nodes...).Propose(number(v))
		select {
		case <-p.Done():
		case <-time.After(patience):
			return false
		}
		index = p.Index()
		return p.Err() == nil
	})
	return index
}

// others returns nodes without n.
func others(nodes []*node, n *node) []*node {
	var out []*node
	for _, o := range nodes {
		if o != n {
			out = append(out, o)
		}
	}
	return out
}

// ports deals out the ports of this package's tests.
var ports = freeport.New()

func freeAddress(t testing.TB) string {
	t.Helper()
	address, err := ports.Address()
	if err != nil {
		t.Fatal(err)
	}
	return address
}
