package api

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hydrastore/hydrastore/api/protocol"
)

// Config is copied by New and not changed afterwards. Start from DefaultConfig.
type Config struct {
	// Node names this node in the log. "" = not named.
	Node string
	// Term gives the current Raft term for the log; it is called for every logged request and must not block. nil = not logged.
	Term func() uint64

	// TrustedProxies may say in X-Forwarded-For for whom they speak. Addresses of anybody else in that header are ignored.
	// Default: none. Trusting a network in which clients live lets them choose their address.
	TrustedProxies []netip.Prefix
	// ProxyProtocol makes TrustedProxies begin every connection to the public listener with a PROXY protocol header, version 2, which
	// names the client; X-Forwarded-For is still read, of that client. It needs TrustedProxies. Default false.
	ProxyProtocol bool
	// CookieName turns session cookies on: "x" and "__Host-x" both name the cookie "__Host-x". "" = off, the default.
	CookieName string

	// TLSCertFile and TLSKeyFile (PEM) make the public listener speak TLS 1.2 and 1.3 with HTTP/2. Both or none.
	TLSCertFile, TLSKeyFile string

	// MaxBodyBytes of a request; larger ones are 413. Default 1 MiB.
	MaxBodyBytes int64
	// MaxHeaderBytes of a request line and its headers; larger ones are 431 and lose the connection. Default 16 KiB, to
	// which net/http adds 4 KiB of its own.
	MaxHeaderBytes int
	// MaxConnections open at once on the public listener; further ones wait in the kernel's backlog. Default 16,384.
	MaxConnections int

	// ReadHeaderTimeout, ReadTimeout (with the body) and WriteTimeout bound one request each; IdleTimeout bounds the
	// silence between two on a kept connection. WriteTimeout must exceed the service's request timeout, and IdleTimeout
	// that of the load balancer, else it meets closed connections. Defaults 5 s, 15 s, 30 s, 90 s.
	ReadHeaderTimeout, ReadTimeout, WriteTimeout, IdleTimeout time.Duration
	// DrainDelay is how long Shutdown goes on serving with /readyz at 503, so that load balancers see it first. Default 2 s.
	DrainDelay time.Duration

	// Protocols beside REST, on the public listener only. Default: none.
	Protocols []protocol.Protocol

	// Logger gets one line per request and the cause of every internal error. Default slog.Default().
	Logger *slog.Logger
	// AccessLevel of the line of a request that did not fail (5xx are Error). Default Info. Debug makes the hot path cheaper.
	AccessLevel slog.Level
	// Registerer takes the metrics of this package, Gatherer is served at /metrics. Default: a registry of their own.
	Registerer prometheus.Registerer
	Gatherer   prometheus.Gatherer
}

// DefaultConfig returns the defaults that the fields tell of.
func DefaultConfig() Config {
	return Config{
		MaxBodyBytes: 1 << 20, MaxHeaderBytes: 16 << 10, MaxConnections: 16384,
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 90 * time.Second,
		DrainDelay: 2 * time.Second,
	}
}

// Validate tells everything that is wrong.
func (c Config) Validate() error {
	return errors.Join(
		atLeast("max body bytes", c.MaxBodyBytes, 1024),
		atLeast("max header bytes", int64(c.MaxHeaderBytes), 1024),
		atLeast("max connections", int64(c.MaxConnections), 1),
		atLeast("read header timeout", int64(c.ReadHeaderTimeout), 1),
		atLeast("read timeout", int64(c.ReadTimeout), 1),
		atLeast("write timeout", int64(c.WriteTimeout), 1),
		atLeast("idle timeout", int64(c.IdleTimeout), 1),
		atLeast("drain delay", int64(c.DrainDelay), 0),
		c.validateTLS(), c.validateCookie(), c.validateProxies(), c.validateMetrics(), validateProtocols(c.Protocols),
	)
}

func atLeast(name string, value, least int64) error {
	if value < least {
		return fmt.Errorf("api: %s is %d, must be at least %d", name, value, least)
	}
	return nil
}

func (c Config) validateTLS() error {
	if (c.TLSCertFile == "") != (c.TLSKeyFile == "") {
		return errors.New("api: TLS needs both a certificate file and a key file")
	}
	return nil
}

func (c Config) validateCookie() error {
	name := strings.TrimPrefix(c.CookieName, cookiePrefix)
	if c.CookieName != "" && (name == "" || strings.Trim(name, cookieNameAlphabet) != "" || len(name) > 64) {
		return errors.New("api: a cookie name has 1 to 64 letters, digits, '-' and '_'")
	}
	return nil
}

func (c Config) validateProxies() error {
	for _, p := range c.TrustedProxies {
		if !p.IsValid() {
			return errors.New("api: a trusted proxy is not a valid network: write it as 10.0.0.0/8 or 2001:db8::/32")
		}
	}
	if c.ProxyProtocol && len(c.TrustedProxies) == 0 {
		return errors.New("api: the PROXY protocol needs trusted proxies: nobody else may send it")
	}
	return nil
}

func (c Config) validateMetrics() error {
	if (c.Registerer == nil) != (c.Gatherer == nil) {
		return errors.New("api: metrics need both a registerer and a gatherer")
	}
	return nil
}

// withDefaults fills the fields whose default is an object.
func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Registerer == nil {
		registry := prometheus.NewRegistry()
		c.Registerer, c.Gatherer = registry, registry
	}
	if c.Node != "" {
		c.Logger = c.Logger.With("node", c.Node)
	}
	return c
}

// tls loads the certificate; nil without one.
func (c Config) tls() (*tls.Config, error) {
	if c.TLSCertFile == "" {
		return nil, nil
	}
	certificate, err := tls.LoadX509KeyPair(c.TLSCertFile, c.TLSKeyFile)
	if err != nil {
		return nil, fmt.Errorf("load the API's certificate: %w", err)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
	}, nil
}
