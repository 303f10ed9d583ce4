package ownsessions_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/backend/backendtest"
	"github.com/hydrastore/hydrastore/backend/local"
	"github.com/hydrastore/hydrastore/cmd/internal/ownsessions"
	"github.com/hydrastore/hydrastore/e2e/atonce"
	"github.com/hydrastore/hydrastore/e2e/freeport"
	"github.com/hydrastore/hydrastore/e2e/leftover"
	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/session"
)

func TestMain(m *testing.M) {
	atonce.Run(4)
	os.Exit(leftover.Verify(m))
}

const patience = 60 * time.Second

var ports = freeport.New()

// clock is one that all nodes of a cluster have.
type clock struct {
	begun  time.Time
	passed atomic.Int64
	wrong  atomic.Int64 // how far the time of day is ahead
}

func (c *clock) Wall() time.Time { return c.begun.Add(c.Monotonic() + time.Duration(c.wrong.Load())) }
func (c *clock) Monotonic() time.Duration {
	return time.Since(c.begun) + time.Duration(c.passed.Load())
}
func (c *clock) advance(d time.Duration) { c.passed.Add(int64(d)) }

// member is a node with its own sessions, and what it is started with again.
type member struct {
	*ownsessions.Service
	t       *testing.T
	config  node.Config
	dir     string
	fatal   chan error
	running bool
	store   func(ownsessions.Counter) ownsessions.Counter // lays something over its store, and then nothing sweeps; nil = nothing
}

// cheap are the costs of passwords in tests.
func cheap() auth.Params { return auth.Params{MemoryKiB: 64, Iterations: 1, Parallelism: 1} }

// newMembers are nodes of one cluster that are not started.
func newMembers(t *testing.T, n int, clock node.Clock, changes ...func(*node.Config)) []*member {
	t.Helper()
	var addresses []string
	for range n {
		address, err := ports.Address()
		if err != nil {
			t.Fatal(err)
		}
		addresses = append(addresses, address)
	}
	var all []*member
	for _, address := range addresses {
		c := node.DefaultConfig()
		c.Cluster.Dir, c.Cluster.PeerListen, c.Cluster.GossipListen = t.TempDir(), address, "127.0.0.1:0"
		c.Cluster.Join, c.Cluster.BootstrapExpect = addresses, n
		if n > 1 {
			c.Cluster.ElectionTimeout = 2 * time.Second // nothing here judges time
		}
		c.AdminPassword = backendtest.AdminPassword
		c.Hashing.Params = cheap()
		c.Sealing = auth.Sealing{Password: backendtest.SafePassword, Params: cheap()}
		c.Clock = clock
		c.RequestTimeout = patience // no request fails because a busy machine elects again
		c.Logger = slog.New(slog.DiscardHandler)
		if os.Getenv("OWNSESSIONS_TEST_LOG") != "" {
			c.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil)).With("peer", address)
		}
		c.SessionsAtNode = true
		for _, change := range changes {
			change(&c)
		}
		all = append(all, &member{t: t, config: c, dir: t.TempDir(), fatal: make(chan error, 2)})
	}
	return all
}

// start starts a member, again if it was stopped.
func (m *member) start() {
	m.t.Helper()
	c := m.config
	fatal := func(err error) { m.fatal <- err }
	c.Fatal = fatal
	n, err := node.New(c)
	if err != nil {
		m.t.Fatal(err)
	}
	var store ownsessions.Counter
	if store, err = local.Open(local.Config{Path: filepath.Join(m.dir, "own-sessions")}); err != nil {
		m.t.Fatal(err)
	}
	if m.store != nil {
		store = m.store(store)
	}
	b := backendtest.Config(m.t)
	b.Fatal, b.Logger, b.RequestTimeout = fatal, c.Logger, c.RequestTimeout
	if m.store != nil {
		b.SweepInterval = time.Hour
	}
	if m.Service, err = ownsessions.New(n, b, store); err != nil {
		m.t.Fatal(err)
	}
	if err := m.Start(m.t.Context()); err != nil {
		m.t.Fatal(err)
	}
	m.running = true
	m.t.Cleanup(m.stop)
}

// stop ends a member without a goodbye to the others.
func (m *member) stop() {
	if !m.running {
		return
	}
	m.running = false
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := m.Shutdown(ctx); err != nil {
		m.t.Logf("stop: %v", err)
	}
}

// stopTogether ends members side by side: the last ones of several would first look for others to lead them.
func stopTogether(all []*member) {
	var work sync.WaitGroup
	for _, m := range all {
		work.Go(m.stop)
	}
	work.Wait()
}

// startCluster starts nodes of one cluster and waits until they are ready.
func startCluster(t *testing.T, n int, clock node.Clock, changes ...func(*node.Config)) []*member {
	t.Helper()
	all := newMembers(t, n, clock, changes...)
	for _, m := range all {
		m.start()
	}
	for _, m := range all {
		m.awaitReady()
	}
	t.Cleanup(func() {
		stopTogether(all)
		for _, m := range all {
			select {
			case err := <-m.fatal:
				t.Errorf("a node cannot go on: %v", err)
			default:
			}
		}
	})
	return all
}

func (m *member) awaitReady() {
	m.t.Helper()
	eventually(m.t, "ready", func() error { return m.Ready(false) })
}

// eventually waits until fact gives no error.
func eventually(t *testing.T, what string, fact func() error) {
	t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(patience); ; <-ticker.C {
		err := fact()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not %s within %v: %v", what, patience, err)
		}
	}
}

var _ session.Service = (*member)(nil)
