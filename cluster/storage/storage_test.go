package storage_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/hydrastore/hydrastore/cluster/storage"
)

// kinds are the log stores that every test of the log runs on.
var kinds = []string{storage.LogStoreBoltDB, storage.LogStoreWAL}

// eachKind runs a test once a kind of log store.
func eachKind(t *testing.T, test func(t *testing.T, kind string)) {
	t.Helper()
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			test(t, kind)
		})
	}
}

// config is a data folder whose disk must not fail, however slow the machine's is.
func config(t *testing.T, kind string) storage.Config {
	return storage.Config{
		WriteTimeout: 10 * time.Minute,
		Dir:          t.TempDir(),
		LogStore:     kind,
		SegmentBytes: 64 << 10,
		Fatal:        func(err error) { t.Errorf("fatal: %v", err) },
	}
}

func open(t *testing.T, cfg storage.Config) *storage.Storage {
	t.Helper()
	s, err := storage.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func closeStore(t *testing.T, s *storage.Storage) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
}

// entries makes log entries first to last of a term.
func entries(first, last, term uint64) []*raft.Log {
	var logs []*raft.Log
	for i := first; i <= last; i++ {
		logs = append(logs, &raft.Log{Index: i, Term: term, Type: raft.LogCommand, Data: []byte("command")})
	}
	return logs
}

func store(t *testing.T, s *storage.Storage, logs []*raft.Log) {
	t.Helper()
	if err := s.Log().StoreLogs(logs); err != nil {
		t.Fatalf("store: %v", err)
	}
}

// snapshot writes a complete snapshot.
func snapshot(t *testing.T, s *storage.Storage, index, term uint64) {
	t.Helper()
	sink := begin(t, s, index, term)
	if _, err := sink.Write([]byte("state")); err != nil {
		t.Fatalf("write snapshot: %v", err)
	}
	if err := sink.Close(); err != nil {
		t.Fatalf("close snapshot: %v", err)
	}
}

func begin(t *testing.T, s *storage.Storage, index, term uint64) raft.SnapshotSink {
	t.Helper()
	_, inmem := raft.NewInmemTransport("")
	sink, err := s.Snapshots().Create(1, index, term, raft.Configuration{}, 1, inmem)
	if err != nil {
		t.Fatalf("create snapshot: %v", err)
	}
	return sink
}

func bounds(t *testing.T, log raft.LogStore) (first, last uint64) {
	t.Helper()
	first, err := log.FirstIndex()
	if err != nil {
		t.Fatal(err)
	}
	last, err = log.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	return first, last
}

func TestReopenKeepsEverything(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, kind string) {
		cfg := config(t, kind)
		s := open(t, cfg)
		store(t, s, entries(1, 20, 3))
		snapshot(t, s, 10, 3)
		if err := s.Stable().Set([]byte("name"), []byte("value")); err != nil {
			t.Fatal(err)
		}
		closeStore(t, s)

		s = open(t, cfg)
		defer closeStore(t, s)
		if first, last := bounds(t, s.Log()); first != 1 || last != 20 {
			t.Errorf("log from %d to %d, want 1 to 20", first, last)
		}
		var log raft.Log
		if err := s.Log().GetLog(20, &log); err != nil || log.Term != 3 || string(log.Data) != "command" {
			t.Errorf("entry 20: %+v, %v", log, err)
		}
		if value, err := s.Stable().Get([]byte("name")); err != nil || string(value) != "value" {
			t.Errorf("stable value %q, %v", value, err)
		}
		if got := s.Stats().LastSnapshot; got.Index != 10 || got.Term != 3 || got.Bytes != 5 || got.At.IsZero() {
			t.Errorf("last snapshot %+v", got)
		}
	})
}

func TestOneProcessAFolder(t *testing.T) {
	t.Parallel()
	cfg := config(t, storage.LogStoreBoltDB)
	s := open(t, cfg)
	defer closeStore(t, s)
	if _, err := storage.Open(cfg); !errors.Is(err, storage.ErrInUse) {
		t.Errorf("second open: %v, want ErrInUse", err)
	}
}

func TestLogOfTheOtherKindIsRefused(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, kind string) {
		cfg := config(t, kind)
		other := cfg
		other.LogStore = kinds[0]
		if kind == kinds[0] {
			other.LogStore = kinds[1]
		}
		closeStore(t, open(t, cfg))
		closeStore(t, open(t, other)) // nothing is written yet: the choice is still free
		s := open(t, cfg)
		store(t, s, entries(1, 3, 1))
		closeStore(t, s)
		if _, err := storage.Open(other); !errors.Is(err, storage.ErrOtherLog) {
			t.Errorf("open as %s: %v, want ErrOtherLog", other.LogStore, err)
		}
		s = open(t, cfg) // and the refusal has harmed nothing
		defer closeStore(t, s)
		if _, last := bounds(t, s.Log()); last != 3 {
			t.Errorf("last index %d after the refusal, want 3", last)
		}
	})
}

func TestDataFolderIsPrivate(t *testing.T) {
	t.Parallel()
	cfg := config(t, storage.LogStoreWAL)
	cfg.Dir = filepath.Join(cfg.Dir, "data")
	closeStore(t, open(t, cfg))
	for path, want := range map[string]os.FileMode{"": 0o700, "raft.db": 0o600, "wal": 0o700, "snapshots": 0o700} {
		info, err := os.Stat(filepath.Join(cfg.Dir, path))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%q has mode %o, want %o", path, got, want)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	fatal := func(error) {}
	for name, cfg := range map[string]storage.Config{
		"no folder":         {Fatal: fatal},
		"no fatal":          {Dir: t.TempDir()},
		"unknown log store": {Dir: t.TempDir(), Fatal: fatal, LogStore: "tape"},
		"negative timeout":  {Dir: t.TempDir(), Fatal: fatal, WriteTimeout: -1},
	} {
		if s, err := storage.Open(cfg); err == nil {
			closeStore(t, s)
			t.Errorf("%s: opened", name)
		}
	}
}
