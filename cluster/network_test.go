package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// network stands between the nodes of one test and cuts the ways between them.
type network struct {
	mu    sync.Mutex
	cut   map[[2]string]bool // from, to
	held  map[string]bool    // from
	conns map[*conn]bool
}

func newNetwork() *network {
	return &network{cut: map[[2]string]bool{}, held: map[string]bool{}, conns: map[*conn]bool{}}
}

// conn is a connection that the network can end, and whose answers it can hold
// back.
type conn struct {
	net.Conn
	net      *network
	from, to string

	mu      sync.Mutex
	changed *sync.Cond
	held    bool
	passed  int // bytes of waiting that may be read although held
	waiting []byte
	err     error
	until   time.Time // read deadline
}

// SetDeadline sets both deadlines; that of reads is kept here, since the inner
// connection is read all the time.
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until = t
	if !t.IsZero() {
		time.AfterFunc(time.Until(t), c.changed.Broadcast)
	}
	c.changed.Broadcast()
	return nil
}

// fill reads from the connection for as long as it lasts.
func (c *conn) fill() {
	buf := make([]byte, 32<<10)
	for {
		n, err := c.Conn.Read(buf)
		c.mu.Lock()
		c.waiting = append(c.waiting, buf[:n]...)
		c.err = err
		c.changed.Broadcast()
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (c *conn) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		ready := len(c.waiting)
		if c.held {
			ready = c.passed
		}
		if n := min(ready, len(p)); n > 0 {
			copy(p, c.waiting[:n])
			c.waiting = c.waiting[n:]
			c.passed = max(0, c.passed-n)
			return n, nil
		}
		if c.err != nil && (c.held || len(c.waiting) == 0) {
			return 0, c.err
		}
		if !c.until.IsZero() && !time.Now().Before(c.until) {
			return 0, os.ErrDeadlineExceeded
		}
		c.changed.Wait()
	}
}

// hold holds the answers back from now on, or lets through those that have come
// so far (still holding later ones), or all.
func (c *conn) hold(held, pass bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held, c.passed = held, 0
	if pass {
		c.passed = len(c.waiting)
	}
	c.changed.Broadcast()
}

func (c *conn) Close() error {
	c.net.mu.Lock()
	delete(c.net.conns, c)
	c.net.mu.Unlock()
	return c.Conn.Close()
}

func (w *network) dialer(self *atomic.Pointer[string]) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, to string) (net.Conn, error) {
		from := *self.Load()
		if w.isCut(from, to) {
			return nil, fmt.Errorf("cut: %s to %s", from, to)
		}
		var d net.Dialer
		inner, err := d.DialContext(ctx, "tcp", to)
		if err != nil {
			return nil, err
		}
		c := &conn{Conn: inner, net: w, from: from, to: to}
		c.changed = sync.NewCond(&c.mu)
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.cuts(from, to) { // while it was dialled
			inner.Close()
			return nil, fmt.Errorf("cut: %s to %s", from, to)
		}
		c.held = w.held[from]
		w.conns[c] = true
		go c.fill()
		return c, nil
	}
}

func (w *network) isCut(from, to string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cuts(from, to)
}

// cuts reports whether the way is cut. w.mu is held.
func (w *network) cuts(from, to string) bool {
	return w.cut[[2]string{from, to}] || w.cut[[2]string{from, "*"}] || w.cut[[2]string{to, "*"}]
}

// part cuts all ways between the two groups.
func (w *network) part(a, b []*node) {
	w.mu.Lock()
	for _, x := range a {
		for _, y := range b {
			w.cut[[2]string{x.cfg.PeerListen, y.cfg.PeerListen}] = true
			w.cut[[2]string{y.cfg.PeerListen, x.cfg.PeerListen}] = true
		}
	}
	w.mu.Unlock()
	w.endCut()
}

// hold holds back all answers to n, from now on.
func (w *network) hold(n *node) { w.holdConns(n, true, false) }

// release lets the answers that have come so far through to n, and no later ones.
func (w *network) release(n *node) { w.holdConns(n, true, true) }

// releaseAll takes the hold back.
func (w *network) releaseAll(n *node) { w.holdConns(n, false, false) }

func (w *network) holdConns(n *node, held, pass bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held[n.cfg.PeerListen] = held
	for c := range w.conns {
		if c.from == n.cfg.PeerListen {
			c.hold(held, pass)
		}
	}
}

// oneWay cuts the ways from the nodes to n, and leaves those from n to them.
func (w *network) oneWay(from []*node, n *node) {
	w.mu.Lock()
	for _, f := range from {
		w.cut[[2]string{f.cfg.PeerListen, n.cfg.PeerListen}] = true
	}
	w.mu.Unlock()
	w.endCut()
}

// endCut ends the connections whose way is cut.
func (w *network) endCut() {
	w.mu.Lock()
	var ended []*conn
	for c := range w.conns {
		if w.cut[[2]string{c.from, c.to}] {
			ended = append(ended, c)
		}
	}
	w.mu.Unlock()
	for _, c := range ended {
		c.Close()
	}
}

// isolate cuts n off from everyone.
func (w *network) isolate(n *node) {
	addr := n.cfg.PeerListen
	w.mu.Lock()
	w.cut[[2]string{addr, "*"}] = true
	var ended []*conn
	for c := range w.conns {
		if c.from == addr || c.to == addr {
			ended = append(ended, c)
		}
	}
	w.mu.Unlock()
	for _, c := range ended {
		c.Close()
	}
}

// heal takes back all cuts of n, or all cuts if n is nil.
func (w *network) heal(n *node) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n == nil {
		clear(w.cut)
		return
	}
	for way := range w.cut {
		if strings.Contains(way[0]+way[1], n.cfg.PeerListen) {
			delete(w.cut, way)
		}
	}
}
