package storage

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Stats is what the store has done since it was opened.
type Stats struct {
	// Append is how long appends to the log took, from the call to the durable write.
	Append Latency
	// AppendedEntries and AppendedBytes count entries and their payload; one append has one or many entries.
	AppendedEntries, AppendedBytes uint64
	// LastSnapshot is the newest snapshot, written here or received; the zero value: none.
	LastSnapshot SnapshotStats
	// Failure is why the store takes no more writes; nil while it works.
	Failure error
}

// Latency summarises durations.
type Latency struct {
	Count uint64
	Sum   time.Duration
	Last  time.Duration
	Max   time.Duration // since Stats was last called
}

// SnapshotStats describes a snapshot.
type SnapshotStats struct {
	Index, Term uint64
	Bytes       int64
	At          time.Time // when it was begun, UTC
}

// recorder gathers Stats. Safe for concurrent use.
type recorder struct {
	mu      sync.Mutex
	stats   Stats
	trigger *Trigger
}

func (r *recorder) appended(logs []*raft.Log, took time.Duration) {
	bytes := 0
	for _, log := range logs {
		bytes += entryBytes(log)
	}
	r.trigger.appended(len(logs), bytes)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats.AppendedEntries += uint64(len(logs))
	r.stats.AppendedBytes += uint64(bytes)
	r.stats.Append.Count++
	r.stats.Append.Sum += took
	r.stats.Append.Last = took
	r.stats.Append.Max = max(r.stats.Append.Max, took)
}

func (r *recorder) snapshot(index, term uint64, bytes int64, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats.LastSnapshot = SnapshotStats{Index: index, Term: term, Bytes: bytes, At: at}
}

func (r *recorder) read() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.stats
	r.stats.Append.Max = 0
	return s
}
