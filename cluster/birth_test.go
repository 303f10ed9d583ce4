package cluster_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/cluster"
	"github.com/hydrastore/hydrastore/e2e/atonce"
	"github.com/hydrastore/hydrastore/e2e/leftover"
)

func TestMain(m *testing.M) {
	atonce.Run(4)
	os.Exit(leftover.Verify(m))
}

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

func TestBirthOfOne(t *testing.T) {
	t.Parallel()
	n := open(t, nil, testConfig(t)).start()
	index := write(t, 1, n)
	if got, _, err := n.ReadIndex(t.Context()); err != nil || got < index {
		t.Errorf("ReadIndex = %d, %v; want at least %d", got, err, index)
	}
	if got := n.Members(); len(got) != 1 || !got[0].Leader || got[0].Suffrage != cluster.Voter {
		t.Errorf("members %+v", got)
	}
}

func TestBirthWaitsForTheLateOne(t *testing.T) {
	t.Parallel()
	for _, order := range [][]int{{0, 1, 2}, {2, 0, 1}, {1, 2, 0}} {
		nodes := trio(t, nil)
		nodes[order[0]].start()
		nodes[order[1]].start()
		eventually(t, "two nodes that have found each other", func() bool {
			return strings.Contains(nodes[order[0]].Status().Note, "2 are here") && strings.Contains(nodes[order[1]].Status().Note, "2 are here")
		})
		for _, n := range nodes[:2] {
			if n.ClusterID() != "" {
				t.Fatal("two of three have founded a cluster")
			}
		}
		nodes[order[2]].start()
		write(t, 1, nodes...)
	}
}

// TestBirthByOneAddress: it is enough that the others list one node, which lists
// nobody else.
func TestBirthByOneAddress(t *testing.T) {
	t.Parallel()
	nodes := trio(t, nil)
	hub := nodes[1]
	for _, n := range nodes {
		n.kill()
		n.cfg.Join = []string{hub.cfg.PeerListen}
		n.reopen()
		n.start()
	}
	write(t, 1, nodes...)
}

// TestBirthAmidKeyRotation: half-way through a change of keys the nodes hold the
// same keys and begin their rings with different ones.
func TestBirthAmidKeyRotation(t *testing.T) {
	t.Parallel()
	before, after := []byte("the key of today"), []byte("the one tomorrow")
	nodes := trio(t, nil)
	for i, n := range nodes {
		n.kill()
		n.cfg.GossipKeys = [][]byte{before, after}
		if i == 1 {
			n.cfg.GossipKeys = [][]byte{after, before}
		}
		n.reopen()
		n.start()
	}
	write(t, 1, nodes...)
}

