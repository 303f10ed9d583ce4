package storage

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// The kinds of log store.
const (
	LogStoreBoltDB = "boltdb" // raft-boltdb: a B+tree in raft.db, two fsyncs an append
	LogStoreWAL    = "wal"    // raft-wal: segment files in the folder wal, one fsync an append
)

// Config says where and how a node keeps its log, vote and snapshots. The zero value of a field with a default means that
// default.
type Config struct {
	// Dir is the data folder; made with mode 0700 if it does not exist. One process at a time may use it.
	Dir string
	// LogStore is the kind of log: LogStoreBoltDB (default) or LogStoreWAL. The vote is in raft.db in either case.
	// A folder that holds a log of one kind cannot be opened as the other.
	LogStore string
	// WriteTimeout is how long a write of the log or the vote may take before the node gives up on the disk; default 10 s.
	// Raising it keeps a leader with a hung disk in office for longer; lowering it ends nodes on disks that are merely slow.
	WriteTimeout time.Duration
	// SnapshotRetain is how many snapshots are kept; default 2: the newest and one to fall back on.
	SnapshotRetain int
	// SnapshotBytes and SnapshotCommands are the growth of the log after which Trigger.ShouldSnapshot says yes; default
	// 64 MiB and 1,000,000. Lower: quicker starts and a shorter log, more writing of snapshots.
	SnapshotBytes, SnapshotCommands uint64
	// TrailingBytes is about how much log stays behind a snapshot, for members that are a little late; default 32 MiB.
	// Lower: such members are sent the whole snapshot sooner.
	TrailingBytes uint64
	// SegmentBytes is the size of a segment file of LogStoreWAL, reserved on disk at once; default 64 MiB.
	SegmentBytes int
	// Fatal is called once, when the log or the vote could not be written; required. It must end the process, and until it
	// does the store refuses every write. It may be called on any goroutine, also on raft's main one, and so must not wait
	// for raft. When it returns from a failed save of a term, raft panics.
	Fatal func(error)
	// Logger receives what the libraries below have to say; default: nothing is logged.
	Logger *slog.Logger
	// Faults is for tests; default: none.
	Faults Faults
}

// withDefaults fills in the defaults and checks the rest.
func (c Config) withDefaults() (Config, error) {
	if c.Dir == "" {
		return c, errors.New("no data folder given")
	}
	if c.Fatal == nil {
		return c, errors.New("storage.Config.Fatal is required: a node must end when its disk fails")
	}
	if c.LogStore == "" {
		c.LogStore = LogStoreBoltDB
	}
	if c.LogStore != LogStoreBoltDB && c.LogStore != LogStoreWAL {
		return c, fmt.Errorf("unknown log store %q: use %q or %q", c.LogStore, LogStoreBoltDB, LogStoreWAL)
	}
	if c.WriteTimeout < 0 || c.SnapshotRetain < 0 || c.SegmentBytes < 0 {
		return c, errors.New("write timeout, snapshots to retain and segment size must not be negative")
	}
	setDefault(&c.WriteTimeout, 10*time.Second)
	setDefault(&c.SnapshotRetain, 2)
	setDefault(&c.SnapshotBytes, 64<<20)
	setDefault(&c.SnapshotCommands, 1_000_000)
	setDefault(&c.TrailingBytes, 32<<20)
	setDefault(&c.SegmentBytes, 64<<20)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Faults == nil {
		c.Faults = noFaults{}
	}
	return c, nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
