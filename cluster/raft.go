package cluster

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/hashicorp/raft"
	"github.com/hydrastore/hydrastore/cluster/clusterpb"
	"github.com/hydrastore/hydrastore/cluster/transport"
)

const (
	// minDialTimeout is the least time that a TCP connect to a peer gets.
	minDialTimeout = 500 * time.Millisecond
	// minRaftTimeout is the least time that one Raft message gets; else four
	// election timeouts, after which the follower has long stood for election.
	minRaftTimeout = 2 * time.Second
	// snapshotPoll is how often the growth of the log is looked at.
	snapshotPoll = time.Second
	// establishRetry is the pause between attempts to take office.
	establishRetry = 20 * time.Millisecond
)

// startRaft starts Raft on the data of this node's cluster, and everything that
// needs it.
func (c *Cluster) startRaft() error {
	tr, err := transport.OverStreams(transport.StreamConfig{
		Streams:   c.link.RaftStreams(),
		Addresses: c,
		Timeout:   max(minRaftTimeout, 4*c.cfg.ElectionTimeout),
		Logger:    newRaftLogger(c.log, "raft-transport"),
		Faults:    c.cfg.Faults.Raft,
	})
	if err != nil {
		return fmt.Errorf("start the transport of Raft: %w", err)
	}
	c.transport = tr
	c.reports = transport.NewNotifications()
	rc := c.raftConfig()
	justBorn, err := c.seed(rc)
	if err != nil {
		return err
	}
	r, err := raft.NewRaft(rc, c.machine, c.store.Log(), c.store.Stable(), c.store.Snapshots(), tr)
	if err != nil {
		return fmt.Errorf("start Raft: %w", err)
	}
	c.raft.Store(r)
	if err := c.startGossip(); err != nil {
		return err // Shutdown stops Raft
	}
	if c.mayStandAtOnce(justBorn) {
		if err := c.standAtOnce(r); err != nil {
			return err
		}
	}
	close(c.born)
	c.goBackground(c.watchLeadership)
	c.goBackground(c.keepPresent)
	c.goBackground(c.keepSnapshots)
	c.goBackground(c.keepGossip)
	c.goBackground(c.keepTogether)
	c.goBackground(c.awaitRetirement)
	return nil
}

func (c *Cluster) raftConfig() *raft.Config {
	rc := raft.DefaultConfig()
	rc.ProtocolVersion = raft.ProtocolVersionMax
	rc.LocalID = raft.ServerID(c.NodeID())
	rc.HeartbeatTimeout = c.cfg.ElectionTimeout + headroom
	rc.ElectionTimeout = c.cfg.ElectionTimeout + headroom
	rc.LeaderLeaseTimeout = c.cfg.ElectionTimeout
	rc.CommitTimeout = c.cfg.CommitTimeout
	rc.MaxAppendEntries = maxAppendEntries
	rc.BatchApplyCh = true
	rc.ShutdownOnRemove = false // a removed node says so, see becomeRemoved
	rc.NotifyCh = c.reports.Channel()
	rc.NoLegacyTelemetry = true
	rc.Logger = newRaftLogger(c.log, "raft")
	// Snapshots are taken by bytes and commands (keepSnapshots), never by Raft's
	// own count of entries.
	rc.SnapshotThreshold = math.MaxInt64
	rc.TrailingLogs = c.store.Trigger().TrailingLogs()
	return rc
}

// seed writes the first configuration, exactly the list that all have agreed to,
// into an empty log, and reports whether it has done so. A node that joined has no such list, or one of a birth that
// came to nothing; it is sent the log.
func (c *Cluster) seed(rc *raft.Config) (seeded bool, err error) {
	id := c.ident.get()
	if id.Seeded || id.Proposal == nil || id.Proposal.ClusterID != id.ClusterID {
		return false, nil
	}
	var list raft.Configuration
	for _, p := range id.Proposal.Peers {
		list.Servers = append(list.Servers, raft.Server{ID: raft.ServerID(p.ID), Address: serverAddress(p.ID, p.PeerAddress)})
	}
	err = raft.BootstrapCluster(rc, c.store.Log(), c.store.Stable(), c.store.Snapshots(), c.transport, list)
	if errors.Is(err, raft.ErrCantBootstrap) {
		err = c.completeSeed(list)
	}
	if err != nil {
		return false, fmt.Errorf("write the first configuration: %w", err)
	}
	return true, c.markSeeded()
}

