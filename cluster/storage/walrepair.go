package storage

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

// frameHeader is the length of what precedes an index block in a segment file of raft-wal (segment/format.go).
const frameHeader = 8

// repairWAL makes a log usable whose process ended between the append that filled a segment and the start of the next one.
// raft-wal v0.4.1 starts the next segment in the background; if it does not get so far, it recovers the full segment
// as the one to append to and then refuses every append to it ("segment is sealed"), after each restart anew. The same if the
// power went while the filling append was being written: the append is gone, its index block still counts. Here the first
// case is carried to its end, exactly as raft-wal would have, and in the second the stray index block is erased. Both are one
// write, so that a crash during the repair is repaired the next time. Nothing that was acknowledged is touched.
func repairWAL(dir string) (err error) {
	if _, err := os.Stat(filepath.Join(dir, metadb.FileName)); errors.Is(err, os.ErrNotExist) {
		return nil // a new log
	}
	meta := &metadb.BoltMetaDB{}
	defer func() { err = errors.Join(err, meta.Close()) }()
	state, err := meta.Load(dir)
	if err != nil || len(state.Segments) == 0 {
		return err
	}
	tail := state.Segments[len(state.Segments)-1]
	if !tail.SealTime.IsZero() {
		return nil
	}
	sealed, whole, err := judgeTail(dir, tail)
	if err != nil || !sealed.isSet {
		return err
	}
	if !whole {
		return eraseIndex(dir, tail, sealed.indexStart)
	}
	return meta.CommitState(rotate(state, sealed))
}

// sealing is how far a segment got before it was left.
type sealing struct {
	isSet      bool
	indexStart uint64
	last       uint64
}

// judgeTail says whether the last segment is sealed, and whether its index block leads to all of its entries.
func judgeTail(dir string, tail types.SegmentInfo) (s sealing, whole bool, err error) {
	files := segment.NewFiler(dir, fs.New())
	writer, err := files.RecoverTail(tail)
	if errors.Is(err, os.ErrNotExist) {
		return s, false, nil // raft-wal makes it
	}
	if err != nil {
		return s, false, err
	}
	defer func() { err = errors.Join(err, writer.Close()) }()
	s.isSet, s.indexStart, err = writer.Sealed()
	s.last = writer.LastIndex()
	if err != nil || !s.isSet || s.last < tail.MinIndex {
		return s, false, err
	}
	tail.IndexStart, tail.MaxIndex = s.indexStart, s.last
	reader, err := files.Open(tail)
	if err != nil {
		return s, false, err
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	for index := tail.MinIndex; index <= s.last; index++ {
		if !sameEntry(writer, reader, index) {
			return s, false, nil
		}
	}
	return s, true, nil
}

// sameEntry compares an entry found by the scan of the file with the one that the index block leads to.
func sameEntry(scanned, indexed types.SegmentReader, index uint64) bool {
	want, err := scanned.GetLog(index)
	if err != nil {
		return false
	}
	defer want.Close()
	got, err := indexed.GetLog(index)
	if err != nil {
		return false
	}
	defer got.Close()
	return bytes.Equal(want.Bs, got.Bs)
}

// rotate is the state of the log with its last segment closed and the next one opened; see WAL.rotateSegmentLocked.
func rotate(state types.PersistentState, sealed sealing) types.PersistentState {
	now := time.Now()
	tail := &state.Segments[len(state.Segments)-1]
	tail.SealTime, tail.MaxIndex, tail.IndexStart = now, sealed.last, sealed.indexStart
	state.Segments = append(state.Segments, types.SegmentInfo{
		ID:         state.NextSegmentID,
		BaseIndex:  sealed.last + 1,
		MinIndex:   sealed.last + 1,
		SizeLimit:  tail.SizeLimit,
		Codec:      tail.Codec,
		CreateTime: now,
	})
	state.NextSegmentID++
	return state
}

// eraseIndex takes away the header of an index block that belongs to no complete append, so that recovery ends before it.
func eraseIndex(dir string, tail types.SegmentInfo, indexStart uint64) error {
	path := filepath.Join(dir, segment.FileName(tail))
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(make([]byte, frameHeader), int64(indexStart)-frameHeader)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("repair %s: %w", path, err)
	}
	again, _, err := judgeTail(dir, tail)
	if err == nil && again.isSet {
		err = fmt.Errorf("repair %s: the segment is still sealed", path)
	}
	return err
}
