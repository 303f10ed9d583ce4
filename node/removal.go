package node

import (
	"context"
	"time"
)

// Removal of what is dead already. Sessions that are due are dead by the replicated clock, whether they are still recorded or not; a
// million that end at once are removed by entries that carry no time and no command. Nothing that anybody reads changes
// by them, so that no read waits for one (cluster.ProposeUpkeep).

const (
	// endsPerRemoval is how many sessions one such entry removes: half a millisecond's work of each node. With more a million are gone sooner,
	// and readers that share the processors with it wait longer (512: twice as long at the 99th percentile, on two cores).
	endsPerRemoval = 128
	// longestRest bounds the pause between two of them.
	longestRest = tickInterval
)

// remove writes such entries, one after the other, while the replicated clock has passed a deadline whose session is still there, until leader
// time should be brought into the log again.
func (l *leader) remove(ctx context.Context, epoch uint64) {
	for {
		clock := l.node.fsm.ClockMS()
		deadline, some := l.node.fsm.NextDeadlineMS()
		now, leads := l.now(epoch)
		untilTick := backlogTick - time.Duration(now-clock)*time.Millisecond
		if !leads || !some || deadline > clock || untilTick <= 0 {
			return
		}
		asked, started := l.asked.Load(), time.Now()
		if !l.removeOnce(ctx, epoch, clock) {
			return
		}
		rest := time.NewTimer(min(l.pace.rest(time.Since(started), l.asked.Load() != asked), untilTick))
		select {
		case <-rest.C:
		case <-ctx.Done():
			rest.Stop()
			return
		}
	}
}

// removeOnce writes one entry. It carries the clock as it stands, which moves nothing.
func (l *leader) removeOnce(ctx context.Context, epoch uint64, clockMS int64) bool {
	l.node.metrics.removals.Inc()
	entry := appendRemoval(nil, l.node.fsm.FormatLevel(), clockMS, epoch, endsPerRemoval)
	return succeeded(ctx, l.node.cluster.ProposeUpkeep(entry))
}

// pace says how long removal rests after an entry. While nobody else asks anything of the leader it hardly rests. Otherwise most of the time belongs to the
// others, and the more of it the busier they are: that shows in how much longer an entry takes on its way through the disks and processors of a majority
// than one that meets nobody.
type pace struct {
	least time.Duration // about what an entry takes that meets nobody; 0 = not known
}

const (
	// yield is how many times longer than an entry the rest after it is, when there are others.
	yield = 3
	// leastDrift is by which part the least time is forgotten with each entry, so that a disk that has become slower is not taken for a busy one for ever.
	leastDrift = 64
)

// rest takes in how long an entry took, and whether others asked anything meanwhile.
func (p *pace) rest(took time.Duration, others bool) time.Duration {
	took = max(took, time.Microsecond)
	if p.least += p.least / leastDrift; p.least == 0 || took < p.least {
		p.least = took
	}
	if !others {
		return min(took/4, longestRest)
	}
	return min(yield*took+yield*(took-p.least), longestRest)
}
