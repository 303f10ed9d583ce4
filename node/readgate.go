package node

import (
	"context"
	"errors"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/hydrastore/hydrastore/cluster"
	"github.com/hydrastore/hydrastore/node/nodepb"
	"github.com/hydrastore/hydrastore/session"
)

// readPoint is what a read may rely on.
type readPoint struct {
	index  uint64 // applied by this node
	timeMS int64  // leader time, for the touch economy; 0 for reads that do not ask the leader
	age    time.Duration
}

// readGate gives linearizable reads their read index. One question to the leader serves all reads that wait; a read that
// arrives during a round joins the next.
type readGate struct {
	node *Node

	mu      sync.Mutex
	waiting []chan<- readAnswer
	running bool
}

type readAnswer struct {
	point readPoint
	err   error
}

func newReadGate(n *Node) *readGate { return &readGate{node: n} }

// wait returns when this node has applied everything that was acknowledged anywhere before the call.
func (g *readGate) wait(ctx context.Context) (readPoint, error) {
	answer := make(chan readAnswer, 1)
	if !g.join(answer) {
		return readPoint{}, &session.Error{Code: session.CodeOverloaded, Message: "too many reads are waiting for the leader", RetryAfter: time.Second}
	}
	select {
	case a := <-answer:
		if a.err != nil {
			return readPoint{}, a.err
		}
		if err := g.node.cluster.WaitApplied(ctx, a.point.index); err != nil {
			return readPoint{}, errNoQuorum()
		}
		return a.point, nil
	case <-ctx.Done():
		return readPoint{}, errNoQuorum()
	}
}

func (g *readGate) join(answer chan<- readAnswer) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) >= g.node.config.Limits.WaitingReads {
		return false
	}
	g.waiting = append(g.waiting, answer)
	if !g.running {
		g.running = true
		go g.rounds()
	}
	return true
}

// rounds runs while reads wait.
func (g *readGate) rounds() {
	for {
		g.mu.Lock()
		batch := g.waiting
		g.waiting = nil
		if len(batch) == 0 {
			g.running = false
			g.mu.Unlock()
			return
		}
		g.mu.Unlock()
		g.node.metrics.readsPerRound.Observe(float64(len(batch)))
		point, err := g.round()
		for _, answer := range batch {
			answer <- readAnswer{point, err}
		}
	}
}

// round asks until there is an answer, through changes of leader, at most for the request timeout: every read of the
// round has begun before it, so none waits for longer than that.
func (g *readGate) round() (readPoint, error) {
	ctx, cancel := context.WithTimeout(context.Background(), g.node.config.RequestTimeout)
	defer cancel()
	pause := retryMin
	for {
		lead, changed := g.node.cluster.Leadership()
		if lead.NodeID != "" {
			if point, err := g.ask(ctx, lead); err == nil {
				return point, nil
			}
		}
		select {
		case <-changed:
			pause = retryMin
		case <-time.After(pause):
			pause = min(2*pause, retryMax)
		case <-ctx.Done():
			return readPoint{}, errNoQuorum()
		case <-g.node.stopped:
			return readPoint{}, errStopping()
		}
	}
}

// ask asks the leader once. A follower sends its own term along, read now, after its reads began: that is its vote.
func (g *readGate) ask(ctx context.Context, lead cluster.Leadership) (readPoint, error) {
	g.node.metrics.readRounds.Inc()
	if lead.Self {
		answer, err := g.node.leaderReadIndex(ctx)
		if err != nil {
			return readPoint{}, err
		}
		return readPoint{index: answer.Index, timeMS: answer.TimeMs}, nil
	}
	payload, err := proto.Marshal(&nodepb.ReadIndexRequest{Term: g.node.cluster.Term()})
	if err != nil {
		return readPoint{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, readIndexTimeout)
	defer cancel()
	encoded, err := g.node.cluster.Call(ctx, lead.NodeID, methodReadIndex, payload)
	if err != nil {
		return readPoint{}, err
	}
	var answer nodepb.ReadIndexResponse
	if err := proto.Unmarshal(encoded, &answer); err != nil {
		return readPoint{}, err
	}
	g.node.time.hear(answer.Epoch, answer.TimeMs*1000)
	return readPoint{index: answer.Index, timeMS: answer.TimeMs}, nil
}

// readIndexTimeout bounds one question, so that a leader that hangs costs one of them and not the whole request.
const readIndexTimeout = time.Second

var errNotLeading = errors.New("this node does not lead")

// leaderReadIndex answers a reader, local or remote, at the leader.
func (n *Node) leaderReadIndex(ctx context.Context, votes ...cluster.Vote) (*nodepb.ReadIndexResponse, error) {
	n.leader.asked.Add(1)
	epoch := n.leader.epoch.Load()
	nowMS, ok := n.time.now(epoch)
	if epoch == 0 || !ok {
		return nil, errNotLeading
	}
	if err := n.leader.catchUp(ctx, nowMS); err != nil {
		return nil, err
	}
	index, confirmed, err := n.cluster.ReadIndex(ctx, votes...)
	if err != nil {
		return nil, err
	}
	if confirmed != epoch {
		return nil, errNotLeading
	}
	return &nodepb.ReadIndexResponse{Index: index, Epoch: epoch, TimeMs: nowMS}, nil
}
