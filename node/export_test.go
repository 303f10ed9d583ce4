package node

import (
	"context"
	"time"

	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/node/nodepb"
)

// What the tests of this package look at from outside.

// Judge exposes the touch economy's decision.
var Judge = judge

// The decisions of Judge.
const (
	TouchNone  = touchNone
	TouchAsync = touchAsync
	TouchSync  = touchSync
)

// AppendBatch and AppendEntry expose the encoding of entries.
var (
	AppendBatch = appendBatch
	AppendEntry = appendEntry
	// AppendRemoval exposes that of entries which only remove.
	AppendRemoval = appendRemoval
)

// Timekeeper exposes the continuation of leader time.
type Timekeeper = timekeeper

// NewTimekeeper makes one.
var NewTimekeeper = newTimekeeper

// Hear, Continuation, Lead, Now and Steer expose its methods.
func (t *timekeeper) Hear(epoch uint64, us int64) { t.hear(epoch, us) }
func (t *timekeeper) Continuation() (int64, bool) {
	us, _, ok := t.continuation()
	return us, ok
}
func (t *timekeeper) Lead(epoch uint64, us int64)    { t.lead(epoch, us) }
func (t *timekeeper) Now(epoch uint64) (int64, bool) { return t.now(epoch) }
func (t *timekeeper) Steer(epoch uint64, offset int64, interval time.Duration) {
	t.steer(epoch, offset, interval)
}

// WallOffset exposes what a beacon's round trip tells of a wall clock.
var WallOffset = wallOffset

// Freshness exposes the age of a node's data.
type Freshness = freshness

// NewFreshness makes one.
var NewFreshness = newFreshness

// Confirm and Age expose its methods.
func (f *freshness) Confirm(at time.Duration, commit uint64) { f.confirm(at, commit) }
func (f *freshness) Age() (time.Duration, bool)              { return f.age() }

// Inbox exposes the leader's side of batches.
type Inbox = inbox

// NewInbox makes one; Conclude answers what an entry's end leaves open.
var (
	NewInbox = newInbox
	Conclude = conclude
)

// Open, Close, Submit, Take and Applied expose its methods.
func (b *inbox) Open(epoch uint64)                                 { b.open(epoch) }
func (b *inbox) Close()                                            { b.close() }
func (b *inbox) Submit(from string, r *nodepb.SubmitRequest) *item { return b.submit(from, r) }
func (b *inbox) Take() []*item                                     { return b.take() }
func (b *inbox) Applied(epoch uint64, from string, incarnation, number, index uint64, results []*fsmpb.Result) {
	b.applied(epoch, from, incarnation, number, index, results)
}

// Outcome is an item's answer; false while there is none.
func (i *item) Outcome() (nodepb.SubmitResponse_Outcome, bool) {
	select {
	case <-i.done:
		return i.outcome, true
	default:
		return 0, false
	}
}

// Tracker exposes what a node knows of its batches in the log.
type Tracker = tracker

// NewTracker makes one; Retract takes a batch back after an attempt without effect.
var NewTracker = newTracker

// The fates of an attempt.
const (
	FateAnswered = fateAnswered
	FateNothing  = fateNothing
)

// OneCommand makes a batch of one command, and a function that waits for that command's outcome.
func OneCommand() (b *batch, outcome func() (uint64, error)) {
	p := newPending(nil)
	return &batch{commands: []*pending{p}}, func() (uint64, error) {
		o := <-p.done
		return o.index, o.err
	}
}

// Retract exposes the return of a batch's commands to the queue.
func Retract(b *batch) { b.retract() }

// Begin starts an attempt and returns its number, 0 for none, and a function that waits for its fate.
func (t *tracker) Begin(b *batch, epoch uint64) (number uint64, decided func() fate) {
	a := t.begin(b, epoch)
	if a == nil {
		return 0, nil
	}
	return a.number, func() fate { <-a.decided; return a.fate }
}

// Applied, Established, Restored and Oldest expose its methods.
func (t *tracker) Applied(number, index uint64, results []*fsmpb.Result) {
	t.applied(number, index, results)
}
func (t *tracker) Established(epoch uint64) { t.established(epoch) }
func (t *tracker) Restored()                { t.restored() }
func (t *tracker) Oldest() uint64           { return t.oldest() }

// WritesWaiting tells how many batches are under way.
func (n *Node) WritesWaiting() int {
	n.outbox.mu.Lock()
	defer n.outbox.mu.Unlock()
	return n.outbox.active
}

// TouchesWaiting tells how many uses are under way that nobody waits for.
func (n *Node) TouchesWaiting() int {
	n.touches.mu.Lock()
	defer n.touches.mu.Unlock()
	return len(n.touches.inFlight)
}

// SettleSealing finds the seal keys once more, as a node does that could not finish it at its start.
func (n *Node) SettleSealing(ctx context.Context) error { return n.sealing.settle(ctx) }

// SealKeys tells how many seal keys the cluster knows.
func (n *Node) SealKeys() int {
	known, _ := n.fsm.SealKeys()
	return len(known)
}

// HoldSealKeys says for another node which seal keys it holds.
func (n *Node) HoldSealKeys(ctx context.Context, name string) error {
	return n.seedWith(ctx, &fsmpb.Command{Kind: &fsmpb.Command_HoldSealKeys{HoldSealKeys: &fsmpb.HoldSealKeys{Node: name}}})
}

// PasswordHash is what is stored of a user's password.
func (n *Node) PasswordHash(user string) string {
	record, _ := n.fsm.User(user)
	return record.PasswordHash
}

// Linger exposes the wait of a batch for company.
type Linger = linger

// Done, Enough and Patience expose its methods.
func (l *linger) Done(size, queued int, took time.Duration) { l.done(size, queued, took) }
func (l *linger) Enough() int                               { return l.enough() }
func (l *linger) Patience() time.Duration                   { return l.patience() }

// LocalAttributes tells of how many sessions the node has attributes of its own.
func (n *Node) LocalAttributes() int {
	n.local.mu.Lock()
	defer n.local.mu.Unlock()
	return len(n.local.of)
}

// ReplicatedMS is the replicated clock, and Recorded how many sessions are recorded, as this node has applied them.
func (n *Node) ReplicatedMS() int64 { return n.fsm.ClockMS() }
func (n *Node) Recorded() int       { return n.fsm.Stats().Sessions }

// Pace exposes how removal is paced.
type Pace = pace

// LongestRest bounds a rest of it.
const LongestRest = longestRest

// Rest exposes its method.
func (p *pace) Rest(took time.Duration, others bool) time.Duration { return p.rest(took, others) }
