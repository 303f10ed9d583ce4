package node

import (
	"sync"

	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/node/nodepb"
)

// item is one origin's batch at the leader.
type item struct {
	origin      string
	incarnation uint64
	number      uint64
	commands    int
	encoded     []byte

	done    chan struct{} // closed when the fields below are set
	once    sync.Once
	outcome nodepb.SubmitResponse_Outcome
	index   uint64
	results []*fsmpb.Result
}

func (i *item) answer(o nodepb.SubmitResponse_Outcome, index uint64, results []*fsmpb.Result) {
	i.once.Do(func() {
		i.outcome, i.index, i.results = o, index, results
		close(i.done)
	})
}

// refused tells whether the item was refused, and so is in no entry.
func (i *item) refused() bool {
	select {
	case <-i.done:
		return i.outcome == nodepb.SubmitResponse_OUTCOME_REFUSED
	default:
		return false
	}
}

// origin is what the leader remembers of one node in its epoch, so that a question asked again is not a second batch.
type origin struct {
	incarnation uint64
	oldest      uint64 // numbers below are finished at the origin
	items       map[uint64]*item
}

// inbox is where a leader receives batches: its own and those of the other nodes. It belongs to one epoch at a time.
type inbox struct {
	limits  Limits
	mu      sync.Mutex
	epoch   uint64 // the present one, or the last one while closed
	closed  bool
	queue   []*item
	origins map[string]*origin
	ready   chan struct{} // capacity 1: work came
}

func newInbox(l Limits) *inbox {
	return &inbox{limits: l, closed: true, origins: map[string]*origin{}, ready: make(chan struct{}, 1)}
}

// open begins an epoch, or goes on with the last one: what is remembered of that stays.
func (b *inbox) open(epoch uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refuseQueueLocked()
	if epoch != b.epoch {
		b.epoch, b.origins = epoch, map[string]*origin{}
	}
	b.closed = false
}

// close ends the epoch. What waits is refused: it is in no entry. What is in an entry is still answered when that is applied:
// entries that were committed just before leadership was lost are applied after.
func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refuseQueueLocked()
	b.closed = true
}

func (b *inbox) refuseQueueLocked() {
	for _, i := range b.queue {
		refuse(i)
	}
	b.queue = nil
}

// submit takes a batch, or finds the one that was submitted before under the same number.
func (b *inbox) submit(from string, r *nodepb.SubmitRequest) *item {
	fresh := &item{
		origin: from, incarnation: r.Incarnation, number: r.Number, commands: int(r.Commands), encoded: r.Batch,
		done: make(chan struct{}),
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	// A refusal stands for "not in the log by this question": asked again, the batch may be taken.
	if b.closed || r.Epoch != b.epoch || len(b.queue) >= b.limits.InboxBatches {
		return refuse(fresh)
	}
	o := b.origins[from]
	if o == nil || o.incarnation < r.Incarnation {
		o = &origin{incarnation: r.Incarnation, items: map[uint64]*item{}}
		b.origins[from] = o
	}
	if o.incarnation > r.Incarnation {
		return refuse(fresh) // from before the origin's restart: nobody waits for it
	}
	if known := o.items[r.Number]; known != nil && !known.refused() {
		return known
	}
	o.forget(r.Oldest)
	if r.Number < o.oldest || len(o.items) >= b.limits.InboxBatches {
		return refuse(fresh) // a late copy of a question whose answer was taken
	}
	o.items[r.Number] = fresh
	b.queue = append(b.queue, fresh)
	select {
	case b.ready <- struct{}{}:
	default:
	}
	return fresh
}

func refuse(i *item) *item {
	i.answer(nodepb.SubmitResponse_OUTCOME_REFUSED, 0, nil)
	return i
}

func (o *origin) forget(oldest uint64) {
	if oldest <= o.oldest {
		return
	}
	o.oldest = oldest
	for number := range o.items {
		if number < oldest {
			delete(o.items, number)
		}
	}
}

// serves tells whether batches of an epoch were submitted here.
func (b *inbox) serves(epoch uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.epoch == epoch
}

// waiting returns how many commands wait.
func (b *inbox) waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, i := range b.queue {
		n += i.commands
	}
	return n
}

// take removes the head of the queue, within the limits of one entry.
func (b *inbox) take() (items []*item) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, commands, bytes := 0, 0, 0
	for n < len(b.queue) {
		i := b.queue[n]
		if n > 0 && (commands+i.commands > b.limits.BatchCommands || bytes+len(i.encoded) > b.limits.BatchBytes) {
			break
		}
		n, commands, bytes = n+1, commands+i.commands, bytes+len(i.encoded)
	}
	items = append(items, b.queue[:n]...)
	clear(b.queue[:n])
	if b.queue = b.queue[n:]; len(b.queue) == 0 {
		b.queue = nil
	}
	return items
}

// applied is called by the state machine for every batch of an entry of the inbox's epoch.
func (b *inbox) applied(epoch uint64, from string, incarnation, number, index uint64, results []*fsmpb.Result) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.epoch != epoch {
		return
	}
	if o := b.origins[from]; o != nil && o.incarnation == incarnation {
		if i := o.items[number]; i != nil {
			i.answer(nodepb.SubmitResponse_OUTCOME_APPLIED, index, results)
		}
	}
}
