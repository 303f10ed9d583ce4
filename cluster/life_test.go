package cluster_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/cluster"
)

// consistent waits until all nodes have applied v and then compares their states.
func consistent(t *testing.T, v uint64, nodes ...*node) {
	t.Helper()
	eventually(t, "the last write everywhere", func() bool {
		for _, n := range nodes {
			if n.sm.last() != v {
				return false
			}
		}
		return true
	})
	for _, n := range nodes[1:] {
		if got, want := n.sm.len(), nodes[0].sm.len(); got != want {
			t.Errorf("node %s has %d values, %s has %d", n.NodeID(), got, nodes[0].NodeID(), want)
		}
	}
}

func TestRestartOfAll(t *testing.T) {
	t.Parallel()
	nodes := born(t, nil)
	id, first := nodes[0].ClusterID(), nodes[0].NodeID()
	write(t, 1, nodes...)
	write(t, 2, nodes...)
	epoch := leaderOf(t, nodes...).Status().Epoch
	for _, n := range nodes {
		n.kill()
	}
	for _, n := range nodes {
		n.reopen()
		n.start()
	}
	write(t, 3, nodes...)
	consistent(t, 3, nodes...)
	if got := nodes[0].sm.len(); got != 3 {
		t.Errorf("%d values after the restart, want 3", got)
	}
	if nodes[0].ClusterID() != id || nodes[0].NodeID() != first {
		t.Errorf("ids changed: cluster %s to %s, node %s to %s", id, nodes[0].ClusterID(), first, nodes[0].NodeID())
	}
	if got := nodes[0].Incarnation(); got != 2 {
		t.Errorf("incarnation %d after the second start, want 2", got)
	}
	if got := leaderOf(t, nodes...).Status().Epoch; got <= epoch {
		t.Errorf("epoch %d after the restart, want more than %d", got, epoch)
	}
}

func TestLeaderKilled(t *testing.T) {
	t.Parallel()
	nodes := born(t, newNetwork())
	write(t, 1, nodes...)
	old := leaderOf(t, nodes...)
	rest := others(nodes, old)
	_, changed := rest[0].Leadership()
	old.kill()
	write(t, 2, rest...)
	consistent(t, 2, rest...)
	select {
	case <-changed:
	case <-time.After(patience):
		t.Error("the change of leadership was not announced")
	}
	old.reopen()
	old.start()
	write(t, 3, nodes...)
	consistent(t, 3, nodes...)
}

func TestFourthNodeJoinsIsPromotedAndRemoved(t *testing.T) {
	t.Parallel()
	nodes := born(t, nil)
	write(t, 1, nodes...)
	cfg := testConfig(t)
	cfg.Name, cfg.BootstrapExpect = "n4", 0
	for _, n := range nodes {
		cfg.Join = append(cfg.Join, n.PeerAddress())
	}
	fourth := open(t, nil, cfg).start()
	eventually(t, "the fourth node a voter", func() bool { return fourth.Status().Voter })
	all := append(nodes, fourth)
	settled(t, all...)
	write(t, 2, all...)
	consistent(t, 2, all...)

	asked := others(nodes, leaderOf(t, all...))[0]
	succeeds(t, "remove the fourth", func() error { return asked.RemoveMember(t.Context(), fourth.NodeID()) })
	eventually(t, "the fourth node says that it is removed", func() bool {
		return fourth.Status().State == cluster.StateRemoved
	})
	eventually(t, "three members", func() bool { return len(asked.Members()) == 3 })
	succeeds(t, "remove it again", func() error { return asked.RemoveMember(t.Context(), fourth.NodeID()) })
	write(t, 3, nodes...)
	consistent(t, 3, nodes...)
	if fourth.sm.has(3) {
		t.Error("the removed node still gets entries")
	}

	fourth.kill()
	fourth.reopen()
	fourth.start()
	if s := fourth.Status(); s.State != cluster.StateRemoved || s.Note == "" {
		t.Errorf("after a restart the removed node is %q with note %q", s.State, s.Note)
	}
}

func TestRemovalKeepsQuorumAndMinimum(t *testing.T) {
	t.Parallel()
	nodes := born(t, newNetwork())
	leader := leaderOf(t, nodes...)
	rest := others(nodes, leader)
	remove := func(at *node, id string) func() error {
		return func() error { return at.RemoveMember(t.Context(), id) }
	}
	refuses(t, "removal of a living member below bootstrap_expect", cluster.ErrQuorum, remove(leader, rest[0].NodeID()))
	refuses(t, "removal of nobody", cluster.ErrUnknownNode, remove(rest[1], "nobody"))
	dead := rest[0].NodeID()
	rest[0].kill()
	succeeds(t, "removal of a dead member", remove(rest[1], dead))
	eventually(t, "two members", func() bool { return len(leader.Members()) == 2 })
	refuses(t, "removal of a living member", cluster.ErrQuorum, remove(leader, rest[1].NodeID()))
}

