package node

import (
	"context"
	"time"
)

// Removal of what is dead already. Sessions that are due are dead by the replicated clock, whether they are still recorded or not; a
// million that end at once are removed by entries that carry no time and no command. Nothing that anybody reads changes
// by them, so that no read waits for one (cluster.ProposeUpkeep).

// remove writes such entries, one after the other, while the replicated clock has passed a deadline whose session is still there, until leader
// time should be brought into the log again.
func (l *leader) remove(ctx context.Context, epoch uint64) {
	for {
		clock := l.node.fsm.ClockMS()
		deadline, some := l.node.fsm.NextDeadlineMS()
		now, leads := l.now(epoch)
		if !leads || !some || deadline > clock || now-clock >= backlogTick.Milliseconds() {
			return
		}
		started := time.Now()
		if !l.removeOnce(ctx, epoch, clock) {
			return
		}
		l.yield(ctx, time.Since(started))
	}
}

// removeOnce writes one entry. It carries the clock as it stands, which moves nothing.
func (l *leader) removeOnce(ctx context.Context, epoch uint64, clockMS int64) bool {
	l.node.metrics.removals.Inc()
	return succeeded(ctx, l.node.cluster.ProposeUpkeep(appendEntry(nil, l.node.fsm.FormatLevel(), clockMS, epoch, nil)))
}

// yield leaves the nodes to others between two entries.
func (l *leader) yield(ctx context.Context, took time.Duration) {
	timer := time.NewTimer(min(took, tickInterval/2))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
