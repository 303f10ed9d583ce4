package storage

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	wal "github.com/hashicorp/raft-wal"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// What lies in a data folder.
const (
	boltFile     = "raft.db"
	walFolder    = "wal"
	snapshotsDir = "snapshots" // the name is raft.FileSnapshotStore's
)

const (
	// lockPatience is how long Open waits for another process to let go of the folder: a restart may overlap a little.
	lockPatience = 2 * time.Second
	// mapped is the address space taken for raft.db from the start: reads wait whenever the file outgrows it.
	mapped = 256 << 20
	// deleteBatch is how many entries compaction deletes from bolt in one transaction, about 4 ms. Appends wait for it;
	// half a million entries at once held them up for 0.85 s.
	deleteBatch = 2048
)

// Errors of Open. Test with errors.Is.
var (
	// ErrInUse: another process has the data folder open.
	ErrInUse = errors.New("another process uses this data folder")
	// ErrOtherLog: the data folder holds a log of the other kind.
	ErrOtherLog = errors.New("the data folder holds a log of another kind")
)

// backends are the library stores below the decorators.
type backends struct {
	log    raft.LogStore
	stable raft.StableStore
	batch  uint64
	close  []io.Closer
}

func (b *backends) Close() error {
	var errs []error
	for _, c := range b.close {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

func openBackends(cfg Config) (_ *backends, err error) {
	bolt, err := openBolt(cfg)
	if err != nil {
		return nil, err
	}
	b := &backends{log: bolt, stable: bolt, batch: deleteBatch, close: []io.Closer{bolt}}
	defer func() {
		if err != nil {
			_ = b.Close()
		}
	}()
	if cfg.LogStore == LogStoreBoltDB {
		return b, refuseWAL(cfg)
	}
	if last, err := bolt.LastIndex(); err != nil {
		return nil, fmt.Errorf("read %s: %w", boltFile, err)
	} else if last > 0 {
		return nil, otherLog(cfg, LogStoreBoltDB)
	}
	log, err := openWAL(cfg)
	if err != nil {
		return nil, err
	}
	b.log, b.batch = walLog{log}, 0
	b.close = append([]io.Closer{log}, b.close...)
	return b, nil
}

// openBolt also locks the data folder. It writes, so that a node whose disk takes no writes does not get as far as an election.
func openBolt(cfg Config) (*raftboltdb.BoltStore, error) {
	path := filepath.Join(cfg.Dir, boltFile)
	store, err := raftboltdb.New(raftboltdb.Options{
		Path:                    path,
		MsgpackUseNewTimeFormat: true,
		BoltOptions: &bbolt.Options{
			Timeout:         lockPatience,
			NoFreelistSync:  true, // the list of free pages is rebuilt at start instead of written with each append
			FreelistType:    bbolt.FreelistMapType,
			InitialMmapSize: mapped,
		},
	})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("open %s: %w: stop it, or give this node a data folder of its own", path, ErrInUse)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return store, nil
}

func openWAL(cfg Config) (*wal.WAL, error) {
	path := filepath.Join(cfg.Dir, walFolder)
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("make folder of the log: %w", err)
	}
	if err := repairWAL(path); err != nil {
		return nil, fmt.Errorf("repair log in %s: %w", path, err)
	}
	log, err := wal.Open(path, wal.WithLogger(libraryLogger(cfg.Logger)), wal.WithSegmentSize(cfg.SegmentBytes))
	if err != nil {
		return nil, fmt.Errorf("open log in %s: %w", path, err)
	}
	return log, nil
}

// refuseWAL reports a write-ahead log that holds entries.
func refuseWAL(cfg Config) error {
	files, err := os.ReadDir(filepath.Join(cfg.Dir, walFolder))
	if errors.Is(err, os.ErrNotExist) || err == nil && len(files) == 0 {
		return nil
	} else if err != nil {
		return fmt.Errorf("look for a log of another kind: %w", err)
	}
	log, err := openWAL(cfg)
	if err != nil {
		return fmt.Errorf("look into the log of another kind: %w", err)
	}
	last, err := log.LastIndex()
	if err := errors.Join(err, log.Close()); err != nil {
		return fmt.Errorf("look into the log of another kind: %w", err)
	}
	if last > 0 {
		return otherLog(cfg, LogStoreWAL)
	}
	return nil
}

func otherLog(cfg Config, found string) error {
	return fmt.Errorf("open log in %s as %s: %w (%s): set the log store to %s, or let the node join again with an empty folder",
		cfg.Dir, cfg.LogStore, ErrOtherLog, found, found)
}

// prepareDir makes the data folder and the folder of snapshots, closed to others: raft.FileSnapshotStore would leave it open.
func prepareDir(dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, snapshotsDir), 0o700); err != nil {
		return fmt.Errorf("make data folder: %w", err)
	}
	for _, path := range []string{dir, filepath.Dir(filepath.Clean(dir))} {
		if err := syncDir(path); err != nil {
			return fmt.Errorf("sync data folder: %w", err)
		}
	}
	return nil
}

// libraryLogger passes the warnings of a HashiCorp library on.
func libraryLogger(logger *slog.Logger) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, DisableTime: true, Output: logLines{logger}})
}

type logLines struct{ logger *slog.Logger }

func (l logLines) Write(line []byte) (int, error) {
	l.logger.Warn("storage library", "message", strings.TrimSpace(string(line)))
	return len(line), nil
}
