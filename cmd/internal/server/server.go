package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/hydrastore/hydrastore/api"
	"github.com/hydrastore/hydrastore/cmd/internal/config"
	"github.com/hydrastore/hydrastore/node"
)

// Options of Start.
type Options struct {
	Config        config.Config
	AdminPassword string // of the first admin, created when the cluster has none; "" = none is created
	Version       string // shown to operators
	Logger        *slog.Logger
	// Fatal is called at most once, from any goroutine, when the node cannot go on. Its data are safe on disk; the process must
	// end, without Shutdown, which might wait for what hangs. It must not block. Required.
	Fatal func(error)
}

// Server is one running node. Its methods are safe for concurrent use.
type Server struct {
	node     home
	api      *api.Server
	address  string
	log      *slog.Logger
	drain    time.Duration
	fatal    func(error)
	failed   sync.Once
	serving  sync.WaitGroup
	shutdown sync.Once
	stopped  error
	unwatch  context.CancelFunc // ends the comparison of policies
}

// Start opens the API's listener, the operator socket and the node, and answers when requests are taken. The node may
// still be waiting for its cluster then: /readyz tells. ctx bounds Start alone. When it fails nothing is left open.
func Start(ctx context.Context, o Options) (_ *Server, err error) {
	o.Logger = o.Logger.With("name", o.Config.Node.Name) // the rooms below add the node's id
	s := &Server{log: o.Logger, drain: o.Config.API.DrainDelay, fatal: o.Fatal}
	// The listeners first: a busy port is the most common mistake and the cheapest to tell.
	public, err := listen(ctx, "api.listen", o.Config.API.Listen)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			public.Close()
		}
	}()
	s.address = public.Addr().String()
	if o.Config.API.Advertise == "" {
		o.Config.API.Advertise = s.address
	}
	if o.Config.Home == config.HomeRaft {
		if err := probe(ctx, "gossip.listen", o.Config.Gossip.Listen); err != nil {
			return nil, err
		}
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if s.node, err = s.openHome(ctx, o, registry); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = s.node.Shutdown(cancelled()) // err is what the operator needs
		}
	}()
	operator, err := api.ListenOperator(o.Config.API.Socket)
	if err != nil {
		return nil, fmt.Errorf("open the operator socket (api.socket): %w", err)
	}
	defer func() {
		if err != nil {
			operator.Close()
		}
	}()
	if s.api, err = api.New(s.apiConfig(o, registry), s.node); err != nil {
		return nil, err
	}
	if err := s.node.Start(ctx); err != nil {
		return nil, err
	}
	s.serving.Go(func() { s.fail(s.api.Serve(public)) })
	s.serving.Go(func() { s.fail(s.api.ServeOperator(operator)) })
	watching, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.unwatch = cancel
	s.serving.Go(func() { s.comparePolicies(watching, o.Config.GivenPolicies()) })
	s.log.Info("node started", "node", s.node.NodeID(), "version", o.Version, "api", s.address,
		"peers", s.node.PeerAddress(), "data", o.Config.Node.DataDir, "sessions", o.Config.Home)
	return s, nil
}

func (s *Server) nodeConfig(o Options, registry *prometheus.Registry) (node.Config, error) {
	c, err := nodeConfig(o.Config)
	c.AdminPassword = o.AdminPassword
	c.Version = o.Version
	c.Logger = o.Logger
	c.Registerer = registry
	c.Fatal = s.fail
	return c, err
}

func (s *Server) apiConfig(o Options, registry *prometheus.Registry) api.Config {
	c := api.DefaultConfig()
	c.Node = s.node.NodeID()
	c.Term = s.node.Term
	c.TrustedProxies = o.Config.API.TrustedProxies
	c.ProxyProtocol = o.Config.API.ProxyProtocol
	c.CookieName = o.Config.API.CookieName
	c.TLSCertFile, c.TLSKeyFile = o.Config.API.TLS.CertFile, o.Config.API.TLS.KeyFile
	c.MaxConnections = o.Config.API.MaxConnections
	c.DrainDelay = o.Config.API.DrainDelay
	c.WriteTimeout = max(c.WriteTimeout, 2*o.Config.Limits.RequestTimeout)
	c.Logger = o.Logger
	if !o.Config.Log.Requests {
		c.AccessLevel = slog.LevelDebug
	}
	c.Registerer, c.Gatherer = registry, registry
	c.Protocols = s.protocols(o)
	return c
}

// fail passes the first reason to end the process on.
func (s *Server) fail(err error) {
	if err != nil {
		s.failed.Do(func() { s.fatal(err) })
	}
}

// Address is where the API listens, with the real port.
func (s *Server) Address() string { return s.address }

// Ready tells whether a linearizable request would be served now.
func (s *Server) Ready() error { return s.node.Ready(false) }

// PeerAddress is where other nodes reach this one.
func (s *Server) PeerAddress() string { return s.node.PeerAddress() }

// Shutdown drains: /readyz says no, the drain delay passes, requests are finished, leadership is handed over, and all is
// closed. ctx bounds waiting; what does not end by then is cut off. Later calls answer as the first one.
func (s *Server) Shutdown(ctx context.Context) error {
	s.shutdown.Do(func() {
		s.unwatch()
		s.node.Drain()
		s.stopped = errors.Join(s.api.Shutdown(ctx), s.node.Shutdown(ctx))
		s.serving.Wait()
	})
	return s.stopped
}

// listen opens a TCP listener and explains what is wrong with the address.
func listen(ctx context.Context, setting, address string) (net.Listener, error) {
	var settings net.ListenConfig
	l, err := settings.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, explainListen(setting, address, err)
	}
	return l, nil
}

// probe says early, and by the setting's name, that an address cannot be had which is only listened on once the node
// belongs to a cluster.
func probe(ctx context.Context, setting, address string) error {
	l, err := listen(ctx, setting, address)
	if err != nil {
		return err
	}
	return l.Close()
}

// cancelled is a context for stopping what never ran.
func cancelled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
