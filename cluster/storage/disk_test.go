package storage_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/hydrastore/hydrastore/cluster/storage"
)

// badDisk does to one kind of write what it is told; all others work.
type badDisk struct {
	mu            sync.Mutex
	op            storage.Op
	before, after error
	hang          chan struct{} // writes wait until it is closed
	writes        map[storage.Op]int
}

func (d *badDisk) set(op storage.Op, before, after error, hang chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.op, d.before, d.after, d.hang = op, before, after, hang
}

func (d *badDisk) BeforeWrite(op storage.Op) error {
	d.mu.Lock()
	if d.writes == nil {
		d.writes = make(map[storage.Op]int)
	}
	d.writes[op]++
	hang, err := d.hang, d.before
	hit := op == d.op
	d.mu.Unlock()
	if !hit {
		return nil
	}
	if hang != nil {
		<-hang
	}
	return err
}

func (d *badDisk) AfterWrite(op storage.Op) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if op != d.op {
		return nil
	}
	return d.after
}

func (d *badDisk) count() (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, k := range d.writes {
		n += k
	}
	return n
}

// verdicts remembers the calls of Config.Fatal.
type verdicts struct {
	mu   sync.Mutex
	errs []error
}

func (v *verdicts) fatal(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.errs = append(v.errs, err)
}

func (v *verdicts) all() []error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.errs
}

// onBadDisk opens a store with ten entries.
func onBadDisk(t *testing.T, kind string) (*storage.Storage, *badDisk, *verdicts, storage.Config) {
	t.Helper()
	disk, fatal := &badDisk{}, &verdicts{}
	cfg := config(t, kind)
	cfg.Faults, cfg.Fatal, cfg.WriteTimeout = disk, fatal.fatal, 0 // the default
	s := open(t, cfg)
	store(t, s, entries(1, 10, 1))
	return s, disk, fatal, cfg
}

// vital are the writes after whose failure a node must end.
var vital = map[storage.Op]func(*storage.Storage) error{
	storage.OpAppend: func(s *storage.Storage) error { return s.Log().StoreLogs(entries(11, 12, 1)) },
	storage.OpDelete: func(s *storage.Storage) error {
		last, err := s.Log().LastIndex()
		return errors.Join(err, s.Log().DeleteRange(last, last))
	},
	storage.OpState: func(s *storage.Storage) error { return s.Stable().SetUint64(currentTerm, 9) },
}

// refusesEverything checks that no write gets as far as the disk any more.
func refusesEverything(t *testing.T, s *storage.Storage, disk *badDisk) {
	t.Helper()
	before := disk.count()
	for op, write := range vital {
		if err := write(s); !errors.Is(err, storage.ErrFailed) {
			t.Errorf("later %s: %v, want ErrFailed", op, err)
		}
	}
	if _, err := s.Snapshots().Create(1, 10, 1, raft.Configuration{}, 1, nil); !errors.Is(err, storage.ErrFailed) {
		t.Errorf("later snapshot: %v, want ErrFailed", err)
	}
	if got := disk.count(); got != before {
		t.Errorf("%d writes reached the disk after the failure", got-before)
	}
	if !errors.Is(s.Stats().Failure, storage.ErrFailed) {
		t.Errorf("stats do not show the failure: %v", s.Stats().Failure)
	}
}

// hashicorp/raft#503: a write that fails, be it an fsync of which the kernel has forgotten the pages, ends the node.
func TestFailedWriteIsTheLast(t *testing.T) {
	t.Parallel()
	eio := fmt.Errorf("sync: %w", syscall.EIO)
	for op, write := range vital {
		for name, at := range map[string]struct{ before, after error }{"write": {before: eio}, "fsync": {after: eio}} {
			t.Run(string(op)+", "+name, func(t *testing.T) {
				t.Parallel()
				s, disk, fatal, _ := onBadDisk(t, storage.LogStoreBoltDB)
				disk.set(op, at.before, at.after, nil)
				if err := write(s); !errors.Is(err, storage.ErrFailed) || !errors.Is(err, syscall.EIO) {
					t.Errorf("write: %v, want ErrFailed and the cause", err)
				}
				if got := fatal.all(); len(got) != 1 || !errors.Is(got[0], syscall.EIO) || !strings.Contains(got[0].Error(), string(op)) {
					t.Errorf("fatal: %v", got)
				}
				disk.set("", nil, nil, nil) // the disk works again; nobody may believe it
				refusesEverything(t, s, disk)
				if got := fatal.all(); len(got) != 1 {
					t.Errorf("fatal was called %d times", len(got))
				}
				if err := s.Close(); !errors.Is(err, storage.ErrFailed) {
					t.Errorf("close: %v", err)
				}
			})
		}
	}
}