// identityOf reads the identity file of a node.
func identityOf(t *testing.T, n *node) map[string]any {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(n.cfg.Dir, "identity.json"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]any{}
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func writeIdentity(t *testing.T, n *node, id map[string]any) {
	t.Helper()
	raw, err := json.Marshal(id)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(n.cfg.Dir, "identity.json"), raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

// proposalOf returns a proposal of these nodes as the identity file has it.
func proposalOf(id string, nodes ...*node) map[string]any {
	peers := []map[string]any{}
	for _, n := range nodes {
		peers = append(peers, map[string]any{"id": n.NodeID(), "name": n.cfg.Name, "peer_address": n.cfg.PeerListen})
	}
	slices.SortFunc(peers, func(a, b map[string]any) int { return strings.Compare(a["id"].(string), b["id"].(string)) })
	return map[string]any{"cluster_id": id, "peers": peers}
}

// TestBirthResumes stops the birth at every point between two durable steps: the
// first agreed nodes have stored the proposal, and the first known nodes know
// that all have.
func TestBirthResumes(t *testing.T) {
	t.Parallel()
	for _, step := range []struct{ agreed, known int }{{1, 0}, {2, 0}, {3, 0}, {3, 1}, {3, 2}, {3, 3}} {
		nodes := trio(t, nil)
		for i, n := range nodes {
			n.kill()
			id := identityOf(t, n)
			if i < step.agreed {
				id["proposal"] = proposalOf("thecluster", nodes...)
			}
			if i < step.known {
				id["cluster_id"] = "thecluster"
			}
			writeIdentity(t, n, id)
		}
		for _, n := range nodes {
			n.reopen()
			n.start()
		}
		write(t, 1, nodes...)
		settled(t, nodes...)
		for _, n := range nodes {
			if got := n.ClusterID(); got != "thecluster" {
				t.Errorf("%+v: node %s is in cluster %q", step, n.cfg.Name, got)
			}
			n.kill()
		}
	}
}

// TestContradictingProposals: nodes that agreed to different births found
// nothing, and say so.
func TestContradictingProposals(t *testing.T) {
	t.Parallel()
	nodes := trio(t, nil)
	for i, n := range nodes[:2] {
		n.kill()
		id := identityOf(t, n)
		id["proposal"] = proposalOf([]string{"one", "two"}[i], nodes...)
		writeIdentity(t, n, id)
		n.reopen()
	}
	for _, n := range nodes {
		n.start()
	}
	for _, n := range nodes[:2] {
		eventually(t, "the contradiction told", func() bool {
			return strings.Contains(n.Status().Note, "empty their data folders")
		})
		if n.ClusterID() != "" {
			t.Errorf("node %s founded cluster %s", n.cfg.Name, n.ClusterID())
		}
	}
}

// TestTwoClustersDoNotMerge starts two clusters again with each other's addresses
// only, and a new node with the addresses of both.
func TestTwoClustersDoNotMerge(t *testing.T) {
	t.Parallel()
	one, two := born(t, nil), born(t, nil)
	write(t, 1, one...)
	write(t, 2, two...)
	first, second := one[0].ClusterID(), two[0].ClusterID()
	restart := func(nodes, foreign []*node) {
		for _, n := range nodes {
			n.kill()
			n.cfg.Join = nil
			for _, f := range foreign {
				n.cfg.Join = append(n.cfg.Join, f.cfg.PeerListen)
			}
		}
		for _, n := range nodes {
			n.reopen()
			n.start()
		}
	}
	restart(one, two)
	restart(two, one)
	write(t, 11, one...)
	write(t, 22, two...)
	consistent(t, 11, one...)
	consistent(t, 22, two...)

	cfg := testConfig(t)
	cfg.BootstrapExpect = 0
	cfg.Join = []string{one[0].PeerAddress(), two[0].PeerAddress()}
	lost := open(t, nil, cfg).start()
	eventually(t, "the new node says that it cannot choose", func() bool {
		return strings.Contains(lost.Status().Note, "different clusters")
	})
	for _, n := range one {
		if n.ClusterID() != first || len(n.Members()) != 3 {
			t.Errorf("node %s of the first cluster is in %s with %d members", n.NodeID(), n.ClusterID(), len(n.Members()))
		}
	}
	for _, n := range two {
		if n.ClusterID() != second || len(n.Members()) != 3 {
			t.Errorf("node %s of the second cluster is in %s with %d members", n.NodeID(), n.ClusterID(), len(n.Members()))
		}
	}
	if err := one[0].Join(t.Context(), two[0].PeerAddress()); !errors.Is(err, cluster.ErrConflict) {
		t.Errorf("invitation of another cluster's node: %v, want ErrConflict", err)
	}
}

// TestClusterNamesDiffer: nodes of differently named clusters do not found one
// together.
func TestClusterNamesDiffer(t *testing.T) {
	t.Parallel()
	nodes := several(t, nil, 2)
	nodes[1].kill()
	nodes[1].cfg.ClusterName = "other"
	nodes[1].reopen()
	nodes[0].start()
	nodes[1].start()
	eventually(t, "the difference told", func() bool {
		return strings.Contains(nodes[0].Status().Note, "named") || strings.Contains(nodes[1].Status().Note, "named")
	})
	for _, n := range nodes {
		if n.ClusterID() != "" {
			t.Errorf("node %s founded a cluster", n.cfg.Name)
		}
	}
}

// TestNameInUse: a name belongs to a living member.
func TestNameInUse(t *testing.T) {
	t.Parallel()
	nodes := born(t, nil)
	cfg := testConfig(t)
	cfg.Name, cfg.BootstrapExpect, cfg.Join = nodes[0].cfg.Name, 0, []string{nodes[1].PeerAddress()}
	rival := open(t, nil, cfg).start()
	eventually(t, "the conflict told", func() bool { return strings.Contains(rival.Status().Note, "give this node another name") })
	if got := len(nodes[0].Members()); got != 3 {
		t.Errorf("%d members, want 3", got)
	}
}

// TestOtherTermsAreRefused: a node that wants to join and has other terms ends, and is no member. One that restarts with other terms stays one, and all see them.
func TestOtherTermsAreRefused(t *testing.T) {
	t.Parallel()
	nodes := born(t, nil)
	cfg := testConfig(t)
	cfg.Name, cfg.BootstrapExpect, cfg.Join, cfg.Terms = "late", 0, []string{nodes[1].PeerAddress()}, "colour: red"
	ended := make(chan error, 1)
	cfg.Fatal = func(err error) { ended <- err }
	open(t, nil, cfg).start()
	select {
	case err := <-ended:
		if !errors.Is(err, cluster.ErrTerms) || !strings.Contains(err.Error(), "colour: red") {
			t.Errorf("ended with %v, want ErrTerms that names them", err)
		}
	case <-time.After(patience):
		t.Error("the newcomer goes on")
	}
	if got := len(nodes[0].Members()); got != 3 {
		t.Errorf("%d members, want 3", got)
	}
	nodes[2].kill()
	nodes[2].cfg.Terms = "colour: red"
	nodes[2].reopen()
	nodes[2].start()
	eventually(t, "the terms of the restarted node known", func() bool {
		return slices.ContainsFunc(nodes[0].Members(), func(m cluster.Member) bool { return m.ID == nodes[2].NodeID() && m.Terms == "colour: red" })
	})
}

func TestConfigValidate(t *testing.T) {
	t.Parallel()
	good := testConfig(t)
	if err := good.Validate(); err != nil {
		t.Fatalf("defaults: %v", err)
	}
	for name, spoil := range map[string]func(*cluster.Config){
		"data folder":       func(c *cluster.Config) { c.Dir = "" },
		"fatal handler":     func(c *cluster.Config) { c.Fatal = nil },
		"terms":             func(c *cluster.Config) { c.Terms = strings.Repeat("x", cluster.MaxTermsBytes+1) },
		"node name":         func(c *cluster.Config) { c.Name = strings.Repeat("x", cluster.MaxNameBytes+1) },
		"cluster name":      func(c *cluster.Config) { c.ClusterName = "" },
		"bootstrap_expect":  func(c *cluster.Config) { c.BootstrapExpect = cluster.MaxBootstrapExpect + 1 },
		"join address":      func(c *cluster.Config) { c.Join = []string{"nohost"} },
		"peer listen":       func(c *cluster.Config) { c.PeerListen = "8701" },
		"gossip listen":     func(c *cluster.Config) { c.GossipListen = "" },
		"API address":       func(c *cluster.Config) { c.APIAddress = "x" },
		"log store":         func(c *cluster.Config) { c.LogStore = "paper" },
		"election timeout":  func(c *cluster.Config) { c.ElectionTimeout = time.Millisecond },
		"commit timeout":    func(c *cluster.Config) { c.CommitTimeout = 0 },
		"write timeout":     func(c *cluster.Config) { c.WriteTimeout = 0 },
		"dead_after":        func(c *cluster.Config) { c.DeadAfter = -1 },
		"snapshot thresh":   func(c *cluster.Config) { c.SnapshotBytes = 0 },
		"snapshots kept":    func(c *cluster.Config) { c.SnapshotRetain = 0 },
		"gossip key number": func(c *cluster.Config) { c.GossipKeys = [][]byte{[]byte("short")} },
	} {
		bad := good
		spoil(&bad)
		if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), strings.TrimSuffix(name, " number")) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
