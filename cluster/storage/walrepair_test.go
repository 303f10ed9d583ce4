package storage_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/types"

	"github.com/hydrastore/hydrastore/cluster/storage"
)

// noRotation is where raft-wal keeps which segments there are, in a process that ends before it can start another one.
type noRotation struct {
	metadb.BoltMetaDB
	segments int
}

func (m *noRotation) CommitState(state types.PersistentState) error {
	if len(state.Segments) > m.segments {
		return errors.New("the process ends here")
	}
	return m.BoltMetaDB.CommitState(state)
}

// fillSegment leaves a folder as a process does that ends right after the append that has filled the first segment; it
// returns the last index.
func fillSegment(t *testing.T, cfg storage.Config) (last uint64) {
	t.Helper()
	dir := filepath.Join(cfg.Dir, "wal")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	log, err := wal.Open(dir, wal.WithMetaStore(&noRotation{segments: 1}), wal.WithSegmentSize(cfg.SegmentBytes),
		wal.WithLogger(hclog.NewNullLogger()))
	if err != nil {
		t.Fatal(err)
	}
	for {
		err := log.StoreLogs(filler(last + 1))
		if errors.Is(err, wal.ErrSealed) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		last += 2
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	return last
}

// filler is two entries of 1 KiB.
func filler(first uint64) []*raft.Log {
	logs := entries(first, first+1, 1)
	for _, log := range logs {
		log.Data = bytes.Repeat([]byte{byte(log.Index)}, 1024)
	}
	return logs
}

// tear damages the last entry, as a power cut during its append does.
func tear(t *testing.T, dir string, last uint64) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "wal", "*.wal"))
	if err != nil || len(files) != 1 {
		t.Fatalf("segments %v, %v", files, err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.LastIndex(data, bytes.Repeat([]byte{byte(last)}, 1024))
	clear(data[at : at+512])
	if err := os.WriteFile(files[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestLogIsUsableAfterACrashThatLeftAFullSegment(t *testing.T) {
	t.Parallel()
	for name, torn := range map[string]bool{"complete append": false, "torn append": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config(t, storage.LogStoreWAL)
			last := fillSegment(t, cfg)
			if torn {
				tear(t, cfg.Dir, last)
				last -= 2 // it was never acknowledged
			}
			bare, err := wal.Open(filepath.Join(cfg.Dir, "wal"), wal.WithLogger(hclog.NewNullLogger()))
			if err != nil {
				t.Fatal(err)
			}
			if err := bare.StoreLogs(filler(last + 1)); !errors.Is(err, wal.ErrSealed) {
				t.Errorf("raft-wal without the repair: %v: the repair may go", err)
			}
			if err := bare.Close(); err != nil {
				t.Fatal(err)
			}

			s := open(t, cfg)
			wantBounds(t, s, 1, last)
			for range 100 { // over the end of the next segment too
				store(t, s, filler(last+1))
				last += 2
			}
			nowAndReopened(t, cfg, s, func(s *storage.Storage) {
				wantBounds(t, s, 1, last)
				for index := uint64(1); index <= last; index++ {
					var log raft.Log
					if err := s.Log().GetLog(index, &log); err != nil || len(log.Data) != 1024 || log.Data[9] != byte(index) {
						t.Fatalf("entry %d: %v", index, err)
					}
				}
			})
		})
	}
}
