package storage_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/hydrastore/hydrastore/cluster/storage"
)

// unfinished are the snapshots that were begun and neither completed nor removed.
func unfinished(t *testing.T, dir string) (names []string) {
	t.Helper()
	folders, err := os.ReadDir(filepath.Join(dir, "snapshots"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range folders {
		if strings.HasSuffix(f.Name(), ".tmp") {
			names = append(names, f.Name())
		}
	}
	return names
}

func listed(t *testing.T, s *storage.Storage) (indexes []uint64) {
	t.Helper()
	list, err := s.Snapshots().List()
	if err != nil {
		t.Fatal(err)
	}
	for _, meta := range list {
		indexes = append(indexes, meta.Index)
	}
	return indexes
}

// A full disk costs a snapshot, not the node: the next attempt is a new file. What was written is removed at once.
func TestFullDiskCostsTheSnapshotAlone(t *testing.T) {
	t.Parallel()
	for name, op := range map[string]storage.Op{"while writing": storage.OpSnapshotWrite, "at the end": storage.OpSnapshotSync} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, disk, fatal, cfg := onBadDisk(t, storage.LogStoreBoltDB)
			defer closeStore(t, s)
			sink := begin(t, s, 5, 1)
			disk.set(op, syscall.ENOSPC, nil, nil)
			_, err := sink.Write(make([]byte, 1<<20))
			if err == nil {
				err = sink.Close()
				if again := sink.Close(); !errors.Is(again, syscall.ENOSPC) {
					t.Errorf("the second close says %v", again)
				}
			}
			if !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("write and close: %v", err)
			}
			if err := sink.Cancel(); err != nil {
				t.Errorf("cancel: %v", err)
			}
			if got := unfinished(t, cfg.Dir); len(got) != 0 {
				t.Errorf("left on a full disk: %v", got)
			}
			if got := fatal.all(); len(got) != 0 {
				t.Errorf("fatal: %v", got)
			}

			disk.set("", nil, nil, nil)
			store(t, s, entries(11, 11, 1))
			snapshot(t, s, 6, 1)
			if got := listed(t, s); len(got) != 1 || got[0] != 6 {
				t.Errorf("snapshots %v, want that of index 6", got)
			}
		})
	}
}

func TestFailedBeginLeavesNothing(t *testing.T) {
	t.Parallel()
	s, disk, fatal, cfg := onBadDisk(t, storage.LogStoreBoltDB)
	defer closeStore(t, s)
	other := begin(t, s, 4, 1)
	disk.set(storage.OpSnapshotWrite, nil, syscall.EIO, nil)
	_, inmem := raft.NewInmemTransport("")
	if _, err := s.Snapshots().Create(1, 5, 1, raft.Configuration{}, 1, inmem); !errors.Is(err, syscall.EIO) {
		t.Errorf("create: %v", err)
	}
	disk.set("", nil, nil, nil)
	if got := unfinished(t, cfg.Dir); len(got) != 1 || !strings.HasPrefix(got[0], "1-4-") {
		t.Errorf("unfinished: %v, want the other one alone", got)
	}
	if err := other.Close(); err != nil {
		t.Errorf("close the other one: %v", err)
	}
	if got := fatal.all(); len(got) != 0 {
		t.Errorf("fatal: %v", got)
	}
}

// A hang is fatal for snapshots too: nobody can retry what does not end.
func TestHungSnapshotEndsTheNode(t *testing.T) {
	t.Parallel()
	for op, patience := range map[storage.Op]time.Duration{
		storage.OpSnapshotWrite: 10 * time.Second,
		storage.OpSnapshotSync:  time.Minute,
	} {
		t.Run(string(op), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, disk, fatal, _ := onBadDisk(t, storage.LogStoreBoltDB)
				sink := begin(t, s, 5, 1)
				hang := make(chan struct{})
				disk.set(op, nil, nil, hang)
				done := make(chan error, 1)
				go func() {
					_, err := sink.Write([]byte("state"))
					done <- errors.Join(err, sink.Close())
				}()
				time.Sleep(patience - time.Millisecond)
				if got := fatal.all(); len(got) != 0 {
					t.Errorf("fatal too early: %v", got)
				}
				time.Sleep(2 * time.Millisecond)
				if got := fatal.all(); len(got) != 1 || !errors.Is(got[0], storage.ErrWriteTimeout) {
					t.Errorf("fatal: %v", got)
				}
				close(hang)
				if err := <-done; !errors.Is(err, storage.ErrFailed) {
					t.Errorf("the snapshot that was given up: %v", err)
				}
				refusesEverything(t, s, disk)
				_ = s.Close()
			})
		})
	}
}

// hashicorp/raft#248: a snapshot of the node's own ends after a newer one has been received.
func TestOlderSnapshotNeverBecomesTheNewest(t *testing.T) {
	t.Parallel()
	cfg := config(t, storage.LogStoreBoltDB)
	s := open(t, cfg)
	store(t, s, entries(1, 20, 1))
	own := begin(t, s, 15, 1)
	snapshot(t, s, 100, 2)
	if err := own.Close(); !errors.Is(err, storage.ErrOlderSnapshot) {
		t.Errorf("close: %v, want ErrOlderSnapshot", err)
	}
	if _, err := s.Snapshots().Create(1, 99, 2, raft.Configuration{}, 1, nil); !errors.Is(err, storage.ErrOlderSnapshot) {
		t.Errorf("create: %v, want ErrOlderSnapshot", err)
	}
	snapshot(t, s, 100, 2) // the same again is what a leader sends that has missed the answer
	if got := s.Stats().LastSnapshot.Index; got != 100 {
		t.Errorf("newest snapshot %d, want 100", got)
	}
	if got := unfinished(t, cfg.Dir); len(got) != 0 {
		t.Errorf("unfinished: %v", got)
	}
	closeStore(t, s)
}

func TestCrashInTheMiddleOfASnapshot(t *testing.T) {
	t.Parallel()
	cfg := config(t, storage.LogStoreBoltDB)
	s := open(t, cfg)
	store(t, s, entries(1, 20, 1))
	snapshot(t, s, 5, 1)
	if _, err := begin(t, s, 15, 1).Write([]byte("half")); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	if got := unfinished(t, cfg.Dir); len(got) != 1 {
		t.Fatalf("unfinished: %v", got)
	}
	s = open(t, cfg)
	defer closeStore(t, s)
	if got := unfinished(t, cfg.Dir); len(got) != 0 {
		t.Errorf("unfinished after the restart: %v", got)
	}
	if got := listed(t, s); len(got) != 1 || got[0] != 5 {
		t.Errorf("snapshots %v, want that of index 5", got)
	}
}

func TestSnapshotsAreRetained(t *testing.T) {
	t.Parallel()
	s := open(t, config(t, storage.LogStoreBoltDB))
	defer closeStore(t, s)
	store(t, s, entries(1, 20, 1))
	for _, index := range []uint64{5, 10, 15} {
		snapshot(t, s, index, 1)
	}
	if got := listed(t, s); len(got) != 2 || got[0] != 15 || got[1] != 10 {
		t.Errorf("snapshots %v, want 15 and 10", got)
	}
	list, err := s.Snapshots().List()
	if err != nil {
		t.Fatal(err)
	}
	_, r, err := s.Snapshots().Open(list[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if data, err := io.ReadAll(r); err != nil || string(data) != "state" {
		t.Errorf("read %q, %v", data, err)
	}
}
