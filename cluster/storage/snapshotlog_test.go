package storage_test

import (
	"errors"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/hydrastore/hydrastore/cluster/storage"
)

// wantEntry checks what the log says of an index; term 0: there is no entry.
func wantEntry(t *testing.T, s *storage.Storage, index, term uint64, kind raft.LogType) {
	t.Helper()
	var log raft.Log
	err := s.Log().GetLog(index, &log)
	switch {
	case term == 0:
		if err != raft.ErrLogNotFound { // raft compares so
			t.Errorf("entry %d: %+v, %v, want ErrLogNotFound", index, log, err)
		}
	case err != nil || log.Index != index || log.Term != term || log.Type != kind:
		t.Errorf("entry %d: %+v, %v, want term %d, %v", index, log, err, term, kind)
	}
}

func wantBounds(t *testing.T, s *storage.Storage, first, last uint64) {
	t.Helper()
	if gotFirst, gotLast := bounds(t, s.Log()); gotFirst != first || gotLast != last {
		t.Errorf("log from %d to %d, want %d to %d", gotFirst, gotLast, first, last)
	}
}

// Both times: as the node goes on, and after a restart.
func nowAndReopened(t *testing.T, cfg storage.Config, s *storage.Storage, check func(*storage.Storage)) {
	t.Helper()
	check(s)
	closeStore(t, s)
	s = open(t, cfg)
	check(s)
	closeStore(t, s)
}

// Rules 1 and 2: the log is not the history that led to the snapshot.
func TestSnapshotReplacesADivergentLog(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, kind string) {
		cfg := config(t, kind)
		s := open(t, cfg)
		store(t, s, entries(1, 30, 3))
		snapshot(t, s, 20, 5)
		nowAndReopened(t, cfg, s, func(s *storage.Storage) {
			wantBounds(t, s, 21, 30)
			wantEntry(t, s, 20, 5, raft.LogNoop)
			for index := uint64(1); index < 20; index++ { // once leader, the node would send them as if committed
				wantEntry(t, s, index, 0, 0)
			}
			wantEntry(t, s, 21, 3, raft.LogCommand) // raft truncates it
		})
	})
}

// What a crash between the end of the snapshot and the end of the deletion leaves is finished at the next start.
func TestDivergentLogIsReplacedAfterACrash(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, kind string) {
		s, disk, _, cfg := onBadDisk(t, kind)
		disk.set(storage.OpDelete, errors.New("power cut"), nil, nil)
		if err := begin(t, s, 5, 2).Close(); !errors.Is(err, storage.ErrFailed) {
			t.Fatalf("close: %v", err)
		}
		if err := s.Close(); !errors.Is(err, storage.ErrFailed) {
			t.Fatalf("close: %v", err)
		}
		cfg.Faults = nil
		waitFor(t, "the files are closed", func() (opened bool) {
			again, err := storage.Open(cfg)
			if err == nil {
				s = again
			}
			return err == nil
		})
		defer closeStore(t, s)
		wantBounds(t, s, 6, 10)
		wantEntry(t, s, 5, 2, raft.LogNoop)
	})
}

func TestSnapshotBeyondTheLog(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, kind string) {
		cfg := config(t, kind)
		s := open(t, cfg)
		store(t, s, entries(1, 10, 1))
		snapshot(t, s, 100, 2)
		wantBounds(t, s, 0, 0)
		if err := s.Log().DeleteRange(0, 8); err != nil { // raft compacts the log that it believes in
			t.Errorf("delete from the empty log: %v", err)
		}
		store(t, s, entries(101, 105, 2))
		nowAndReopened(t, cfg, s, func(s *storage.Storage) {
			wantBounds(t, s, 101, 105)
			wantEntry(t, s, 100, 2, raft.LogNoop)
			wantEntry(t, s, 10, 0, 0)
		})
	})
}

// Rule 3: compaction leaves the entry that the snapshot ends with, so that nothing is ever made up in its place.
func TestCompactionLeavesTheSnapshotsEntry(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, kind string) {
		cfg := config(t, kind)
		s := open(t, cfg)
		store(t, s, entries(1, 30, 1))
		snapshot(t, s, 20, 1)
		if err := s.Log().DeleteRange(1, 20); err != nil {
			t.Fatal(err)
		}
		if err := s.Log().DeleteRange(20, 20); err != nil { // and again, as raft may
			t.Fatal(err)
		}
		nowAndReopened(t, cfg, s, func(s *storage.Storage) {
			wantBounds(t, s, 20, 30)
			wantEntry(t, s, 19, 0, 0)
			wantEntry(t, s, 20, 1, raft.LogCommand)
		})
		s = open(t, cfg)
		defer closeStore(t, s)
		snapshot(t, s, 30, 1)
		if err := s.Log().DeleteRange(20, 28); err != nil {
			t.Fatal(err)
		}
		wantBounds(t, s, 29, 30)
	})
}

func TestFirstEntryIsNeverMadeUp(t *testing.T) {
	t.Parallel()
	s := open(t, config(t, storage.LogStoreBoltDB))
	defer closeStore(t, s)
	snapshot(t, s, 1, 1)
	wantEntry(t, s, 1, 0, 0)
}

// Raft is told that the log takes gaps (see snapshotLog.IsMonotonic); below there are none.
func TestGapDropsWhatIsOlder(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, kind string) {
		s := open(t, config(t, kind))
		defer closeStore(t, s)
		if m, ok := s.Log().(raft.MonotonicLogStore); ok && m.IsMonotonic() {
			t.Error("the log says that it is monotonic")
		}
		store(t, s, entries(1, 10, 1))
		snapshot(t, s, 10, 1) // even the entry that compaction would leave
		store(t, s, entries(15, 20, 2))
		wantBounds(t, s, 15, 20)
		wantEntry(t, s, 10, 0, 0)
		store(t, s, entries(18, 19, 3)) // and an append in the middle is the new end
		wantBounds(t, s, 15, 19)
		wantEntry(t, s, 18, 3, raft.LogCommand)
		wantEntry(t, s, 20, 0, 0)
	})
}

func TestDeleteInTheMiddleIsRefused(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, kind string) {
		s := open(t, config(t, kind))
		defer closeStore(t, s)
		store(t, s, entries(1, 10, 1))
		if err := s.Log().DeleteRange(4, 6); err == nil {
			t.Error("a gap was made")
		}
		wantBounds(t, s, 1, 10)
		store(t, s, entries(11, 12, 1)) // and it was no failure of the disk
	})
}

// Compaction is done in steps, so that appends get in between.
func TestLongCompaction(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, kind string) {
		cfg := config(t, kind)
		cfg.SegmentBytes = 1 << 20
		disk := &badDisk{}
		cfg.Faults = disk
		s := open(t, cfg)
		defer closeStore(t, s)
		store(t, s, entries(1, 10_000, 1))
		before := disk.count()
		if err := s.Log().DeleteRange(1, 9_000); err != nil {
			t.Fatal(err)
		}
		wantBounds(t, s, 9_001, 10_000)
		want := map[string]int{storage.LogStoreBoltDB: 5, storage.LogStoreWAL: 1}[kind]
		if got := disk.count() - before; got != want {
			t.Errorf("%d writes, want %d", got, want)
		}
	})
}
