package storage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// ErrOlderSnapshot: a newer snapshot is complete, this one is of no use. It happens when the node was sent a snapshot while
// it wrote one of its own (hashicorp/raft#248): taken as the newest, it would let the node forget entries it has acknowledged.
var ErrOlderSnapshot = errors.New("a newer snapshot exists")

// snapshotPatience is how many write timeouts the last step of a snapshot may take: it flushes the whole file.
const snapshotPatience = 6

// tmpSuffix marks a snapshot that raft.FileSnapshotStore has not finished.
const tmpSuffix = ".tmp"

// snapshots is a raft.SnapshotStore over raft.FileSnapshotStore. What a failed attempt leaves behind is removed, for it is
// most likely a full disk that made it fail. An error never ends the node, a hang does: see disk.writeRetryable.
type snapshots struct {
	raft.SnapshotStore
	dir     string // where the store keeps one folder a snapshot
	disk    *disk
	log     *snapshotLog
	trigger *Trigger
	stats   *recorder

	finishing sync.Mutex // one snapshot becomes the newest at a time

	mu      sync.Mutex
	writing map[string]bool // ids of the snapshots that are being written
}

// openSnapshots opens the folder of snapshots and makes the log agree with the newest.
func openSnapshots(cfg Config, of *Storage) (*snapshots, error) {
	files, err := raft.NewFileSnapshotStoreWithLogger(cfg.Dir, cfg.SnapshotRetain, libraryLogger(cfg.Logger))
	if err != nil {
		return nil, fmt.Errorf("open snapshots: %w", err)
	}
	s := &snapshots{
		SnapshotStore: files, dir: filepath.Join(cfg.Dir, snapshotsDir),
		disk: of.disk, log: of.log, trigger: of.trigger, stats: of.stats,
		writing: make(map[string]bool),
	}
	return s, errors.Join(s.removeUnfinished(), s.adoptNewest())
}

// removeUnfinished deletes what a crash or a failed Create left of snapshots that nobody writes any more.
func (s *snapshots) removeUnfinished() error {
	folders, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("list unfinished snapshots: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, folder := range folders {
		id, unfinished := strings.CutSuffix(folder.Name(), tmpSuffix)
		if !unfinished || s.writing[id] {
			continue
		}
		if err := os.RemoveAll(filepath.Join(s.dir, folder.Name())); err != nil {
			return fmt.Errorf("remove unfinished snapshot: %w", err)
		}
	}
	return nil
}

// adoptNewest makes log and statistics agree with the newest snapshot on disk.
func (s *snapshots) adoptNewest() error {
	list, err := s.List()
	if err != nil {
		return fmt.Errorf("list snapshots: %w", err)
	}
	if len(list) == 0 {
		return nil
	}
	s.trigger.snapshotTaken(mark{}, uint64(list[0].Size))
	s.stats.snapshot(list[0].Index, list[0].Term, list[0].Size, snapshotTime(list[0].ID))
	return s.log.adopt(point{list[0].Index, list[0].Term})
}

// Create implements raft.SnapshotStore.
func (s *snapshots) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration,
	configurationIndex uint64, transport raft.Transport) (raft.SnapshotSink, error) {
	if newest := s.log.point(); index < newest.index {
		return nil, fmt.Errorf("create snapshot of index %d: %w: %d", index, ErrOlderSnapshot, newest.index)
	}
	mark := s.trigger.mark() // before the first byte: what is appended from here on is not in the snapshot
	var inner raft.SnapshotSink
	err := s.disk.writeRetryable(OpSnapshotWrite, s.disk.timeout, func() (err error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		inner, err = s.SnapshotStore.Create(version, index, term, configuration, configurationIndex, transport)
		if err == nil {
			s.writing[inner.ID()] = true
		}
		return err
	})
	if err != nil {
		if inner != nil {
			_ = inner.Cancel()
			s.ended(inner.ID())
		}
		return nil, errors.Join(fmt.Errorf("create snapshot of index %d: %w", index, err), s.removeUnfinished())
	}
	return &sink{SnapshotSink: inner, store: s, at: point{index, term}, mark: mark}, nil
}

// ended says that nobody writes the snapshot any more.
func (s *snapshots) ended(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.writing, id)
}

// snapshotTime is when the snapshot was begun; raft.FileSnapshotStore ends its ids with the milliseconds.
func snapshotTime(id string) time.Time {
	var term, index uint64
	var ms int64
	if n, err := fmt.Sscanf(id, "%d-%d-%d", &term, &index, &ms); err != nil || n != 3 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// syncDir makes the names in a folder durable.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
