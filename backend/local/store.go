// Package local keeps sessions in a folder of this machine, for one server.
//
// # Layout
//
// The folder holds one file, sessions.db, a bbolt database of mode 0600. It has a bucket for each kind of record, by id:
//
//	version  8 bytes, rising over all records and never used twice
//	expires  8 bytes, milliseconds since 1970, 0 = never
//	crc32c   4 bytes, over kind, id, version, expires and value
//	value
//
// The bucket "expires" has the records that expire in the order of that (8 bytes, kind, id), the bucket "meta" the clock.
//
// # Crashes
//
// bbolt writes pages anew and then one of two checksummed roots, with fsync before and after: after a crash at any moment the file is as one of its
// transactions left it. Writes that wait while one transaction is on its way share the next, so a flush serves many. A record that the disk
// has damaged is told by its checksum, and is an error, never a wrong answer.
package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/session"
)

const (
	fileName = "sessions.db"
	// lockPatience is how long an open waits for a process that is just letting the folder go.
	lockPatience = 2 * time.Second
	// writesAtOnce bounds the writes of one transaction, writesWaiting those that wait for the next.
	writesAtOnce  = 512
	writesWaiting = 4096
)

// Config says where the folder is.
type Config struct {
	Path string
	// SweepInterval is how often expired records are dropped. Default: 10s.
	SweepInterval time.Duration
	// Wall is the time of day; nil = time.Now.
	Wall func() time.Time
	// Logger of what operators must know; nil = none.
	Logger *slog.Logger
}

// Store is a backend.Store in a folder.
type Store struct {
	config Config
	db     *bolt.DB
	clock  *clock
	keptMS int64                            // the other time of the last write before this process; 0 = none
	told   atomic.Pointer[func() time.Time] // says that time; nil = nobody does
	writes chan *write
	closed chan struct{}
	// written is closed after the last transaction.
	written chan struct{}
	once    sync.Once
	work    sync.WaitGroup

	counts counts

	mu     sync.Mutex
	broken error // why nothing can be written any more
}

// Open opens the folder, and makes it if it is not there. It is this process's until Close.
func Open(c Config) (*Store, error) {
	if c.Path == "" {
		return nil, errors.New("open folder: its path is missing")
	}
	if c.SweepInterval <= 0 {
		c.SweepInterval = 10 * time.Second
	}
	if c.Wall == nil {
		c.Wall = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(c.Path, 0o700); err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	db, err := openFile(filepath.Join(c.Path, fileName))
	if err != nil {
		return nil, err
	}
	s := &Store{config: c, db: db, writes: make(chan *write, writesWaiting), closed: make(chan struct{}), written: make(chan struct{})}
	if err := s.prepare(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	s.work.Go(s.writeOnAndOn)
	s.work.Go(s.sweepOnAndOn)
	return s, nil
}

func openFile(path string) (*bolt.DB, error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: lockPatience, FreelistType: bolt.FreelistMapType})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("another process uses the folder %s: one server has it at a time; stop the other one, or give this one a folder of its own", filepath.Dir(path))
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch):
		return nil, fmt.Errorf("%s is damaged, or no file of this server's: %w", path, err)
	case err != nil:
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	if err := errors.Join(os.Chmod(path, 0o600), syncFolder(filepath.Dir(path))); err != nil {
		return nil, errors.Join(fmt.Errorf("secure %s: %w", path, err), db.Close())
	}
	return db, nil
}

