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
	waiting map[uint64]*attempt
}

func newTracker() *tracker { return &tracker{waiting: map[uint64]*attempt{}} }

// begin makes an attempt for b in epoch; nil when a later epoch is known already or nobody wants b any more.
func (t *tracker) begin(b *batch, epoch uint64) *attempt {
	t.mu.Lock()
	defer t.mu.Unlock()
	if epoch < t.epoch {
		return nil
	}
	commands := b.begin()
	if len(commands) == 0 {
		return nil
	}
	t.numbers++
	a := &attempt{number: t.numbers, epoch: epoch, commands: commands, decided: make(chan struct{})}
	t.waiting[a.number] = a
	return a
}

// decide gives a its fate, unless it has one, and returns the one it has.
func (t *tracker) decide(a *attempt, f fate) (decided fate, first bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.decideLocked(a, f)
}

func (t *tracker) decideLocked(a *attempt, f fate) (decided fate, first bool) {
	if a.fate != fateOpen {
		return a.fate, false
	}
	a.fate = f
	delete(t.waiting, a.number)
	close(a.decided)
	return f, true
}

// resolve answers the commands of a with their results.
func (t *tracker) resolve(a *attempt, index uint64, results []*fsmpb.Result) {
	if _, first := t.decide(a, fateAnswered); first {
		answer(a.commands, index, results)
	}
}

// fail answers the commands of a with err.
func (t *tracker) fail(a *attempt, err error) {
	if _, first := t.decide(a, fateAnswered); first {
		fail(a.commands, err)
	}
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
	a := t.waiting[number]
	t.mu.Unlock()
	if a != nil && len(results) == len(a.commands) {
		t.resolve(a, index, results)
	}
}

// established is called by the state machine when the log has reached a later epoch.
func (t *tracker) established(epoch uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.epoch = max(t.epoch, epoch)
	for _, a := range t.waiting {
		switch {
		case a.epoch >= epoch:
		case a.blind:
			t.decideLocked(a, fateAnswered)
			fail(a.commands, errOutcomeUnknown())
		default:
			t.decideLocked(a, fateNothing)
		}
	}
}

// restored is called by the state machine when a snapshot is to stand in for a part of the log.
func (t *tracker) restored() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, a := range t.waiting {
		a.blind = true
	}
}
