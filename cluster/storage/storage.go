// Package storage keeps what a Raft node must not lose: log, term and vote, snapshots. It is hashicorp's stores under
// decorators that give what those lack; DESIGN.md says which known bug each one is for. It knows nothing of the cluster.
package storage

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// Storage is one node's data folder, open. Safe for concurrent use. It must outlive the raft.Raft that uses it.
type Storage struct {
	disk      *disk
	backends  *backends
	log       *snapshotLog
	stable    *votes
	snapshots *snapshots
	trigger   *Trigger
	stats     *recorder
}

// Open opens a data folder, and makes it if there is none. It may take seconds: it recovers the log and waits a little for
// another process to let go. See ErrInUse, ErrOtherLog and ErrBrokenVote for what an operator has to decide.
func Open(cfg Config) (*Storage, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("open storage: %w", err)
	}
	if err := prepareDir(cfg.Dir); err != nil {
		return nil, fmt.Errorf("open storage: %w", err)
	}
	backends, err := openBackends(cfg)
	if err != nil {
		return nil, fmt.Errorf("open storage: %w", err)
	}
	s, err := assemble(cfg, backends)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open storage: %w", err), backends.Close())
	}
	return s, nil
}

// assemble puts the decorators around the stores. From raft downwards: snapshotLog, cache, diskLog, library.
func assemble(cfg Config, below *backends) (*Storage, error) {
	s := &Storage{backends: below, disk: newDisk(cfg.WriteTimeout, cfg.Fatal, cfg.Faults), trigger: newTrigger(cfg)}
	s.stats = &recorder{trigger: s.trigger}
	s.log = &snapshotLog{
		LogStore: newCache(&diskLog{LogStore: below.log, disk: s.disk, stats: s.stats}),
		batch:    below.batch,
	}
	var err error
	if s.stable, err = openVotes(&diskStable{StableStore: below.stable, disk: s.disk}); err != nil {
		return nil, err
	}
	if s.snapshots, err = openSnapshots(cfg, s); err != nil {
		return nil, err
	}
	if err := s.trigger.recover(s.log); err != nil {
		return nil, err
	}
	return s, syncDir(cfg.Dir)
}

// Log is raft's log.
func (s *Storage) Log() raft.LogStore { return s.log }

// Stable is raft's store of term and vote.
func (s *Storage) Stable() raft.StableStore { return s.stable }

// Snapshots is raft's store of snapshots.
func (s *Storage) Snapshots() raft.SnapshotStore { return s.snapshots }

// Trigger says when to snapshot.
func (s *Storage) Trigger() *Trigger { return s.trigger }

// Stats is what the store has done so far; each call begins a new maximum.
func (s *Storage) Stats() Stats {
	stats := s.stats.read()
	stats.Failure = s.disk.verdict()
	return stats
}

// Close waits for the writes under way, at most for the write timeout, and closes the files. Call it after raft has shut
// down. After a failure it returns ErrFailed, and the files are closed when the disk lets go of them, if ever.
func (s *Storage) Close() error {
	idle := s.disk.close()
	timer := time.NewTimer(s.disk.timeout)
	defer timer.Stop()
	select {
	case <-idle:
		return errors.Join(s.disk.verdict(), s.backends.Close())
	case <-s.disk.failed:
	case <-timer.C:
	}
	go func() {
		<-idle
		_ = s.backends.Close() // nobody is left to be told
	}()
	return fmt.Errorf("close storage: %w", errors.Join(ErrFailed, s.disk.verdict()))
}
