package redis_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

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
	for _, text := range []string{redis.Permissions, redis.ClusterPermissions, redis.WaitPermissions} {
		if !strings.Contains(string(page), text) {
			t.Errorf("docs/backends.md does not have %q", text)
		}
	}
}

// TestClusterFailover: when a master of a cluster is killed under load its replica takes its place, and the store goes on without a restart: there are
// errors for as long as slots have no master, none after, and nothing is half written.
func TestClusterFailover(t *testing.T) {
	t.Parallel()
	c := startReplicated(t)
	l := startLedger(t, quick(redis.Config{Cluster: c.Addresses()[:2], Timeout: time.Second, DialTimeout: time.Second}))
	l.await(t, "load", &l.logouts, 20)
	c.Masters[1].Stop()
	l.await(t, "calls that are not acknowledged", &l.refused, 1)
	eventually(t, "the replica takes the master's place", func() bool { return c.Replicas[1].Says(t.Context(), "role:master") })
	eventually(t, "ready", func() bool { return l.service.Ready(false) == nil })
	l.await(t, "load again", &l.logouts, 1)
	l.stop() // with the calls that began before
	refused := l.refused.Load()
	l.start(t)
	l.await(t, "load after all", &l.logouts, 50)
	l.stop()
	if more := l.refused.Load() - refused; more > 0 {
		t.Errorf("%d calls failed after the failover", more)
	}
	if err := l.unexpected.Load(); err != nil {
		t.Errorf("a call was answered with %v", *err)
	}
	wantWhole(t, c.Masters[0], c.Replicas[1], c.Masters[2])
}

// TestClusterFailoversLoseNothing: with replicas that are waited for, a master of a cluster is killed right after an answer, and nothing that was
// acknowledged comes undone. Its replica alone acknowledges nothing, until the killed one is back as its replica.
func TestClusterFailoversLoseNothing(t *testing.T) {
	t.Parallel()
	c := startReplicated(t)
	l := startLedger(t, quick(redis.Config{Cluster: c.Addresses()[:2], WaitReplicas: 1, Timeout: time.Second, DialTimeout: time.Second}))
	l.await(t, "load", &l.logouts, 20)
	c.Masters[1].Stop()
	eventually(t, "the replica takes the master's place", func() bool { return c.Replicas[1].Says(t.Context(), "role:master") })
	if err := c.Masters[1].Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.await(t, "load after all", &l.logouts, 20)
	l.wantOrder(t)
	wantWhole(t, c.Masters[0], c.Replicas[1], c.Masters[2])
}

func startReplicated(t *testing.T) *redistest.Cluster {
	t.Helper()
	need(t)
	c, err := redistest.StartReplicated(t.Context(), filepath.Join(t.TempDir(), "cluster"), 3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Stop)
	return c
}

// wantWhole wants that every record of these servers is in its index, and every id of an index has its record.
func wantWhole(t *testing.T, servers ...*redistest.Server) {
	t.Helper()
	records := 0
	for _, server := range servers {
		client := raw(t, &goredis.Options{Addr: server.Address()})
		keys, err := client.Keys(t.Context(), "hydrastore:{*").Result()
		if err != nil {
			t.Fatal(err)
		}
		have := map[string]bool{}
		for _, key := range keys {
			have[key] = true
		}
		for _, key := range keys {
			tag, rest, _ := strings.Cut(key, "}")
			switch {
			case strings.HasPrefix(key, "hydrastore:{try}"):
			case strings.HasPrefix(rest, ":"):
				records++
				if err := client.ZScore(t.Context(), tag+"}", rest[1:]).Err(); err != nil {
					t.Errorf("%s is not in its index: %v", key, err)
				}
			case rest == "":
				ids, err := client.ZRange(t.Context(), key, 0, -1).Result()
				if err != nil {
					t.Fatal(err)
				}
				for _, id := range ids {
					if !have[key+":"+id] {
						t.Errorf("%s names %q, which has no record", key, id)
					}
				}
			}
		}
	}
	if records == 0 {
		t.Error("there is no record at all")
	}
}

// TestSlotMoves: when a slot has moved to another member, its records are found there at once, whether replicas are waited for or not.
func TestSlotMoves(t *testing.T) {
	t.Parallel()
	c := startReplicated(t)
	s := open(t, redis.Config{Cluster: c.Addresses()})
	waiting := open(t, redis.Config{Cluster: c.Addresses(), WaitReplicas: 1})
	awaitReady(t, s)
	awaitReady(t, waiting)
	for _, store := range []*redis.Store{s, waiting} {
		version := put(t, store, "ada", "one", get(t, store, "ada").Version)
		moveSlot(t, c, "hydrastore:*:ada")
		if r := get(t, store, "ada"); r.Version != version {
			t.Errorf("after the move: %+v, want version %q", r, version)
		}
		version = put(t, store, "ada", "two", version)
		moveSlot(t, c, "hydrastore:*:ada")
		if err := store.Delete(t.Context(), user("ada"), version); err != nil {
			t.Errorf("delete after another move: %v", err)
		}
	}
}

// moveSlot moves the slot of the one key that fits a pattern to another master.
func moveSlot(t *testing.T, c *redistest.Cluster, pattern string) {
	t.Helper()
	var clients []*goredis.Client
	from, to := -1, 0
	var key string
	for i, server := range c.Masters {
		client := raw(t, &goredis.Options{Addr: server.Address()})
		clients = append(clients, client)
		keys, err := client.Keys(t.Context(), pattern).Result()
		if err != nil {
			t.Fatal(err)
		}
		if len(keys) == 1 {
			from, to, key = i, (i+1)%len(c.Masters), keys[0]
		}
	}
	if from < 0 {
		t.Fatalf("no key fits %s", pattern)
	}
	do := func(i int, words ...any) any {
		t.Helper()
		answer, err := clients[i].Do(t.Context(), words...).Result()
		if err != nil {
			t.Fatalf("%v: %v", words, err)
		}
		return answer
	}
	slot, source, target := do(from, "cluster", "keyslot", key), do(from, "cluster", "myid"), do(to, "cluster", "myid")
	do(to, "cluster", "setslot", slot, "importing", source)
	do(from, "cluster", "setslot", slot, "migrating", target)
	for _, moved := range do(from, "cluster", "getkeysinslot", slot, 1000).([]any) {
		do(from, "migrate", "127.0.0.1", c.Masters[to].Port(), moved, 0, 10_000)
	}
	do(to, "cluster", "setslot", slot, "node", target)
	do(from, "cluster", "setslot", slot, "node", target)
}
