package link

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// bulkBytes divides the calls to a peer between two connections, so that a vote or a read index never waits behind the
// bytes of a large batch.
const bulkBytes = 16 << 10

// maxLanes is the number of remembered lanes from which on those without a connection are dropped.
const maxLanes = 1024

// laneKey names a connection that may be shared: calls that expect different nodes never share one.
type laneKey struct {
	to      Peer
	purpose Purpose
	bulk    bool
}

// lane keeps at most one connection, and makes it with at most one dial at a time.
type lane struct {
	link *Link
	key  laneKey

	mu       sync.Mutex
	conn     *caller
	attempt  *attempt  // under way
	failure  error     // of the last attempt
	failedAt time.Time // zero = it did not fail
}

// attempt is one dial that all callers of the lane wait for together.
type attempt struct {
	done chan struct{} // closed when conn and err are set
	conn *caller
	err  error
}

// laneFor returns the lane for a call of so many bytes.
func (l *Link) laneFor(key laneKey) *lane {
	l.lanesMu.Lock()
	defer l.lanesMu.Unlock()
	if n := l.lanes[key]; n != nil {
		return n
	}
	if len(l.lanes) >= maxLanes {
		l.dropUnusedLanes()
	}
	n := &lane{link: l, key: key}
	l.lanes[key] = n
	return n
}

// dropUnusedLanes forgets addresses that nobody is connected to. lanesMu is held.
func (l *Link) dropUnusedLanes() {
	for key, n := range l.lanes {
		if n.unused() {
			delete(l.lanes, key)
		}
	}
}

func (n *lane) unused() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.conn == nil && n.attempt == nil
}

// get returns a live connection, waiting for a dial if need be. Just after a failed dial it fails at once with the same error.
func (n *lane) get(ctx context.Context) (*caller, error) {
	n.mu.Lock()
	if n.conn != nil && n.conn.alive() {
		defer n.mu.Unlock()
		return n.conn, nil
	}
	if n.attempt == nil {
		if !n.failedAt.IsZero() && time.Since(n.failedAt) < n.link.cfg.DialBackoff {
			defer n.mu.Unlock()
			return nil, n.failure
		}
		n.attempt = &attempt{done: make(chan struct{})}
		if err := n.link.spawn(n.dial); err != nil {
			n.attempt = nil
			n.mu.Unlock()
			return nil, err
		}
	}
	a := n.attempt
	n.mu.Unlock()
	select {
	case <-a.done:
		return a.conn, a.err
	case <-ctx.Done():
		return nil, fmt.Errorf("dial %s: %w", n.key.to.Addr, ctx.Err())
	}
}

// dial makes the lane's connection. It runs on its own time, because the caller that began it may give up before the others.
func (n *lane) dial() {
	conn, err := n.link.dialCaller(n.link.ctx, n.key)
	n.mu.Lock()
	defer n.mu.Unlock()
	a := n.attempt
	n.attempt = nil
	a.conn, a.err = conn, err
	n.failure, n.failedAt = err, time.Time{}
	if err != nil {
		n.failedAt = time.Now()
	} else {
		n.conn = conn
		conn.start(func() { n.drop(conn) })
	}
	close(a.done)
}

// drop forgets a connection that ended.
func (n *lane) drop(conn *caller) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.conn == conn {
		n.conn = nil
	}
}

// dialCaller connects, shakes hands and prepares the connection for calls.
func (l *Link) dialCaller(ctx context.Context, key laneKey) (*caller, error) {
	c, err := l.connect(ctx, key.to, key.purpose, l.cfg.DialTimeout)
	if err != nil {
		return nil, err
	}
	return newCaller(l, newWire(c.conn, c.tracked), c.remote), nil
}
