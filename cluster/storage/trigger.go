package storage

import (
	"fmt"
	"sync"

	"github.com/hashicorp/raft"
)

// Bounds of the trailing log, in entries: at least one full message of raft (MaxAppendEntries 64), at most what a
// compaction of a second or two can delete.
const (
	minTrailing = 64
	maxTrailing = 1 << 20
)

// Trigger decides when to snapshot and how much log to keep, by bytes and commands: raft counts entries, and an entry of a
// batch may hold one command or a thousand (raft.Config.SnapshotThreshold is to be set out of reach). Safe for concurrent use.
type Trigger struct {
	maxBytes, maxCommands, trailingBytes uint64

	mu      sync.Mutex
	since   mark   // growth of the log since the newest snapshot
	newest  uint64 // bytes of the newest snapshot
	average float64
}

// mark is a count of what has been added to the log.
type mark struct{ entries, bytes, commands uint64 }

func newTrigger(cfg Config) *Trigger {
	return &Trigger{maxBytes: cfg.SnapshotBytes, maxCommands: cfg.SnapshotCommands, trailingBytes: cfg.TrailingBytes}
}

// AddCommands counts commands that were applied; whoever knows what an entry holds calls it.
func (t *Trigger) AddCommands(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.since.commands += uint64(n)
}

// ShouldSnapshot reports whether the log since the newest snapshot has reached Config.SnapshotBytes, or the size of that snapshot
// where that is more: the state is not written more often than the log that it replaces, so snapshots cost at most as
// much writing as the log does, however large the state. Config.SnapshotCommands grows in the same proportion. It is
// cheap, to be polled; nothing happens until the caller asks raft for the snapshot.
func (t *Trigger) ShouldSnapshot() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	share := max(1, float64(t.newest)/float64(t.maxBytes))
	return t.since.entries > 0 &&
		(float64(t.since.bytes) >= share*float64(t.maxBytes) || float64(t.since.commands) >= share*float64(t.maxCommands))
}

// TrailingLogs is how many entries to keep behind a snapshot (raft.ReloadableConfig.TrailingLogs), so that they hold about
// Config.TrailingBytes at the average size of recent entries. To be set before each snapshot.
func (t *Trigger) TrailingLogs() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return uint64(min(maxTrailing, max(minTrailing, float64(t.trailingBytes)/max(t.average, 1))))
}

// recent is over how many entries the average size is taken.
const recent = 1024

func (t *Trigger) appended(entries, bytes int) {
	if entries == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	size := float64(bytes) / float64(entries)
	if t.average == 0 {
		t.average = size
	} else {
		weight := min(1, float64(entries)/recent)
		t.average += weight * (size - t.average)
	}
	t.since.entries += uint64(entries)
	t.since.bytes += uint64(bytes)
}

// recover counts the log behind the newest snapshot after a restart; it reads no more of it than needed for a decision.
func (t *Trigger) recover(log *snapshotLog) error {
	first, last, err := bounds(log)
	if err != nil {
		return err
	}
	var entry raft.Log
	for index := max(first, log.point().index+1); index <= last && !t.ShouldSnapshot(); index++ {
		if err := log.GetLog(index, &entry); err != nil {
			return fmt.Errorf("read log entry %d: %w", index, err)
		}
		t.appended(1, entryBytes(&entry))
	}
	return nil
}

// mark is the growth so far; a snapshot begun now covers it.
func (t *Trigger) mark() mark {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.since
}

// snapshotTaken leaves what was added while the snapshot, of so many bytes, was written.
func (t *Trigger) snapshotTaken(covered mark, size uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.newest = size
	t.since.entries -= min(t.since.entries, covered.entries)
	t.since.bytes -= min(t.since.bytes, covered.bytes)
	t.since.commands -= min(t.since.commands, covered.commands)
}
