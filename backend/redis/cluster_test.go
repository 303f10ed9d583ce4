package redis_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/backend/redis"
	"github.com/hydrastore/hydrastore/backend/redis/redistest"
	"github.com/hydrastore/hydrastore/session"
)

// TestClusterMemberAway: without one of its members a cluster serves nothing for certain, says so, and goes on when the member is back.
func TestClusterMemberAway(t *testing.T) {
	t.Parallel()
	need(t)
	c, err := redistest.StartCluster(t.Context(), filepath.Join(t.TempDir(), "cluster"), 3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Stop)
	s := open(t, quick(redis.Config{Cluster: c.Addresses()[:1], Timeout: 5 * time.Second}))
	awaitReady(t, s)
	versions := map[string]backend.Version{}
	for i := range 100 {
		id := fmt.Sprint("user ", i)
		versions[id] = put(t, s, id, "v", "")
	}
	c.Masters[2].Stop()
	eventually(t, "not ready", func() bool { return s.Ready() != nil })
	wantCode(t, "ready", s.Ready(), session.CodeUnavailable)
	if err := c.Masters[2].Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	awaitReady(t, s)
	for id, version := range versions {
		put(t, s, id, "w", version)
	}
}

// TestClusterUser: a user with the documented permissions can do everything in a cluster.
func TestClusterUser(t *testing.T) {
	t.Parallel()
	need(t)
	c, err := redistest.StartCluster(t.Context(), filepath.Join(t.TempDir(), "cluster"), 3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Stop)
	s := open(t, redis.Config{Cluster: c.Addresses(), User: redistest.User, Password: redistest.Password})
	awaitReady(t, s)
	for i := range 20 {
		id := fmt.Sprint("user ", i)
		version := put(t, s, id, "v", "")
		if i%2 == 0 {
			if err := s.Delete(t.Context(), user(id), version); err != nil {
				t.Fatal(err)
			}
		}
	}
	if page, err := s.Scan(t.Context(), backend.KindUser, "", 100); err != nil || len(page.Records) != 10 {
		t.Errorf("scan: %d records, %v", len(page.Records), err)
	}
	if err := s.Sweep(t.Context()); err != nil {
		t.Errorf("sweep: %v", err)
	}
}

// TestPageTellsThePermissions that the tests run with.
func TestPageTellsThePermissions(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/backends.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{redis.Permissions, redis.ClusterPermissions} {
		if !strings.Contains(string(page), text) {
			t.Errorf("docs/backends.md does not have %q", text)
		}
	}
}
