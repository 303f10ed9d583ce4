package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/hydrastore/hydrastore/cluster/clusterpb"
	"github.com/hydrastore/hydrastore/cluster/gossip"
	"google.golang.org/protobuf/proto"
)

const (
	// gossipStartTimeout bounds the look-up of gossip's addresses.
	gossipStartTimeout = 5 * time.Second
	// gossipInterval is how often gossip's view is taken in when it tells nothing.
	gossipInterval = time.Second
	// rejoinInterval is the pause between attempts to reach members by gossip.
	rejoinInterval = 2 * time.Second
	// rejoinTimeout bounds one attempt.
	rejoinTimeout = 10 * time.Second
)

// startGossip begins to gossip, with the cluster id as label. What gossip says is
// a hint: who is alive, and at which peer address.
func (c *Cluster) startGossip() error {
	id := c.ident.get()
	meta, err := proto.Marshal(&clusterpb.Member{Id: id.NodeID, PeerAddress: c.PeerAddress(), Incarnation: id.Incarnation})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.ctx, gossipStartTimeout)
	defer cancel()
	pool, err := gossip.Start(ctx, gossip.Config{
		Name: id.NodeID, BindAddr: c.cfg.GossipListen, AdvertiseAddr: c.cfg.GossipAdvertise,
		Label: id.ClusterID, Keyring: c.cfg.GossipKeys, Meta: meta, Profile: c.gossipProfile(), Logger: c.log,
	})
	if err != nil {
		return fmt.Errorf("start gossip: %w", err)
	}
	c.gossip.Store(pool)
	return nil
}

func (c *Cluster) gossipProfile() gossip.Profile {
	host, _, _ := net.SplitHostPort(c.cfg.GossipListen)
	if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() {
		return gossip.Loopback
	}
	return gossip.LAN
}

// gossipAddress returns where gossip reaches this node; "" while it does not run.
func (c *Cluster) gossipAddress() string {
	if pool := c.gossip.Load(); pool != nil {
		return pool.Addr()
	}
	return ""
}

// Gossip returns gossip's numbers; zero before birth.
func (c *Cluster) Gossip() gossip.Stats {
	if pool := c.gossip.Load(); pool != nil {
		return pool.Stats()
	}
	return gossip.Stats{}
}

// keepGossip takes in what gossip says.
func (c *Cluster) keepGossip(ctx context.Context) {
	pool := c.gossip.Load()
	tick := time.NewTicker(gossipInterval)
	defer tick.Stop()
	for {
		alive := map[string]bool{}
		for _, m := range pool.Members() {
			var claim clusterpb.Member
			if m.State != gossip.Alive || proto.Unmarshal(m.Meta, &claim) != nil || claim.GetId() != m.Name {
				continue
			}
			alive[m.Name] = true
			c.peers.claim(&claim)
		}
		c.peers.gossiping(alive)
		select {
		case <-pool.Events():
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// keepTogether contacts the members that gossip does not have alive: at the
// start, and after a partition in which both sides gave each other up.
func (c *Cluster) keepTogether(ctx context.Context) {
	pool := c.gossip.Load()
	pause := gossipInterval / 10
	for {
		var missing []string
		for _, m := range c.table.all() {
			if addr := m.GetGossipAddress(); addr != "" && m.GetId() != c.NodeID() && !c.peers.gossips(m.GetId()) {
				missing = append(missing, addr)
			}
		}
		if len(missing) > 0 {
			joining, cancel := context.WithTimeout(ctx, rejoinTimeout)
			if _, err := pool.Join(joining, missing); err != nil {
				c.log.Debug("no answer by gossip", "addresses", missing, "error", err)
				pause = rejoinInterval
			}
			cancel()
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		pause = min(2*pause, rejoinInterval)
	}
}

// leaveGossip says goodbye and stops gossiping.
func (c *Cluster) leaveGossip(ctx context.Context) error {
	pool := c.gossip.Load()
	if pool == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	if ctx.Err() == nil {
		if err := pool.Leave(ctx); err != nil && !errors.Is(err, gossip.ErrShutdown) {
			c.log.Debug("nobody heard the goodbye by gossip", "error", err)
		}
	}
	return pool.Shutdown()
}
