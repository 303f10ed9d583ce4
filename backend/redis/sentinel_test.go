package redis_test

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/backend/redis"
	"github.com/hydrastore/hydrastore/backend/redis/redistest"
	"github.com/hydrastore/hydrastore/session"
)

func startGuarded(t *testing.T, o redistest.GuardedOptions) *redistest.Guarded {
	t.Helper()
	need(t)
	g, err := redistest.StartGuarded(t.Context(), filepath.Join(t.TempDir(), "guarded"), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Stop)
	return g
}

func guarded(g *redistest.Guarded) redis.Config {
	return quick(redis.Config{Sentinel: redis.Sentinel{Master: redistest.MasterName, Addresses: g.Addresses()}, Timeout: 5 * time.Second, DialTimeout: 5 * time.Second})
}

// TestSentinelFailover: when the master dies, the replica takes its place and the store goes on there with all that the replica had. Here all speak TLS, and
// certificates are verified.
func TestSentinelFailover(t *testing.T) {
	t.Parallel()
	g := startGuarded(t, redistest.GuardedOptions{TLS: true})
	c := guarded(g)
	c.User, c.Password = redistest.User, redistest.Password
	c.TLS = trusting(t, g.Master)
	s := open(t, c)
	awaitReady(t, s)
	version := put(t, s, "ada", "one", "")
	replica := open(t, redis.Config{Address: g.Replicas[0].Address(), TLS: c.TLS})
	eventually(t, "the replica has it", func() bool { return get(t, replica, "ada").Version == version })

	g.Master.Stop()
	eventually(t, "the store goes on at the replica", func() bool {
		next, err := s.Put(t.Context(), user("ada"), []byte("two"), version, time.Time{})
		if err == nil {
			version = next
		}
		return err == nil
	})
	if r := get(t, replica, "ada"); string(r.Value) != "two" || r.Version != version {
		t.Errorf("at the former replica: %+v, want version %q", r, version)
	}
	awaitReady(t, s)
}

