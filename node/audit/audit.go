// Package audit writes what the log did, one line an event, to a file or standard output. docs/audit.md is its contract with readers.
//
// A Trail stands beside the goroutine that applies the log and never makes it wait: entries go into a bounded queue, one goroutine
// turns them into lines. A durable mark in the data folder says up to which entry that is done, so that a restart, which applies the end of
// the log again, neither repeats nor loses a line. Where lines are missing a line says so.
package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/hydrastore/hydrastore/fsm"
)

// Which nodes write the lines of an entry.
const (
	AllNodes   = "all"
	LeaderOnly = "leader"
)

// Stdout in Config.File stands for standard output.
const Stdout = "-"

// Config of a Trail.
type Config struct {
	// File is where the lines go; Stdout = standard output, "" = nowhere: there is no trail.
	File string
	// Nodes is AllNodes, the default, or LeaderOnly: each entry's lines are written by the node that led when it was proposed.
	Nodes string
	// Own says that there will be lines about sessions which this node alone keeps: Trail.Own.
	Own bool
	// QueueLines bounds the lines in memory that wait to be written; beyond, lines are lost, and a line says so. Default 65,536.
	QueueLines int

	// The rest is the owner's to fill in.
	Mark   string    // the file that remembers how far the trail has come
	Node   string    // this node's name, for lines that are about itself
	Output io.Writer // in place of standard output, for tests
	Logger *slog.Logger
}

// DefaultQueueLines is the default of Config.QueueLines.
const DefaultQueueLines = 65_536

// Validate tells the first setting that cannot work.
func (c Config) Validate() error {
	if c.Nodes != "" && c.Nodes != AllNodes && c.Nodes != LeaderOnly {
		return fmt.Errorf("nodes is %q: use %s or %s", c.Nodes, AllNodes, LeaderOnly)
	}
	return nil
}

const (
	// syncEvery is how often lines are flushed to disk while there are any. A crash of the machine costs none: their entries are applied
	// again, because the mark, and with it every snapshot, stays behind the flush.
	syncEvery = time.Second
	// retryLeast and retryMost bound the pause after a write that failed.
	retryLeast = 50 * time.Millisecond
	retryMost  = 5 * time.Second
	// snapshotPatience is how long a snapshot waits for lines that cannot be written.
	snapshotPatience = 10 * time.Second
	// closePatience is how long a write may still take that is under way when the time for the rest is over.
	closePatience = time.Second
)

// Trail is one node's audit trail. Entry, Lead and Restored belong to the goroutine that applies; the others are safe from any.
type Trail struct {
	config Config
	queue  *queue
	sink   sink
	mark   mark   // of what is written; the writing goroutine's, as all up to admission
	stored uint64 // the index of the mark on disk
	dirty  bool   // something was written since

	storedOwn  uint64 // the sequence of the mark on disk
	doubtedOwn bool   // a flush failed when lines after that had been written

	clockMS   int64        // of the last line
	doubted   uint64       // a flush failed when lines up to here had been written; 0 = none did
	admission bytes.Buffer // the rest of the line that says so
	asked     chan request
	cancel    context.CancelFunc
	done      chan struct{}

	stuck   atomic.Bool // the last write or flush has failed
	leading bool        // this node leads the present epoch; the applying goroutine's
	figures figures
}

// Open opens the output, finds out how far it has come, and starts to write. The caller must Close it.
func Open(c Config) (*Trail, error) {
	if c.QueueLines <= 0 {
		c.QueueLines = DefaultQueueLines
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	t := &Trail{config: c, asked: make(chan request), done: make(chan struct{})}
	var err error
	if t.mark, err = readMark(c.Mark); err != nil {
		c.Logger.Error("the audit trail's mark is damaged: lines may be repeated, index and position tell", "file", c.Mark, "error", err)
	}
	if t.sink, err = openSink(c, &t.mark); err != nil {
		return nil, err
	}
	t.queue = newQueue(c.QueueLines, t.mark.place(), &t.figures)
	if t.mark.Open {
		t.queue.ownGap(gapKilled)
	}
	t.mark.Open = c.Own
	if err := t.settle(); err != nil {
		t.sink.close()
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.cancel = cancel
	go t.run(ctx)
	return t, nil
}

// Lead tells that a leader took office: this node, or another one.
func (t *Trail) Lead(self bool) { t.leading = self }

// Entry takes over the events of an entry that was applied. It never blocks.
func (t *Trail) Entry(index uint64, clockMS int64, events []fsm.Event) {
	if t.config.Nodes == LeaderOnly && !t.leading {
		events = nil
	}
	t.queue.entry(index, clockMS, events)
}

// Restored tells that a snapshot stands in for all entries up to index.
func (t *Trail) Restored(index uint64, clockMS int64) { t.queue.restored(index, clockMS) }

// Settled returns when the lines of everything up to index are flushed and marked. It gives up after a while, because a trail that
// cannot be written must not keep the log from being shortened: the lines then live in memory, and a restart writes a gap.
func (t *Trail) Settled(index uint64) error {
	ctx, cancel := context.WithTimeout(context.Background(), snapshotPatience)
	defer cancel()
	return t.ask(ctx, request{kind: askSettle, index: index})
}

// Reopen closes the file and opens it again by its name, so that one that was renamed is let go of. Standard output stays.
func (t *Trail) Reopen(ctx context.Context) error { return t.ask(ctx, request{kind: askReopen}) }

// Close writes what waits, until ctx ends, and closes the file. Nothing may be given to it any more.
func (t *Trail) Close(ctx context.Context) error {
	err := t.ask(ctx, request{kind: askSettle})
	t.cancel()
	select {
	case <-t.done:
	case <-time.After(closePatience):
		return errors.New("close the audit trail: a write to it does not end")
	}
	t.sink.close()
	if err == nil && t.mark.Open {
		t.mark.Open = false
		err = t.mark.store(t.config.Mark, true)
	}
	if err != nil {
		return fmt.Errorf("write the rest of the audit trail: %w", err)
	}
	return nil
}

// stdout is standard output, or what a test put in its place.
func (c Config) stdout() io.Writer {
	if c.Output != nil {
		return c.Output
	}
	return os.Stdout
}
