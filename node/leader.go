package node

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hydrastore/hydrastore/cluster"
	"github.com/hydrastore/hydrastore/node/nodepb"
)

// leader is what a node does while it leads: keep time, turn batches into log entries, tick, and send beacons. Every
// step names the epoch that it belongs to, so that a leader which was deposed without noticing does no harm.
type leader struct {
	node *Node

	epoch    atomic.Uint64 // in which this node leads and keeps time; 0 = not leading
	inFlight chan struct{} // a place for each entry under way
	kick     chan struct{} // capacity 1: tick now, something is overdue

	beacons *beacons
	pace    pace          // of removal; of tick alone
	asked   atomic.Uint64 // how many read indexes and writes others have asked for

	mu     sync.Mutex
	linger linger // in commands
}

func newLeader(n *Node) *leader {
	return &leader{
		node: n, inFlight: make(chan struct{}, n.config.Limits.EntriesInFlight), kick: make(chan struct{}, 1), beacons: newBeacons(n),
	}
}

// run follows the changes of leadership until ctx ends.
func (l *leader) run(ctx context.Context) {
	for ctx.Err() == nil {
		_, changed := l.node.cluster.Leadership()
		if epoch, ok := l.node.cluster.Leading(); ok {
			l.term(ctx, epoch, changed)
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// term leads one epoch, until leadership changes.
func (l *leader) term(ctx context.Context, epoch uint64, changed <-chan struct{}) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-changed:
			cancel()
		case <-ctx.Done():
		}
	}()
	start, err := l.agreeOnTime(ctx, epoch)
	if err != nil {
		return
	}
	l.node.time.lead(epoch, start)
	if !l.carryTime(ctx, epoch) {
		return
	}
	l.node.inbox.open(epoch)
	l.epoch.Store(epoch)
	defer func() {
		l.epoch.Store(0)
		l.node.inbox.close()
	}()
	l.node.log.Info("leading", slog.Uint64("epoch", epoch), slog.Time("leader_time", time.UnixMicro(start).UTC()))

	var work sync.WaitGroup
	work.Go(func() { l.propose(ctx, epoch) })
	work.Go(func() { l.tick(ctx, epoch) })
	work.Go(func() { l.beacons.run(ctx, epoch) })
	work.Go(func() { l.node.seed(ctx) })
	work.Wait()
}

// carryTime brings the epoch's time into the log before anything is read or written in it: after a long loss of the
// majority the replicated clock stands where it stood, and readers would see what should have ended meanwhile.
func (l *leader) carryTime(ctx context.Context, epoch uint64) bool {
	for ctx.Err() == nil {
		if l.tickOnce(ctx, epoch) {
			return true
		}
		select {
		case <-time.After(retryMax):
		case <-ctx.Done():
		}
	}
	return false
}

// propose turns what is in the inbox into entries: while EntriesInFlight are under way, the next one fills.
func (l *leader) propose(ctx context.Context, epoch uint64) {
	for {
		select {
		case <-l.node.inbox.ready:
		case <-ctx.Done():
			return
		}
		for {
			select {
			case l.inFlight <- struct{}{}:
			case <-ctx.Done():
				return
			}
			l.awaitCompany(ctx)
			items := l.node.inbox.take()
			if len(items) == 0 {
				<-l.inFlight
				break
			}
			l.proposeEntry(epoch, items)
		}
	}
}

// awaitCompany lets an entry wait a moment for the batches of the other nodes: see linger.
func (l *leader) awaitCompany(ctx context.Context) {
	l.mu.Lock()
	enough, patience := l.linger.enough(), l.linger.patience()
	l.mu.Unlock()
	if waiting := l.node.inbox.waiting(); waiting == 0 || waiting >= enough {
		return
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for l.node.inbox.waiting() < enough {
		select {
		case <-l.node.inbox.ready:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// proposeEntry hands one entry to Raft and answers its batches when their outcome is known.
func (l *leader) proposeEntry(epoch uint64, items []*item) {
	batches := make([][]byte, len(items))
	commands := 0
	for i, it := range items {
		batches[i] = it.encoded
		it.encoded = nil // the entry has it now; the item stays for questions asked again
		commands += it.commands
	}
	proposal, ok := l.send(epoch, batches)
	if !ok {
		<-l.inFlight
		refuseAll(items)
		return
	}
	l.asked.Add(1)
	l.node.metrics.entryCommands.Observe(float64(commands))
	go func() {
		started := time.Now()
		select {
		case <-proposal.Done():
		case <-l.node.stopped: // Raft has stopped, perhaps without a word about what was in its queue
		}
		took := time.Since(started)
		l.mu.Lock()
		l.linger.done(commands, l.node.inbox.waiting(), took)
		l.mu.Unlock()
		<-l.inFlight
		l.node.metrics.commitSeconds.Observe(took.Seconds())
		conclude(items, proposal.Err())
	}()
}

// conclude answers what the state machine has not answered when an entry's proposal is over. Only an entry that is certainly not
// in the log may be refused: a refused batch is sent again under another number. One that is there and was ignored, or
// whose results went to nobody, is for its origin to find in the log.
func conclude(items []*item, err error) {
	outcome := nodepb.SubmitResponse_OUTCOME_UNKNOWN
	if errors.Is(err, cluster.ErrNotLeader) {
		outcome = nodepb.SubmitResponse_OUTCOME_REFUSED
	}
	for _, it := range items {
		it.answer(outcome, 0, nil)
	}
}

// send proposes an entry stamped with the leader's time. It returns false if this node does not lead the epoch.
func (l *leader) send(epoch uint64, batches [][]byte) (*cluster.Proposal, bool) {
	now, ok := l.now(epoch)
	if !ok {
		return nil, false
	}
	return l.node.cluster.Propose(appendEntry(nil, l.node.fsm.FormatLevel(), now, epoch, batches)), true
}

// now returns leader time; false if this node does not lead the epoch.
func (l *leader) now(epoch uint64) (ms int64, ok bool) {
	now, ok := l.node.time.now(epoch)
	current, leads := l.node.cluster.Leading()
	return now, ok && leads && current == epoch
}

func refuseAll(items []*item) {
	for _, it := range items {
		refuse(it)
	}
}
