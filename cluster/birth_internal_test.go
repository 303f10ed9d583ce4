package cluster

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hydrastore/hydrastore/cluster/clusterpb"
)

// openAlone opens a node that expects n nodes to found a cluster. The test's end
// shuts it down.
func openAlone(t *testing.T, n int) *Cluster {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Dir, cfg.BootstrapExpect = t.TempDir(), n
	cfg.PeerListen, cfg.GossipListen = "127.0.0.1:0", "127.0.0.1:0"
	cfg.Logger = slog.New(slog.DiscardHandler)
	cfg.Fatal = func(err error) { t.Errorf("fatal: %v", err) }
	c, err := Open(cfg, new(scribe))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := c.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
	})
	return c
}

// awaitLeading waits until c leads.
func awaitLeading(t *testing.T, c *Cluster) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if _, ok := c.Leading(); ok {
			return
		}
	}
	t.Fatal("the node does not lead")
}

// TestNewsHastensSoManyRoundsOnly: of two nodes with one id, from a copied data folder, each answer is news.
func TestNewsHastensSoManyRoundsOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBirth(nil)
		rounds := func(d time.Duration) (n int) {
			for end := time.Now().Add(d); time.Now().Before(end); n++ {
				b.spread()
				if err := b.pause(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			return n
		}
		if n, want := rounds(mostHaste*newsInterval), mostHaste; n != want {
			t.Errorf("%d rounds at first, want %d: nobody waits where there is news", n, want)
		}
		if n, most := rounds(time.Minute), int(2*time.Minute/probeInterval); n > most {
			t.Errorf("%d rounds in a minute of nothing but news, want at most %d", n, most)
		}
	})
}

// TestADeadNodeIsForgotten: nodes that know of one by each other alone do not keep it known for ever.
func TestADeadNodeIsForgotten(t *testing.T) {
	t.Parallel()
	b := openAlone(t, 3).birth
	dead := birthplace{ID: "dead", Name: "dead", PeerAddress: "127.0.0.1:1"}
	other := &clusterpb.Probe{Peer: toPeer(birthplace{ID: "other", Name: "other", PeerAddress: "127.0.0.1:2"}), Known: toPeers([]birthplace{dead})}
	wantTold := func(want bool, when string) {
		t.Helper()
		told := false
		for _, p := range b.standing().Known {
			told = told || p.Id == dead.ID
		}
		if told != want {
			t.Errorf("%s: others are told of it %v, want %v", when, told, want)
		}
	}
	b.hear(other)
	if _, known := b.known[dead.ID]; !known {
		t.Error("it is not asked")
	}
	wantTold(false, "heard of by another")
	b.hear(&clusterpb.Probe{Peer: toPeer(dead)})
	wantTold(true, "heard")
	k := b.known[dead.ID]
	k.heard = k.heard.Add(-knownFor - time.Second)
	b.known[dead.ID] = k
	b.hear(other)
	wantTold(false, "dead for long, and told by another who has not forgotten it yet")
}

// TestNoBirthWhileEntering: a node that a cluster is letting in agrees to no
// birth, since both might come true.
func TestNoBirthWhileEntering(t *testing.T) {
	t.Parallel()
	c := openAlone(t, 2)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ctx, cancel := context.WithCancel(t.Context())
	entered := make(chan bool, 1)
	go func() {
		in, _ := c.birth.enter(ctx, "existing", []*clusterpb.Peer{{Id: "member", PeerAddress: silent.Addr().String()}})
		entered <- in
	}()
	conn, err := silent.Accept() // the node is asking, and gets no answer yet
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	p := &proposedBirth{ClusterID: "other", Peers: []birthplace{{ID: "0", Name: "0", PeerAddress: "127.0.0.1:1"}, c.birth.self()}}
	if stored, err := c.birth.accept(p); stored != nil || err != nil || c.ident.get().Proposal != nil {
		t.Errorf("accept while entering = %v, %v; want a refusal", stored, err)
	}
	cancel()
	if <-entered {
		t.Error("the node was let in by nobody")
	}
	if stored, err := c.birth.accept(p); stored != p || err != nil {
		t.Errorf("accept afterwards = %v, %v; want the proposal", stored, err)
	}
	if in, err := c.birth.enter(t.Context(), "existing", nil); in || err != nil {
		t.Errorf("enter after a birth was agreed to = %v, %v; want false", in, err)
	}
}

// TestCrashWithinTheFirstConfiguration: raft.BootstrapCluster had stored the term
// and not yet the configuration.
func TestCrashWithinTheFirstConfiguration(t *testing.T) {
	t.Parallel()
	c := openAlone(t, 1)
	p := &proposedBirth{ClusterID: "born", Peers: []birthplace{c.birth.self()}}
	if err := c.ident.update(func(id *identity) { id.ClusterID, id.Proposal = p.ClusterID, p }); err != nil {
		t.Fatal(err)
	}
	if err := c.store.Stable().SetUint64([]byte("CurrentTerm"), 1); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	awaitLeading(t, c)
}

// TestForeignProposalIsNoConfiguration: a node joined a cluster although it holds
// the list of a birth that came to nothing.
func TestForeignProposalIsNoConfiguration(t *testing.T) {
	t.Parallel()
	c := openAlone(t, 1)
	p := &proposedBirth{ClusterID: "never born", Peers: []birthplace{c.birth.self()}}
	if err := c.ident.update(func(id *identity) { id.ClusterID, id.Proposal = "joined", p }); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if servers := c.servers(); len(servers) != 0 {
		t.Errorf("the configuration is %v, want none before the cluster sends one", servers)
	}
}
