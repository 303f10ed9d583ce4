package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// drainTimeout bounds the wait for outcomes that Raft owes when a node closes.
	drainTimeout = 2 * time.Second
	// raftStopTimeout bounds the wait for Raft to stop; a hung disk can hold it up.
	raftStopTimeout = 5 * time.Second
	// leaveTimeout bounds how long this node says goodbye by gossip.
	leaveTimeout = time.Second
)

// Shutdown ends this node's part gracefully: it transfers leadership when
// leading, leaves gossip, stops Raft, closes the peer port and the stores. ctx
// bounds the graceful part; the rest always happens, and takes a few seconds at
// most. Later calls wait for the first and return its result.
func (c *Cluster) Shutdown(ctx context.Context) error {
	c.closing.Do(func() {
		defer close(c.closed)
		c.resign(ctx)
		c.closeErr = c.close(ctx)
	})
	<-c.closed
	return c.closeErr
}

// resign hands leadership over, if this node leads and another voter lives. One
// more attempt follows a failed one, since the first may pick a voter that is
// just going down too.
func (c *Cluster) resign(ctx context.Context) {
	r := c.raft.Load()
	if r == nil || len(c.voters()) < 2 {
		return
	}
	for range 2 {
		if r.State() != raft.Leader || ctx.Err() != nil {
			return
		}
		if err := c.await(ctx, func() error { return r.LeadershipTransfer().Error() }); err != nil {
			c.log.Warn("leadership was not handed over", "error", err)
		}
	}
}

// close stops everything, in the order in which one needs the other.
func (c *Cluster) close(ctx context.Context) error {
	c.cancel()
	err := c.leaveGossip(ctx)
	wait(c.proposals.close(), drainTimeout)
	stopped := make(chan struct{})
	go func() {
		c.background.Wait()
		close(stopped)
	}()
	wait(stopped, drainTimeout)
	err = errors.Join(err, c.stopRaft())
	wait(stopped, drainTimeout)
	c.applied.close()
	return errors.Join(err, c.closeStores())
}

// stopRaft stops Raft if it runs. It may be called again.
func (c *Cluster) stopRaft() error {
	r := c.raft.Load()
	if r == nil {
		return c.closeTransport() // Raft was never started, or failed to
	}
	stopped := r.Shutdown()
	// From here on Raft answers nobody, and it does not end before it has been answered. So whoever asks is told now, or two nodes that stop at
	// once would wait for each other until both run out of time.
	err := c.transport.Close()
	done := make(chan error, 1)
	go func() { done <- errors.Join(err, stopped.Error()) }()
	select {
	case err := <-done:
		c.reports.Close()
		return err
	case <-time.After(raftStopTimeout):
		return fmt.Errorf("stop raft: it did not end within %v, its disk hangs", raftStopTimeout)
	}
}

func (c *Cluster) closeTransport() error {
	if c.transport == nil {
		return nil
	}
	c.reports.Close()
	return c.transport.Close()
}

// awaitRetirement stops Raft and gossip when the cluster has removed this node.
func (c *Cluster) awaitRetirement(ctx context.Context) {
	select {
	case <-c.retire:
	case <-ctx.Done():
		return
	}
	if err := c.stopRaft(); err != nil {
		c.log.Error("Raft was not stopped after the removal of this node", "error", err)
	}
	c.leadership.set(Leadership{})
	if err := c.leaveGossip(ctx); err != nil {
		c.log.Error("gossip was not stopped after the removal of this node", "error", err)
	}
}

// closeStores closes what open opened.
func (c *Cluster) closeStores() error {
	var errs []error
	if c.link != nil {
		errs = append(errs, c.link.Close())
	}
	if c.store != nil {
		errs = append(errs, c.store.Close())
	}
	return errors.Join(errs...)
}

// wait waits for done, at most for limit.
func wait(done <-chan struct{}, limit time.Duration) {
	select {
	case <-done:
	case <-time.After(limit):
	}
}
