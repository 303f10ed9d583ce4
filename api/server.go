package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"

	"github.com/hydrastore/hydrastore/session"
)

// Server answers HTTP for one node: the public handler on any number of listeners, and the operator's on the node's own
// Unix socket. Its methods are safe for concurrent use.
type Server struct {
	config         Config
	tls            *tls.Config // nil = none
	addresses      addresses
	cookies        cookies
	requestIDs     *requestIDs
	metrics        *metrics
	metricsHandler http.Handler
	buffers        buffers
	draining       atomic.Bool

	public, operator             http.Handler
	publicServer, operatorServer *http.Server
}

// New makes a server that asks service. It neither listens nor starts anything.
func New(config Config, service session.Service) (*Server, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	s := &Server{config: config.withDefaults(), addresses: newAddresses(config.TrustedProxies), cookies: newCookies(config.CookieName)}
	var err error
	if s.tls, err = config.tls(); err != nil {
		return nil, err
	}
	if s.requestIDs, err = newRequestIDs(); err != nil {
		return nil, err
	}
	if s.metrics, err = newMetrics(s.config.Registerer); err != nil {
		return nil, fmt.Errorf("register the API's metrics: %w", err)
	}
	s.metricsHandler = promhttp.HandlerFor(s.config.Gatherer, promhttp.HandlerOpts{})
	s.public = newRouter(&handlers{server: s, service: service})
	s.operator = newRouter(&handlers{server: s, service: service, operator: true})
	s.publicServer = s.httpServer(s.public)
	s.operatorServer = s.httpServer(s.operator)
	return s, nil
}

// Handler returns the routes as an http.Handler. Whoever reaches the operator's handler acts as an admin without a
// key: serve it on a socket that only the node's owner can open.
func (s *Server) Handler(operator bool) http.Handler {
	if operator {
		return s.operator
	}
	return s.public
}

func (s *Server) httpServer(handler http.Handler) *http.Server {
	c := s.config
	return &http.Server{
		Handler: handler, ReadHeaderTimeout: c.ReadHeaderTimeout, ReadTimeout: c.ReadTimeout, WriteTimeout: c.WriteTimeout,
		IdleTimeout: c.IdleTimeout, MaxHeaderBytes: c.MaxHeaderBytes, ErrorLog: slog.NewLogLogger(c.Logger.Handler(), slog.LevelDebug),
	}
}

// Serve answers the public API on l until Shutdown, then returns nil. It closes l.
func (s *Server) Serve(l net.Listener) error {
	l = netutil.LimitListener(l, s.config.MaxConnections)
	if s.config.ProxyProtocol {
		l = s.addresses.proxied(l, s.config.ReadHeaderTimeout)
	}
	if s.tls != nil {
		l = tls.NewListener(l, s.tls)
	}
	return served(s.publicServer.Serve(l))
}

// ServeOperator answers the operator's API on l, which must be a Unix socket of mode 0600 (see ListenOperator), until
// Shutdown, then returns nil. It closes l.
func (s *Server) ServeOperator(l net.Listener) error {
	return served(s.operatorServer.Serve(netutil.LimitListener(l, s.config.MaxConnections)))
}

func served(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve the API: %w", err)
}

// Shutdown stops in the order that lets a load balancer lose no request: /readyz answers 503, DrainDelay passes while
// everything else is served, then listeners and idle connections close, every answer says Connection: close, and Shutdown
// waits for the requests under way. When ctx ends first the rest is cut off and the error says so.
func (s *Server) Shutdown(ctx context.Context) error {
	s.draining.Store(true)
	delay := time.NewTimer(s.config.DrainDelay)
	defer delay.Stop()
	select {
	case <-delay.C:
	case <-ctx.Done():
	}
	return errors.Join(stop(ctx, s.publicServer), stop(ctx, s.operatorServer))
}

func stop(ctx context.Context, server *http.Server) error {
	err := server.Shutdown(ctx)
	if err == nil {
		return nil
	}
	return errors.Join(fmt.Errorf("finish the API's requests: %w", err), server.Close())
}
