package cluster

import (
	"context"
	"slices"
	"time"

	"github.com/hashicorp/raft"
	"github.com/hydrastore/hydrastore/cluster/clusterpb"
	"github.com/hydrastore/hydrastore/cluster/link"
	"google.golang.org/protobuf/proto"
)

// Bounds of a change of membership.
const (
	changeTimeout = 10 * time.Second // for one change at the leader
	findTimeout   = 30 * time.Second // for one change, wherever the leader is
	livenessProbe = time.Second      // for the answer that shows a node alive
	maxMembers    = 64               // servers in the configuration
)

// Changes of membership are made by the leader, one at a time (c.changes). Raft's
// configuration says who is a member; the member table says what a member is
// called and where it is reached, and which ids are gone for good.
//
// A node comes in configuration first, record second; it goes tombstone first,
// configuration second. So what a lost leader left half done can be told apart:
// a record without a server, or a server with a tombstone, is a removal to be
// finished (tidy); a server without a record will announce itself. A member that
// moves gets another record; the configuration stays (serverAddress).

// admit takes in what a node announces: a newcomer becomes a non-voter, a member
// gets its new address and record.
func (c *Cluster) admit(ctx context.Context, m *clusterpb.Member) error {
	if err := c.lockChanges(ctx); err != nil {
		return err
	}
	defer c.unlockChanges()
	server, member := c.server(m.GetId())
	if c.table.isRemoved(m.GetId()) {
		if member { // it goes on voting until it is out
			return newError(CodeConflict, "the removal of node %s is not finished yet", m.GetId())
		}
		return newError(CodeRemoved, "node %s has been removed from the cluster: empty its data folder to let it come back as a new node", m.GetId())
	}
	if !member && m.GetTerms() != c.cfg.Terms {
		return newError(CodeTerms, "this node says %s, and the cluster's leader says %s: all nodes must say the same", m.GetTerms(), c.cfg.Terms)
	}
	if !member || c.registeredAddress(server) != m.GetPeerAddress() {
		if err := c.makeRoom(ctx, m); err != nil {
			return err
		}
	}
	if !member {
		if err := c.place(ctx, m); err != nil {
			return err
		}
	}
	if proto.Equal(c.table.get(m.GetId()), m) {
		return nil
	}
	if rival := c.nameHolder(m); rival != nil {
		return newError(CodeConflict, "the name %q is node %s's: give this node another name", m.GetName(), rival.GetId())
	}
	return c.proposeInternal(ctx, &clusterpb.Internal{Entry: &clusterpb.Internal_MemberPut{MemberPut: &clusterpb.MemberPut{Member: m}}})
}

// place puts a newcomer into the configuration, without a vote.
func (c *Cluster) place(ctx context.Context, m *clusterpb.Member) error {
	if len(c.servers()) >= maxMembers {
		return newError(CodeConflict, "the cluster has %d members, which is the limit", maxMembers)
	}
	return c.configure(ctx, func(r *raft.Raft, timeout time.Duration) raft.IndexFuture {
		return r.AddNonvoter(raft.ServerID(m.GetId()), serverAddress(m.GetId(), m.GetPeerAddress()), 0, timeout)
	})
}

// makeRoom removes the dead member whose address or name a newcomer has, and
// refuses the newcomer if that member lives. An address is the newcomer's when it
// answers there: a mistyped one must not cost a member that is only restarting.
func (c *Cluster) makeRoom(ctx context.Context, m *clusterpb.Member) error {
	for _, s := range c.servers() {
		if id := string(s.ID); id != m.GetId() && c.registeredAddress(s) == m.GetPeerAddress() {
			if !c.gone(ctx, id, 0) {
				return newError(CodeConflict, "the address %s is node %s's, which is alive", m.GetPeerAddress(), id)
			}
			if !c.livesAt(ctx, m) {
				return newError(CodeConflict, "the address %s is node %s's, and node %s does not answer there: correct the address that it advertises", m.GetPeerAddress(), id, m.GetId())
			}
			if err := c.expel(ctx, id, true); err != nil {
				return err
			}
		}
	}
	rival := c.nameHolder(m)
	if _, member := c.server(m.GetId()); rival == nil || member {
		return nil // a member keeps its place; its record is refused later
	}
	// The newcomer's address does not show that the holder of the name is gone, so
	// that one must have been silent for a while.
	if !c.gone(ctx, rival.GetId(), 2*aliveFor(c.cfg.ElectionTimeout)) {
		return newError(CodeConflict, "the name %q is node %s's, which is alive or was lately: give this node another name, or try again", m.GetName(), rival.GetId())
	}
	return c.expel(ctx, rival.GetId(), true)
}

// nameHolder returns another member's record with m's name, or nil.
func (c *Cluster) nameHolder(m *clusterpb.Member) *clusterpb.Member {
	for _, other := range c.table.all() {
		if other.GetId() != m.GetId() && other.GetName() == m.GetName() {
			return other
		}
	}
	return nil
}

