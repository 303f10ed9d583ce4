package storage

import (
	"errors"
	"fmt"
	"sync"

	"github.com/hashicorp/raft"
)

// point is the place in the log that a snapshot stands for.
type point struct{ index, term uint64 }

// snapshotLog is a raft.LogStore that agrees with the newest snapshot (hashicorp/raft#697). Raft compares the entry before
// the first one it is sent with its log alone, so a follower that has installed a snapshot, but whose log holds no entry at
// the snapshot's index, or one of another term, rejects for ever, and is sent the snapshot for ever. Three rules prevent that
// and keep what the snapshot has replaced from being read again:
//
//  1. An entry at the snapshot's index that the log cannot give is answered as a no-op of the snapshot's term.
//  2. In that case the log was not the history that led to the snapshot. Everything up to the snapshot's index is deleted
//     when the snapshot is complete; otherwise the node, once leader, could send such entries to others as if committed. What
//     stands above stays, for raft counts on it; raft finds the conflict there and truncates it itself.
//  3. Compaction up to the snapshot's index leaves the entry at that index. So rule 1 never answers for an entry that existed,
//     and a replicator that reads while the log is compacted sends the true entry or none.
//
// With them raft needs no monotonic store: IsMonotonic is false, and an append that leaves a gap deletes what is
// older, so that the log below never has one. Safe for concurrent use; appends come from one goroutine.
type snapshotLog struct {
	raft.LogStore
	batch uint64 // entries that compaction deletes at a time, so that appends need not wait for long; 0: no limit

	mu     sync.RWMutex
	newest point
	masked bool // rule 1 is in force at newest

	deleting sync.Mutex // held for one step of a deletion, never while waiting for an append
}

// GetLog implements raft.LogStore.
func (l *snapshotLog) GetLog(index uint64, log *raft.Log) error {
	err := l.LogStore.GetLog(index, log)
	l.mu.RLock()
	defer l.mu.RUnlock()
	if !l.masked || index != l.newest.index {
		return err
	}
	if errors.Is(err, raft.ErrLogNotFound) || err == nil && log.Term != l.newest.term {
		*log = raft.Log{Index: index, Term: l.newest.term, Type: raft.LogNoop}
		return nil
	}
	return err
}

// IsMonotonic implements raft.MonotonicLogStore. False whatever the store below: a monotonic store makes raft delete its
// whole log after an install, while it goes on believing in the last index that the log had.
func (l *snapshotLog) IsMonotonic() bool { return false }

// StoreLog implements raft.LogStore.
func (l *snapshotLog) StoreLog(log *raft.Log) error { return l.StoreLogs([]*raft.Log{log}) }

// StoreLogs implements raft.LogStore. The entries become the end of the log: what stands at or after the first of them goes,
// and if they do not follow the last one, all that is older goes.
func (l *snapshotLog) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	last, err := l.LogStore.LastIndex()
	if err != nil {
		return fmt.Errorf("read last index: %w", err)
	}
	next := logs[0].Index
	switch {
	case last == 0 || next == last+1:
	case next > last+1:
		err = l.delete(0, last)
	default:
		err = l.delete(next, last)
	}
	if err != nil {
		return err
	}
	return l.LogStore.StoreLogs(logs)
}

// DeleteRange implements raft.LogStore. The range is inclusive and must reach an end of the log; beyond the ends it is cut.
func (l *snapshotLog) DeleteRange(first, last uint64) error {
	if p := l.point(); last == p.index {
		var kept raft.Log
		if err := l.LogStore.GetLog(p.index, &kept); err == nil && kept.Term == p.term {
			last-- // rule 3
		}
	}
	return l.delete(first, last)
}

func (l *snapshotLog) delete(first, last uint64) error {
	for {
		done, err := l.deleteStep(first, last)
		if done || err != nil {
			return err
		}
	}
}

// deleteStep deletes the oldest entries of a range at the head of the log, or all of a range at its tail.
func (l *snapshotLog) deleteStep(first, last uint64) (done bool, err error) {
	l.deleting.Lock()
	defer l.deleting.Unlock()
	head, tail, err := bounds(l.LogStore)
	if err != nil {
		return false, err
	}
	first, last = max(first, head), min(last, tail)
	switch {
	case tail == 0 || first > last:
		return true, nil
	case first != head && last != tail:
		return false, fmt.Errorf("delete log entries %d to %d of %d to %d: the rest would have a gap", first, last, head, tail)
	case first == head && l.batch > 0 && last-first >= l.batch:
		return false, l.LogStore.DeleteRange(first, first+l.batch-1)
	}
	return true, l.LogStore.DeleteRange(first, last)
}

// adopt makes the log agree with a snapshot that is complete on disk. Called for each one that is finished, and at start
// for the newest there is, which repeats what a crash may have interrupted.
func (l *snapshotLog) adopt(p point) error {
	var log raft.Log
	err := l.LogStore.GetLog(p.index, &log)
	if err != nil && !errors.Is(err, raft.ErrLogNotFound) {
		return fmt.Errorf("read log entry %d: %w", p.index, err)
	}
	known := err == nil && log.Term == p.term
	l.mu.Lock()
	if p.index < l.newest.index {
		l.mu.Unlock()
		return nil
	}
	// Index 1 is never masked: raft reads it without having read the entry before it. It needs no mask, for it is the
	// first configuration, the same on all members.
	l.newest, l.masked = p, !known && p.index > 1
	l.mu.Unlock()
	if known {
		return nil
	}
	return l.delete(0, p.index) // rule 2
}

// point is the place of the newest snapshot.
func (l *snapshotLog) point() point {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.newest
}

// bounds are the first and last index of a log, zeroes when it is empty.
func bounds(log raft.LogStore) (first, last uint64, err error) {
	if first, err = log.FirstIndex(); err != nil {
		return 0, 0, fmt.Errorf("read first index: %w", err)
	}
	if last, err = log.LastIndex(); err != nil {
		return 0, 0, fmt.Errorf("read last index: %w", err)
	}
	return first, last, nil
}
