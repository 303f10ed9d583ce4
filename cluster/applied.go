package cluster

import (
	"container/heap"
	"context"
	"sync"
	"sync/atomic"
)

// appliedIndex publishes how far the state machine has come and wakes those who
// wait for it. raft.AppliedIndex will not do: it means queued, not applied.
type appliedIndex struct {
	index atomic.Uint64

	mu      sync.Mutex
	waiters waiterHeap
	closed  bool
}

// load returns the index up to which everything is applied.
func (a *appliedIndex) load() uint64 { return a.index.Load() }

// advance publishes index, which must not be below the present one.
func (a *appliedIndex) advance(index uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.index.Store(index)
	for len(a.waiters) > 0 && a.waiters[0].index <= index {
		close(heap.Pop(&a.waiters).(*waiter).done)
	}
}

// wait returns nil when index is applied, ErrClosed when that will not happen
// any more, or the context's error.
func (a *appliedIndex) wait(ctx context.Context, index uint64) error {
	if a.index.Load() >= index {
		return nil
	}
	w := a.enqueue(index)
	if w == nil {
		return a.verdict(index)
	}
	select {
	case <-w.done:
		return a.verdict(index)
	case <-ctx.Done():
		a.forget(w)
		return context.Cause(ctx)
	}
}

func (a *appliedIndex) enqueue(index uint64) *waiter {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed || a.index.Load() >= index {
		return nil
	}
	w := &waiter{index: index, done: make(chan struct{})}
	heap.Push(&a.waiters, w)
	return w
}

func (a *appliedIndex) verdict(index uint64) error {
	if a.index.Load() >= index {
		return nil
	}
	return ErrClosed
}

func (a *appliedIndex) forget(w *waiter) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if w.place >= 0 {
		heap.Remove(&a.waiters, w.place)
	}
}

// close ends all waits.
func (a *appliedIndex) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	for len(a.waiters) > 0 {
		close(heap.Pop(&a.waiters).(*waiter).done)
	}
}

type waiter struct {
	index uint64
	done  chan struct{}
	place int // in the heap; -1 when out of it
}

// waiterHeap has the lowest index first.
type waiterHeap []*waiter

func (h waiterHeap) Len() int           { return len(h) }
func (h waiterHeap) Less(i, j int) bool { return h[i].index < h[j].index }
func (h waiterHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

// Push is heap.Interface's.
func (h *waiterHeap) Push(x any) {
	w := x.(*waiter)
	w.place = len(*h)
	*h = append(*h, w)
}

// Pop is heap.Interface's.
func (h *waiterHeap) Pop() any {
	old := *h
	w := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	w.place = -1
	return w
}
