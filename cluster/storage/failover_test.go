package storage_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/hydrastore/hydrastore/cluster/storage"
	"github.com/hydrastore/hydrastore/cluster/transport"
)

// hashicorp/raft#503, #614: a leader whose disk hangs goes on sending heartbeats, so that nobody takes its place. The node has
// to end itself.
func TestHungDiskOfTheLeaderCostsOnlyTheLeader(t *testing.T) {
	t.Parallel()
	for name, guard := range map[string]bool{"guarded": true, "unguarded": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { hangLeader(t, guard) })
		})
	}
}

func hangLeader(t *testing.T, guard bool) {
	network := transport.NewNetwork(time.Second)
	var disks []*badDisk
	fatal := make(chan error, 3)
	members := startTrio(t, network, func(t *testing.T) stores {
		disk := &badDisk{}
		disks = append(disks, disk)
		return onFaultyDisk(t, disk, guard, func(err error) { fatal <- err })
	})
	old := leaderOf(t, members...)
	put(t, old, 1)

	hang := make(chan struct{})
	var rest []*member
	for i, m := range members {
		if m == old {
			disks[i].set(storage.OpAppend, nil, nil, hang)
		} else {
			rest = append(rest, m)
		}
	}
	old.Apply([]byte("stuck"), 0)

	select {
	case <-fatal:
		if !guard {
			t.Error("who called that?")
		}
		network.Isolate(old.addr) // the process ends
		put(t, leaderOf(t, rest...), 1)
	case <-time.After(5 * time.Minute):
		if guard {
			t.Error("five minutes and nobody noticed")
		} else if old.State() != raft.Leader || rest[0].State() == raft.Leader || rest[1].State() == raft.Leader {
			t.Error("raft replaces a leader whose disk hangs: the guard may go")
		}
	}
	close(hang)
	synctest.Wait()
	for _, m := range members {
		network.Isolate(m.addr)
	}
	for _, m := range members {
		if err := m.Shutdown().Error(); err != nil {
			t.Error(err)
		}
		_ = m.stores.close() // the failed one says so
	}
}

// onFaultyDisk is a store whose log writes pass disk, with or without the guard.
func onFaultyDisk(t *testing.T, disk *badDisk, guard bool, fatal func(error)) stores {
	t.Helper()
	if guard {
		cfg := config(t, storage.LogStoreBoltDB)
		cfg.Faults, cfg.Fatal, cfg.WriteTimeout = disk, fatal, 0 // the default
		s := open(t, cfg)
		return stores{s.Log(), s.Stable(), s.Snapshots(), s.Close}
	}
	bare := unguarded(t)
	bare.log = faultyLog{bare.log, disk}
	return bare
}

// faultyLog is a log on a bad disk without a guard.
type faultyLog struct {
	raft.LogStore
	disk *badDisk
}

func (l faultyLog) StoreLog(log *raft.Log) error { return l.StoreLogs([]*raft.Log{log}) }

func (l faultyLog) StoreLogs(logs []*raft.Log) error {
	if err := l.disk.BeforeWrite(storage.OpAppend); err != nil {
		return err
	}
	return l.LogStore.StoreLogs(logs)
}
