package node

import (
	"sync"

	"github.com/hydrastore/hydrastore/fsm/fsmpb"
)

// tracker knows the batches of this node that may be in the log, and learns their fate from the log itself.
//
// Terms only grow along the log. So when this node applies the established entry of a later epoch, every batch of an
// earlier one that it has not seen applied never will be, and may be sent again.
type tracker struct {
	mu      sync.Mutex
	epoch   uint64 // newest established epoch applied by this node
	numbers uint64 // last number given
	waiting map[uint64]*batch
}

func newTracker() *tracker { return &tracker{waiting: map[uint64]*batch{}} }

// begin gives b a number in epoch. It returns false, and changes nothing, when a later epoch is known already.
func (t *tracker) begin(b *batch, epoch uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if epoch < t.epoch {
		return false
	}
	t.numbers++
	b.attempt()
	b.number, b.epoch = t.numbers, epoch
	t.waiting[b.number] = b
	return true
}

// forget ends the tracking of an attempt.
func (t *tracker) forget(b *batch) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.waiting, b.number)
}

// oldest returns the smallest number still waiting: the leader may forget all below it.
func (t *tracker) oldest() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	oldest := t.numbers + 1
	for number := range t.waiting {
		oldest = min(oldest, number)
	}
	return oldest
}

// applied is called by the state machine for each batch of this node and incarnation.
func (t *tracker) applied(number, index uint64, results []*fsmpb.Result) {
	t.mu.Lock()
	b := t.waiting[number]
	t.mu.Unlock()
	if b != nil && len(results) == len(b.commands) {
		b.resolve(index, results)
	}
}

// established is called by the state machine when the log has reached a later epoch.
func (t *tracker) established(epoch uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.epoch = max(t.epoch, epoch)
	for number, b := range t.waiting {
		if b.epoch >= epoch {
			continue
		}
		delete(t.waiting, number)
		if b.blind {
			b.fail(errOutcomeUnknown())
		} else {
			close(b.superseded)
		}
	}
}

// restored is called by the state machine when a snapshot stood in for a part of the log.
func (t *tracker) restored() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, b := range t.waiting {
		b.blind = true
	}
}
