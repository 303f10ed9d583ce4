package audit

import (
	"sync"

	"github.com/hydrastore/hydrastore/fsm"
)

// item is what becomes lines: the events of an entry, a gap, or something about a session of this node alone.
type item struct {
	index   uint64
	clockMS int64
	events  []fsm.Event
	skip    int // so many of the first events are written already
	gap     *gap
	own     *own // of no entry: index is 0
}

// gap is a range of entries whose lines are missing.
type gap struct {
	from, to uint64
	lines    uint64 // how many are missing; 0 = not known
	reason   string
}

const (
	gapSnapshot = "snapshot"   // the node was given a state instead of the entries
	gapFull     = "queue_full" // lines came faster than they could be written
	gapKilled   = "killed"     // the process ended without a word: lines about this node's own sessions may not have been written
	gapDisk     = "disk"       // a flush failed: nobody knows which of the lines are on disk
)

// place is how far a trail has come: all of entry index is written, or its events up to position.
type place struct {
	index    uint64
	position int
	whole    bool
}

// queue holds what waits to be written. It is bounded: when it is full, lines are dropped, and counted in one gap that ends when the writer
// has taken what was before it.
type queue struct {
	most    int
	written place // before this start: entries up to here write nothing
	figures *figures

	mu    sync.Mutex
	items []item
	lines int
	open  *item  // a gap that grows; what comes after it is part of it
	lost  *item  // lines about sessions of this node alone that did not fit
	seen  uint64 // the last entry, with or without lines
	wake  chan struct{}
}

func newQueue(most int, written place, f *figures) *queue {
	q := &queue{most: most, written: written, figures: f, seen: written.index, wake: make(chan struct{}, 1)}
	if !written.whole {
		q.seen-- // the rest of that entry is to come
	}
	return q
}

// entry adds an entry. Most have no events: they cost a lock.
func (q *queue) entry(index uint64, clockMS int64, events []fsm.Event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.seen = max(q.seen, index)
	it := item{index: index, clockMS: clockMS, events: events}
	switch w := q.written; {
	case index < w.index || index == w.index && w.whole:
		return
	case index == w.index:
		it.skip = w.position + 1
	}
	lines := len(events) - it.skip
	if lines <= 0 {
		return
	}
	switch {
	case q.open != nil:
		q.open.gap.to, q.open.clockMS = index, clockMS
		q.open.gap.lines += uint64(lines)
		q.figures.lost.Add(uint64(lines))
		return
	case q.lines > 0 && q.lines+lines > q.most:
		q.open = &item{index: index, clockMS: clockMS, gap: &gap{from: index, to: index, lines: uint64(lines), reason: gapFull}}
		q.figures.lost.Add(uint64(lines))
	default:
		q.items = append(q.items, it)
		q.lines += lines
	}
	q.wakeLocked()
}

// restored adds a gap when a snapshot hides entries that the trail has not seen.
func (q *queue) restored(index uint64, clockMS int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if index <= q.seen {
		return
	}
	from := q.seen + 1
	q.seen = index
	if q.open != nil { // one gap for both
		q.open.gap.to, q.open.gap.lines, q.open.gap.reason, q.open.clockMS = index, 0, gapSnapshot, clockMS
		return
	}
	q.items = append(q.items, item{index: index, clockMS: clockMS, gap: &gap{from: from, to: index, reason: gapSnapshot}})
	q.lines++
	q.wakeLocked()
}

func (q *queue) wakeLocked() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take empties the queue. seen is the last entry that it has taken with it, wholly.
func (q *queue) take() (items []item, seen uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	items, q.items, q.lines = q.items, nil, 0
	for _, gap := range []**item{&q.open, &q.lost} {
		if *gap != nil {
			items, *gap = append(items, **gap), nil
		}
	}
	return items, q.seen
}

// waiting tells how many lines wait.
func (q *queue) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.lines
}