// syncFolder makes a new file's name durable.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// prepare makes the buckets and takes up the clock.
func (s *Store) prepare() error {
	last := int64(0)
	err := s.db.Update(func(tx *bolt.Tx) error {
		for _, kind := range backend.Kinds() {
			bucket, err := tx.CreateBucketIfNotExists(bucketOf(kind))
			if err != nil {
				return err
			}
			s.counts.add(kind, bucket.Stats().KeyN)
		}
		if _, err := tx.CreateBucketIfNotExists(expiresBucket); err != nil {
			return err
		}
		meta, err := tx.CreateBucketIfNotExists(metaBucket)
		if err == nil {
			last, s.keptMS = readInstant(meta, clockKey), readInstant(meta, toldKey)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("prepare %s: %w", s.db.Path(), err)
	}
	s.clock = newClock(s.config.Wall, last)
	if ahead := s.clock.ahead(); ahead > time.Minute {
		s.config.Logger.Warn("the time of day is before that of the last write here: the store's clock goes on from that", slog.Duration("ahead", ahead))
	}
	return nil
}

// Get implements backend.Store.
func (s *Store) Get(ctx context.Context, names ...backend.Name) (backend.Snapshot, error) {
	if err := s.usable(ctx); err != nil {
		return backend.Snapshot{}, err
	}
	out := backend.Snapshot{Records: make([]backend.Record, len(names))}
	err := s.db.View(func(tx *bolt.Tx) error {
		for i, name := range names {
			r, err := read(tx, name)
			if err != nil {
				return err
			}
			out.Records[i] = r.record(name)
		}
		return nil
	})
	out.Now = s.clock.now()
	return out, readError(err)
}

// Scan implements backend.Store. A place is the last id before it.
func (s *Store) Scan(ctx context.Context, kind backend.Kind, after string, limit int) (backend.Page, error) {
	if err := s.usable(ctx); err != nil {
		return backend.Page{}, err
	}
	var page backend.Page
	err := s.db.View(func(tx *bolt.Tx) error {
		cursor := tx.Bucket(bucketOf(kind)).Cursor()
		id, raw := cursor.Seek([]byte(after))
		if string(id) == after {
			id, raw = cursor.Next()
		}
		for ; id != nil; id, raw = cursor.Next() {
			if len(page.Records) == limit {
				page.Next = page.Records[limit-1].ID
				return nil
			}
			name := backend.Name{Kind: kind, ID: string(id)}
			r, err := parse(name, raw)
			if err != nil {
				return err
			}
			page.Records = append(page.Records, r.record(name))
		}
		return nil
	})
	page.Now = s.clock.now()
	return page, readError(err)
}

// Put implements backend.Store.
func (s *Store) Put(ctx context.Context, name backend.Name, value []byte, was backend.Version, expires time.Time) (backend.Version, error) {
	w := &write{name: name, value: value, was: was, done: make(chan struct{})}
	if !expires.IsZero() {
		w.expiresMS = max(1, expires.UnixMilli())
	}
	return s.write(ctx, w)
}

// Delete implements backend.Store.
func (s *Store) Delete(ctx context.Context, name backend.Name, was backend.Version) error {
	_, err := s.write(ctx, &write{name: name, was: was, delete: true, done: make(chan struct{})})
	return err
}

// Ready implements backend.Store.
func (s *Store) Ready() error { return s.usable(context.Background()) }

// Features implements backend.Store.
func (s *Store) Features() backend.Features {
	return backend.Features{Name: "local", Clock: true, Ordered: true, Durable: true}
}

// Close implements backend.Store. It sees the writes through that wait.
func (s *Store) Close() error {
	s.once.Do(func() { close(s.closed) })
	s.work.Wait()
	return s.db.Close()
}

func errStopping() error {
	return &session.Error{Code: session.CodeUnavailable, Message: "this server is stopping; nothing was done"}
}

func (s *Store) usable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-s.closed:
		return errStopping()
	default:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return &session.Error{Code: session.CodeUnavailable, Err: s.broken, Message: "the folder of the sessions could not be written; nothing was done; the server's log tells why, and it must be restarted"}
	}
	return nil
}

// fail lets nothing be written or read any more: what a failed flush has left is not known.
func (s *Store) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken == nil {
		s.broken = err
		s.config.Logger.Error("the folder of the sessions could not be written: this server answers nothing until it is restarted", slog.Any("error", err))
	}
}

func readError(err error) error {
	var damaged *damage
	switch {
	case err == nil, errors.As(err, &damaged):
		return err
	case errors.Is(err, bolterrors.ErrDatabaseNotOpen):
		return &session.Error{Code: session.CodeUnavailable, Message: "this server is stopping"}
	}
	return fmt.Errorf("read folder: %w", err)
}

// noSpace tells whether a write failed because the disk is full: then nothing was done, and it may go on when there is room.
func noSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
