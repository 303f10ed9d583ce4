package storage_test

import (
	"bytes"
	"testing"

	"github.com/hydrastore/hydrastore/cluster/storage"
)

// sized stores entries of so many bytes each.
func sized(t *testing.T, s *storage.Storage, first, last uint64, size int) {
	t.Helper()
	logs := entries(first, last, 1)
	for _, log := range logs {
		log.Data = bytes.Repeat([]byte{'x'}, size)
	}
	store(t, s, logs)
}

func TestSnapshotIsDueByBytes(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, kind string) {
		cfg := config(t, kind)
		cfg.SnapshotBytes = 10_000
		s := open(t, cfg)
		sized(t, s, 1, 9, 1000)
		if s.Trigger().ShouldSnapshot() {
			t.Error("due after 9,000 bytes")
		}
		sized(t, s, 10, 10, 1000)
		if !s.Trigger().ShouldSnapshot() {
			t.Error("not due after 10,000 bytes")
		}
		closeStore(t, s)

		s = open(t, cfg)
		defer closeStore(t, s)
		if !s.Trigger().ShouldSnapshot() {
			t.Error("forgotten in a restart")
		}
		sink := begin(t, s, 10, 1)
		sized(t, s, 11, 16, 1000)
		if err := sink.Close(); err != nil {
			t.Fatal(err)
		}
		if s.Trigger().ShouldSnapshot() {
			t.Error("due right after the snapshot")
		}
		sized(t, s, 17, 20, 1000)
		if !s.Trigger().ShouldSnapshot() {
			t.Error("what was appended while the snapshot was written does not count")
		}
	})
}

// A large state is not written again for every little growth of the log, also after a restart.
func TestSnapshotIsDueInProportionToTheState(t *testing.T) {
	t.Parallel()
	cfg := config(t, storage.LogStoreBoltDB)
	cfg.SnapshotBytes = 1000
	s := open(t, cfg)
	sized(t, s, 1, 1, 1000)
	sink := begin(t, s, 1, 1)
	if _, err := sink.Write(make([]byte, 5000)); err != nil {
		t.Fatal(err)
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	sized(t, s, 2, 4, 1000)
	if s.Trigger().ShouldSnapshot() {
		t.Error("due after 3,000 bytes beside a state of 5,000")
	}
	closeStore(t, s)

	s = open(t, cfg)
	defer closeStore(t, s)
	if s.Trigger().ShouldSnapshot() {
		t.Error("the size of the state is forgotten in a restart")
	}
	sized(t, s, 5, 6, 1000)
	if !s.Trigger().ShouldSnapshot() {
		t.Error("not due after 5,000 bytes beside a state of 5,000")
	}
}

func TestFailedSnapshotStaysDue(t *testing.T) {
	t.Parallel()
	cfg := config(t, storage.LogStoreBoltDB)
	cfg.SnapshotBytes = 1000
	s := open(t, cfg)
	defer closeStore(t, s)
	sized(t, s, 1, 2, 1000)
	if err := begin(t, s, 2, 1).Cancel(); err != nil {
		t.Fatal(err)
	}
	if !s.Trigger().ShouldSnapshot() {
		t.Error("no longer due, and there is no snapshot")
	}
}

func TestSnapshotIsDueByCommands(t *testing.T) {
	t.Parallel()
	cfg := config(t, storage.LogStoreBoltDB)
	cfg.SnapshotCommands = 1000
	s := open(t, cfg)
	defer closeStore(t, s)
	s.Trigger().AddCommands(2000)
	if s.Trigger().ShouldSnapshot() {
		t.Error("due with an empty log")
	}
	store(t, s, entries(1, 5, 1))
	if !s.Trigger().ShouldSnapshot() {
		t.Error("not due after 2,000 commands")
	}
	snapshot(t, s, 5, 1)
	store(t, s, entries(6, 6, 1))
	s.Trigger().AddCommands(999)
	if s.Trigger().ShouldSnapshot() {
		t.Error("due after 999 commands")
	}
	s.Trigger().AddCommands(1)
	if !s.Trigger().ShouldSnapshot() {
		t.Error("not due after 1,000 commands")
	}
}

func TestTrailingLogsAreBoundedInBytes(t *testing.T) {
	t.Parallel()
	cfg := config(t, storage.LogStoreBoltDB)
	cfg.TrailingBytes = 1 << 20
	s := open(t, cfg)
	defer closeStore(t, s)
	sized(t, s, 1, 2000, 100)
	if got := s.Trigger().TrailingLogs(); got < 10_000 || got > 10_600 {
		t.Errorf("%d entries of 100 bytes for 1 MiB", got)
	}
	sized(t, s, 2001, 4000, 1000) // larger entries: fewer of them, soon
	if got := s.Trigger().TrailingLogs(); got < 1000 || got > 1100 {
		t.Errorf("%d entries of 1,000 bytes for 1 MiB", got)
	}
	sized(t, s, 4001, 4020, 2<<20)
	if got := s.Trigger().TrailingLogs(); got != 64 {
		t.Errorf("%d entries of 2 MiB, want the least", got)
	}
}

func TestTrailingLogsOfAnEmptyLog(t *testing.T) {
	t.Parallel()
	s := open(t, config(t, storage.LogStoreBoltDB))
	defer closeStore(t, s)
	if got := s.Trigger().TrailingLogs(); got != 1<<20 {
		t.Errorf("%d entries, want the most", got)
	}
}
