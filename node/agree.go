package node

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/hydrastore/hydrastore/cluster"
	"github.com/hydrastore/hydrastore/node/nodepb"
)

const (
	// timeQuestionTimeout bounds one question to a voter for its continuation.
	timeQuestionTimeout = 300 * time.Millisecond
	// wallPatience is how long a new leader waits for all voters when a majority has answered but none has heard a leader:
	// the median of all clocks is better than that of two.
	wallPatience = time.Second
	// wallDisagreement is reported when voters' wall clocks set the time.
	wallDisagreement = 10 * time.Second
)

// testimony is what one voter knows of time, in µs since the Unix epoch.
type testimony struct {
	continuation int64
	epoch        uint64 // of the leader that was heard
	heard        bool
	wall         int64
}

// agreeOnTime returns the time at which a new leader begins: the largest continuation of a majority of voters, or, when
// none of them has heard a leader since it started, the median of their wall clocks.
func (l *leader) agreeOnTime(ctx context.Context, epoch uint64) (us int64, err error) {
	asked := time.Now()
	for {
		voters, answers := l.askForTime(ctx)
		majority := len(answers) > voters/2
		patient := len(answers) < voters && !anyHeard(answers) && time.Since(asked) < wallPatience
		if majority && !patient {
			return max(l.settle(answers), l.node.fsm.ClockMS()*1000), nil
		}
		if current, ok := l.node.cluster.Leading(); !ok || current != epoch {
			return 0, cluster.ErrNotLeader
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func anyHeard(answers []testimony) bool {
	return slices.ContainsFunc(answers, func(t testimony) bool { return t.heard })
}

// settle chooses the time from a majority's testimonies: the largest continuation among those of the newest leader that any has
// heard. A voter that was cut off for days has heard an older one, and its own clock's drift since.
func (l *leader) settle(answers []testimony) int64 {
	var newest testimony
	walls := make([]int64, 0, len(answers))
	for _, a := range answers {
		later := a.epoch > newest.epoch || a.epoch == newest.epoch && a.continuation > newest.continuation
		if a.heard && (!newest.heard || later) {
			newest = a
		}
		walls = append(walls, a.wall)
	}
	if newest.heard {
		return newest.continuation
	}
	slices.Sort(walls)
	if spread := time.Duration(walls[len(walls)-1]-walls[0]) * time.Microsecond; spread > wallDisagreement {
		l.node.metrics.clockSpread.Set(spread.Seconds())
		l.node.log.Warn("the nodes' clocks disagree and no node remembers the cluster's time: the median counts; check NTP on all nodes",
			slog.Duration("spread", spread))
	}
	// With two clocks the earlier one counts: a session that lives too long is the smaller harm.
	return walls[(len(walls)-1)/2]
}

// askForTime asks all voters at once, this node included.
func (l *leader) askForTime(ctx context.Context) (voters int, answers []testimony) {
	ctx, cancel := context.WithTimeout(ctx, timeQuestionTimeout)
	defer cancel()
	got := make(chan *testimony)
	asked := 0
	for _, m := range l.node.cluster.Members() {
		if m.Suffrage != cluster.Voter {
			continue
		}
		voters++
		if m.ID == l.node.cluster.NodeID() {
			answers = append(answers, l.node.testify())
			continue
		}
		asked++
		go func() { got <- l.askOneForTime(ctx, m.ID) }()
	}
	for range asked {
		if t := <-got; t != nil {
			answers = append(answers, *t)
			if len(answers) > voters/2 && anyHeard(answers) {
				cancel() // a majority with a continuation needs nobody else; the rest end at once
			}
		}
	}
	return voters, answers
}

func (l *leader) askOneForTime(ctx context.Context, id string) *testimony {
	payload, err := l.node.cluster.Call(ctx, id, methodTime, nil)
	var reply nodepb.TimeReply
	if err != nil || proto.Unmarshal(payload, &reply) != nil {
		return nil
	}
	return &testimony{continuation: reply.ContinuationUs, epoch: reply.Epoch, heard: reply.Heard, wall: reply.WallUs}
}

// testify tells what this node knows of time.
func (n *Node) testify() testimony {
	us, epoch, heard := n.time.continuation()
	return testimony{continuation: us, epoch: epoch, heard: heard, wall: n.config.Clock.Wall().UnixMicro()}
}

func (n *Node) handleTime() *nodepb.TimeReply {
	t := n.testify()
	return &nodepb.TimeReply{Heard: t.heard, ContinuationUs: t.continuation, Epoch: t.epoch, WallUs: t.wall}
}
