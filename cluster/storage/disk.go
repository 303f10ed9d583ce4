package storage

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// Errors of a disk that no longer does its work. Test with errors.Is.
var (
	// ErrFailed: a write of the log or of the vote failed or hung. The store takes no further write; the process must end.
	ErrFailed = errors.New("storage has failed and takes no more writes")
	// ErrWriteTimeout: the disk did not answer within Config.WriteTimeout. Always wrapped together with ErrFailed.
	ErrWriteTimeout = errors.New("disk does not answer")
	// ErrClosed: the store has been closed.
	ErrClosed = errors.New("storage is closed")
)

// disk carries every write and keeps the rule that hashicorp/raft#503 (also #614, #666) calls for: a write of the log or of
// the vote that fails, or does not end in time, ends the node. Raft itself would go on: its heartbeats come from other
// goroutines, so a leader whose disk hangs stays leader for ever; and after a failed fsync the kernel may have dropped the
// dirty pages, so that a retry on the same file reports a success that never happened. Hence the first failure is the last
// write: the verdict is latched, fatal is called once, and all writes, waiting ones too, are refused from then on.
type disk struct {
	timeout time.Duration
	fatal   func(error)
	faults  Faults

	mu       sync.Mutex
	closed   bool
	failure  error          // the verdict; nil while the disk works
	inFlight sync.WaitGroup // writes under way; counted under mu, so that Close can wait for them

	failed chan struct{} // closed with the verdict
}

func newDisk(timeout time.Duration, fatal func(error), faults Faults) *disk {
	return &disk{timeout: timeout, fatal: fatal, faults: faults, failed: make(chan struct{})}
}

// write runs do, which must not be retried once it has failed, on a goroutine of its own, so that the caller gets its answer
// even if the disk never gives one. It blocks at most for the timeout. On a failure fatal has been called before it returns.
func (d *disk) write(op Op, do func() error) error {
	if err := d.begin(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() {
		defer d.inFlight.Done()
		done <- d.perform(op, do)
	}()

	timer := time.NewTimer(d.timeout)
	defer timer.Stop()
	select {
	case err := <-done:
		if err != nil {
			return d.fail(op, err)
		}
		return d.verdict() // another write failed meanwhile: the file cannot be trusted, so neither can this success
	case <-timer.C:
		return d.fail(op, fmt.Errorf("%w: no result after %v", ErrWriteTimeout, d.timeout))
	case <-d.failed:
		return d.verdict()
	}
}

// writeRetryable runs do on the caller's goroutine. An error is the caller's to handle and leaves the node alive: it is for
// snapshots, each of which is written to a new file under a temporary name, so that a full disk costs this attempt and nothing
// else. Only a hang is fatal, for nobody can retry what does not end (and Raft has one goroutine for snapshots).
func (d *disk) writeRetryable(op Op, patience time.Duration, do func() error) error {
	if err := d.begin(); err != nil {
		return err
	}
	defer d.inFlight.Done()
	watchdog := time.AfterFunc(patience, func() {
		_ = d.fail(op, fmt.Errorf("%w: no result after %v", ErrWriteTimeout, patience))
	})
	defer watchdog.Stop()
	return d.perform(op, do)
}

func (d *disk) perform(op Op, do func() error) error {
	if err := d.faults.BeforeWrite(op); err != nil {
		return err
	}
	if err := d.verdict(); err != nil {
		return err // given up on while it waited: it must not reach the disk any more
	}
	if err := do(); err != nil {
		return err
	}
	return d.faults.AfterWrite(op)
}

func (d *disk) begin() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failure != nil {
		return d.failure
	}
	if d.closed {
		return ErrClosed
	}
	d.inFlight.Add(1)
	return nil
}

// fail records the first failure, reports it, and answers every later one with that first one. While the store is being
// closed a failure is the caller's alone.
func (d *disk) fail(op Op, cause error) error {
	d.mu.Lock()
	if d.failure != nil || d.closed {
		defer d.mu.Unlock()
		if d.failure != nil {
			return d.failure
		}
		return fmt.Errorf("%s: %w: %w", op, ErrClosed, cause)
	}
	d.failure = fmt.Errorf("%s: %w: %w", op, ErrFailed, cause)
	verdict := d.failure
	close(d.failed)
	d.mu.Unlock()

	d.fatal(verdict)
	return verdict
}

func (d *disk) verdict() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.failure
}

// close refuses further writes and says when the files may be closed: the channel closes when no write is under way. On a
// failed disk that may be never.
func (d *disk) close() (idle <-chan struct{}) {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	quiet := make(chan struct{})
	go func() {
		d.inFlight.Wait()
		close(quiet)
	}()
	return quiet
}