func TestWipedNodeComesBackUnderNewID(t *testing.T) {
	t.Parallel()
	nodes := born(t, newNetwork())
	write(t, 1, nodes...)
	leader := leaderOf(t, nodes...)
	wiped := others(nodes, leader)[0]
	old := wiped.NodeID()
	wiped.kill()
	wiped.cfg.Dir = t.TempDir()
	wiped.reopen()
	wiped.start()
	if wiped.NodeID() == old {
		t.Fatal("the wiped node has its old id")
	}
	eventually(t, "the new id a voter, the old one gone", func() bool {
		s := leader.Status()
		if len(s.Members) != 3 {
			return false
		}
		for _, m := range s.Members {
			if m.ID == old || m.Suffrage != cluster.Voter {
				return false
			}
		}
		return true
	})
	write(t, 2, nodes...)
	consistent(t, 2, nodes...)
}

// TestAdvertisedAddressOfAnother: a newcomer is configured with the address of a
// member that is just restarting. That member must not be taken for gone.
func TestAdvertisedAddressOfAnother(t *testing.T) {
	t.Parallel()
	nodes := born(t, nil)
	write(t, 1, nodes...)
	leader := leaderOf(t, nodes...)
	restarting := others(nodes, leader)[0]
	restarting.kill()
	cfg := testConfig(t)
	cfg.Name, cfg.BootstrapExpect = "newcomer", 0
	cfg.PeerAdvertise, cfg.Join = restarting.cfg.PeerListen, []string{leader.PeerAddress()}
	newcomer := open(t, nil, cfg).start()
	eventually(t, "a refusal that names the mistake", func() bool {
		return strings.Contains(newcomer.Status().Note, "does not answer there")
	})
	restarting.reopen()
	restarting.start()
	write(t, 2, nodes...)
	consistent(t, 2, nodes...)
	if got := len(leaderOf(t, nodes...).Members()); got != 3 {
		t.Errorf("%d members, want the three of before", got)
	}
}

func TestLogWithoutIdentityAndIdentityWithoutLogAreRefused(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	n := open(t, nil, cfg).start()
	write(t, 1, n)
	n.kill()

	identity := filepath.Join(cfg.Dir, "identity.json")
	raw, err := os.ReadFile(identity)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(identity); err != nil {
		t.Fatal(err)
	}
	if _, err := cluster.Open(n.cfg, new(register)); !errors.Is(err, cluster.ErrInvalid) {
		t.Errorf("open with a log and no identity: %v, want ErrInvalid", err)
	}
	other := n.cfg
	other.Dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(other.Dir, "identity.json"), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := cluster.Open(other, new(register)); !errors.Is(err, cluster.ErrInvalid) {
		t.Errorf("open with an identity whose log is gone: %v, want ErrInvalid", err)
	}
}

func TestLaggingFollowerGetsSnapshot(t *testing.T) {
	t.Parallel()
	nodes := born(t, newNetwork())
	write(t, 1, nodes...)
	leader := leaderOf(t, nodes...)
	late := others(nodes, leader)[0]
	late.kill()
	rest := others(nodes, late)
	succeeds(t, "more commands than the trailing log holds", func() error {
		leader := leaderOf(t, rest...)
		var p *cluster.Proposal
		for v := uint64(2); v < 400; v++ {
			p = leader.Propose(number(v))
		}
		<-p.Done()
		return p.Err()
	})
	for _, n := range rest {
		if err := n.Snapshot(t.Context()); err != nil {
			t.Fatalf("snapshot: %v", err)
		}
	}
	late.reopen()
	late.start()
	write(t, 1000, nodes...)
	consistent(t, 1000, nodes...)
	if s := late.Status(); s.SnapshotIndex == 0 {
		t.Error("the late node caught up without a snapshot: the test shows nothing")
	}
	if got, want := len(late.Members()), 3; got != want {
		t.Errorf("the late node knows %d members, want %d", got, want)
	}
	late.kill()
	late.reopen()
	late.start()
	consistent(t, 1000, nodes...)
}

