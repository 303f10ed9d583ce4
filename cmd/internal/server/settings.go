package server

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/cmd/internal/config"
	"github.com/hydrastore/hydrastore/node"
)

// nodeConfig translates the settings for the node.
func nodeConfig(c config.Config) (node.Config, error) {
	n := node.DefaultConfig()
	n.Cluster.Dir = c.Node.DataDir
	n.Cluster.Name = c.Node.Name
	n.Cluster.ClusterName = c.Cluster.Name
	n.Cluster.LogStore = c.Node.LogStore
	n.Cluster.PeerListen, n.Cluster.PeerAdvertise = c.Peer.Listen, c.Peer.Advertise
	n.Cluster.GossipListen, n.Cluster.GossipAdvertise = c.Gossip.Listen, c.Gossip.Advertise
	n.Cluster.APIAddress = c.API.Advertise
	n.Cluster.GossipKeys = c.Gossip.Keys
	n.Cluster.Join = c.Cluster.Join
	n.Cluster.BootstrapExpect = c.Cluster.BootstrapExpect
	n.Cluster.InsecurePeers = c.Peer.InsecurePeers
	n.Cluster.ElectionTimeout = c.Cluster.HeartbeatTimeout
	n.Cluster.DeadAfter = c.Cluster.DeadAfter
	if t := c.Peer.TLS; !t.IsZero() {
		files := fresh(&n.Cluster.TLS)
		files.CA, files.Cert, files.Key = t.CAFile, t.CertFile, t.KeyFile
	}
	n.RequestTimeout = c.Limits.RequestTimeout
	n.MaxStale = c.Limits.MaxStale
	n.Sealing = sealing(c)
	n.Throttle = node.Throttle{Window: c.Throttle.Window, PerUser: c.Throttle.PerUser, PerAddress: c.Throttle.PerAddress, PerNode: c.Throttle.PerNode}
	n.Policies = c.Policies
	n.SessionsAtNode = c.OwnSessions
	n.Audit.File, n.Audit.Nodes = c.Audit.File, c.Audit.Nodes
	n.Hashing.Params = c.Authenticator.Hashing
	var err error
	n.Authenticators, err = directories(c.Authenticator)
	return n, err
}

// directories makes the authenticators outside.
func directories(c config.Authenticator) (all []auth.Authenticator, err error) {
	for _, d := range c.Directories {
		directory, err := auth.NewDirectory(d)
		if err != nil {
			return nil, fmt.Errorf("prepare the directory %s: %w", d.Kind, err)
		}
		all = append(all, directory)
	}
	return all, nil
}

// fresh puts a new value behind the pointer: the type belongs to a room that this one does not import.
func fresh[T any](p **T) *T {
	*p = new(T)
	return *p
}

// NewLogger logs to w as the settings say.
func NewLogger(w io.Writer, c config.Log) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.Level}
	if c.Format == "text" {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}

// sealing is the same for every home.
func sealing(c config.Config) auth.Sealing {
	return auth.Sealing{Password: c.Sealing.SafePassword, Previous: c.Sealing.Previous, Params: c.Sealing.Params, PlainCredentials: !c.Sealing.Credentials}
}