// hashicorp/raft#503, #614: a disk that hangs. The clock is the bubble's.
func TestHungWriteEndsTheNodeInTime(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		for op, write := range vital {
			t.Run(kind+", "+string(op), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s, disk, fatal, cfg := onBadDisk(t, kind)
					hang := make(chan struct{})
					disk.set(op, nil, nil, hang)
					begin := time.Now()
					if err := write(s); !errors.Is(err, storage.ErrWriteTimeout) || !errors.Is(err, storage.ErrFailed) {
						t.Errorf("write: %v", err)
					}
					if took := time.Since(begin); took != 10*time.Second {
						t.Errorf("gave up after %v, want the default of 10s", took)
					}
					if got := fatal.all(); len(got) != 1 || !errors.Is(got[0], storage.ErrWriteTimeout) {
						t.Errorf("fatal: %v", got)
					}
					refusesEverything(t, s, disk)
					if took := time.Since(begin); took != 10*time.Second {
						t.Errorf("refusals took until %v", took)
					}
					if err := s.Close(); !errors.Is(err, storage.ErrFailed) {
						t.Errorf("close: %v", err)
					}
					close(hang) // the disk comes back: what was given up must not be written now
					synctest.Wait()
					checkUntouched(t, cfg)
				})
			})
		}
	}
}

// checkUntouched opens the folder of a failed store, as the next process does.
func checkUntouched(t *testing.T, cfg storage.Config) {
	t.Helper()
	cfg.Faults = nil
	s := open(t, cfg)
	defer closeStore(t, s)
	if first, last := bounds(t, s.Log()); first != 1 || last != 10 {
		t.Errorf("log from %d to %d, want 1 to 10", first, last)
	}
	if got := read(t, s.Stable()); got != (election{}) {
		t.Errorf("saved %+v", got)
	}
}

// A write that waits behind the hung one must not have to wait for a timeout of its own.
func TestWaitingWritesAreRefusedWithTheFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, disk, fatal, _ := onBadDisk(t, storage.LogStoreBoltDB)
		hang := make(chan struct{})
		disk.set(storage.OpAppend, nil, nil, hang)
		begin := time.Now()
		errs := make(chan error, 2)
		go func() { errs <- vital[storage.OpAppend](s) }()
		time.Sleep(9 * time.Second)
		go func() { errs <- s.Log().StoreLogs(entries(11, 11, 1)) }()
		for range 2 {
			if err := <-errs; !errors.Is(err, storage.ErrFailed) {
				t.Errorf("write: %v", err)
			}
		}
		if took := time.Since(begin); took != 10*time.Second {
			t.Errorf("both were answered after %v, want 10s", took)
		}
		if got := fatal.all(); len(got) != 1 {
			t.Errorf("fatal was called %d times", len(got))
		}
		close(hang)
		_ = s.Close()
	})
}

// Slow is not hung.
func TestSlowWriteIsNoFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, disk, fatal, _ := onBadDisk(t, storage.LogStoreBoltDB)
		slow := make(chan struct{})
		disk.set(storage.OpAppend, nil, nil, slow)
		time.AfterFunc(9*time.Second, func() { close(slow) })
		if err := vital[storage.OpAppend](s); err != nil {
			t.Error(err)
		}
		if got := s.Stats().Append; got.Last < 9*time.Second || got.Max != got.Last || got.Count != 2 || got.Sum < got.Last {
			t.Errorf("latency %+v", got)
		}
		if got := s.Stats().Append.Max; got != 0 {
			t.Errorf("the maximum %v is older than the last look", got)
		}
		closeStore(t, s)
		if got := fatal.all(); len(got) != 0 {
			t.Errorf("fatal: %v", got)
		}
	})
}

func TestWriteAfterCloseIsNoFailure(t *testing.T) {
	t.Parallel()
	s, _, fatal, _ := onBadDisk(t, storage.LogStoreBoltDB)
	closeStore(t, s)
	for op, write := range vital {
		if err := write(s); err == nil || errors.Is(err, storage.ErrFailed) {
			t.Errorf("%s after close: %v", op, err)
		}
	}
	if got := fatal.all(); len(got) != 0 {
		t.Errorf("fatal: %v", got)
	}
}
