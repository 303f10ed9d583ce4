package storage

import (
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
)

// walLog is a raft-wal log that no longer answers for what has been deleted from its head: raft-wal v0.4.1 goes on reading
// such entries from the segment that it appends to (state.go, getLog). What lies below a snapshot that replaced the log must
// not be read again; see snapshotLog.
type walLog struct{ *wal.WAL }

// GetLog implements raft.LogStore.
func (l walLog) GetLog(index uint64, log *raft.Log) error {
	first, err := l.FirstIndex()
	if err != nil {
		return err
	}
	if first == 0 || index < first {
		return raft.ErrLogNotFound
	}
	return l.WAL.GetLog(index, log)
}
