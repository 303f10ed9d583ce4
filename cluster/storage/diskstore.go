package storage

import (
	"time"

	"github.com/hashicorp/raft"
)

// diskLog is a raft.LogStore whose writes go through a disk. Reads pass.
type diskLog struct {
	raft.LogStore
	disk  *disk
	stats *recorder
}

// StoreLog implements raft.LogStore.
func (l *diskLog) StoreLog(log *raft.Log) error { return l.StoreLogs([]*raft.Log{log}) }

// StoreLogs implements raft.LogStore. The entries must stay unchanged even after an error: a hung write still reads them.
func (l *diskLog) StoreLogs(logs []*raft.Log) error {
	start := time.Now()
	if err := l.disk.write(OpAppend, func() error { return l.LogStore.StoreLogs(logs) }); err != nil {
		return err
	}
	l.stats.appended(logs, time.Since(start))
	return nil
}

// DeleteRange implements raft.LogStore.
func (l *diskLog) DeleteRange(first, last uint64) error {
	return l.disk.write(OpDelete, func() error { return l.LogStore.DeleteRange(first, last) })
}

// diskStable is a raft.StableStore whose writes go through a disk. Reads pass.
type diskStable struct {
	raft.StableStore
	disk *disk
}

// Set implements raft.StableStore.
func (s *diskStable) Set(key, value []byte) error {
	return s.disk.write(OpState, func() error { return s.StableStore.Set(key, value) })
}

// SetUint64 implements raft.StableStore.
func (s *diskStable) SetUint64(key []byte, value uint64) error {
	return s.disk.write(OpState, func() error { return s.StableStore.SetUint64(key, value) })
}
