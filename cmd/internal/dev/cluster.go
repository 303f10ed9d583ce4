package dev

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/hydrastore/hydrastore/cmd/internal/config"
	"github.com/hydrastore/hydrastore/cmd/internal/server"
	"github.com/hydrastore/hydrastore/session"
)

// cluster is the running nodes.
type cluster struct {
	places  []place
	servers []*server.Server
	failed  chan error // has room for every node's one failure
	// policies are those that the demo user may log in under: all that the settings name, so that every protocol takes it.
	policies []string
	seals    bool // the nodes have a safe password
	// ownSessions: each node keeps its own (user.sessionPersistence: false).
	ownSessions bool
}

// place is where one node listens and keeps its data.
type place struct {
	name              string
	api, peer, gossip string // host:port
	dir               string
}

func (p place) url() string { return "http://" + p.api }

// start starts all nodes, or none. With free ports it tries again when another program was faster.
func start(ctx context.Context, o Options, dir string) (*cluster, error) {
	const attempts = 5
	for i := 1; ; i++ {
		places, err := findPlaces(ctx, o.PortBase, dir)
		if err != nil {
			return nil, err
		}
		c := &cluster{places: places, failed: make(chan error, nodes), policies: demoPolicies(o.Base.Policies), seals: o.Base.Sealing.SafePassword != "", ownSessions: o.Base.OwnSessions}
		err = c.start(ctx, o)
		if err == nil {
			return c, nil
		}
		err = errors.Join(err, c.stop())
		if o.PortBase != 0 || i == attempts || !errors.Is(err, syscall.EADDRINUSE) {
			return nil, portHint(o.PortBase, err)
		}
	}
}

func portHint(base int, err error) error {
	if base != 0 && errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w\nAnother dev cluster? Use other ports with --port-base 9700, or free ones with --port-base 0", err)
	}
	return err
}

func (c *cluster) start(ctx context.Context, o Options) error {
	for i := range c.places {
		s, err := server.Start(ctx, server.Options{
			Config: c.settings(o.Base, i), AdminPassword: o.AdminPassword, Version: o.Version, Logger: o.Logger,
			Fatal: func(err error) { c.failed <- fmt.Errorf("%s cannot go on: %w", c.places[i].name, err) },
		})
		if err != nil {
			return fmt.Errorf("start %s: %w", c.places[i].name, err)
		}
		c.servers = append(c.servers, s)
	}
	return nil
}

// demoPolicies are the policies that the demo user may log in under, the default first, as many as a user can have.
func demoPolicies(policies []session.Policy) []string {
	names := []string{session.DefaultPolicyName}
	for _, p := range policies {
		if p.Name != session.DefaultPolicyName && len(names) < session.MaxPoliciesPerUser {
			names = append(names, p.Name)
		}
	}
	return names
}

// settings are those of the user with the places of this node.
func (c *cluster) settings(base config.Config, i int) config.Config {
	p := c.places[i]
	base.Node = config.Node{Name: p.name, DataDir: p.dir, LogStore: base.Node.LogStore}
	base.API.Listen, base.API.Advertise = p.api, p.api
	base.API.Socket = filepath.Join(p.dir, "operator.sock")
	base.API.TLS = config.CertFiles{}
	base.API.ProxyProtocol = false // this program asks the nodes directly
	base.API.DrainDelay = 0        // no load balancer looks
	base.Peer = config.Peer{Listen: p.peer, Advertise: p.peer}
	base.Gossip.Listen, base.Gossip.Advertise = p.gossip, p.gossip
	switch {
	case base.Audit.ToFile():
		base.Audit.File += "." + p.name
	case base.Audit.File != "":
		base.Audit.Nodes = "leader" // the nodes share one standard output
	}
	base.Cluster.BootstrapExpect = nodes
	base.Cluster.Join = nil
	for _, other := range c.places {
		base.Cluster.Join = append(base.Cluster.Join, other.peer)
	}
	return base
}

// waitReady answers when every node serves linearizable requests, with the leader's name.
func (c *cluster) waitReady(ctx context.Context) (leader string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, readyPatience, errors.New("the nodes did not become ready in time"))
	defer cancel()
	every := time.NewTicker(20 * time.Millisecond)
	defer every.Stop()
	for {
		notReady := c.notReady()
		if notReady == nil {
			return c.leader(ctx)
		}
		select {
		case <-every.C:
		case err := <-c.failed:
			return "", err
		case <-ctx.Done():
			return "", fmt.Errorf("%w: %w", context.Cause(ctx), notReady)
		}
	}
}

func (c *cluster) notReady() error {
	for i, s := range c.servers {
		if err := s.Ready(); err != nil {
			return fmt.Errorf("%s: %w", c.places[i].name, err)
		}
	}
	return nil
}

// leader asks the first node's operator socket.
func (c *cluster) leader(ctx context.Context) (string, error) {
	status, err := c.operator().do(ctx, "GET", "/v1/cluster", "", nil)
	if err != nil {
		return "", err
	}
	for _, member := range status.Members {
		if member.ID == status.LeaderID {
			return member.Name, nil
		}
	}
	return "not known", nil
}

// stop stops all nodes at once: there is nobody to hand leadership to.
func (c *cluster) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopPatience)
	defer cancel()
	errs := make([]error, len(c.servers))
	var wait sync.WaitGroup
	for i, s := range c.servers {
		wait.Go(func() {
			if err := s.Shutdown(ctx); err != nil {
				errs[i] = fmt.Errorf("stop %s: %w", c.places[i].name, err)
			}
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}

// findPlaces lays the nodes out: base, base+10, base+20 for the APIs, peers one above, gossip two.
func findPlaces(ctx context.Context, base int, dir string) ([]place, error) {
	places := make([]place, nodes)
	for i := range places {
		ports := []int{base + 10*i, base + 10*i + 1, base + 10*i + 2}
		if base == 0 {
			var err error
			if ports, err = freePorts(ctx, len(ports)); err != nil {
				return nil, err
			}
		}
		name := "node" + strconv.Itoa(i+1)
		places[i] = place{name: name, api: local(ports[0]), peer: local(ports[1]), gossip: local(ports[2]), dir: filepath.Join(dir, name)}
	}
	return places, nil
}

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// Free ports come from below the range from which kernels take ports for outgoing connections: a node listens for gossip only
// once its cluster is born, and some connection might have the port by then.
const (
	firstFreePort = 12_000
	lastFreePort  = 31_999
)

// freePorts finds ports that are free for TCP and UDP. They may be taken before they are used: start then tries again.
func freePorts(ctx context.Context, n int) ([]int, error) {
	var settings net.ListenConfig
	var open []interface{ Close() error }
	defer func() {
		for _, l := range open {
			l.Close()
		}
	}()
	var ports []int
	for tries := 0; len(ports) < n; tries++ {
		port := firstFreePort + rand.IntN(lastFreePort-firstFreePort+1)
		l, err := settings.Listen(ctx, "tcp", local(port))
		if err != nil && tries < 1000 {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		open = append(open, l)
		u, err := settings.ListenPacket(ctx, "udp", local(port))
		if err != nil && tries < 1000 {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("find a port that is free for UDP: %w", err)
		}
		open = append(open, u)
		ports = append(ports, port)
	}
	return ports, nil
}
