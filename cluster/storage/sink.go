package storage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"
)

// sink is one snapshot being written. Like every raft.SnapshotSink it is used by one goroutine.
type sink struct {
	raft.SnapshotSink
	store *snapshots
	at    point
	mark  mark // the log's growth when the snapshot was begun
	size  int64

	ended bool
	err   error // of the end; raft closes a sink that the state machine has closed already, and must hear the same again
}

// Write implements raft.SnapshotSink. After an error the snapshot must be cancelled; the next attempt writes a new file.
func (s *sink) Write(data []byte) (n int, err error) {
	err = s.store.disk.writeRetryable(OpSnapshotWrite, s.store.disk.timeout, func() (err error) {
		n, err = s.SnapshotSink.Write(data)
		return err
	})
	s.size += int64(n)
	return n, err
}

// Close implements raft.SnapshotSink: when it returns nil the snapshot is durable, and log and snapshot agree.
func (s *sink) Close() error {
	if !s.ended {
		s.ended = true
		defer s.store.ended(s.ID())
		s.err = s.finish()
	}
	return s.err
}

// Cancel implements raft.SnapshotSink.
func (s *sink) Cancel() error {
	if s.ended {
		return nil
	}
	s.ended = true
	defer s.store.ended(s.ID())
	s.err = errors.New("snapshot was cancelled")
	return s.discard()
}

func (s *sink) finish() error {
	s.store.finishing.Lock()
	defer s.store.finishing.Unlock()
	if newest := s.store.log.point(); s.at.index < newest.index {
		return errors.Join(fmt.Errorf("finish snapshot of index %d: %w: %d", s.at.index, ErrOlderSnapshot, newest.index), s.discard())
	}
	patience := snapshotPatience * s.store.disk.timeout
	err := s.store.disk.writeRetryable(OpSnapshotSync, patience, func() error {
		if err := s.SnapshotSink.Close(); err != nil {
			return err
		}
		return syncDir(filepath.Join(s.store.dir, s.ID()))
	})
	if err != nil {
		return errors.Join(fmt.Errorf("finish snapshot of index %d: %w", s.at.index, err), s.discard())
	}
	if err := s.store.log.adopt(s.at); err != nil {
		return fmt.Errorf("cut log at snapshot of index %d: %w", s.at.index, err)
	}
	s.store.trigger.snapshotTaken(s.mark, uint64(s.size))
	s.store.stats.snapshot(s.at.index, s.at.term, s.size, snapshotTime(s.ID()))
	return nil
}

// discard removes the unfinished file. raft.FileSnapshotStore leaves it when the last bytes cannot be flushed: on a full
// disk, where its space is needed most.
func (s *sink) discard() error {
	_ = s.SnapshotSink.Cancel() // fails as the write did, or the sink is closed already; either way the folder has to go
	if err := os.RemoveAll(filepath.Join(s.store.dir, s.ID()+tmpSuffix)); err != nil {
		return fmt.Errorf("remove unfinished snapshot: %w", err)
	}
	return nil
}