func trusting(t *testing.T, s *redistest.Server) *tls.Config {
	t.Helper()
	pem, err := os.ReadFile(s.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}

// TestSentinelsAreVerified: neither Sentinels nor their master are believed without a certificate of the right authority, and neither is spoken to in the
// clear.
func TestSentinelsAreVerified(t *testing.T) {
	t.Parallel()
	right, other := startGuarded(t, redistest.GuardedOptions{TLS: true}), startServer(t, redistest.Options{TLS: true})
	plain := startServer(t, redistest.Options{})
	for what, spoil := range map[string]func(*redis.Config){
		"Sentinels of another authority": func(c *redis.Config) { c.TLS = trusting(t, other) },
		"no authority":                   func(c *redis.Config) { c.TLS = &tls.Config{MinVersion: tls.VersionTLS12} },
		"no TLS":                         func(c *redis.Config) { c.TLS = nil },
		"a Sentinel in the clear":        func(c *redis.Config) { c.Sentinel.Addresses, c.DialTimeout = []string{plain.Address()}, time.Second },
	} {
		c := guarded(right)
		c.TLS = trusting(t, right.Master)
		spoil(&c)
		s := open(t, c)
		_, err := s.Get(t.Context(), user("ada"))
		wantCode(t, what, err, session.CodeUnavailable)
		wantCode(t, what+", ready", s.Ready(), session.CodeUnavailable)
	}

	// Sentinels that are right name a master whose certificate is of another authority.
	c := guarded(right)
	c.TLS = trusting(t, right.Master)
	awaitReady(t, open(t, c))
	if err := right.Monitor(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	_, err := open(t, c).Get(t.Context(), user("ada"))
	wantCode(t, "at a master of another authority", err, session.CodeUnavailable)
}

// TestFailoversLoseNothing: with a replica that is waited for, the master is killed right after an answer again and again, under load, and no log-in and no
// log-out that was acknowledged comes undone; not even when the replica was silent before.
func TestFailoversLoseNothing(t *testing.T) {
	t.Parallel()
	g := startGuarded(t, redistest.GuardedOptions{})
	c := guarded(g)
	c.WaitReplicas, c.Timeout = 1, 500*time.Millisecond
	l := startLedger(t, c)
	for round := range 2 {
		l.await(t, "load", &l.logouts, 20)
		master, replicas := g.Roles(t.Context())
		if master == nil {
			t.Fatal("the Sentinels do not agree on a master")
		}
		replica := replicas[0]
		silent := round == 0
		if silent {
			pause(t, replica)
			l.await(t, "calls that are not acknowledged", &l.refused, 2)
		} else {
			l.await(t, "the last answer", &l.logouts, 1)
		}
		master.Stop()
		if silent {
			restart(t, replica) // what has reached it and was not read is gone
		}
		awaitFailover(t, g, replica)
		if err := master.Follow(replica); err != nil {
			t.Fatal(err)
		}
		if err := master.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := g.Await(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	l.await(t, "load after all", &l.logouts, 20)
	l.wantOrder(t)
}

// TestFailoverWithAReplicaToSpare: where there is one replica more than is waited for, service goes on when the master is killed, with all that was
// acknowledged and without the killed one.
func TestFailoverWithAReplicaToSpare(t *testing.T) {
	t.Parallel()
	g := startGuarded(t, redistest.GuardedOptions{Replicas: 2})
	c := guarded(g)
	c.WaitReplicas, c.Timeout = 1, 500*time.Millisecond
	l := startLedger(t, c)
	l.await(t, "load", &l.logouts, 20)
	g.Master.Stop()
	l.await(t, "calls that are not acknowledged", &l.refused, 1)
	eventually(t, "a replica takes the master's place", func() bool {
		master, _ := g.Roles(t.Context())
		return master != nil && master != g.Master
	})
	l.await(t, "load after all", &l.logouts, 20)
	l.wantOrder(t)
}

// TestFailoverLosesWithoutWaiting shows that the test before can fail: what a silent replica did not have is lost, when nobody waits for it.
func TestFailoverLosesWithoutWaiting(t *testing.T) {
	t.Parallel()
	g := startGuarded(t, redistest.GuardedOptions{})
	l := startLedger(t, guarded(g))
	l.await(t, "load", &l.logouts, 20)
	pause(t, g.Replicas[0])
	l.await(t, "acknowledged without the replica", &l.logouts, 20)
	g.Master.Stop()
	restart(t, g.Replicas[0])
	awaitFailover(t, g, g.Replicas[0])
	l.await(t, "load after all", &l.logouts, 20)
	l.stop()
	if logins, logouts := l.lost(t); logins == 0 || logouts == 0 {
		t.Errorf("%d of %d log-ins and %d of %d log-outs are lost: the replica was not behind", logins, l.logins.Load(), logouts, l.logouts.Load())
	}
}

func pause(t *testing.T, s *redistest.Server) {
	t.Helper()
	if err := s.Pause(); err != nil {
		t.Fatal(err)
	}
}

func restart(t *testing.T, s *redistest.Server) {
	t.Helper()
	s.Stop()
	if err := s.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func awaitFailover(t *testing.T, g *redistest.Guarded, to *redistest.Server) {
	t.Helper()
	eventually(t, "the replica takes the master's place", func() bool { master, _ := g.Roles(t.Context()); return master == to })
}

// TestFailoverIsWarnedOf at each start, as long as nobody waits for replicas.
func TestFailoverIsWarnedOf(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]redis.Config{
		"Sentinels": {Sentinel: redis.Sentinel{Master: "m", Addresses: []string{"127.0.0.1:1"}}},
		"a cluster": {Cluster: []string{"127.0.0.1:1"}},
		"replicas":  {Cluster: []string{"127.0.0.1:1"}, WaitReplicas: 1},
		"a server":  {Address: "127.0.0.1:1"},
	} {
		log := &lines{}
		c.Logger = log.logger()
		open(t, c)
		if got, want := strings.Contains(log.String(), "tokenizer.wait_replicas"), what == "Sentinels" || what == "a cluster"; got != want {
			t.Errorf("%s: warned %v, want %v: %s", what, got, want, log)
		}
	}
}
