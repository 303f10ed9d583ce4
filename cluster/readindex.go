package cluster

import (
	"context"
	"sync"
	"time"
)

// A read index, and why it is safe.
//
// ReadIndex must return an index that is at least that of every write which was
// acknowledged, anywhere, before the call began. raft.VerifyLeader does not show
// that: it counts non-voters, and answers to messages that were processed before
// the call. Instead the voters are asked for their term.
//
// Let E be this leader's epoch, established and applied here, and C Raft's
// configuration as this node has it. The call begins at time t0; the commit
// index k is read after t0; a majority Q of the voters of C (this node among
// them) says after t0: "my current term is E".
//
// (1) No leader of a term above E was elected before t0. Suppose one was, and let
// L be the one with the lowest such term T. A majority of the voters of L's
// configuration voted for L before t0, and Raft stores a voter's current term T
// durably before it grants the vote (raft.requestVote, raft.electSelf), and terms
// never fall. L's log up to its election ends with entries of terms of at most E,
// and begins like this node's own. So L's configuration is C or the one before it
// (had this node committed a change since L's election, a majority would have
// acknowledged it in term E after voting for L in T). Raft changes one server at
// a time, so the majorities of neighbouring configurations intersect: some node
// of Q had voted for L before t0, and its term was T or more. But T > E.
//
// (2) So a write acknowledged before t0 was committed by the leader of a term of
// at most E. If E: by this node, whose commit index had passed it before it was
// acknowledged, hence before t0. If below E: by leader completeness it stands in
// this node's log before the established entry of E, which is committed and
// applied here before Leading() can report E. In both cases k is not below it.
//
// (3) What is returned is the last entry up to k that is no upkeep (upkeep.go).
// No upkeep is a write that anybody waits for, and all reads are the same before
// and after it, so that index serves as well as k.
//
// The answer to the question is an atomic load, so a voter in the middle of a
// disk flush answers as well. An answer counts for a round only if the question
// was sent after the round began; a caller that comes during a round waits for
// the next. A vote that a caller brings along counts for that caller alone.

// askPause is how long a voter that could not be asked is left alone.
const askPause = 20 * time.Millisecond

// confirmer asks the voters for their terms, in rounds.
type confirmer struct {
	self    string
	timeout time.Duration
	leading func() (epoch uint64, ok bool)
	commit  func() uint64
	voters  func() []string
	ask     func(ctx context.Context, id string) (term uint64, err error)

	mu    sync.Mutex
	now   *round          // under way; nil if none
	next  *round          // waits for now to end; nil if nobody has asked
	peers map[string]bool // voters whom a goroutine is asking
}

// round is one question to all voters, for all who came before it was sent.
type round struct {
	begun   chan struct{}   // closed when the questions go out
	changed chan struct{}   // closed and replaced with every answer; guarded by confirmer.mu
	epoch   uint64          // set before begun closes
	index   uint64          // set before begun closes
	yes     map[string]bool // who confirmed; guarded by confirmer.mu
	asked   map[string]bool // who was asked in this round; guarded by confirmer.mu
	won     bool            // the answers were a majority; guarded by confirmer.mu
	refused bool            // a later term was seen; guarded by confirmer.mu
	over    bool            // has majority, or was refused or given up; guarded by confirmer.mu
	members int             // callers who wait; guarded by confirmer.mu
}

// confirm returns a commit index and its epoch, as ReadIndex does.
func (c *confirmer) confirm(ctx context.Context, votes []Vote) (index, epoch uint64, err error) {
	epoch, ok := c.leading()
	if !ok {
		return 0, 0, ErrNotLeader
	}
	own := map[string]bool{c.self: true}
	for _, v := range votes {
		if v.Term > epoch {
			return 0, 0, ErrNotLeader
		}
		if v.Term == epoch {
			own[v.NodeID] = true
		}
	}
	if index = c.commit(); majority(c.voters(), own) {
		return c.finish(index, epoch)
	}
	return c.join(ctx, epoch, own)
}

// finish checks once more that this node leads in epoch: its own vote.
func (c *confirmer) finish(index, epoch uint64) (uint64, uint64, error) {
	if now, ok := c.leading(); !ok || now != epoch {
		return 0, 0, ErrNotLeader
	}
	return index, epoch, nil
}

