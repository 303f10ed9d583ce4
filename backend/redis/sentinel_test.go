package redis_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/backend/redis"
	"github.com/hydrastore/hydrastore/backend/redis/redistest"
)

// TestSentinelFailover: when the master dies, the replica takes its place and the store goes on there with all that the replica had.
func TestSentinelFailover(t *testing.T) {
	t.Parallel()
	need(t)
	g, err := redistest.StartGuarded(t.Context(), filepath.Join(t.TempDir(), "guarded"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Stop)
	s := open(t, quick(redis.Config{Sentinel: redis.Sentinel{Master: redistest.MasterName, Addresses: g.Addresses()}, Timeout: 5 * time.Second}))
	awaitReady(t, s)
	version := put(t, s, "ada", "one", "")
	replica := open(t, redis.Config{Address: g.Replica.Address()})
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
