package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// keepAlive finds a peer that vanished from an idle Raft stream within half a minute; calls have their own probes.
func keepAlive() net.KeepAliveConfig {
	return net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}
}

// dialTCP is the default Config.Dial. Go turns Nagle's algorithm off by itself.
func dialTCP(ctx context.Context, addr string) (net.Conn, error) {
	d := net.Dialer{KeepAliveConfig: keepAlive()}
	return d.DialContext(ctx, "tcp", addr)
}

// connection is a connection after its handshake.
type connection struct {
	conn    net.Conn
	tracked *trackedConn
	remote  Identity
}

// connect dials within timeout and shakes hands. A refusal is logged besides being returned: heartbeats and retries drop their
// errors, and the operator must learn of it on both sides.
func (l *Link) connect(ctx context.Context, to Peer, p Purpose, timeout time.Duration) (connection, error) {
	l.counters.dials.Add(1)
	c, err := l.tryConnect(ctx, to, p, timeout)
	if err != nil {
		l.counters.dialErrors.Add(1)
		if isRefusal(err) && l.quiet.allow(to.Addr+err.Error()) {
			l.cfg.Logger.Warn("peer handshake refused", "peer", to.Addr, "purpose", p.String(), "error", err)
		}
		err = fmt.Errorf("dial %s: %w", to.Addr, err)
	}
	return c, err
}

func (l *Link) tryConnect(ctx context.Context, to Peer, p Purpose, timeout time.Duration) (connection, error) {
	dialCtx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	raw, err := l.cfg.Dial(dialCtx, to.Addr)
	if err != nil {
		return connection{}, err
	}
	tracked, err := l.conns.add(raw, false, &l.counters)
	if err != nil {
		return connection{}, errors.Join(err, raw.Close())
	}
	c, err := l.greet(ctx, tracked, to, p)
	if err != nil {
		tracked.Close() // the error that matters is err
		return connection{}, err
	}
	return c, nil
}

// greet runs TLS and the dialer's side of the handshake.
func (l *Link) greet(ctx context.Context, tracked *trackedConn, to Peer, p Purpose) (connection, error) {
	conn, err := l.secure(ctx, tracked, true)
	if err != nil {
		return connection{}, err
	}
	g, err := l.newGreeting(conn)
	if err != nil {
		return connection{}, err
	}
	remote, err := g.dial(p, to.NodeID)
	if err != nil {
		return connection{}, l.creds.explain(err)
	}
	return connection{conn: conn, tracked: tracked, remote: remote}, nil
}
