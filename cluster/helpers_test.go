package cluster_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/cluster"
	"github.com/hydrastore/hydrastore/cluster/storage"
	"github.com/hydrastore/hydrastore/e2e/freeport"
)

// patience bounds every wait of these tests for something that must happen.
const patience = time.Minute

// eventually polls until ok, and fails the test with what it waited for else.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("not within %v: %s", patience, what)
}

// register is the replicated state of these tests: a list of numbers, of which a
// command appends one.
type register struct {
	mu     sync.Mutex
	values []uint64
	index  uint64
	epochs []uint64
}

func (r *register) Apply(entries []cluster.Entry) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range entries {
		if e.Index <= r.index {
			return fmt.Errorf("index went from %d to %d", r.index, e.Index)
		}
		if len(e.Data) < 8 {
			return fmt.Errorf("poison at %d", e.Index)
		}
		r.index = e.Index
		r.values = append(r.values, binary.BigEndian.Uint64(e.Data))
	}
	return nil
}

func (r *register) Established(l cluster.Leadership) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.epochs = append(r.epochs, l.Epoch)
}

func (r *register) Snapshot() (cluster.Snapshot, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return frozen(append([]uint64(nil), r.values...)), nil
}

func (r *register) Restore(in io.Reader, index, _ uint64) error {
	raw, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.values, r.index = nil, index
	for ; len(raw) >= 8; raw = raw[8:] {
		r.values = append(r.values, binary.BigEndian.Uint64(raw))
	}
	return nil
}

func (r *register) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.values)
}

func (r *register) last() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.values) == 0 {
		return 0
	}
	return r.values[len(r.values)-1]
}

func (r *register) has(v uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, x := range r.values {
		if x == v {
			return true
		}
	}
	return false
}

type frozen []uint64

func (f frozen) WriteTo(w io.Writer) (int64, error) {
	var out []byte
	for _, v := range f {
		out = binary.BigEndian.AppendUint64(out, v)
	}
	n, err := w.Write(out)
	return int64(n), err
}

func (frozen) Release() {}

func number(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }

// node is a Cluster with its state and its place, which it can be started at
// again.
type node struct {
	*cluster.Cluster
	t    *testing.T
	cfg  cluster.Config
	sm   *register
	net  *network
	disk storage.Faults // may be nil
	dead bool
}

// closeFailed closes a node whose disk has failed: it ends with that error.
func (n *node) closeFailed() {
	n.t.Helper()
	n.dead = true
	if err := n.Shutdown(n.t.Context()); !errors.Is(err, storage.ErrFailed) {
		n.t.Errorf("shutdown on a failed disk: %v, want storage.ErrFailed", err)
	}
}

// testConfig returns a configuration for a node on loopback.
func testConfig(t testing.TB) cluster.Config {
	cfg := cluster.DefaultConfig()
	cfg.Dir = t.TempDir()
	cfg.PeerListen, cfg.GossipListen = "127.0.0.1:0", "127.0.0.1:0"
	cfg.ElectionTimeout = electionTimeout
	cfg.PromoteAfter = time.Second
	cfg.WriteTimeout = 10 * patience // a slow disk fails no test
	cfg.TrailingBytes = 1            // as little as the store allows: followers that were away get a snapshot
	cfg.APIAddress = "127.0.0.1:8700"
	cfg.FormatLevel = 1
	cfg.Logger = testLogger(t)
	cfg.Fatal = func(err error) { t.Errorf("fatal: %v", err) }
	return cfg
}

