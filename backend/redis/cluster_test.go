package redis_test

import (
	"fmt"
	"path/filepath"
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
	s := open(t, quick(redis.Config{Cluster: c.Addresses()[:1], Timeout: 500 * time.Millisecond}))
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
