package cluster

import (
	"context"
	"slices"

	"github.com/hydrastore/hydrastore/cluster/clusterpb"
	"github.com/hydrastore/hydrastore/cluster/link"
)

// serveProbe answers where this node stands.
func (b *birth) serveProbe(_ context.Context, from link.Identity, q *clusterpb.Probe) (*clusterpb.Probe, error) {
	if q.GetPeer().GetId() != from.NodeID {
		return nil, newError(CodeInvalid, "the question names another node than the one that proved itself")
	}
	if q.GetClusterName() == b.c.cfg.ClusterName && b.c.ClusterID() == "" {
		b.hear(q)
	}
	return b.standing(), nil
}

// serveAccept stores a proposal.
func (b *birth) serveAccept(_ context.Context, from link.Identity, q *clusterpb.Accept) (*clusterpb.Accepted, error) {
	p := fromProposal(q.GetProposal())
	if !p.has(from.NodeID) {
		return nil, newError(CodeInvalid, "the proposal does not list the node that sent it")
	}
	stored, err := b.accept(p)
	if err != nil {
		b.c.fatal(err)
		return nil, err
	}
	return &clusterpb.Accepted{Proposal: toProposal(stored)}, nil
}

// serveInvite makes this node ask at the address of a cluster that wants it.
func (b *birth) serveInvite(_ context.Context, _ link.Identity, q *clusterpb.Invite) (*clusterpb.Invited, error) {
	if q.GetClusterName() != b.c.cfg.ClusterName {
		return nil, newError(CodeConflict, "the node belongs to a cluster named %q, not %q", b.c.cfg.ClusterName, q.GetClusterName())
	}
	if id := b.c.ClusterID(); id != "" && id != q.GetClusterId() {
		return nil, newError(CodeConflict, "the node belongs to cluster %s already", id)
	}
	if len(q.GetPeerAddress()) > maxAddressBytes {
		return nil, newError(CodeInvalid, "the address has %d bytes, at most %d", len(q.GetPeerAddress()), maxAddressBytes)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Contains(b.invited, q.GetPeerAddress()) && len(b.invited) < maxKnown {
		b.invited = append(b.invited, q.GetPeerAddress())
	}
	return &clusterpb.Invited{NodeId: b.c.NodeID()}, nil
}

func toPeer(p birthplace) *clusterpb.Peer {
	return &clusterpb.Peer{Id: p.ID, Name: p.Name, PeerAddress: p.PeerAddress}
}

func fromPeer(p *clusterpb.Peer) birthplace {
	return birthplace{ID: p.GetId(), Name: p.GetName(), PeerAddress: p.GetPeerAddress()}
}

func toPeers(list []birthplace) []*clusterpb.Peer {
	out := make([]*clusterpb.Peer, 0, len(list))
	for _, p := range list {
		out = append(out, toPeer(p))
	}
	return out
}

func fromPeers(list []*clusterpb.Peer) []birthplace {
	out := make([]birthplace, 0, len(list))
	for _, p := range list {
		out = append(out, fromPeer(p))
	}
	return out
}

func toProposal(p *proposedBirth) *clusterpb.Proposal {
	if p == nil {
		return nil
	}
	return &clusterpb.Proposal{ClusterId: p.ClusterID, Peers: toPeers(p.Peers)}
}

// fromProposal returns nil for no proposal.
func fromProposal(p *clusterpb.Proposal) *proposedBirth {
	if p == nil {
		return nil
	}
	return &proposedBirth{ClusterID: p.GetClusterId(), Peers: fromPeers(p.GetPeers())}
}
