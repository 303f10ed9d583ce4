package e2e_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/backend/redis/redistest"
)

// startRedis starts a real Redis that has every write on disk before it answers, speaks TLS only and lets one user in.
func startRedis(t *testing.T) *redistest.Server {
	t.Helper()
	need(t, "redis-server")
	s, err := redistest.Start(t.Context(), t.TempDir(), redistest.Options{AppendOnly: true, TLS: true, WithUser: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// stateless takes out of a node's configuration what only a cluster has, and puts in where sessions live.
func stateless(settings, tokenizer fields) {
	for _, section := range []string{"peer", "gossip", "cluster"} {
		delete(settings, section)
	}
	settings["tokenizer"] = tokenizer
}

// byRedis makes every node keep its sessions in s.
func byRedis(t *testing.T, s *redistest.Server) func(int, fields) {
	t.Helper()
	host, port, err := net.SplitHostPort(s.Address())
	if err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(secret, []byte(redistest.Password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return func(_ int, settings fields) {
		stateless(settings, fields{
			"type": "redis", "host": host, "port": port, "user": redistest.User, "password_file": secret,
			"options": fields{"ssl": true, "ssl_ca_file": s.CAFile()},
		})
	}
}

// TestTwoNodesOverOneRedis: what one node is told the other knows; and when Redis is killed and comes back under load through HAProxy, there are
// errors while it is away, none after, nothing that was acknowledged is lost, and nothing is half written.
func TestTwoNodesOverOneRedis(t *testing.T) {
	t.Parallel()
	redis := startRedis(t)
	c := startCluster(t, 2, byRedis(t, redis))
	address := startHAProxy(t, c)
	admin := c.admin()
	service := c.service(admin)
	key := c.must(0, http.StatusCreated, vouch(service, "ada", fields{"attributes": fields{"cart": 1}})).body.Key
	if got := c.must(1, http.StatusOK, check(key)).body; got.User != "ada" || got.Attributes["cart"] != 1.0 {
		t.Errorf("at the other node: got %+v", got)
	}
	second := c.must(1, http.StatusCreated, vouch(service, "ada", nil)).body.Key
	c.must(1, http.StatusNoContent, logOut(second))
	c.must(0, http.StatusUnauthorized, check(second))

	down := newOutages(1) // HAProxy is the one target
	l := startLoad(t, loadOptions{service: service, targets: []string{address}, clients: 8, pause: 10 * time.Millisecond, down: down})
	for range 2 {
		l.await(200)
		down.begin(0)
		redis.Stop()
		awaitUnready(t, c)
		for i := range c.nodes {
			for _, r := range []request{check(key), vouch(service, "bob", nil)} {
				if a := c.ask(i, r); a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
					t.Errorf("%s %s without Redis: status %d, Retry-After %q: %s", r.method, r.path, a.status, a.header.Get("Retry-After"), a.text)
				}
			}
		}
		if err := redis.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.awaitReady()
		eventually(t, "HAProxy to see both nodes", func() error { return expectOnce(address, http.StatusOK, ready()) })
		down.end(0)
	}
	l.await(200)
	l.report()
	l.verify(c, admin)
	c.must(1, http.StatusOK, check(key))
	for _, n := range c.nodes {
		if strings.Contains(n.log(), redistest.Password) {
			t.Errorf("the log of %s holds Redis's password", n.name)
		}
	}
}

// awaitUnready waits until every node says that it cannot serve.
func awaitUnready(t *testing.T, c *cluster) {
	t.Helper()
	for _, s := range c.nodes {
		eventually(t, s.name+" to notice", func() error { return expectOnce(s.api, http.StatusServiceUnavailable, ready()) })
	}
}

// expectOnce makes one request on a connection of its own.
func expectOnce(address string, status int, r request) error {
	l := newLine(address)
	defer l.close()
	_, err := l.expect(status, r)
	return err
}

// ask makes one request at node i, whatever comes of it.
func (c *cluster) ask(i int, r request) answer {
	c.t.Helper()
	l := newLine(c.nodes[i].api)
	defer l.close()
	a, err := l.do(r)
	if err != nil {
		c.t.Fatal(fmt.Errorf("node %d: %w", i, err))
	}
	return a
}
