package cluster

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	"github.com/hydrastore/hydrastore/cluster/clusterpb"
	"github.com/hydrastore/hydrastore/cluster/link"
)

// peers is what this node has heard of the others outside the log: claims that
// they made about themselves, and when they last gave a sign of life. All of it
// is a hint. A wrong address does no harm, since whoever answers there must prove
// in the handshake that it is the node that was asked for.
type peers struct {
	opened time.Time

	mu     sync.RWMutex
	claims map[string]*clusterpb.Member // never changed once here
	seen   map[string]time.Time
	gossip map[string]bool // whom gossip has alive
}

func newPeers() *peers {
	return &peers{
		opened: time.Now(),
		claims: map[string]*clusterpb.Member{},
		seen:   map[string]time.Time{},
		gossip: map[string]bool{},
	}
}

// claim takes in what a node says about itself; of two claims the one of the
// later start counts.
func (p *peers) claim(m *clusterpb.Member) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if old := p.claims[m.GetId()]; old == nil || old.GetIncarnation() <= m.GetIncarnation() {
		p.claims[m.GetId()] = m
	}
}

// claimOf returns what id last said about itself, or nil.
func (p *peers) claimOf(id string) *clusterpb.Member {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.claims[id]
}

// alive notes a sign of life.
func (p *peers) alive(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen[id] = time.Now()
}

// gossiping notes whom gossip has alive now.
func (p *peers) gossiping(ids map[string]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gossip = ids
	for id := range ids {
		p.seen[id] = time.Now()
	}
}

// gossips reports whether gossip has id alive.
func (p *peers) gossips(id string) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.gossip[id]
}

// lastSeen returns the newest sign of life; zero if there was none.
func (p *peers) lastSeen(id string) time.Time {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.seen[id]
}

// silence returns how long id has given no sign of life, counted from the start
// of this node at the earliest.
func (p *peers) silence(id string) time.Duration {
	seen := p.lastSeen(id)
	if seen.IsZero() {
		seen = p.opened
	}
	return time.Since(seen)
}

// keep forgets all but the given nodes.
func (p *peers) keep(ids map[string]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.claims, func(id string, _ *clusterpb.Member) bool { return !ids[id] })
	maps.DeleteFunc(p.seen, func(id string, _ time.Time) bool { return !ids[id] })
}

// addressOf returns the best known peer address of a member: what it said about
// itself at its latest start, else where it was when it was admitted.
func (c *Cluster) addressOf(id string) (string, bool) {
	record, claim := c.table.get(id), c.peers.claimOf(id)
	if claim != nil && claim.GetPeerAddress() != "" && claim.GetIncarnation() >= record.GetIncarnation() {
		return claim.GetPeerAddress(), true
	}
	if record.GetPeerAddress() != "" {
		return record.GetPeerAddress(), true
	}
	if s, member := c.server(id); member {
		return admittedAt(s), true
	}
	return "", false
}

// registeredAddress returns a member's peer address by the log alone, without
// hints: what its record says, else where it was when it was admitted.
func (c *Cluster) registeredAddress(s raft.Server) string {
	if addr := c.table.get(string(s.ID)).GetPeerAddress(); addr != "" {
		return addr
	}
	return admittedAt(s)
}

// serverAddress is what Raft's configuration keeps as a server's address as long
// as it is a member: its id and where it was when it was admitted. It is never
// changed: Raft 1.7.3 replicates with data that it changes then without its lock
// (replication.go, updateLastAppended reads followerReplication.peer). A member
// that moves changes its record. The id keeps two servers apart of which one was
// admitted at an address that the other had left.
func serverAddress(id, addr string) raft.ServerAddress {
	return link.ExpectNode(id, raft.ServerAddress(addr))
}

// admittedAt returns where a server was when it was admitted.
func admittedAt(s raft.Server) string { return link.Expected(s.Address).Addr }

// ServerAddr is raft.ServerAddressProvider's: where to dial a server, and who
// must answer there.
func (c *Cluster) ServerAddr(id raft.ServerID) (raft.ServerAddress, error) {
	if string(id) == c.NodeID() {
		return raft.ServerAddress(c.PeerAddress()), nil // what Raft tells the others
	}
	addr, ok := c.addressOf(string(id))
	if !ok {
		return "", newError(CodeUnknownNode, "no address is known for node %s", id)
	}
	return link.ExpectNode(string(id), raft.ServerAddress(addr)), nil
}

// servers returns Raft's latest configuration; empty before birth.
func (c *Cluster) servers() []raft.Server {
	r := c.raft.Load()
	if r == nil {
		return nil
	}
	return r.GetConfiguration().Configuration().Servers
}

// server returns id's entry in Raft's latest configuration.
func (c *Cluster) server(id string) (raft.Server, bool) {
	servers := c.servers()
	i := slices.IndexFunc(servers, func(s raft.Server) bool { return string(s.ID) == id })
	if i < 0 {
		return raft.Server{}, false
	}
	return servers[i], true
}

// voters returns the ids of the voters.
func (c *Cluster) voters() []string {
	servers := c.servers()
	ids := make([]string, 0, len(servers))
	for _, s := range servers {
		if s.Suffrage == raft.Voter {
			ids = append(ids, string(s.ID))
		}
	}
	return ids
}
