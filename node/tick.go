package node

import (
	"context"
	"time"

	"github.com/hydrastore/hydrastore/cluster"
)

const (
	// tickInterval is how often, at most, an entry is written only to carry time.
	tickInterval = 100 * time.Millisecond
	// backlogTick is the same while removals follow one another: rarer, because readers wait for such entries.
	backlogTick = 2 * tickInterval
	// overdue is how far leader time may be past a deadline before a reader waits for the replicated clock to follow. It
	// stays well below the second that G4 allows.
	overdue = 300 * time.Millisecond
)

// tick writes an entry that carries time whenever something is due and no other entry has done so, and then removes what it has left over.
func (l *leader) tick(ctx context.Context, epoch uint64) {
	ticker := time.NewTicker(tickInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-l.kick:
		case <-ctx.Done():
			return
		}
		if l.due(epoch) && l.tickOnce(ctx, epoch) {
			l.remove(ctx, epoch)
		}
	}
}

// due tells whether leader time has passed a deadline whose session is still there.
func (l *leader) due(epoch uint64) bool {
	now, ok := l.now(epoch)
	deadline, some := l.node.fsm.NextDeadlineMS()
	return ok && some && deadline <= now
}

// tickOnce brings leader time into the log.
func (l *leader) tickOnce(ctx context.Context, epoch uint64) bool {
	proposal, ok := l.send(epoch, nil)
	if !ok {
		return false
	}
	l.node.metrics.ticks.Inc()
	return succeeded(ctx, proposal)
}

func succeeded(ctx context.Context, proposal *cluster.Proposal) bool {
	select {
	case <-proposal.Done():
		return proposal.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// catchUp makes sure that the replicated clock has passed every deadline that leader time now passed by more than
// overdue, so that no reader sees a session for longer than G4 allows: after an election, say.
func (l *leader) catchUp(ctx context.Context, nowMS int64) error {
	limit := nowMS - overdue.Milliseconds()
	if l.node.fsm.ClockMS() < limit { // what is committed and not applied here yet may hold deadlines that have passed
		if err := l.node.cluster.WaitApplied(ctx, l.node.cluster.CommitIndex()); err != nil {
			return err
		}
	}
	for {
		deadline, some := l.node.fsm.NextDeadlineMS()
		if !some || deadline > limit || l.node.fsm.ClockMS() >= limit {
			return nil
		}
		select {
		case l.kick <- struct{}{}:
		default:
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
