package transport

import (
	"sync"

	"github.com/hashicorp/raft"
)

// commitTeller brings a leader's commit index to followers that have the entries already.
//
// Raft tells it with the next entries, or when CommitTimeout has passed without any: on a cluster that is not saturated every
// linearizable read at a follower would wait for that. So after a commit the leader may repeat the last message that a follower has
// acknowledged, without its entries and with the present commit index. Raft could send the same message itself; a follower with a
// later term refuses it, and one that took it before learns nothing but the commit index, which is cut at what it acknowledged.
type commitTeller struct {
	send func(raft.ServerID, raft.ServerAddress, *raft.AppendEntriesRequest, *raft.AppendEntriesResponse) error

	mu     sync.Mutex
	term   uint64 // in which commit was known
	commit uint64
	peers  map[raft.ServerID]*told
}

// told is what one follower has acknowledged and been told.
type told struct {
	addr   raft.ServerAddress
	last   raft.AppendEntriesRequest // acknowledged, without its entries: its previous entry is the last one it brought
	commit uint64                    // highest commit index sent in the term of last
	busy   bool
}

// acknowledged records a message that a follower accepted.
func (c *commitTeller) acknowledged(id raft.ServerID, addr raft.ServerAddress, args *raft.AppendEntriesRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.peers[id]
	if p == nil {
		p = &told{}
		c.peers[id] = p
	}
	if args.Term < p.last.Term {
		return
	}
	if args.Term > p.last.Term {
		p.commit = 0
	} else if args.PrevLogEntry+uint64(len(args.Entries)) < p.last.PrevLogEntry {
		return // overtaken by a later one
	}
	p.addr, p.last = addr, *args
	p.last.Entries = nil
	if n := len(args.Entries); n > 0 {
		p.last.PrevLogEntry, p.last.PrevLogTerm = args.Entries[n-1].Index, args.Entries[n-1].Term
	}
	p.commit = max(p.commit, args.LeaderCommitIndex)
	c.startLocked(id, p) // the follower may have acknowledged what others had committed without it
}

// tell sends commit, known in term, to every follower that has not been told it, without waiting.
func (c *commitTeller) tell(term, commit uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if term < c.term {
		return
	}
	c.term, c.commit = term, max(c.commit, commit)
	for id, p := range c.peers {
		c.startLocked(id, p)
	}
}

// nextLocked is the commit index that p may be told: not beyond what it is known to have. 0 = none.
func (c *commitTeller) nextLocked(p *told) uint64 {
	next := min(c.commit, p.last.PrevLogEntry)
	if p.last.Term != c.term || next <= p.commit {
		return 0
	}
	return next
}

func (c *commitTeller) startLocked(id raft.ServerID, p *told) {
	if !p.busy && c.nextLocked(p) > 0 {
		p.busy = true
		go c.run(id, p)
	}
}

// run sends until the follower knows all that it may.
func (c *commitTeller) run(id raft.ServerID, p *told) {
	for {
		c.mu.Lock()
		commit := c.nextLocked(p)
		if commit == 0 {
			p.busy = false
			c.mu.Unlock()
			return
		}
		request, addr := p.last, p.addr
		p.commit = commit // sent once: Raft's own messages repeat it soon enough if this one is lost
		c.mu.Unlock()
		request.LeaderCommitIndex = commit
		var response raft.AppendEntriesResponse
		_ = c.send(id, addr, &request, &response)
	}
}