// completeSeed goes on where a crash interrupted raft.BootstrapCluster: that
// writes a term first and the configuration second, and takes either for a sign
// that all is done. A node alone would wait for ever for its configuration. Raft
// has never run on a node that is not seeded, so nobody's vote is forgotten.
func (c *Cluster) completeSeed(list raft.Configuration) error {
	last, err := c.store.Log().LastIndex()
	if err != nil || last > 0 {
		return err
	}
	if snapshots, err := c.store.Snapshots().List(); err != nil || len(snapshots) > 0 {
		return err
	}
	return c.store.Log().StoreLog(&raft.Log{Index: 1, Term: 1, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(list)})
}

func (c *Cluster) markSeeded() error {
	return c.ident.update(func(id *identity) { id.Seeded = true })
}

// onConfigured is called when a configuration is applied, on the goroutine that
// applies.
func (c *Cluster) onConfigured(raft.Configuration) {
	if c.ident.get().Seeded {
		return
	}
	if err := c.markSeeded(); err != nil {
		c.fatal(err)
	}
}

// onCommitted is called when entries are about to be applied, on the goroutine
// that applies. A leader tells its followers at once: without that, a read at a
// follower waits until the next entry, or CommitTimeout, brings the commit index.
func (c *Cluster) onCommitted(index uint64) {
	if r := c.raft.Load(); r != nil && r.State() == raft.Leader {
		c.transport.TellCommit(r.CurrentTerm(), index)
	}
}

// onEstablished is called when a leader's established entry is applied, on the
// goroutine that applies.
func (c *Cluster) onEstablished(l Leadership) { c.leadership.set(l) }

// watchLeadership does what follows from gaining and losing leadership.
func (c *Cluster) watchLeadership(ctx context.Context) {
	var (
		seen uint64
		stop = func() {}
	)
	defer func() { stop() }()
	for {
		select {
		case <-c.reports.Changed():
		case <-ctx.Done():
			return
		}
		leading, count := c.reports.Leading()
		if count == seen {
			continue
		}
		seen = count
		stop()
		stop = func() {}
		c.leadership.touch()
		if leading {
			stop = c.lead(ctx)
		}
	}
}

// lead starts a leader's duties and returns the function that ends them and
// waits for their end.
func (c *Cluster) lead(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if !c.takeOffice(ctx) {
			return
		}
		c.pilot.fly(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

// takeOffice proposes this leader's established entry until it is applied. It
// reports whether that happened while ctx lasted.
func (c *Cluster) takeOffice(ctx context.Context) bool {
	entry := &clusterpb.Internal{Entry: &clusterpb.Internal_Established{Established: &clusterpb.Established{NodeId: c.NodeID()}}}
	for {
		err := c.proposeInternal(ctx, entry)
		if err == nil {
			epoch, ok := c.Leading()
			c.log.Info("this node leads", "epoch", epoch, "still", ok)
			return true
		}
		select {
		case <-time.After(establishRetry):
		case <-ctx.Done():
			return false
		}
	}
}

// keepSnapshots takes a snapshot whenever the log has grown enough.
func (c *Cluster) keepSnapshots(ctx context.Context) {
	tick := time.NewTicker(snapshotPoll)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if !c.store.Trigger().ShouldSnapshot() {
			continue
		}
		if err := c.Snapshot(ctx); err != nil && ctx.Err() == nil {
			c.log.Warn("no snapshot was taken, the log keeps growing; trying again", "error", err)
		}
	}
}

// Snapshot takes a snapshot now and shortens the log behind it. It returns when
// that is on disk.
func (c *Cluster) Snapshot(ctx context.Context) error {
	r := c.raft.Load()
	if r == nil {
		return ErrNotBorn
	}
	reload := r.ReloadableConfig()
	reload.TrailingLogs = c.store.Trigger().TrailingLogs()
	if err := r.ReloadConfig(reload); err != nil {
		return fmt.Errorf("set the trailing log: %w", err)
	}
	return c.await(ctx, func() error {
		err := r.Snapshot().Error()
		if errors.Is(err, raft.ErrNothingNewToSnapshot) {
			return nil
		}
		return err
	})
}

// lastEntry returns index and term of the end of the log.
func lastEntry(r *raft.Raft) (index, term uint64) {
	stats := r.Stats()
	index, _ = strconv.ParseUint(stats["last_log_index"], 10, 64)
	term, _ = strconv.ParseUint(stats["last_log_term"], 10, 64)
	return index, term
}

// lastSnapshot returns the index of the newest snapshot.
func lastSnapshot(r *raft.Raft) uint64 {
	index, _ := strconv.ParseUint(r.Stats()["last_snapshot_index"], 10, 64)
	return index
}
