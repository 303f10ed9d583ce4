package storage_test

import (
	"encoding/binary"
	"io"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"github.com/hydrastore/hydrastore/cluster/storage"
	"github.com/hydrastore/hydrastore/cluster/transport"
)

// hashicorp/raft#697: a member whose log differs from the snapshot that it has installed rejects everything and is sent the
// snapshot again, for ever.
func TestDivergentMemberCatchesUpThroughOneSnapshot(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		stores  func(*testing.T) stores
		endless bool
	}{
		"boltdb":            {func(t *testing.T) stores { return guarded(t, storage.LogStoreBoltDB) }, false},
		"wal":               {func(t *testing.T) stores { return guarded(t, storage.LogStoreWAL) }, false},
		"boltdb, unguarded": {unguarded, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { divergeAndHeal(t, c.stores, c.endless) })
		})
	}
}

func divergeAndHeal(t *testing.T, open func(*testing.T) stores, endless bool) {
	const many = 20
	network := transport.NewNetwork(time.Second)
	members := startTrio(t, network, open)
	defer stopAll(t, network, members)
	old := leaderOf(t, members...)
	put(t, old, 10)
	now := diverge(t, network, members, old)

	var installs atomic.Int64
	loop := make(chan struct{})
	network.Drop(func(m transport.Message) bool {
		if m.Kind == transport.KindSnapshot && m.To == old.addr && installs.Add(1) == many {
			close(loop)
		}
		return installs.Load() >= many // a busy loop stops the clock of the bubble
	})
	network.Heal()
	put(t, now, 1) // after the snapshot: it can reach the member as an entry only
	caughtUp := func() bool { return old.state.count() == 41 }
	deadline := time.After(time.Minute)
	for !caughtUp() {
		select {
		case <-loop:
			if !endless {
				t.Fatalf("%d snapshots were sent to a member that needs one", many)
			}
			return
		case <-deadline:
			t.Fatalf("the member has %d commands of 41 after a minute", old.state.count())
		case <-time.After(10 * time.Millisecond):
		}
	}
	if endless {
		t.Fatal("raft recovers without the guard: it may go")
	}
	if got := installs.Load(); got != 1 {
		t.Errorf("%d snapshots were sent, want 1", got)
	}
	put(t, leaderOf(t, members...), 5)
	waitFor(t, "later commands at the member", func() bool { return old.state.count() == 46 })
}

// diverge gives the old leader a tail that nobody else has and the new one, which it returns, a snapshot in that range.
func diverge(t *testing.T, network *transport.Network, members []*member, old *member) *member {
	t.Helper()
	waitFor(t, "the commands everywhere", func() bool {
		for _, m := range members {
			if m.state.count() != 10 {
				return false
			}
		}
		return true
	})
	network.Isolate(old.addr)
	for range 60 {
		old.Apply([]byte("divergent"), 0)
	}
	var rest []*member
	for _, m := range members {
		if m != old {
			rest = append(rest, m)
		}
	}
	now := leaderOf(t, rest...)
	put(t, now, 30)
	if err := now.Raft.Snapshot().Error(); err != nil {
		t.Fatalf("snapshot: %v", err)
	}
	return now
}

// stores are what one node of these tests runs on.
type stores struct {
	log       raft.LogStore
	stable    raft.StableStore
	snapshots raft.SnapshotStore
	close     func() error
}

func guarded(t *testing.T, kind string) stores {
	s := open(t, config(t, kind))
	return stores{s.Log(), s.Stable(), s.Snapshots(), s.Close}
}

// unguarded is the same files without the decorators.
func unguarded(t *testing.T) stores {
	dir := t.TempDir()
	bolt, err := raftboltdb.NewBoltStore(filepath.Join(dir, "raft.db"))
	if err != nil {
		t.Fatal(err)
	}
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(dir, 2, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	return stores{bolt, bolt, snapshots, bolt.Close}
}

// member is one raft node.
type member struct {
	*raft.Raft
	addr   raft.ServerAddress
	state  *counter
	stores stores
}

func startTrio(t *testing.T, network *transport.Network, open func(*testing.T) stores) []*member {
	t.Helper()
	var members []*member
	var servers raft.Configuration
	for _, addr := range []raft.ServerAddress{"a", "b", "c"} {
		cfg := raft.DefaultConfig()
		cfg.LocalID, cfg.Logger = raft.ServerID(addr), hclog.NewNullLogger()
		cfg.TrailingLogs, cfg.SnapshotInterval = 2, time.Hour
		m := &member{addr: addr, state: &counter{}, stores: open(t)}
		var err error
		m.Raft, err = raft.NewRaft(cfg, m.state, m.stores.log, m.stores.stable, m.stores.snapshots, network.Join(addr))
		if err != nil {
			t.Fatal(err)
		}
		members = append(members, m)
		servers.Servers = append(servers.Servers, raft.Server{ID: cfg.LocalID, Address: addr})
	}
	if err := members[0].BootstrapCluster(servers).Error(); err != nil {
		t.Fatal(err)
	}
	return members
}

func stopAll(t *testing.T, network *transport.Network, members []*member) {
	t.Helper()
	network.Partition([]raft.ServerAddress{"a"}, []raft.ServerAddress{"b"}, []raft.ServerAddress{"c"})
	for _, m := range members {
		if err := m.Shutdown().Error(); err != nil {
			t.Errorf("shutdown: %v", err)
		}
	}
	for _, m := range members {
		if err := m.stores.close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
}

func leaderOf(t *testing.T, members ...*member) (leader *member) {
	t.Helper()
	waitFor(t, "a leader", func() bool {
		for _, m := range members {
			if m.State() == raft.Leader {
				leader = m
			}
		}
		return leader != nil
	})
	return leader
}

func put(t *testing.T, at *member, commands int) {
	t.Helper()
	for range commands {
		if err := at.Apply([]byte("command"), time.Second).Error(); err != nil {
			t.Fatalf("apply: %v", err)
		}
	}
}

// waitFor polls for a fact, for half a minute at most.
func waitFor(t *testing.T, what string, fact func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !fact(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

// counter is a state machine that counts its commands.
type counter struct {
	mu sync.Mutex
	n  uint64
}

func (c *counter) count() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

func (c *counter) Apply(*raft.Log) any {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	return nil
}

func (c *counter) Snapshot() (raft.FSMSnapshot, error) { return frozen(c.count()), nil }

func (c *counter) Restore(r io.ReadCloser) error {
	var n uint64
	if err := binary.Read(r, binary.BigEndian, &n); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n = n
	return nil
}

// frozen is a snapshot of counter.
type frozen uint64

func (f frozen) Persist(sink raft.SnapshotSink) error {
	return binary.Write(sink, binary.BigEndian, uint64(f))
}
func (f frozen) Release() {}
