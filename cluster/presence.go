package cluster

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/hashicorp/raft"
	"github.com/hydrastore/hydrastore/cluster/clusterpb"
	"github.com/hydrastore/hydrastore/cluster/link"
	"google.golang.org/protobuf/proto"
)

// presenceInterval is how often a node looks whether the cluster knows it as it
// is, and how often it says so again while the cluster does not.
const presenceInterval = time.Second

// maxAddressBytes bounds each address that a node tells of itself or of another:
// a DNS name has at most 253 bytes.
const maxAddressBytes = 512

// announcement is what this node says about itself.
func (c *Cluster) announcement() *clusterpb.Announce {
	id := c.ident.get()
	return &clusterpb.Announce{
		ClusterName: c.cfg.ClusterName,
		ClusterId:   id.ClusterID,
		Member: &clusterpb.Member{
			Id: id.NodeID, Name: c.name, PeerAddress: c.PeerAddress(), ApiAddress: c.cfg.APIAddress,
			GossipAddress: c.gossipAddress(), FormatLevel: c.cfg.FormatLevel, Incarnation: id.Incarnation, Terms: c.cfg.Terms,
		},
	}
}

// keepPresent announces this node until the cluster knows it by its present
// addresses, and again whenever it does not: after a removal that this node has
// not heard of, the answer tells it.
func (c *Cluster) keepPresent(ctx context.Context) {
	tick := time.NewTicker(presenceInterval)
	defer tick.Stop()
	for {
		_, changed := c.Leadership()
		present, removed := c.present(ctx)
		if removed {
			c.becomeRemoved()
			return
		}
		if present {
			changed = nil // a new leader knows what the last one knew
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// present announces this node if that is needed, and reports whether the cluster
// knows it now, or has removed it.
func (c *Cluster) present(ctx context.Context) (present, removed bool) {
	// The tombstone alone is not the end: until the configuration has changed, the
	// others may need this node's vote to change it.
	if _, member := c.server(c.NodeID()); !member && c.table.isRemoved(c.NodeID()) {
		return false, true
	}
	if c.isPresent() {
		c.note.clear()
		return true, false
	}
	err := c.announce(ctx)
	switch {
	case err == nil:
		return true, false
	case errors.Is(err, ErrRemoved):
		return false, true
	case ctx.Err() == nil:
		c.note.set("the cluster does not know this node by its present name and addresses yet: %v", err)
	}
	return false, false
}

// isPresent reports whether the cluster knows this node as it is, and the leader
// speaks to it.
func (c *Cluster) isPresent() bool {
	if _, member := c.server(c.NodeID()); !member || !proto.Equal(c.table.get(c.NodeID()), c.announcement().GetMember()) {
		return false
	}
	r := c.raft.Load()
	return r.State() == raft.Leader || time.Since(r.LastContact()) < aliveFor(c.cfg.ElectionTimeout)
}

// announce tells the leader, through whoever can reach it.
func (c *Cluster) announce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	q := c.announcement()
	if _, ok := c.Leading(); ok {
		return c.admit(ctx, q.GetMember())
	}
	err := error(ErrNoLeader)
	for _, to := range c.contacts() {
		err = c.ask(ctx, to, link.PurposeRPC, methodAnnounce, q, new(clusterpb.Announced))
		if err == nil || !temporary(err) {
			return err
		}
	}
	return err
}

// contacts returns whom to announce to: the leader first, then the other members,
// then the join addresses.
func (c *Cluster) contacts() []link.Peer {
	var list []link.Peer
	_, leader := c.raft.Load().LeaderWithID()
	add := func(id string) {
		if addr, ok := c.addressOf(id); ok && id != c.NodeID() {
			list = append(list, link.Peer{Addr: addr, NodeID: id})
		}
	}
	if leader != "" {
		add(string(leader))
	}
	for _, s := range c.servers() {
		if s.ID != leader {
			add(string(s.ID))
		}
	}
	for _, addr := range c.cfg.Join {
		known := slices.ContainsFunc(list, func(p link.Peer) bool { return p.Addr == addr })
		if !known && addr != c.PeerAddress() {
			list = append(list, link.Peer{Addr: addr})
		}
	}
	return list
}

// serveAnnounce lets a node in, or passes its announcement on to the leader,
// once.
func (c *Cluster) serveAnnounce(ctx context.Context, from link.Identity, q *clusterpb.Announce) (*clusterpb.Announced, error) {
	clusterID := c.ClusterID()
	switch {
	case clusterID == "" || c.raft.Load() == nil:
		return nil, ErrNotBorn
	case q.GetClusterName() != c.cfg.ClusterName:
		return nil, newError(CodeConflict, "this cluster is named %q, not %q", c.cfg.ClusterName, q.GetClusterName())
	case q.GetClusterId() != "" && q.GetClusterId() != clusterID:
		return nil, newError(CodeConflict, "this is cluster %s, the node belongs to cluster %s", clusterID, q.GetClusterId())
	case !q.GetForwarded() && q.GetMember().GetId() != from.NodeID:
		return nil, newError(CodeInvalid, "the announcement names another node than the one that proved itself")
	case !wellFormed(q.GetMember()):
		return nil, newError(CodeInvalid, "the announcement lacks an id or a peer address, or one of its texts is too long")
	}
	c.peers.claim(q.GetMember())
	c.peers.alive(q.GetMember().GetId())
	if err := c.passOn(ctx, q); err != nil {
		return nil, err
	}
	return &clusterpb.Announced{ClusterId: clusterID}, nil
}

// wellFormed reports whether a record may go into the log: every snapshot and
// every member's memory will hold it.
func wellFormed(m *clusterpb.Member) bool {
	for _, addr := range []string{m.GetPeerAddress(), m.GetApiAddress(), m.GetGossipAddress()} {
		if len(addr) > maxAddressBytes {
			return false
		}
	}
	return m.GetId() != "" && len(m.GetId()) <= link.MaxIDBytes && len(m.GetTerms()) <= MaxTermsBytes && m.GetPeerAddress() != "" && len(m.GetName()) <= MaxNameBytes
}

func (c *Cluster) passOn(ctx context.Context, q *clusterpb.Announce) error {
	if _, ok := c.Leading(); ok {
		return c.admit(ctx, q.GetMember())
	}
	if q.GetForwarded() {
		return ErrNotLeader
	}
	forwarded := proto.CloneOf(q)
	forwarded.Forwarded = true
	return c.atLeaderOnce(ctx,
		func(ctx context.Context) error { return c.admit(ctx, q.GetMember()) },
		func(ctx context.Context, to link.Peer) error {
			return c.ask(ctx, to, link.PurposeRPC, methodAnnounce, forwarded, new(clusterpb.Announced))
		})
}

// becomeRemoved ends this node's part in the cluster: it stops Raft, so that it
// stands for no election, and remembers the removal across restarts.
func (c *Cluster) becomeRemoved() {
	if err := c.ident.update(func(id *identity) { id.Removed = true }); err != nil {
		c.fatal(err)
		return
	}
	c.note.set("the cluster has removed this node: stop it, or empty its data folder and start it as a new node")
	c.log.Warn("removed from the cluster", "cluster", c.ClusterID())
	c.retireOnce.Do(func() { close(c.retire) })
}

// Join asks the node at a peer address, which belongs to no cluster yet, to join
// this one, and waits until it is a member. At any node.
func (c *Cluster) Join(ctx context.Context, peerAddress string) error {
	if c.raft.Load() == nil {
		return ErrNotBorn
	}
	var a clusterpb.Invited
	q := &clusterpb.Invite{ClusterName: c.cfg.ClusterName, ClusterId: c.ClusterID(), PeerAddress: c.PeerAddress()}
	err := c.ask(ctx, link.Peer{Addr: peerAddress}, link.PurposeBirth, methodInvite, q, &a)
	if errors.Is(err, link.ErrUnreachable) {
		return codeError(CodeConflict, err, "no node that could join waits at %s: start it with the peers of this cluster in its join list, and name its peer address", peerAddress)
	}
	if err != nil {
		return err
	}
	tick := time.NewTicker(c.cfg.ElectionTimeout / 5)
	defer tick.Stop()
	for {
		if _, member := c.server(a.GetNodeId()); member {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return codeError(CodeNoLeader, context.Cause(ctx), "node %s at %s was invited and is no member yet", a.GetNodeId(), peerAddress)
		case <-c.ctx.Done():
			return ErrClosed
		}
	}
}
