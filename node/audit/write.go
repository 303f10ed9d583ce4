package audit

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"
)

// figures are what operators watch.
type figures struct {
	written atomic.Uint64
	lost    atomic.Uint64
	failed  atomic.Uint64
}

// Figures are a trail's counters since the start, and its queue now.
type Figures struct {
	Written, Lost, Failed uint64 // lines written, lines lost, writes that failed and were tried again
	Waiting               int    // lines
}

// Figures returns the present figures.
func (t *Trail) Figures() Figures {
	return Figures{Written: t.figures.written.Load(), Lost: t.figures.lost.Load(), Failed: t.figures.failed.Load(), Waiting: t.queue.waiting()}
}

// request is something that the writing goroutine is asked to do.
type request struct {
	kind  int
	index uint64
	done  chan error // capacity 1
}

const (
	askSettle = iota
	askReopen
)

var errClosed = errors.New("the audit trail is closed")

func (t *Trail) ask(ctx context.Context, r request) error {
	r.done = make(chan error, 1)
	select {
	case t.asked <- r:
	case <-t.done:
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-r.done:
		return err
	case <-t.done:
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run writes until ctx ends.
func (t *Trail) run(ctx context.Context) {
	defer close(t.done)
	flushes := time.NewTicker(syncEvery)
	defer flushes.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.queue.wake:
			t.drain(ctx)
		case <-flushes.C:
			if t.dirty {
				t.persist(ctx, t.settle)
			}
		case r := <-t.asked:
			t.drain(ctx)
			r.done <- t.answer(ctx, r)
		}
	}
}

// answer does what is asked for.
func (t *Trail) answer(ctx context.Context, r request) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case r.kind == askSettle && r.index != 0 && t.stored >= r.index:
		return nil
	}
	if err := t.settle(); err != nil || r.kind == askSettle {
		return err
	}
	if err := t.sink.reopen(); err != nil {
		return err
	}
	return t.settle() // the mark is about the new file now
}

// settle flushes what was written and stores the mark.
func (t *Trail) settle() error {
	if err := t.sink.flush(&t.mark); err != nil {
		if t.mark.Index > t.stored {
			t.doubted = t.mark.Index
		}
		t.doubtedOwn = t.doubtedOwn || t.mark.Sequence > t.storedOwn
		return err
	}
	if t.doubted != 0 || t.doubtedOwn {
		if err := t.admit(); err != nil {
			return err
		}
	}
	if err := t.mark.store(t.config.Mark, true); err != nil {
		return err
	}
	t.stored, t.storedOwn, t.dirty = t.mark.Index, t.mark.Sequence, false
	return nil
}

// admit writes a gap line over what was written before a failed flush: the system may have dropped it, and answers the next flush
// with success.
func (t *Trail) admit() error {
	if t.admission.Len() == 0 && t.doubted != 0 {
		t.lines(&t.admission, item{clockMS: t.clockMS, gap: &gap{from: t.stored + 1, to: t.doubted, reason: gapDisk}})
	}
	if t.admission.Len() == 0 && t.doubtedOwn {
		t.lines(&t.admission, item{clockMS: t.clockMS, own: &own{gap: &gap{reason: gapDisk}}})
	}
	if err := t.write(&t.admission); err != nil {
		return err
	}
	if err := t.sink.flush(&t.mark); err != nil {
		return err
	}
	t.doubted, t.doubtedOwn = 0, false
	return nil
}

// drain writes all that waits.
func (t *Trail) drain(ctx context.Context) {
	items, seen := t.queue.take()
	var text bytes.Buffer
	lines, first := uint64(0), 0
	for i, it := range items {
		t.lines(&text, it)
		lines += uint64(max(1, len(it.events)-it.skip)) // a gap is one, and what is of no entry
		if i < len(items)-1 && text.Len() < chunk {
			continue
		}
		t.dirty = true
		if !t.persist(ctx, func() error { return t.write(&text) }) {
			return
		}
		for _, written := range items[first : i+1] {
			t.mark.Index = max(t.mark.Index, written.index)
			written.own.settle()
		}
		t.clockMS = it.clockMS
		t.figures.written.Add(lines)
		text.Reset()
		lines, first = 0, i+1
	}
	t.mark.Index = max(t.mark.Index, seen)
	if len(items) > 0 && t.sink.eager() {
		t.persist(ctx, func() error { return t.mark.store(t.config.Mark, false) })
	}
}

// chunk is about how much is written at once.
const chunk = 64 << 10

// write writes what is left of text. What a failed write has written is not written again.
func (t *Trail) write(text *bytes.Buffer) error {
	n, err := t.sink.Write(text.Bytes())
	text.Next(n)
	return err
}

// persist tries until it is done, with growing pauses, or until ctx ends. Meanwhile the queue fills.
func (t *Trail) persist(ctx context.Context, do func() error) (done bool) {
	for pause, told := retryLeast, false; ; pause = min(2*pause, retryMost) {
		err := do()
		if err == nil {
			t.stuck.Store(false)
			if told {
				t.config.Logger.Info("the audit trail is written again")
			}
			return true
		}
		t.figures.failed.Add(1)
		t.stuck.Store(true)
		if !told {
			t.config.Logger.Error("the audit trail cannot be written; trying again, lines are lost when too many wait", slog.String("file", t.config.File), slog.Any("error", err))
			told = true
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return false
		}
	}
}
