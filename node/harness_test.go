package node_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/cluster"
	"github.com/hydrastore/hydrastore/e2e/freeport"
	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/session"
)

const (
	adminPassword = "correct-horse-battery"
	patience      = time.Minute // bound of every wait; a good run needs far less
)

// cheapHashing keeps password checks out of the way of what is tested.
var cheapHashing = auth.Config{Params: auth.Params{MemoryKiB: 64, Iterations: 1, Parallelism: 1}}

// trio is a cluster of nodes in one process, on real sockets and real disks.
type trio struct {
	t      *testing.T
	nodes  []*node.Node
	clocks []*fakeClock
	nets   *wires
	setup  func(i int, c *node.Config)
	dirs   []string
	addrs  []string
}

// startTrio starts n nodes that find each other. setup may change each node's configuration.
func startTrio(t *testing.T, n int, setup func(i int, c *node.Config)) *trio {
	t.Helper()
	c := &trio{t: t, nets: newWires(), setup: setup}
	for range n {
		c.addrs = append(c.addrs, freeAddress(t))
		c.dirs = append(c.dirs, t.TempDir())
		c.clocks = append(c.clocks, newFakeClock())
		c.nodes = append(c.nodes, nil)
	}
	for i := range n {
		c.start(i)
	}
	t.Cleanup(func() {
		for i := range c.nodes {
			c.stop(i)
		}
	})
	for i := range n {
		c.awaitReady(i)
	}
	return c
}

func (c *trio) start(i int) {
	c.t.Helper()
	config := node.DefaultConfig()
	config.Cluster.Dir = c.dirs[i]
	config.Cluster.Name = "n" + strconv.Itoa(i+1)
	config.Cluster.PeerListen = c.addrs[i]
	config.Cluster.GossipListen = "127.0.0.1:0"
	config.Cluster.Join = c.addrs
	config.Cluster.BootstrapExpect = len(c.addrs)
	config.Cluster.ElectionTimeout = electionTimeout
	config.Cluster.WriteTimeout = 10 * patience // a slow disk fails no test
	config.Cluster.Faults = &cluster.Faults{Dial: c.nets.dialer(i, c.addrs)}
	config.AdminPassword = adminPassword
	config.Hashing = cheapHashing
	config.Clock = c.clocks[i]
	config.Logger = testLogger(c.t, config.Cluster.Name)
	config.RequestTimeout = patience // no request fails because a busy machine elects again: tests of refusals have their own
	config.Fatal = func(err error) { c.t.Errorf("node %d failed: %v", i+1, err) }
	if c.setup != nil {
		c.setup(i, &config)
	}
	n, err := node.New(config)
	if err != nil {
		c.t.Fatalf("node %d: %v", i+1, err)
	}
	if err := n.Start(c.t.Context()); err != nil {
		c.t.Fatalf("start node %d: %v", i+1, err)
	}
	c.nodes[i] = n
}

// stop ends node i gracefully; a stopped one stays stopped.
func (c *trio) stop(i int) {
	if c.nodes[i] == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.nodes[i].Shutdown(ctx); err != nil {
		c.t.Logf("stop node %d: %v", i+1, err)
	}
	c.nodes[i] = nil
}

func (c *trio) awaitReady(i int) {
	c.t.Helper()
	eventually(c.t, "node "+strconv.Itoa(i+1)+" is ready", func() error { return c.nodes[i].Ready(false) })
}

// leader waits for a node that leads among those running and returns its place.
func (c *trio) leader() int {
	c.t.Helper()
	found := -1
	eventually(c.t, "a leader", func() error {
		for i, n := range c.nodes {
			if n == nil {
				continue
			}
			s, err := n.ClusterStatus(c.t.Context(), session.Call{Operator: true})
			if err == nil && s.LeaderID == s.NodeID {
				found = i
				return nil
			}
		}
		return errors.New("no node leads")
	})
	return found
}

// isolate cuts node i off from all others, heal joins it again.
func (c *trio) isolate(i int) {
	for j := range c.nodes {
		if j != i {
			c.nets.cut(i, j)
		}
	}
}

func (c *trio) heal() { c.nets.heal() }

// admin logs the admin in at node i.
func (c *trio) admin(i int) session.Call {
	c.t.Helper()
	return c.login(i, "admin", adminPassword)
}

// login returns a call with the key of a fresh session.
func (c *trio) login(i int, user, password string) session.Call {
	c.t.Helper()
	var issued session.Issued
	eventually(c.t, "log-in of "+user, func() (err error) {
		issued, err = c.nodes[i].Login(c.t.Context(), from("192.0.2.1"), session.Login{User: user, Password: password})
		return err
	})
	return session.Call{Key: issued.Key, Address: netip.MustParseAddr("192.0.2.1")}
}

// service makes a user with role service and logs it in at node i.
func (c *trio) service(i int) session.Call {
	c.t.Helper()
	_, err := c.nodes[i].CreateUser(c.t.Context(), c.admin(i), session.NewUser{
		Name: "app", Password: "service-password", Roles: []session.Role{session.RoleService},
	})
	if err != nil && session.CodeOf(err) != session.CodeExists {
		c.t.Fatalf("create service user: %v", err)
	}
	return c.login(i, "app", "service-password")
}

func from(address string) session.Call {
	return session.Call{Address: netip.MustParseAddr(address)}
}

func with(k session.Key) session.Call {
	return session.Call{Key: k, Address: netip.MustParseAddr("192.0.2.1")}
}

// eventually asks again until there is no error, at most for patience.
func eventually(t *testing.T, what string, ask func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		err := ask()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s: %v", patience, what, err)
		}
		time.Sleep(pause)
	}
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

// testLogger writes a node's log into a file that is printed when the test fails.
func testLogger(t *testing.T, name string) *slog.Logger {
	t.Helper()
	file, err := os.OpenFile(filepath.Join(t.TempDir(), name+".log"), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		defer file.Close()
		if t.Failed() && testing.Verbose() {
			text, _ := os.ReadFile(file.Name())
			t.Logf("log of %s:\n%s", name, text[max(0, len(text)-20_000):])
		}
	})
	return slog.New(slog.NewTextHandler(file, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// wires is the network between the nodes of a test: connections that can be cut.
type wires struct {
	mu    sync.Mutex
	cuts  map[[2]int]bool
	conns map[[2]int]map[net.Conn]struct{}
}

func newWires() *wires {
	return &wires{cuts: map[[2]int]bool{}, conns: map[[2]int]map[net.Conn]struct{}{}}
}

func pair(a, b int) [2]int { return [2]int{min(a, b), max(a, b)} }

// dialer opens the connections of node src.
func (w *wires) dialer(src int, addrs []string) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, addr string) (net.Conn, error) {
		dst := -1
		for i, a := range addrs {
			if a == addr {
				dst = i
			}
		}
		p := pair(src, dst)
		w.mu.Lock()
		cut := w.cuts[p]
		w.mu.Unlock()
		if cut {
			return nil, errors.New("the test has cut this connection")
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		if err != nil {
			return nil, err
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.cuts[p] {
			conn.Close()
			return nil, errors.New("the test has cut this connection")
		}
		if w.conns[p] == nil {
			w.conns[p] = map[net.Conn]struct{}{}
		}
		w.conns[p][conn] = struct{}{}
		return conn, nil
	}
}

func (w *wires) cut(a, b int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := pair(a, b)
	w.cuts[p] = true
	for conn := range w.conns[p] {
		conn.Close()
	}
	delete(w.conns, p)
}

func (w *wires) heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.cuts)
}
