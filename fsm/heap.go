package fsm

import (
	"bytes"
	"encoding/binary"
)

const (
	heapPage  = 1024
	heapArity = 4 // fewer cache lines on the way down than a binary heap
)

// heapItem orders by key, then by session id, whose first bytes stand beside it so that ties rarely look at the record.
type heapItem struct {
	key    int64
	slot   uint32
	prefix uint32
}

// deadlineHeap is an exact priority queue of sessions. The position of each is kept beside its record, so that any can be moved
// or taken out and no stale items gather. Pages make growth cheap: it never copies.
type deadlineHeap struct {
	sessions *sessions
	which    int // which of sessionLinks.heapPos is this heap's
	pages    []*[heapPage]heapItem
	n        uint32
}

func (h *deadlineHeap) at(i uint32) *heapItem { return &h.pages[i/heapPage][i%heapPage] }

func (h *deadlineHeap) less(a, b *heapItem) bool {
	if a.key != b.key {
		return a.key < b.key
	}
	if a.prefix != b.prefix {
		return a.prefix < b.prefix
	}
	recs := &h.sessions.recs
	return bytes.Compare(recs.at(a.slot).id[:], recs.at(b.slot).id[:]) < 0
}

// min returns the first session and its key; false when there is none.
func (h *deadlineHeap) min() (slot uint32, key int64, ok bool) {
	if h.n == 0 {
		return 0, 0, false
	}
	first := h.at(0)
	return first.slot, first.key, true
}

func (h *deadlineHeap) push(slot uint32, key int64) {
	if int(h.n/heapPage) == len(h.pages) {
		h.pages = append(h.pages, new([heapPage]heapItem))
	}
	id := &h.sessions.recs.at(slot).id
	h.n++
	h.up(h.n-1, heapItem{key: key, slot: slot, prefix: binary.BigEndian.Uint32(id[:])})
}

// later gives a session a key that is not smaller than its present one.
func (h *deadlineHeap) later(slot uint32, key int64) {
	i := h.sessions.links.at(slot).heapPos[h.which]
	item := *h.at(i)
	item.key = key
	h.down(i, item)
}

func (h *deadlineHeap) remove(slot uint32) {
	i := h.sessions.links.at(slot).heapPos[h.which]
	h.n--
	last := *h.at(h.n)
	if i != h.n {
		if i > 0 && h.less(&last, h.at((i-1)/heapArity)) {
			h.up(i, last)
		} else {
			h.down(i, last)
		}
	}
	// One spare page, so that a heap that swings around a page's edge does not allocate each time.
	if used := int(h.n/heapPage) + 2; used < len(h.pages) {
		h.pages[used] = nil
		h.pages = h.pages[:used]
	}
}

func (h *deadlineHeap) up(i uint32, item heapItem) {
	for i > 0 {
		parent := (i - 1) / heapArity
		if !h.less(&item, h.at(parent)) {
			break
		}
		h.put(i, *h.at(parent))
		i = parent
	}
	h.put(i, item)
}

func (h *deadlineHeap) down(i uint32, item heapItem) {
	for {
		first := i*heapArity + 1
		if first >= h.n {
			break
		}
		child := first
		for c := first + 1; c < min(first+heapArity, h.n); c++ {
			if h.less(h.at(c), h.at(child)) {
				child = c
			}
		}
		if !h.less(h.at(child), &item) {
			break
		}
		h.put(i, *h.at(child))
		i = child
	}
	h.put(i, item)
}

func (h *deadlineHeap) put(i uint32, item heapItem) {
	*h.at(i) = item
	h.sessions.links.at(item.slot).heapPos[h.which] = i
}