func TestMinorityLeaderCannotWriteOrRead(t *testing.T) {
	t.Parallel()
	net := newNetwork()
	nodes := born(t, net)
	write(t, 1, nodes...)
	old := leaderOf(t, nodes...)
	rest := others(nodes, old)
	net.part([]*node{old}, rest)
	lost := old.Propose(number(99))
	write(t, 2, rest...)
	<-lost.Done()
	if err := lost.Err(); !errors.Is(err, cluster.ErrOutcomeUnknown) && !errors.Is(err, cluster.ErrNotLeader) {
		t.Errorf("write at the cut off leader: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), electionTimeout)
	defer cancel()
	if index, _, err := old.ReadIndex(ctx); err == nil {
		t.Errorf("the cut off leader gave the read index %d", index)
	}
	net.heal(nil)
	write(t, 3, nodes...)
	consistent(t, 3, nodes...)
	if old.sm.has(99) {
		t.Error("the write of the cut off leader came to be although another leader wrote in its place")
	}
}

// TestShutdownHandsOver has an election timeout of several times what a shutdown
// takes, so that a later term right after it is the work of the handover.
func TestShutdownHandsOver(t *testing.T) {
	t.Parallel()
	nodes := trio(t, nil)
	for _, n := range nodes {
		n.kill()
		n.cfg.ElectionTimeout = max(4*time.Second, 2*electionTimeout)
		n.reopen()
		n.start()
	}
	old := leaderOf(t, nodes...)
	settled(t, nodes...)
	rest := others(nodes, old)
	epoch, _ := old.Leading()
	if err := old.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := max(rest[0].Term(), rest[1].Term()); got <= epoch {
		t.Errorf("the leader of epoch %d has ended and nobody was asked to take over", epoch)
	}
	if err := old.Shutdown(t.Context()); err != nil {
		t.Fatalf("second shutdown: %v", err)
	}
	old.dead = true
	write(t, 1, rest...)
	if err := old.Propose(number(2)).Err(); !errors.Is(err, cluster.ErrNotLeader) {
		t.Errorf("proposal at a closed node: %v, want ErrNotLeader", err)
	}
}

func TestTransferAtAnyNode(t *testing.T) {
	t.Parallel()
	nodes := born(t, nil)
	leader := leaderOf(t, nodes...)
	rest := others(nodes, leader)
	succeeds(t, "the chosen node leads", func() error {
		if _, ok := rest[1].Leading(); ok {
			return nil
		}
		err := rest[0].TransferLeadership(t.Context(), rest[1].NodeID())
		return errors.Join(err, errors.New("not yet"))
	})
	refuses(t, "transfer to nobody", cluster.ErrUnknownNode, func() error { return leader.TransferLeadership(t.Context(), "nobody") })
}

func TestNeededLeaderStays(t *testing.T) {
	t.Parallel()
	nodes := born(t, nil)
	for try := 1; ; try++ { // there may be an election by chance, but not each time
		leader := leaderOf(t, nodes...)
		epoch, _ := leader.Leading()
		refuses(t, "the leader removes itself below bootstrap_expect", cluster.ErrQuorum, func() error { return leader.RemoveMember(t.Context(), leader.NodeID()) })
		got, ok := leader.Leading()
		if ok && got == epoch {
			return
		}
		if try == 5 {
			t.Fatalf("after the refusal the leader leads: %v, in epoch %d; want epoch %d", ok, got, epoch)
		}
	}
}

func TestNodeAtNewAddress(t *testing.T) {
	t.Parallel()
	nodes := born(t, newNetwork())
	moved := others(nodes, leaderOf(t, nodes...))[0]
	id, left := moved.NodeID(), moved.PeerAddress()
	configured := cluster.ConfiguredAddress(moved.Cluster, id)
	moved.kill()
	moved.cfg.PeerListen = freeAddress(t)
	moved.reopen()
	moved.start()
	eventually(t, "the new address in the member table", func() bool {
		for _, m := range leaderOf(t, nodes...).Members() {
			if m.ID == id && m.PeerAddress == moved.PeerAddress() && m.Suffrage == cluster.Voter {
				return true
			}
		}
		return false
	})
	write(t, 1, nodes...)
	consistent(t, 1, nodes...)
	// Raft changes a server's address while its own goroutines read it without the lock.
	if got := cluster.ConfiguredAddress(nodes[0].Cluster, id); got != configured {
		t.Errorf("Raft's configuration has the moved node at %q, want %q as before", got, configured)
	}

	cfg := testConfig(t)
	cfg.Name, cfg.PeerListen, cfg.BootstrapExpect = "n4", left, 0
	cfg.Join = []string{nodes[0].PeerAddress(), moved.PeerAddress()}
	newcomer := open(t, nil, cfg).start()
	eventually(t, "a voter at the address that the moved node has left", func() bool { return newcomer.Status().Voter })
	if members := leaderOf(t, nodes...).Members(); len(members) != 4 {
		t.Errorf("the members are %+v, want the three and the newcomer", members)
	}
}

func TestAllNodesAtNewAddresses(t *testing.T) {
	t.Parallel()
	nodes := born(t, newNetwork())
	write(t, 1, nodes...)
	var addrs []string
	for _, n := range nodes {
		n.kill()
		n.cfg.PeerListen = freeAddress(t)
		addrs = append(addrs, n.cfg.PeerListen)
	}
	for _, n := range nodes {
		n.cfg.Join = addrs
		n.reopen()
		n.start()
	}
	write(t, 2, nodes...)
	consistent(t, 2, nodes...)
}

func TestInvitedNodeJoins(t *testing.T) {
	t.Parallel()
	nodes := born(t, nil)
	cfg := testConfig(t)
	cfg.Name, cfg.BootstrapExpect = "guest", 0
	cfg.Join = []string{freeAddress(t)} // nobody is there
	guest := open(t, nil, cfg).start()
	if err := nodes[0].Join(t.Context(), guest.PeerAddress()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the guest knows its cluster", func() bool { return guest.ClusterID() == nodes[0].ClusterID() })
}
