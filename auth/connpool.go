package auth

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/hydrastore/hydrastore/session"
)

const (
	// keepIdle is how long a connection is kept unused: less than the minutes after which directories and firewalls forget them.
	keepIdle = time.Minute
	// waitersPerConnection bounds the log-ins that wait for a turn, so that a slow directory fills no memory.
	waitersPerConnection = 32
)

// server is one address of a directory.
type server struct {
	host, port string
	tls        bool // from the first byte
	startTLS   bool
}

func (s server) address() string { return net.JoinHostPort(s.host, s.port) }

// directoryConn is one connection. Whoever uses it binds first, which ends what the user before was allowed to: an accepted
// bind replaces the connection's identity and a refused one makes it anonymous (RFC 4511 4.2.1).
type directoryConn struct {
	raw       net.Conn // closing it ends every wait
	ldap      *ldap.Conn
	idleSince time.Time
}

func (c *directoryConn) close() {
	c.raw.Close()
	c.ldap.Close()
}

// connPool bounds and reuses the connections to a directory.
type connPool struct {
	servers []server
	first   atomic.Int32 // the server that answered last: asked first
	tls     *tls.Config
	dial    func(ctx context.Context, network, address string) (net.Conn, error)

	turns   chan struct{}
	waiting atomic.Int64

	mu     sync.Mutex
	idle   []*directoryConn // the one used last at the end
	closed bool
}

func newConnPool(c DirectoryConfig, servers []server) *connPool {
	p := &connPool{servers: servers, tls: c.TLS, dial: c.Dial, turns: make(chan struct{}, c.MaxConnections)}
	if p.tls == nil {
		p.tls = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if p.dial == nil {
		p.dial = (&net.Dialer{}).DialContext
	}
	return p
}

// use gives f a connection for as long as ctx allows. Where there is no answer f is tried again, over a fresh connection to each server in
// turn, so it must bear to be called several times.
func (p *connPool) use(ctx context.Context, f func(*ldap.Conn) error) error {
	if err := p.turn(ctx); err != nil {
		return err
	}
	defer func() { <-p.turns }()
	if c := p.take(); c != nil {
		share, cancel := part(ctx, len(p.servers))
		err := p.with(share, c, f)
		cancel()
		if !errors.Is(err, errNoAnswer) || ctx.Err() != nil {
			return err
		}
	}
	return p.useFresh(ctx, f)
}

// useFresh tries the servers in turn. Each may use an equal share of the time that is left, so that one which swallows packets, or takes
// connections and says nothing, does not keep the log-in from the others.
func (p *connPool) useFresh(ctx context.Context, f func(*ldap.Conn) error) error {
	var errs []error
	begin := int(p.first.Load())
	for i := range p.servers {
		at := (begin + i) % len(p.servers)
		share, cancel := part(ctx, len(p.servers)-i)
		err := p.useServer(share, p.servers[at], f)
		cancel()
		if !errors.Is(err, errNoAnswer) {
			p.first.Store(int32(at))
			return err
		}
		if errs = append(errs, fmt.Errorf("ask %s: %w", p.servers[at].address(), err)); ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

func (p *connPool) useServer(ctx context.Context, s server, f func(*ldap.Conn) error) error {
	c, err := p.open(ctx, s)
	if err != nil {
		return fmt.Errorf("%w: connect: %w", errNoAnswer, err)
	}
	return p.with(ctx, c, f)
}

// turn waits for one of the places.
func (p *connPool) turn(ctx context.Context) error {
	select {
	case p.turns <- struct{}{}:
		return nil
	default:
	}
	defer p.waiting.Add(-1)
	if p.waiting.Add(1) > int64(cap(p.turns)*waitersPerConnection) {
		return &session.Error{Code: session.CodeOverloaded, Message: "too many log-ins are waiting for a directory", RetryAfter: retryPause}
	}
	select {
	case p.turns <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for a connection to the directory: %w", ctx.Err())
	}
}

// errNoAnswer marks what is no word of a directory on what it was asked: somebody else may know.
var errNoAnswer = errors.New("the directory does not answer")

// with runs f on c, and keeps c if it is still good.
func (p *connPool) with(ctx context.Context, c *directoryConn, f func(*ldap.Conn) error) error {
	stop := context.AfterFunc(ctx, func() { c.raw.Close() })
	err := f(c.ldap)
	inTime := stop()
	unanswered := err != nil && (!inTime || c.ldap.IsClosing() || isNoAnswer(err)) && !errors.Is(err, ErrRefused)
	if !inTime || unanswered || c.ldap.IsClosing() {
		c.close()
	} else {
		p.keep(c)
	}
	switch {
	case !unanswered:
		return err
	case !inTime:
		return fmt.Errorf("%w: %w", errNoAnswer, context.Cause(ctx))
	}
	return fmt.Errorf("%w: %w", errNoAnswer, err)
}

// isNoAnswer tells the client's own errors, and what a server says that cannot answer anybody now, from answers.
func isNoAnswer(err error) bool {
	var answer *ldap.Error
	return errors.As(err, &answer) && (answer.ResultCode >= ldap.ErrorNetwork ||
		answer.ResultCode == ldap.LDAPResultBusy || answer.ResultCode == ldap.LDAPResultUnavailable)
}

// take returns a kept connection, nil when there is none that may still be good.
func (p *connPool) take() *directoryConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.idle) > 0 {
		c := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		if !c.ldap.IsClosing() && time.Since(c.idleSince) < keepIdle {
			return c
		}
		c.close()
	}
	return nil
}

func (p *connPool) keep(c *directoryConn) {
	c.idleSince = time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		c.close()
		return
	}
	p.idle = append(p.idle, c)
}

func (p *connPool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, c := range p.idle {
		c.close()
	}
	p.idle = nil
}

// part is a context with 1/n of the time that ctx has left.
func part(ctx context.Context, n int) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok || n == 1 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(deadline)/time.Duration(n))
}

// open connects to one server and turns TLS on before anything else is said.
func (p *connPool) open(ctx context.Context, s server) (*directoryConn, error) {
	raw, err := p.dial(ctx, "tcp", s.address())
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	c, err := p.secure(ctx, s, raw)
	if stopped := stop(); err == nil && !stopped {
		err = context.Cause(ctx)
	}
	if err != nil {
		raw.Close()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, err
	}
	return c, nil
}

func (p *connPool) secure(ctx context.Context, s server, raw net.Conn) (*directoryConn, error) {
	config := p.tls.Clone()
	config.ServerName = s.host
	if s.tls {
		secured := tls.Client(raw, config)
		if err := secured.HandshakeContext(ctx); err != nil {
			return nil, fmt.Errorf("TLS: %w", err)
		}
		c := ldap.NewConn(secured, true)
		c.Start()
		return &directoryConn{raw: raw, ldap: c}, nil
	}
	c := ldap.NewConn(raw, false)
	c.Start()
	if s.startTLS {
		if err := c.StartTLS(config); err != nil {
			raw.Close()
			c.Close()
			return nil, fmt.Errorf("StartTLS: %w", err)
		}
	}
	return &directoryConn{raw: raw, ldap: c}, nil
}
