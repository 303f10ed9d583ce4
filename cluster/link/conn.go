package link

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
)

// trackedConn is a TCP connection of a Link: it counts bytes and is closed with the Link whoever owns it by then.
type trackedConn struct {
	net.Conn
	set      *connSet
	counters *counters
	received atomic.Uint64 // bytes read; tells a silent connection from a live one
	once     sync.Once
	closeErr error
}

// Read implements net.Conn.
func (c *trackedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.received.Add(uint64(n))
	c.counters.bytesRead.Add(uint64(n))
	return n, err
}

// Write implements net.Conn.
func (c *trackedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.counters.bytesWritten.Add(uint64(n))
	return n, err
}

// Close implements net.Conn. Only the first call closes; the others return its error.
func (c *trackedConn) Close() error {
	c.once.Do(func() {
		c.closeErr = c.Conn.Close()
		c.set.remove(c)
	})
	return c.closeErr
}

// errTooManyConns: the limit of accepted connections is reached.
var errTooManyConns = errors.New("too many connections")

// connSet holds every open connection of a Link, so that Close reaches those that Raft owns too.
type connSet struct {
	mu       sync.Mutex
	conns    map[*trackedConn]bool // value: accepted here
	accepted int
	max      int // of accepted ones
	closed   bool
}

// add starts tracking conn. After an error the caller closes conn itself.
func (s *connSet) add(conn net.Conn, accepted bool, n *counters) (*trackedConn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	if accepted && s.accepted >= s.max {
		return nil, errTooManyConns
	}
	t := &trackedConn{Conn: conn, set: s, counters: n}
	s.conns[t] = accepted
	if accepted {
		s.accepted++
	}
	n.connections.Add(1)
	return t, nil
}

func (s *connSet) remove(t *trackedConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns[t] {
		s.accepted--
	}
	delete(s.conns, t)
	t.counters.connections.Add(-1)
}

// closeAll closes every connection and lets no further one in.
func (s *connSet) closeAll() {
	s.mu.Lock()
	s.closed = true
	open := make([]*trackedConn, 0, len(s.conns))
	for t := range s.conns {
		open = append(open, t)
	}
	s.mu.Unlock()
	for _, t := range open {
		t.Close() // an error of a connection that is given up tells nobody anything
	}
}
