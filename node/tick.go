package node

import (
	"context"
	"time"
)

const (
	// tickInterval is how often, at most, an entry is written only to carry time.
	tickInterval = 100 * time.Millisecond
	// backlogYield is how many times longer than a tick of a backlog the pause after it is.
	backlogYield = 3
	// overdue is how far leader time may be past a deadline before a reader waits for the replicated clock to follow. It
	// stays well below the second that G4 allows.
	overdue = 300 * time.Millisecond
)

// tick writes an entry that carries time whenever something is due and no other entry has done so. While more is due than one
// entry ends, ticks follow one another without waiting for the interval.
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
		for l.due(epoch) {
			started := time.Now()
			if !l.tickOnce(ctx, epoch) {
				break
			}
			l.yield(ctx, time.Since(started))
		}
	}
}

// yield leaves the nodes to others between two ticks of a backlog, for a few times as long as a tick takes. Sessions that are
// due are dead already, by the clock: only their removal waits.
func (l *leader) yield(ctx context.Context, took time.Duration) {
	timer := time.NewTimer(min(backlogYield*took, tickInterval))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// due tells whether leader time has passed a deadline whose session is still there.
func (l *leader) due(epoch uint64) bool {
	now, ok := l.node.time.now(epoch)
	deadline, some := l.node.fsm.NextDeadlineMS()
	return ok && some && deadline <= now
}

func (l *leader) tickOnce(ctx context.Context, epoch uint64) bool {
	proposal, ok := l.send(epoch, nil)
	if !ok {
		return false
	}
	l.node.metrics.ticks.Inc()
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
	for {
		limit := nowMS - overdue.Milliseconds()
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
