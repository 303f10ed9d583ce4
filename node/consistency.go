package node

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

// minIndexFreshness is how old a node's data may be when it answers a min_index read: such reads promise G3 and the
// upper bound of G4, which allows a second in all.
const minIndexFreshness = 800 * time.Millisecond

// read waits until this node may answer c as it asks to. A cluster whose sessions are being moved answers nobody.
func (n *Node) read(ctx context.Context, c session.Call) (readPoint, error) {
	point, err := n.readAnyway(ctx, c)
	if err == nil {
		err = n.serves()
	}
	return point, err
}

// readAnyway is read for what goes on while sessions are being moved.
func (n *Node) readAnyway(ctx context.Context, c session.Call) (readPoint, error) {
	if n.cluster.ClusterID() == "" {
		return readPoint{}, errStarting("it does not belong to a cluster yet")
	}
	switch {
	case c.MinIndex != "":
		return n.readFrom(ctx, c.MinIndex)
	case c.Consistency == session.Local:
		return n.readLocal()
	case c.Consistency == session.Linearizable:
		return n.reads.wait(ctx)
	default:
		return readPoint{}, session.Invalid("consistency", "must be \"local\" or absent")
	}
}

func (n *Node) readLocal() (readPoint, error) {
	age, known := n.freshness.age()
	if !known || age > n.config.MaxStale {
		return readPoint{}, &session.Error{
			Code: session.CodeTooStale, RetryAfter: electionPause,
			Message: fmt.Sprintf("this node has not heard of a leader with a majority for longer than max_stale (%v)", n.config.MaxStale),
		}
	}
	return readPoint{index: n.cluster.AppliedIndex(), age: age}, nil
}

// readFrom waits for an index of this history, and then until the node's data is fresh.
func (n *Node) readFrom(ctx context.Context, token session.IndexToken) (readPoint, error) {
	index, err := n.parseToken(token)
	if err != nil {
		return readPoint{}, err
	}
	if err := n.cluster.WaitApplied(ctx, index); err != nil {
		return readPoint{}, errIndexTimeout()
	}
	for {
		if age, known := n.freshness.age(); known && age <= minIndexFreshness {
			return readPoint{index: n.cluster.AppliedIndex(), age: age}, nil
		}
		select {
		case <-time.After(beaconInterval / 4):
		case <-ctx.Done():
			return readPoint{}, errIndexTimeout()
		}
	}
}

func errIndexTimeout() *session.Error {
	return &session.Error{
		Code: session.CodeIndexTimeout, Field: "min_index", RetryAfter: electionPause,
		Message: "this node did not reach that index within the request timeout; ask another node or leave min_index out",
	}
}

// history names the present history: the cluster and how often it was restored. It changes when indexes begin anew.
func (n *Node) history() string {
	number := n.fsm.History()
	if known := n.historyName.Load(); known != nil && known.number == number {
		return known.name
	}
	sum := sha256.Sum256([]byte(n.cluster.ClusterID()))
	name := hex.EncodeToString(sum[:4]) + "-" + strconv.FormatUint(number, 10)
	if n.cluster.ClusterID() != "" {
		n.historyName.Store(&historyName{number: number, name: name})
	}
	return name
}

// historyName is the name of a history, made once: every answer carries it.
type historyName struct {
	number uint64
	name   string
}

func (n *Node) token(index uint64) session.IndexToken {
	return session.IndexToken(n.history() + ":" + strconv.FormatUint(index, 10))
}

func (n *Node) parseToken(token session.IndexToken) (uint64, error) {
	history, text, found := strings.Cut(string(token), ":")
	index, err := strconv.ParseUint(text, 10, 64)
	if !found || err != nil {
		return 0, session.Invalid("min_index", "must be the value of a Hydrastore-Index header")
	}
	if history != n.history() {
		return 0, &session.Error{
			Code: session.CodeHistoryMismatch, Field: "min_index",
			Message: "that index belongs to another cluster, or to the time before a restore",
		}
	}
	return index, nil
}

// readMeta describes an answer to a read.
func (n *Node) readMeta(c session.Call, p readPoint) session.Meta {
	m := session.Meta{Index: n.token(p.index), Age: -1}
	if c.Consistency == session.Local || c.MinIndex != "" {
		m.Age = p.age
	}
	return m
}

// writeMeta describes an answer to a write.
func (n *Node) writeMeta(index uint64) session.Meta {
	return session.Meta{Index: n.token(index), Age: -1}
}
