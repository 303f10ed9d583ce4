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
		heard := slices.ContainsFunc(answers, func(t testimony) bool { return t.heard })
		patient := len(answers) < voters && !heard && time.Since(asked) < wallPatience
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

// settle chooses the time from a majority's testimonies.
func (l *leader) settle(answers []testimony) int64 {
	newest, heard := int64(0), false
	walls := make([]int64, 0, len(answers))
	for _, a := range answers {
		if a.heard {
			newest, heard = max(newest, a.continuation), true
		}
		walls = append(walls, a.wall)
	}
	if heard {
		return newest
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
			if len(answers) > voters/2 && t.heard {
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
	return &testimony{continuation: reply.ContinuationUs, heard: reply.Heard, wall: reply.WallUs}
}

// testify tells what this node knows of time.
func (n *Node) testify() testimony {
	us, heard := n.time.continuation()
	return testimony{continuation: us, heard: heard, wall: n.config.Clock.Wall().UnixMicro()}
}

func (n *Node) handleTime(context.Context) *nodepb.TimeReply {
	t := n.testify()
	return &nodepb.TimeReply{Heard: t.heard, ContinuationUs: t.continuation, WallUs: t.wall}
}