// join waits in the next round until it, with the votes own, has a majority.
func (c *confirmer) join(ctx context.Context, epoch uint64, own map[string]bool) (uint64, uint64, error) {
	r := c.enter()
	defer c.exit(r)
	select {
	case <-r.begun:
	case <-ctx.Done():
		return 0, 0, context.Cause(ctx)
	}
	if r.epoch != epoch {
		return 0, 0, ErrNotLeader
	}
	for {
		won, lost, changed := c.tally(r, own)
		switch {
		case won:
			return c.finish(r.index, epoch)
		case lost:
			return 0, 0, ErrNotLeader
		}
		if _, ok := c.leading(); !ok {
			return 0, 0, ErrNotLeader
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return 0, 0, context.Cause(ctx)
		}
	}
}

// enter returns the round that begins after now.
func (c *confirmer) enter() *round {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next == nil {
		c.next = newRound()
	}
	r := c.next
	r.members++
	if c.now == nil {
		c.begin()
	}
	return r
}

// exit takes a caller out of its round. A round that nobody waits for is over.
func (c *confirmer) exit(r *round) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.members--; r.members == 0 {
		c.end(r)
	}
}

// begin starts the waiting round. c.mu is held.
func (c *confirmer) begin() {
	r := c.next
	c.now, c.next = r, nil
	epoch, ok := c.leading()
	if !ok {
		epoch = 0 // nobody's: all who wait are told
	}
	r.epoch, r.index = epoch, c.commit()
	close(r.begun)
	if !ok {
		c.end(r)
		return
	}
	for _, id := range c.voters() {
		if id != c.self {
			c.question(id)
		}
	}
}

// end finishes a round and begins the one that waits. c.mu is held.
func (c *confirmer) end(r *round) {
	r.over = true
	if c.now != r {
		if c.next == r {
			c.next = nil
		}
		return
	}
	c.now = nil
	if c.next != nil {
		c.begin()
	}
}

// tally reports whether own and the answers so far are a majority, whether the
// round is lost, and a channel that closes with the next answer.
func (c *confirmer) tally(r *round, own map[string]bool) (won, lost bool, changed <-chan struct{}) {
	voters := c.voters()
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.refused {
		return false, true, nil
	}
	if r.won || majority(voters, own, r.yes) {
		return true, false, nil
	}
	return false, false, r.changed
}

// question makes sure that id is asked in the present round: at once if nobody
// asks it, else when the answer under way has come or timed out. So there is at
// most one question to a voter at a time, also to one that never answers. c.mu
// is held.
func (c *confirmer) question(id string) {
	if !c.peers[id] {
		c.peers[id] = true
		go c.askOn(id)
	}
}

// askOn asks id, for as long as there is a round in which it was not asked yet.
func (c *confirmer) askOn(id string) {
	for {
		r := c.due(id)
		if r == nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
		term, err := c.ask(ctx, id)
		cancel()
		if err != nil {
			time.Sleep(askPause)
		}
		c.answer(r, id, term, err)
	}
}

// due returns the present round if id is still to be asked in it; else nil, and
// the asking goroutine is gone.
func (c *confirmer) due(id string) *round {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.now
	if r == nil || r.over || r.asked[id] {
		delete(c.peers, id)
		return nil
	}
	r.asked[id] = true
	return r
}

// answer takes in what id said in round r.
func (c *confirmer) answer(r *round, id string, term uint64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err != nil:
		delete(r.asked, id) // ask again, while anyone waits
	case term == r.epoch:
		r.yes[id] = true
	case term > r.epoch:
		r.refused = true
	}
	// Once won a round stays won: nobody is asked again for those who look at it
	// only when a change of the configuration has made the majority larger.
	r.won = r.won || majority(c.voters(), r.yes, map[string]bool{c.self: true})
	if !r.over && (r.refused || r.won) {
		defer c.end(r)
	}
	close(r.changed)
	r.changed = make(chan struct{})
}

func newRound() *round {
	return &round{
		begun:   make(chan struct{}),
		changed: make(chan struct{}),
		yes:     map[string]bool{},
		asked:   map[string]bool{},
	}
}

// majority reports whether more than half of the voters are in one of the sets.
func majority(voters []string, sets ...map[string]bool) bool {
	n := 0
	for _, id := range voters {
		for _, set := range sets {
			if set[id] {
				n++
				break
			}
		}
	}
	return n > len(voters)/2
}
