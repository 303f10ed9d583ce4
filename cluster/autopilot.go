package cluster

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	autopilot "github.com/hashicorp/raft-autopilot"
	"github.com/hydrastore/hydrastore/cluster/clusterpb"
	"github.com/hydrastore/hydrastore/cluster/link"
)

const (
	// maxPromotionLag is how many entries a node may be behind and still count as
	// keeping up.
	maxPromotionLag = 250
	// tidyInterval is how often a leader looks for removals left half done.
	tidyInterval = time.Second
)

// pilot runs raft-autopilot while this node leads: it watches the members,
// promotes non-voters that keep up, and has dead members removed.
type pilot struct {
	c     *Cluster
	state atomic.Pointer[autopilot.State] // nil while this node does not lead
	dying sync.WaitGroup                  // removals under way
}

func newPilot(c *Cluster) *pilot { return &pilot{c: c} }

// fly returns when ctx ends and everything it began has ended.
func (p *pilot) fly(ctx context.Context) {
	update, reconcile := p.intervals()
	ap := autopilot.New(pilotRaft{p.c.raft.Load(), p.c, ctx}, &delegate{p, ctx},
		autopilot.WithLogger(newRaftLogger(p.c.log, "autopilot")),
		autopilot.WithPromoter(&promoter{c: p.c}),
		autopilot.WithUpdateInterval(update),
		autopilot.WithReconcileInterval(reconcile))
	ap.Start(ctx)
	tick := time.NewTicker(tidyInterval)
	defer tick.Stop()
	for ctx.Err() == nil {
		p.c.tidy(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	_, done := ap.IsRunning()
	<-done
	p.dying.Wait()
	p.state.Store(nil)
}

// intervals of looking at the members and of acting on what was seen: several
// looks in the time a node must be stable, but no more than that needs.
func (p *pilot) intervals() (update, reconcile time.Duration) {
	update = min(max(p.c.cfg.PromoteAfter/4, 200*time.Millisecond), autopilot.DefaultUpdateInterval)
	return update, 2 * update
}

// pilotRaft is Raft as autopilot uses it.
type pilotRaft struct {
	*raft.Raft
	c   *Cluster
	ctx context.Context
}

// AddVoter promotes a member, as one change among the others. Autopilot decides
// by what it saw a moment ago; a node that was removed since must not come back
// with a vote that nobody will ever cast.
func (p pilotRaft) AddVoter(id raft.ServerID, addr raft.ServerAddress, prevIndex uint64, timeout time.Duration) raft.IndexFuture {
	if err := p.c.lockChanges(p.ctx); err != nil {
		return notMade{err}
	}
	defer p.c.unlockChanges()
	s, member := p.c.server(string(id))
	if !member || s.Address != addr || p.c.table.isRemoved(string(id)) {
		return notMade{newError(CodeConflict, "node %s has gone or moved meanwhile", id)}
	}
	f := p.Raft.AddVoter(id, addr, prevIndex, timeout)
	_ = f.Error() // the change ends here; autopilot asks for its outcome again
	return f
}

// notMade is the outcome of a change that was not made.
type notMade struct{ err error }

// Error implements raft.Future.
func (n notMade) Error() error { return n.err }

// Index implements raft.IndexFuture.
func (notMade) Index() uint64 { return 0 }

// memberHealth is what the leader knows of a member.
type memberHealth struct {
	healthy             bool
	lastIndex, lastTerm uint64
}

// health returns what this node, if it leads, knows of a member.
func (p *pilot) health(id string) (memberHealth, bool) {
	state := p.state.Load()
	if state == nil {
		return memberHealth{}, false
	}
	s, ok := state.Servers[raft.ServerID(id)]
	if !ok {
		return memberHealth{}, false
	}
	return memberHealth{s.Health.Healthy, s.Stats.LastIndex, s.Stats.LastTerm}, true
}

// delegate is autopilot's view of this node.
type delegate struct {
	*pilot
	ctx context.Context
}

// AutopilotConfig is autopilot's, as are the methods below.
func (d *delegate) AutopilotConfig() *autopilot.Config {
	return &autopilot.Config{
		CleanupDeadServers:      d.c.cfg.DeadAfter > 0,
		LastContactThreshold:    aliveFor(d.c.cfg.ElectionTimeout),
		MaxTrailingLogs:         maxPromotionLag,
		MinQuorum:               uint(d.c.cfg.BootstrapExpect),
		ServerStabilizationTime: d.c.cfg.PromoteAfter,
	}
}

// NotifyState keeps the newest state for Members.
func (d *delegate) NotifyState(s *autopilot.State) { d.state.Store(s) }

// KnownServers lists exactly the configuration, so that autopilot finds no server
// that it would call stale and remove by rules of its own.
func (d *delegate) KnownServers() map[raft.ServerID]*autopilot.Server {
	known := map[raft.ServerID]*autopilot.Server{}
	for _, s := range d.c.servers() {
		known[s.ID] = &autopilot.Server{
			ID: s.ID, Name: string(s.ID), Address: s.Address, NodeStatus: d.status(string(s.ID)),
			RaftVersion: raft.ProtocolVersionMax, IsLeader: string(s.ID) == d.c.NodeID(), NodeType: autopilot.NodeVoter,
		}
	}
	return known
}

func (d *delegate) status(id string) autopilot.NodeStatus {
	if d.c.isAlive(id) {
		return autopilot.NodeAlive
	}
	return autopilot.NodeFailed
}

// FetchServerStats asks all servers for the end of their logs.
func (d *delegate) FetchServerStats(ctx context.Context, servers map[raft.ServerID]*autopilot.Server) map[raft.ServerID]*autopilot.ServerStats {
	var (
		mu  sync.Mutex
		wg  sync.WaitGroup
		out = map[raft.ServerID]*autopilot.ServerStats{}
	)
	for _, s := range d.c.servers() { // also those that seem dead: an answer revives them
		wg.Go(func() {
			stats, err := d.fetch(ctx, string(s.ID))
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			out[s.ID] = stats
		})
	}
	wg.Wait()
	return out
}

func (d *delegate) fetch(ctx context.Context, id string) (*autopilot.ServerStats, error) {
	a := new(clusterpb.Stats)
	if id == d.c.NodeID() {
		own, err := d.c.stats(ctx, link.Identity{}, nil)
		if err != nil {
			return nil, err
		}
		a = own
	} else {
		addr, ok := d.c.addressOf(id)
		if !ok {
			return nil, ErrUnknownNode
		}
		if err := d.c.ask(ctx, link.Peer{Addr: addr, NodeID: id}, link.PurposeRPC, methodStats, new(clusterpb.Stats), a); err != nil {
			return nil, err
		}
	}
	return &autopilot.ServerStats{LastTerm: a.GetLastTerm(), LastIndex: a.GetLastIndex()}, nil
}

// RemoveFailedServer removes a member that has been dead for long enough, in the
// background, as autopilot asks.
func (d *delegate) RemoveFailedServer(s *autopilot.Server) {
	d.dying.Go(func() {
		ctx, cancel := context.WithTimeout(d.ctx, changeTimeout)
		defer cancel()
		err := d.c.bury(ctx, string(s.ID))
		if err != nil && !errors.Is(err, ErrNotLeader) && d.ctx.Err() == nil {
			d.c.log.Warn("a dead member could not be removed", "member", s.ID, "error", err)
		}
	})
}

// bury removes a member that does not answer, unless too few voters would stay.
func (c *Cluster) bury(ctx context.Context, id string) error {
	if err := c.lockChanges(ctx); err != nil {
		return err
	}
	defer c.unlockChanges()
	if _, member := c.server(id); !member || !c.gone(ctx, id, c.cfg.DeadAfter) {
		return nil
	}
	// By the rule for a living member: never below bootstrap_expect on its own.
	return c.expel(ctx, id, false)
}

// promoter makes two of autopilot's rules stricter: a node is promoted only when
// this leader has seen it stable for all of Config.PromoteAfter (autopilot lets a
// new leader promote at once), and only members that have been silent for
// Config.DeadAfter are removed (autopilot removes whatever is not alive now).
type promoter struct {
	autopilot.StablePromoter
	c *Cluster
}

// CalculatePromotionsAndDemotions promotes the stable non-voters.
func (p *promoter) CalculatePromotionsAndDemotions(_ *autopilot.Config, s *autopilot.State) autopilot.RaftChanges {
	var changes autopilot.RaftChanges
	for id, server := range s.Servers {
		known := p.c.table.get(string(id)) != nil // a node of a half-done join waits for its record
		if known && server.State == autopilot.RaftNonVoter && server.Health.IsStable(time.Now(), p.c.cfg.PromoteAfter) {
			changes.Promotions = append(changes.Promotions, id)
		}
	}
	return changes
}

// FilterFailedServerRemovals keeps the members that are long dead.
func (p *promoter) FilterFailedServerRemovals(_ *autopilot.Config, _ *autopilot.State, failed *autopilot.FailedServers) *autopilot.FailedServers {
	young := func(s *autopilot.Server) bool { return p.c.peers.silence(string(s.ID)) < p.c.cfg.DeadAfter }
	return &autopilot.FailedServers{
		FailedNonVoters: slices.DeleteFunc(failed.FailedNonVoters, young),
		FailedVoters:    slices.DeleteFunc(failed.FailedVoters, young),
	}
}