// gone reports whether a member does not answer now, and has given no sign of
// life for at least silence.
func (c *Cluster) gone(ctx context.Context, id string, silence time.Duration) bool {
	if id == c.NodeID() || c.peers.silence(id) < silence {
		return false
	}
	return !c.answers(ctx, id)
}

// answers asks a member for a sign of life.
func (c *Cluster) answers(ctx context.Context, id string) bool {
	ctx, cancel := context.WithTimeout(ctx, livenessProbe)
	defer cancel()
	_, err := c.Call(ctx, id, methodConfirm, nil)
	return err == nil
}

// livesAt asks whether a node answers at the address that it announces.
func (c *Cluster) livesAt(ctx context.Context, m *clusterpb.Member) bool {
	ctx, cancel := context.WithTimeout(ctx, livenessProbe)
	defer cancel()
	to := link.Peer{Addr: m.GetPeerAddress(), NodeID: m.GetId()}
	return c.ask(ctx, to, link.PurposeBirth, methodProbe, c.birth.standing(), new(clusterpb.Probe)) == nil
}

// evict removes a member, for RemoveMember and for the death of a member.
func (c *Cluster) evict(ctx context.Context, id string) error {
	if id == c.NodeID() {
		if err := c.checkQuorum(ctx, id, false); err != nil {
			return err
		}
		if err := c.handOver(ctx, ""); err != nil {
			return err
		}
		return ErrNotLeader // the next leader does it
	}
	if err := c.lockChanges(ctx); err != nil {
		return err
	}
	defer c.unlockChanges()
	if _, member := c.server(id); !member {
		if c.table.isRemoved(id) {
			return nil
		}
		return newError(CodeUnknownNode, "no member has the id %q", id)
	}
	return c.expel(ctx, id, c.gone(ctx, id, 0))
}

// expel removes a member if that leaves the cluster able to work. c.changes is
// held.
func (c *Cluster) expel(ctx context.Context, id string, dead bool) error {
	if err := c.checkQuorum(ctx, id, dead); err != nil {
		return err
	}
	err := c.proposeInternal(ctx, &clusterpb.Internal{Entry: &clusterpb.Internal_MemberRemove{MemberRemove: &clusterpb.MemberRemove{Id: id}}})
	if err != nil {
		return err
	}
	c.log.Info("removing a member", "member", id, "dead", dead)
	return c.configure(ctx, func(r *raft.Raft, timeout time.Duration) raft.IndexFuture {
		return r.RemoveServer(raft.ServerID(id), 0, timeout)
	})
}

// checkQuorum refuses a removal after which too few voters would be left: always
// when those that answer now would be no majority; for a member that is alive
// also when they would be fewer than bootstrap_expect.
func (c *Cluster) checkQuorum(ctx context.Context, id string, dead bool) error {
	voters := c.voters()
	rest := slices.DeleteFunc(slices.Clone(voters), func(v string) bool { return v == id })
	if len(rest) == len(voters) {
		return nil // it has no vote to lose
	}
	if !dead && len(rest) < c.cfg.BootstrapExpect {
		return newError(CodeQuorum, "removing node %s would leave %d voters, bootstrap_expect is %d: add a node first", id, len(rest), c.cfg.BootstrapExpect)
	}
	if alive := c.countAlive(ctx, rest); alive <= len(rest)/2 {
		return newError(CodeQuorum, "without node %s only %d of %d voters would be alive, which is no majority: bring a node back first", id, alive, len(rest))
	}
	return nil
}

func (c *Cluster) countAlive(ctx context.Context, ids []string) int {
	alive := make(chan bool, len(ids))
	for _, id := range ids {
		go func() { alive <- id == c.NodeID() || c.answers(ctx, id) }()
	}
	n := 0
	for range ids {
		if <-alive {
			n++
		}
	}
	return n
}

// tidy finishes removals that an earlier leader began.
func (c *Cluster) tidy(ctx context.Context) {
	if err := c.lockChanges(ctx); err != nil {
		return
	}
	defer c.unlockChanges()
	if _, ok := c.Leading(); !ok {
		return
	}
	in := map[string]bool{}
	for _, s := range c.servers() {
		in[string(s.ID)] = true
		if string(s.ID) != c.NodeID() && c.table.isRemoved(string(s.ID)) {
			if err := c.expel(ctx, string(s.ID), c.gone(ctx, string(s.ID), 0)); err != nil {
				c.log.Warn("a removal begun earlier cannot be finished yet", "member", s.ID, "error", err)
			}
		}
	}
	for _, m := range c.table.all() {
		if !in[m.GetId()] {
			err := c.proposeInternal(ctx, &clusterpb.Internal{Entry: &clusterpb.Internal_MemberRemove{MemberRemove: &clusterpb.MemberRemove{Id: m.GetId()}}})
			if err != nil {
				c.log.Warn("a record of a removed member cannot be deleted yet", "member", m.GetId(), "error", err)
			}
		}
	}
	c.peers.keep(in)
}
