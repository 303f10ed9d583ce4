package cluster

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"github.com/hydrastore/hydrastore/cluster/clusterpb"
	"github.com/hydrastore/hydrastore/cluster/link"
	"google.golang.org/protobuf/proto"
)

// The methods of the peers' own calls.
const (
	methodConfirm  = "cluster.confirm"  // what is your term?
	methodStats    = "cluster.stats"    // how far is your log?
	methodAnnounce = "cluster.announce" // this is what I am; let me in
	methodChange   = "cluster.change"   // remove a member, hand over leadership
	methodProbe    = "cluster.probe"    // where do you stand before birth?
	methodAccept   = "cluster.accept"   // be born with these nodes
	methodInvite   = "cluster.invite"   // look for a cluster there
)

// register names the handlers of this package's methods to the link.
func (c *Cluster) register() {
	c.link.Handle(methodConfirm, link.PurposeRPC, c.serveConfirm)
	c.link.Handle(methodStats, link.PurposeRPC, serve(c.stats))
	c.link.Handle(methodAnnounce, link.PurposeRPC, serve(c.serveAnnounce))
	c.link.Handle(methodAnnounce, link.PurposeBirth, serve(c.serveAnnounce))
	c.link.Handle(methodChange, link.PurposeRPC, serve(c.serveChange))
	c.link.Handle(methodProbe, link.PurposeBirth, serve(c.birth.serveProbe))
	c.link.Handle(methodAccept, link.PurposeBirth, serve(c.birth.serveAccept))
	c.link.Handle(methodInvite, link.PurposeBirth, serve(c.birth.serveInvite))
}

// serve makes a link.Handler of a function from message to message.
func serve[Q any, PQ interface {
	*Q
	proto.Message
}, A proto.Message](h func(context.Context, link.Identity, PQ) (A, error)) link.Handler {
	return func(ctx context.Context, from link.Identity, payload []byte) ([]byte, error) {
		q := PQ(new(Q))
		if err := proto.Unmarshal(payload, q); err != nil {
			return nil, link.Error(string(CodeInvalid), "the request cannot be decoded")
		}
		a, err := h(ctx, from, q)
		if err != nil {
			return nil, toWire(err)
		}
		return proto.Marshal(a)
	}
}

// ask calls method at to and decodes the answer into a. Its errors are *Error
// for what the peer answered, else link's.
func (c *Cluster) ask(ctx context.Context, to link.Peer, p link.Purpose, method string, q, a proto.Message) error {
	payload, err := proto.Marshal(q)
	if err != nil {
		return err
	}
	answer, err := c.link.CallExpect(ctx, to, p, method, payload)
	if err != nil {
		return fromWire(err)
	}
	if to.NodeID != "" {
		c.peers.alive(to.NodeID)
	}
	return proto.Unmarshal(answer, a)
}

// toWire turns an error into what travels to the caller.
func toWire(err error) error {
	var e *Error
	if errors.As(err, &e) {
		return link.Error(string(e.Code), err.Error())
	}
	return err
}

// fromWire turns a peer's answer back into an *Error.
func fromWire(err error) error {
	var e *link.CallError
	if errors.As(err, &e) {
		return &Error{Code: Code(e.Code), Message: e.Message}
	}
	return err
}

// serveConfirm answers with this node's term. It is an atomic load: a disk flush
// or a busy Raft loop does not hold it up.
func (c *Cluster) serveConfirm(context.Context, link.Identity, []byte) ([]byte, error) {
	term := c.Term()
	if term == 0 {
		return nil, toWire(ErrNotBorn)
	}
	return binary.BigEndian.AppendUint64(nil, term), nil
}

// askTerm asks a voter for its term.
func (c *Cluster) askTerm(ctx context.Context, id string) (uint64, error) {
	answer, err := c.Call(ctx, id, methodConfirm, nil)
	if err != nil {
		return 0, err
	}
	if len(answer) != 8 {
		return 0, newError(CodeInvalid, "node %s answered %d bytes for its term", id, len(answer))
	}
	return binary.BigEndian.Uint64(answer), nil
}

// stats answers with the end of this node's log.
func (c *Cluster) stats(context.Context, link.Identity, *clusterpb.Stats) (*clusterpb.Stats, error) {
	r := c.raft.Load()
	if r == nil {
		return nil, ErrNotBorn
	}
	index, term := lastEntry(r)
	return &clusterpb.Stats{Term: r.CurrentTerm(), LastIndex: index, LastTerm: term, AppliedIndex: c.applied.load()}, nil
}

// Call calls method at the member with the given id, which proves in the
// handshake that it is that member. The answer's errors are link's: CallError
// with the handler's code, ErrUnreachable, ErrUnknownOutcome; ErrUnknownNode if
// there is no such member.
func (c *Cluster) Call(ctx context.Context, nodeID, method string, payload []byte) ([]byte, error) {
	addr, ok := c.addressOf(nodeID)
	if !ok {
		return nil, newError(CodeUnknownNode, "no member has the id %q", nodeID)
	}
	answer, err := c.link.CallExpect(ctx, link.Peer{Addr: addr, NodeID: nodeID}, link.PurposeRPC, method, payload)
	if err == nil {
		c.peers.alive(nodeID)
	}
	return answer, err
}

// atLeader runs a change at the leader: here, if this node leads, else by a call.
// It goes on across a change of leader, until it succeeds, until an answer says
// that trying again is no use, or until ctx ends.
func (c *Cluster) atLeader(ctx context.Context, here func(context.Context) error, there func(context.Context, link.Peer) error) error {
	for {
		err := c.atLeaderOnce(ctx, here, there)
		if !temporary(err) {
			return err
		}
		_, changed := c.Leadership()
		select {
		case <-changed:
		case <-time.After(c.cfg.ElectionTimeout / 5):
		case <-ctx.Done():
			return codeError(CodeNoLeader, err, "%v", context.Cause(ctx))
		case <-c.ctx.Done():
			return ErrClosed
		}
	}
}

func (c *Cluster) atLeaderOnce(ctx context.Context, here func(context.Context) error, there func(context.Context, link.Peer) error) error {
	r := c.raft.Load()
	if r == nil {
		return ErrNotBorn
	}
	if _, ok := c.Leading(); ok {
		return here(ctx)
	}
	_, id := r.LeaderWithID()
	if id == "" || string(id) == c.NodeID() {
		return ErrNoLeader
	}
	addr, ok := c.addressOf(string(id))
	if !ok {
		return ErrNoLeader
	}
	return there(ctx, link.Peer{Addr: addr, NodeID: string(id)})
}

// temporary reports whether the same change may succeed in a moment, at this or
// another leader, and may be tried again safely.
func temporary(err error) bool {
	return errors.Is(err, ErrNotLeader) || errors.Is(err, ErrNoLeader) || errors.Is(err, link.ErrUnreachable)
}