func testLogger(t testing.TB) *slog.Logger {
	if os.Getenv("CLUSTER_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("test", t.Name())
}

// open opens a node without starting it.
func open(t *testing.T, net *network, cfg cluster.Config) *node {
	t.Helper()
	n := &node{t: t, cfg: cfg, sm: new(register), net: net}
	n.reopen()
	t.Cleanup(func() { n.kill() })
	return n
}

// reopen opens the node again on its data, at its address, with an empty state.
func (n *node) reopen() {
	n.t.Helper()
	n.sm = new(register)
	cfg := n.cfg
	cfg.Faults = &cluster.Faults{Disk: n.disk}
	var self atomic.Pointer[string] // the address of this life of the node
	if n.net != nil {
		cfg.Faults.Dial = n.net.dialer(&self)
	}
	c, err := cluster.Open(cfg, n.sm)
	if err != nil {
		n.t.Fatalf("open: %v", err)
	}
	n.Cluster, n.dead = c, false
	n.cfg.PeerListen = c.PeerAddress()
	addr := c.PeerAddress()
	self.Store(&addr)
}

// start starts the node.
func (n *node) start() *node {
	n.t.Helper()
	if err := n.Start(n.t.Context()); err != nil {
		n.t.Fatalf("start: %v", err)
	}
	return n
}

// kill ends the node without any goodbye.
func (n *node) kill() {
	n.t.Helper()
	if n.dead {
		return
	}
	n.dead = true
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if n.net != nil {
		n.net.isolate(n)
		defer n.net.heal(n)
	}
	if err := n.Shutdown(ctx); err != nil {
		n.t.Errorf("shutdown of %s: %v", n.NodeID(), err)
	}
}

// trio returns three nodes that know of each other and have not been started.
func trio(t *testing.T, net *network) []*node {
	t.Helper()
	return several(t, net, 3)
}

// several returns n nodes that expect each other.
func several(t *testing.T, net *network, n int) []*node {
	t.Helper()
	var nodes []*node
	var addrs []string
	for range n {
		addr := freeAddress(t)
		addrs = append(addrs, addr)
	}
	for i := range n {
		cfg := testConfig(t)
		cfg.PeerListen, cfg.Join, cfg.BootstrapExpect = addrs[i], addrs, n
		cfg.Name = fmt.Sprintf("n%d", i+1)
		nodes = append(nodes, open(t, net, cfg))
	}
	return nodes
}

// born returns a running cluster of three.
func born(t *testing.T, net *network) []*node {
	t.Helper()
	nodes := trio(t, net)
	for _, n := range nodes {
		n.start()
	}
	leaderOf(t, nodes...)
	settled(t, nodes...)
	return nodes
}

// settled waits until all nodes know all members with their records.
func settled(t *testing.T, nodes ...*node) {
	t.Helper()
	eventually(t, "all members known everywhere", func() bool {
		for _, n := range nodes {
			known := 0
			for _, m := range n.Members() {
				if m.FormatLevel > 0 {
					known++
				}
			}
			if known < len(nodes) {
				return false
			}
		}
		return true
	})
}

// refuses asks until the leader refuses with want: while there is none, asking fails otherwise.
func refuses(t *testing.T, what string, want error, ask func() error) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s: %v", what, want), func() bool {
		err := ask()
		if err == nil {
			t.Fatalf("%s: done, want %v", what, want)
		}
		return errors.Is(err, want)
	})
}

// succeeds asks until it does: while there is no leader, asking fails.
func succeeds(t *testing.T, what string, ask func() error) {
	t.Helper()
	eventually(t, what, func() bool {
		err := ask()
		if err != nil {
			t.Logf("%s: %v", what, err)
		}
		return err == nil
	})
}

// leaderOf waits for the one node that leads.
func leaderOf(t *testing.T, nodes ...*node) *node {
	t.Helper()
	var leader *node
	eventually(t, "a leader", func() bool {
		for _, n := range nodes {
			if n.dead {
				continue
			}
			if _, ok := n.Leading(); ok {
				leader = n
				return true
			}
		}
		return false
	})
	return leader
}

// write proposes v at whichever node leads, until it is applied there.
func write(t *testing.T, v uint64, nodes ...*node) uint64 {
	t.Helper()
	var index uint64
	eventually(t, fmt.Sprintf("%d written", v), func() bool {
		p := leaderOf(t, nodes...).Propose(number(v))
		select {
		case <-p.Done():
		case <-time.After(patience):
			return false
		}
		index = p.Index()
		return p.Err() == nil
	})
	return index
}

// others returns nodes without n.
func others(nodes []*node, n *node) []*node {
	var out []*node
	for _, o := range nodes {
		if o != n {
			out = append(out, o)
		}
	}
	return out
}

// ports deals out the ports of this package's tests.
var ports = freeport.New()

func freeAddress(t testing.TB) string {
	t.Helper()
	address, err := ports.Address()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

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
