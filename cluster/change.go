package cluster

import (
	"context"
	"time"

	"github.com/hashicorp/raft"
	"github.com/hydrastore/hydrastore/cluster/clusterpb"
	"github.com/hydrastore/hydrastore/cluster/link"
)

// handOver makes another voter leader, and returns when this node leads no more.
func (c *Cluster) handOver(ctx context.Context, id string) error {
	r := c.raft.Load()
	if r == nil {
		return ErrNotBorn
	}
	if id == c.NodeID() {
		return nil
	}
	if id == "" {
		return c.transferResult(c.await(ctx, func() error { return r.LeadershipTransfer().Error() }))
	}
	s, ok := c.server(id)
	if !ok {
		return newError(CodeUnknownNode, "no member has the id %q", id)
	}
	if s.Suffrage != raft.Voter {
		return newError(CodeInvalid, "node %s has no vote and cannot lead", id)
	}
	return c.transferResult(c.await(ctx, func() error { return r.LeadershipTransferToServer(s.ID, s.Address).Error() }))
}

func (c *Cluster) transferResult(err error) error {
	if err == nil {
		return nil
	}
	if _, leading := c.Leading(); !leading {
		return codeError(CodeNotLeader, err, "leadership is not here")
	}
	return codeError(CodeConflict, err, "the other node did not take over; this one still leads")
}

// serveChange makes a change for another node.
func (c *Cluster) serveChange(ctx context.Context, _ link.Identity, q *clusterpb.Change) (*clusterpb.Change, error) {
	if _, ok := c.Leading(); !ok {
		return nil, ErrNotLeader
	}
	return q, c.change(ctx, q)
}

func (c *Cluster) change(ctx context.Context, q *clusterpb.Change) error {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	switch q.GetKind() {
	case clusterpb.Change_REMOVE:
		return c.evict(ctx, q.GetId())
	case clusterpb.Change_TRANSFER:
		return c.handOver(ctx, q.GetId())
	default:
		return newError(CodeInvalid, "unknown change %v: a newer release asks", q.GetKind())
	}
}

// changeAtLeader makes a change wherever the leader is.
func (c *Cluster) changeAtLeader(ctx context.Context, q *clusterpb.Change) error {
	ctx, cancel := context.WithTimeout(ctx, findTimeout)
	defer cancel()
	return c.atLeader(ctx,
		func(ctx context.Context) error { return c.change(ctx, q) },
		func(ctx context.Context, to link.Peer) error {
			return c.ask(ctx, to, link.PurposeRPC, methodChange, q, new(clusterpb.Change))
		})
}

// RemoveMember removes a member for good, at any node: the leader does it. It is
// refused (ErrQuorum) when the remaining voters that are alive would be no
// majority, or the voters fewer than bootstrap_expect; the latter does not count
// when the member is dead already. Removing a removed member again succeeds.
func (c *Cluster) RemoveMember(ctx context.Context, id string) error {
	return c.changeAtLeader(ctx, &clusterpb.Change{Kind: clusterpb.Change_REMOVE, Id: id})
}

// TransferLeadership makes the voter with the given id leader, or with "" the
// voter that is most up to date, at any node. It returns when the leader has
// handed over; who leads next shows in Leadership.
func (c *Cluster) TransferLeadership(ctx context.Context, id string) error {
	if l, _ := c.Leadership(); id != "" && l.NodeID == id {
		return nil
	}
	return c.changeAtLeader(ctx, &clusterpb.Change{Kind: clusterpb.Change_TRANSFER, Id: id})
}

// configure makes one change of the configuration and waits until it is
// committed and applied here.
func (c *Cluster) configure(ctx context.Context, change func(*raft.Raft, time.Duration) raft.IndexFuture) error {
	r := c.raft.Load()
	if r == nil {
		return ErrNotBorn
	}
	var f raft.IndexFuture
	err := c.await(ctx, func() error {
		f = change(r, c.cfg.EnqueueTimeout)
		return f.Error()
	})
	if err == nil || ctx.Err() != nil || c.ctx.Err() != nil {
		return err
	}
	if f.Index() == 0 {
		return codeError(CodeNotLeader, err, "configuration not changed")
	}
	return codeError(CodeOutcomeUnknown, err, "change of the configuration")
}

// await runs wait, which may block for longer than ctx, on a goroutine that
// Shutdown waits for.
func (c *Cluster) await(ctx context.Context, wait func() error) error {
	if !c.proposals.enter() {
		return ErrClosed
	}
	done := make(chan error, 1)
	go func() {
		defer c.proposals.leave()
		done <- wait()
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return codeError(CodeOutcomeUnknown, context.Cause(ctx), "no outcome in time")
	}
}

func (c *Cluster) lockChanges(ctx context.Context) error {
	select {
	case c.changes <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-c.ctx.Done():
		return ErrClosed
	}
}

func (c *Cluster) unlockChanges() { <-c.changes }
