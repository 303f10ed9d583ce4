package e2e_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hydrastore/hydrastore/backend/redis/redistest"
)

// TestTwoNodesOverSentinels: nodes find the master through Sentinels, all over TLS, and wait for its replica. While that is silent they are not ready and
// acknowledge nothing, not a repeated log-out either; when it has taken the killed master's place, and that one is back as its replica, they serve what was acknowledged, without a restart.
func TestTwoNodesOverSentinels(t *testing.T) {
	t.Parallel()
	need(t, "redis-server")
	g, err := redistest.StartGuarded(t.Context(), filepath.Join(t.TempDir(), "redis"), redistest.GuardedOptions{TLS: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Stop)
	secret := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(secret, []byte(redistest.Password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := startCluster(t, 2, func(_ int, settings fields) {
		stateless(settings, fields{
			"type": "redis", "user": redistest.User, "password_file": secret, "wait_replicas": 1, "call_timeout": "500ms",
			"sentinel": fields{"master": redistest.MasterName, "addresses": g.Addresses()},
			"options":  fields{"ssl": true, "ssl_ca_file": g.Master.CAFile()},
		})
	})
	service := c.service(c.admin())
	kept := c.must(0, http.StatusCreated, vouch(service, "ada", nil)).body.Key
	ended := c.must(1, http.StatusCreated, vouch(service, "ada", nil)).body.Key
	c.must(0, http.StatusOK, check(ended))

	if err := g.Replicas[0].Pause(); err != nil {
		t.Fatal(err)
	}
	awaitUnready(t, c)
	for i, requests := range [][]request{{logOut(ended), logOut(ended)}, {vouch(service, "bob", nil), check(kept)}} {
		if a := c.ask(i, ready()); !strings.Contains(string(a.text), "tokenizer.wait_replicas") {
			t.Errorf("node %d is not ready, and does not say why: %s", i, a.text)
		}
		for _, r := range requests {
			if a := c.ask(i, r); a.status != http.StatusServiceUnavailable && a.status != http.StatusGatewayTimeout {
				t.Errorf("%s %s without the replica: status %d: %s", r.method, r.path, a.status, a.text)
			}
		}
	}
	if err := g.Replicas[0].Continue(); err != nil {
		t.Fatal(err)
	}
	c.awaitReady()
	c.must(1, http.StatusNoContent, logOut(ended))

	g.Master.Stop()
	eventually(t, "the replica to take the master's place", func() error {
		if master, _ := g.Roles(t.Context()); master != g.Replicas[0] {
			return errors.New("the Sentinels name another one")
		}
		return nil
	})
	if err := g.Master.Follow(g.Replicas[0]); err != nil {
		t.Fatal(err)
	}
	if err := g.Master.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.awaitReady()
	for i := range c.nodes {
		c.must(i, http.StatusOK, check(kept))
		c.must(i, http.StatusUnauthorized, check(ended))
	}
}
