package cluster

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	"github.com/hydrastore/hydrastore/cluster/clusterpb"
	"google.golang.org/protobuf/proto"
)

// Propose hands data to the log, if this node leads. It blocks only while Raft's
// queue is full, at most Config.EnqueueTimeout. Proposals of one goroutine enter
// the log in the order of the calls. data is copied; it is at most MaxEntryBytes
// long.
func (c *Cluster) Propose(data []byte) *Proposal { return c.proposeData(kindApplication, data) }

// ProposeUpkeep is Propose for data that changes nothing which a read may show: whatever is read, the answer is the same before and after
// it. ReadIndex passes over such entries, so that no read waits for them.
func (c *Cluster) ProposeUpkeep(data []byte) *Proposal { return c.proposeData(kindUpkeep, data) }

func (c *Cluster) proposeData(kind byte, data []byte) *Proposal {
	if len(data) > MaxEntryBytes {
		return failedProposal(codeError(CodeNotLeader, ErrInvalid, "entry of %d bytes, at most %d", len(data), MaxEntryBytes))
	}
	if _, ok := c.Leading(); !ok {
		return failedProposal(ErrNotLeader)
	}
	entry := make([]byte, 1+len(data))
	entry[0] = kind
	copy(entry[1:], data)
	return c.propose(entry)
}

// proposeInternal hands an entry of the cluster's own to the log and waits for
// its outcome.
func (c *Cluster) proposeInternal(ctx context.Context, in *clusterpb.Internal) error {
	body, err := proto.Marshal(in)
	if err != nil {
		return err
	}
	p := c.propose(append([]byte{kindInternal}, body...))
	select {
	case <-p.Done():
		return p.Err()
	case <-ctx.Done():
		return codeError(CodeOutcomeUnknown, context.Cause(ctx), "no outcome in time")
	}
}

// propose hands a framed entry to Raft. A goroutine waits for the outcome, since
// raft's future can only be waited for; Shutdown waits for these goroutines.
func (c *Cluster) propose(entry []byte) *Proposal {
	r := c.raft.Load()
	if r == nil {
		return failedProposal(codeError(CodeNotLeader, ErrNotBorn, "propose"))
	}
	if !c.proposals.enter() {
		return failedProposal(codeError(CodeNotLeader, ErrClosed, "propose"))
	}
	p := &Proposal{done: make(chan struct{})}
	future := r.Apply(entry, c.cfg.EnqueueTimeout)
	go func() {
		defer c.proposals.leave()
		p.err = proposalError(future)
		p.index = future.Index()
		c.watchTransfer(p.err)
		close(p.done)
	}()
	return p
}

// proposalError waits for a future and classifies its outcome. An entry without
// an index was never handed to the log: certainly not done. Any other failure
// leaves the entry in the leader's log, where a later leader may find it.
func proposalError(future raft.ApplyFuture) error {
	err := future.Error()
	if err == nil {
		if failure, ok := future.Response().(error); ok {
			return codeError(CodeOutcomeUnknown, failure, "entry %d is committed and was not applied", future.Index())
		}
		return nil
	}
	if future.Index() == 0 {
		return codeError(CodeNotLeader, err, "not proposed")
	}
	return codeError(CodeOutcomeUnknown, err, "entry %d", future.Index())
}

// watchTransfer guards against a leadership transfer that never ends
// (hashicorp/raft#696: the flag may survive into a later leadership, which then
// refuses every entry). No transfer takes longer than one election timeout, and
// Shutdown tries two, so a refusal that lasts four, without an accepted entry in
// between, is this fault.
// The node stops: a fresh Raft instance is a fresh process.
func (c *Cluster) watchTransfer(err error) {
	if c.transferGuard.observe(errors.Is(err, raft.ErrLeadershipTransferInProgress), time.Now(), 4*c.cfg.ElectionTimeout) {
		c.fatal(codeError(CodeClosed, err, "Raft refuses every entry because of a leadership transfer that ended long ago; restart this node"))
	}
}

// transferGuard remembers since when entries are refused because of a transfer.
type transferGuard struct {
	mu          sync.Mutex
	since, last time.Time // of the refusals in a row
}

// observe takes in one outcome and reports whether refusals have lasted longer
// than limit. Refusals further apart than that belong to different transfers.
func (g *transferGuard) observe(refused bool, now time.Time, limit time.Duration) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !refused {
		g.since = time.Time{}
		return false
	}
	if g.since.IsZero() || now.Sub(g.last) > limit {
		g.since = now
	}
	g.last = now
	return now.Sub(g.since) > limit
}

// gate counts what is under way and can be closed for what comes later.
type gate struct {
	mu     sync.Mutex
	closed bool
	n      int
	empty  chan struct{} // made by close; closed when n is 0
}

// enter reports whether the gate is open, and then counts one in.
func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.n++
	return true
}

// leave counts one out.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.n--
	if g.closed && g.n == 0 {
		close(g.empty)
	}
}

// close lets nobody in any more and returns a channel that closes when all are
// out. It may be called once.
func (g *gate) close() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed, g.empty = true, make(chan struct{})
	if g.n == 0 {
		close(g.empty)
	}
	return g.empty
}
