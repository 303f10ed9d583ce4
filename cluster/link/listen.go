package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// acceptBackoff is the wait after a failed accept (out of file descriptors, for one).
const acceptBackoff = 50 * time.Millisecond

// listen opens the port if the settings allow it there.
func (l *Link) listen() error {
	lc := net.ListenConfig{KeepAliveConfig: keepAlive()}
	listener, err := lc.Listen(l.ctx, "tcp", l.cfg.Listen)
	if err != nil {
		return err
	}
	if err := l.checkAddress(listener.Addr().(*net.TCPAddr)); err != nil {
		return errors.Join(err, listener.Close())
	}
	l.listener, l.addr = listener, l.cfg.Advertise
	if l.addr == "" {
		l.addr = listener.Addr().String()
	}
	return nil
}

// checkAddress refuses an open port without peer security, and an address that nobody could dial.
func (l *Link) checkAddress(a *net.TCPAddr) error {
	secured := l.cfg.TLS != nil || len(l.gossipKeys()) > 0 || l.cfg.InsecurePeers
	switch {
	case !a.IP.IsLoopback() && !secured:
		return fmt.Errorf("refusing to listen on %s without peer security: configure TLS certificates or a gossip key, "+
			"or set insecure_peers: true on a network where everybody is trusted", a)
	case a.IP.IsUnspecified() && l.cfg.Advertise == "":
		return fmt.Errorf("listening on %s: other nodes need an address to dial, set the advertised one", a)
	}
	return nil
}

// acceptLoop takes connections until Close.
func (l *Link) acceptLoop() {
	for {
		raw, err := l.listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			l.cfg.Logger.Error("accept on the peer port failed", "error", err)
			select {
			case <-time.After(acceptBackoff):
			case <-l.ctx.Done():
			}
			continue
		}
		l.admitConn(raw)
	}
}

// admitConn starts the handshake of an accepted connection unless there are too many.
func (l *Link) admitConn(raw net.Conn) {
	tracked, err := l.conns.add(raw, true, &l.counters)
	if err == nil {
		err = l.spawn(func() { l.serveConn(tracked) })
	}
	if err == nil {
		return
	}
	if tracked != nil {
		raw = tracked
	}
	raw.Close() // it was never used
	if !errors.Is(err, ErrClosed) {
		l.counters.handshakesRefused.Add(1)
		l.logRefused(raw.RemoteAddr(), Identity{}, err)
	}
}

// serveConn shakes hands and then runs the connection's purpose.
func (l *Link) serveConn(tracked *trackedConn) {
	conn, from, purpose, err := l.welcome(tracked)
	if err != nil {
		tracked.Close() // err is what matters
		l.counters.handshakesRefused.Add(1)
		l.logRefused(tracked.RemoteAddr(), from, err)
		return
	}
	if purpose != PurposeRaft {
		l.serveCalls(newServer(l, newWire(conn, tracked), from, purpose))
		return
	}
	if !l.streams.offer(conn) {
		tracked.Close() // the dialer tries again
		l.logRefused(tracked.RemoteAddr(), from, errors.New("raft takes no connections now"))
	}
}

// welcome runs TLS and the acceptor's side of the handshake.
func (l *Link) welcome(tracked *trackedConn) (net.Conn, Identity, Purpose, error) {
	conn, err := l.secure(l.ctx, tracked, false)
	if err != nil {
		return nil, Identity{}, 0, err
	}
	g, err := l.newGreeting(conn)
	if err != nil {
		return nil, Identity{}, 0, err
	}
	from, purpose, err := g.accept()
	return conn, from, purpose, l.creds.explain(err)
}

// serveCalls runs s until its connection ends and Close cannot miss it.
func (l *Link) serveCalls(s *server) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		s.tracked.Close() // Close closes it as well
		return
	}
	l.servers[s] = struct{}{}
	l.mu.Unlock()
	s.serve()
	l.mu.Lock()
	delete(l.servers, s)
	l.mu.Unlock()
	if errors.Is(s.err, errFrame) {
		l.cfg.Logger.Warn("peer connection closed", "peer", s.tracked.RemoteAddr().String(), "peer_id", s.from.NodeID, "error", s.err)
	}
}

// logRefused writes why a peer was turned away, once in a while for the same peer and reason. Port probes that say nothing
// and connections lost on the way are no news.
func (l *Link) logRefused(remote net.Addr, from Identity, err error) {
	if l.ctx.Err() != nil || errors.Is(err, io.EOF) || errors.Is(err, context.Canceled) {
		return
	}
	host, _, splitErr := net.SplitHostPort(remote.String())
	if splitErr != nil {
		host = remote.String() // an in-memory connection's address has no port
	}
	if l.quiet.allow(host + from.NodeID + err.Error()) {
		l.cfg.Logger.Warn("peer turned away", "peer", remote.String(), "peer_id", from.NodeID, "error", err)
	}
}
