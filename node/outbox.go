package node

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// The stages of a pending command. Only in stageQueued may its caller withdraw it and say "certainly not done".
const (
	stageQueued    int32 = iota // in no batch that a leader may have
	stageSent                   // in a batch that may be in the log
	stageWithdrawn              // the caller went away while it was queued
	stageAbandoned              // the caller went away while it was sent: it was told that the outcome is unknown
)

// pending is one command on its way through the log.
type pending struct {
	encoded []byte
	stage   atomic.Int32
	done    chan outcome // capacity 1
}

func newPending(encoded []byte) *pending {
	return &pending{encoded: encoded, done: make(chan outcome, 1)}
}

// answer gives the command its outcome; the first one counts.
func (p *pending) answer(o outcome) {
	select {
	case p.done <- o:
	default:
	}
}

// outcome is what became of a command.
type outcome struct {
	result *fsmpb.Result
	index  uint64
	err    error
}

// outbox gathers the commands of this node into batches and sees each batch through to its outcome.
//
// Batching is natural: while BatchesInFlight batches are under way, the next one fills.
type outbox struct {
	deliver   func(*batch) // sees one batch through; on a goroutine of its own
	whyClosed func() error // asked when the log has refused a command because sessions are being moved

	mu      sync.Mutex
	queue   []*pending
	bytes   int // of the commands in the queue
	active  int // batches under way
	closed  bool
	linger  linger
	timer   *time.Timer // a batch waits for company; nil = none does
	idle    *sync.Cond  // signalled when active falls
	limits  Limits
	metrics *metrics
}

func newOutbox(l Limits, m *metrics, deliver func(*batch), whyClosed func() error) *outbox {
	o := &outbox{deliver: deliver, whyClosed: whyClosed, limits: l, metrics: m}
	o.idle = sync.NewCond(&o.mu)
	return o
}

// submit sends one command through the log and waits for its result. The errors are the three of G7: CodeOverloaded and
// CodeNoQuorum (certainly not done), CodeOutcomeUnknown; and CodeUnavailable while sessions are being moved.
func (o *outbox) submit(ctx context.Context, c *fsmpb.Command) (*fsmpb.Result, uint64, error) {
	encoded, err := c.MarshalVT()
	if err != nil {
		return nil, 0, internalError("encode command", err)
	}
	if len(encoded) > o.limits.BatchBytes/2 {
		return nil, 0, session.TooLarge("", "the request needs a log entry of %d bytes, at most %d are allowed", len(encoded), o.limits.BatchBytes/2)
	}
	p := newPending(encoded)
	if err := o.enqueue(p); err != nil {
		return nil, 0, err
	}
	select {
	case out := <-p.done:
		if out.result.GetCode() == fsmpb.Code_CODE_CLOSED {
			return nil, out.index, o.whyClosed()
		}
		return out.result, out.index, out.err
	case <-ctx.Done():
		return p.giveUp()
	}
}

// giveUp answers for a caller whose time is over. A command that is on its way in this moment may be known to have gone nowhere
// in the next, when the leader cannot be reached: a short while makes the difference between "not done" and "unknown".
func (p *pending) giveUp() (*fsmpb.Result, uint64, error) {
	moment := time.NewTicker(lastMoment / 10)
	defer moment.Stop()
	for end := time.Now().Add(lastMoment); ; {
		if p.stage.CompareAndSwap(stageQueued, stageWithdrawn) {
			return nil, 0, errNoQuorum()
		}
		select {
		case out := <-p.done:
			return out.result, out.index, out.err
		case <-moment.C:
		}
		if time.Now().After(end) && p.stage.CompareAndSwap(stageSent, stageAbandoned) {
			return nil, 0, errOutcomeUnknown()
		}
	}
}

// lastMoment is how long a caller whose time is over still waits for the fate of a command on its way.
const lastMoment = 50 * time.Millisecond

func (o *outbox) enqueue(p *pending) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.closed:
		return errStopping()
	case o.fullLocked(p) && !o.sweepLocked(p):
		o.metrics.refused.Inc()
		return &session.Error{Code: session.CodeOverloaded, Message: "the queue of writes is full", RetryAfter: time.Second}
	}
	o.queue = append(o.queue, p)
	o.bytes += len(p.encoded)
	o.startLocked()
	return nil
}

func (o *outbox) fullLocked(p *pending) bool {
	return len(o.queue) >= o.limits.QueueCommands || o.bytes+len(p.encoded) > o.limits.QueueBytes
}

// sweepLocked drops commands whose callers have gone and reports whether there is room now. Without it a long loss of
// the majority would fill the queue with the dead.
func (o *outbox) sweepLocked(p *pending) bool {
	kept := o.queue[:0]
	o.bytes = 0
	for _, q := range o.queue {
		if q.stage.Load() == stageQueued {
			kept = append(kept, q)
			o.bytes += len(q.encoded)
		}
	}
	clear(o.queue[len(kept):])
	o.queue = kept
	return !o.fullLocked(p)
}

// startLocked starts batches as long as there is work and room, the next one perhaps a little later: see linger.
func (o *outbox) startLocked() {
	for o.active < o.limits.BatchesInFlight && len(o.queue) > 0 {
		if len(o.queue) < o.linger.enough() {
			if o.timer == nil {
				o.timer = time.AfterFunc(o.linger.patience(), o.lingered)
			}
			return
		}
		o.startOneLocked()
	}
}

// lingered starts the batch that has waited for company.
func (o *outbox) lingered() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.timer = nil
	if o.active < o.limits.BatchesInFlight && len(o.queue) > 0 {
		o.startOneLocked()
	}
	o.startLocked()
}

func (o *outbox) startOneLocked() {
	if o.timer != nil {
		o.timer.Stop()
		o.timer = nil
	}
	b := o.takeLocked()
	if len(b.commands) == 0 {
		o.idle.Broadcast() // all of them were withdrawn
		return
	}
	o.active++
	go o.run(b)
}

// takeLocked moves the head of the queue into a batch, within the limits on commands and bytes.
func (o *outbox) takeLocked() *batch {
	b := &batch{}
	n, bytes := 0, 0
	for n < len(o.queue) && len(b.commands) < o.limits.BatchCommands {
		p := o.queue[n]
		if len(b.commands) > 0 && bytes+len(p.encoded) > o.limits.BatchBytes {
			break
		}
		n++
		o.bytes -= len(p.encoded)
		if p.stage.Load() == stageQueued {
			b.commands = append(b.commands, p)
			bytes += len(p.encoded)
		}
	}
	clear(o.queue[:n])
	o.queue = o.queue[n:]
	if len(o.queue) == 0 {
		o.queue = nil // let the backing array go after a burst
	}
	return b
}

func (o *outbox) run(b *batch) {
	size, started := len(b.commands), time.Now()
	o.metrics.batchCommands.Observe(float64(size))
	o.deliver(b)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.linger.done(size, len(o.queue), time.Since(started))
	o.active--
	o.startLocked()
	o.idle.Broadcast()
}

// close refuses new commands and waits until the outcome of those under way is known. It returns early, with false, when ctx
// ends.
func (o *outbox) close(ctx context.Context) (finished bool) {
	stop := context.AfterFunc(ctx, func() {
		o.mu.Lock() // or the wake-up could come between the look at ctx and the wait
		defer o.mu.Unlock()
		o.idle.Broadcast()
	})
	defer stop()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	for (o.active > 0 || len(o.queue) > 0) && ctx.Err() == nil {
		o.idle.Wait()
	}
	return o.active == 0 && len(o.queue) == 0
}
