package node

import (
	"context"
	"errors"

	"google.golang.org/protobuf/proto"

	"github.com/hydrastore/hydrastore/cluster"
	"github.com/hydrastore/hydrastore/cluster/link"
	"github.com/hydrastore/hydrastore/node/nodepb"
)

// The methods that nodes call at each other.
const (
	methodSubmit    = "node.submit"
	methodReadIndex = "node.read_index"
	methodBeacon    = "node.beacon"
	methodTime      = "node.time"
	methodPeers     = "node.peers"
)

// codeNotLeading is the link code of a refusal by a node that does not lead.
const codeNotLeading = "not_leading"

func (n *Node) handleCalls() {
	n.cluster.Handle(methodSubmit, n.handleSubmit)
	n.cluster.Handle(methodReadIndex, n.handleReadIndex)
	n.cluster.Handle(methodBeacon, func(_ context.Context, _ link.Identity, payload []byte) ([]byte, error) {
		var beacon nodepb.Beacon
		if err := proto.Unmarshal(payload, &beacon); err != nil {
			return nil, err
		}
		return proto.Marshal(n.handleBeacon(&beacon))
	})
	n.cluster.Handle(methodTime, func(context.Context, link.Identity, []byte) ([]byte, error) {
		return proto.Marshal(n.handleTime())
	})
	n.cluster.Handle(methodPeers, func(context.Context, link.Identity, []byte) ([]byte, error) {
		return proto.Marshal(n.reportPeers())
	})
}

func (n *Node) handleSubmit(ctx context.Context, from link.Identity, payload []byte) ([]byte, error) {
	var request nodepb.SubmitRequest
	if err := proto.Unmarshal(payload, &request); err != nil {
		return nil, err
	}
	item := n.inbox.submit(from.NodeID, &request)
	select {
	case <-item.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-n.stopped:
		return nil, errNotLeading
	}
	response := &nodepb.SubmitResponse{Outcome: item.outcome, Index: item.index}
	for _, result := range item.results {
		encoded, err := result.MarshalVT()
		if err != nil {
			return nil, err
		}
		response.Results = append(response.Results, encoded)
	}
	return proto.Marshal(response)
}

func (n *Node) handleReadIndex(ctx context.Context, from link.Identity, payload []byte) ([]byte, error) {
	var request nodepb.ReadIndexRequest
	if err := proto.Unmarshal(payload, &request); err != nil {
		return nil, err
	}
	answer, err := n.leaderReadIndex(ctx, cluster.Vote{NodeID: from.NodeID, Term: request.Term})
	if errors.Is(err, errNotLeading) || errors.Is(err, cluster.ErrNotLeader) {
		return nil, link.Error(codeNotLeading, "this node does not lead")
	}
	if err != nil {
		return nil, err
	}
	return proto.Marshal(answer)
}
