package cluster

import (
	"time"

	"github.com/hashicorp/raft"
)

// Members returns the members in the order of Raft's configuration.
func (c *Cluster) Members() []Member {
	r := c.raft.Load()
	if r == nil {
		return nil
	}
	_, leader := r.LeaderWithID()
	servers := c.servers()
	out := make([]Member, 0, len(servers))
	for _, s := range servers {
		out = append(out, c.member(r, s, s.ID == leader))
	}
	return out
}

func (c *Cluster) member(r *raft.Raft, s raft.Server, leader bool) Member {
	id := string(s.ID)
	m := Member{
		ID: id, Name: id, PeerAddress: c.registeredAddress(s), Suffrage: NonVoter,
		Leader: leader, Self: id == c.NodeID(),
	}
	if s.Suffrage == raft.Voter {
		m.Suffrage = Voter
	}
	if t := c.table.get(id); t != nil {
		m.Name, m.APIAddress, m.GossipAddress, m.FormatLevel, m.Terms = t.GetName(), t.GetApiAddress(), t.GetGossipAddress(), t.GetFormatLevel(), t.GetTerms()
	}
	if m.Self {
		m.Alive, m.Healthy, m.LastSeen = true, true, time.Now()
		m.LastIndex, m.Term = lastEntry(r)
		return m
	}
	m.LastSeen = c.peers.lastSeen(id)
	m.Alive = c.isAlive(id)
	m.Healthy = m.Alive
	if h, ok := c.pilot.health(id); ok {
		m.Healthy, m.LastIndex, m.Term = h.healthy, h.lastIndex, h.lastTerm
	}
	return m
}

// isAlive reports whether id gave a sign of life lately.
func (c *Cluster) isAlive(id string) bool {
	return id == c.NodeID() || (!c.peers.lastSeen(id).IsZero() && c.peers.silence(id) < aliveFor(c.cfg.ElectionTimeout))
}

// aliveFor is how long a sign of life counts.
func aliveFor(electionTimeout time.Duration) time.Duration {
	return max(3*time.Second, 4*electionTimeout)
}

// Status returns this node's view of itself and the cluster.
func (c *Cluster) Status() Status {
	id := c.ident.get()
	s := Status{
		NodeID: id.NodeID, Name: c.name, Incarnation: id.Incarnation, ClusterID: id.ClusterID,
		State: c.state(), Note: c.note.get(), AppliedIndex: c.applied.load(), LastContact: -1,
	}
	l, _ := c.Leadership()
	s.Epoch = l.Epoch
	r := c.raft.Load()
	if r == nil {
		return s
	}
	_, leader := r.LeaderWithID()
	s.LeaderID = string(leader)
	s.Term, s.CommitIndex = r.CurrentTerm(), r.CommitIndex()
	s.LastIndex, s.SnapshotIndex = r.LastIndex(), lastSnapshot(r)
	if first, err := c.store.Log().FirstIndex(); err == nil {
		s.FirstIndex = first
	}
	if at := r.LastContact(); s.State == StateLeader {
		s.LastContact = 0
	} else if !at.IsZero() {
		s.LastContact = time.Since(at)
	}
	s.Members = c.Members()
	for _, m := range s.Members {
		s.Voter = s.Voter || (m.Self && m.Suffrage == Voter)
	}
	return s
}

// state says in which part of its life this node is.
func (c *Cluster) state() State {
	id := c.ident.get()
	r := c.raft.Load()
	switch {
	case id.Removed:
		return StateRemoved
	case c.ctx.Err() != nil:
		return StateClosed
	case r == nil && id.ClusterID == "":
		return StateUnborn
	case r == nil:
		return StateJoining
	}
	switch r.State() {
	case raft.Leader:
		return StateLeader
	case raft.Candidate:
		return StateCandidate
	case raft.Shutdown:
		return StateClosed
	}
	if _, in := c.server(id.NodeID); !in {
		return StateJoining
	}
	return StateFollower
}
