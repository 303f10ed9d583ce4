package redis_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/backend/backendtest"
	"github.com/hydrastore/hydrastore/backend/redis"
	"github.com/hydrastore/hydrastore/backend/redis/redistest"
	"github.com/hydrastore/hydrastore/session"
)

// startPair starts a master and its replica.
func startPair(t testing.TB, o redistest.Options) (master, replica *redistest.Server) {
	t.Helper()
	master = startServer(t, o)
	o.Master = master
	replica = startServer(t, o)
	for end := time.Now().Add(patience); !replica.Says(t.Context(), "master_link_status:up"); <-time.After(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the replica does not follow")
		}
	}
	return master, replica
}

// getAt reads from one server and lets it go, for it may be paused later.
func getAt(t *testing.T, server *redistest.Server, id string) backend.Record {
	t.Helper()
	s := open(t, redis.Config{Address: server.Address()})
	defer s.Close()
	return get(t, s, id)
}

// TestWaitReplicas: while the replica is silent nothing is acknowledged, and nothing that it may not have is shown; when it is back, all goes on.
func TestWaitReplicas(t *testing.T) {
	t.Parallel()
	master, replica := startPair(t, redistest.Options{})
	c := quick(redis.Config{Address: master.Address(), WaitReplicas: 1, Timeout: 300 * time.Millisecond})
	s := open(t, c)
	eager := open(t, redis.Config{Address: master.Address()})
	awaitReady(t, s)
	var version, doomed backend.Version
	eventually(t, "writes", func() (done bool) { // a busy machine may be slower than the timeout
		var err error
		version, err = s.Put(t.Context(), user("ada"), []byte("one"), get(t, eager, "ada").Version, time.Time{})
		return err == nil
	})
	if r := getAt(t, replica, "ada"); r.Version != version {
		t.Errorf("the replica has %q of what was acknowledged, want version %q", r.Version, version)
	}
	doomed = put(t, eager, "doomed", "one", "")

	if err := replica.Pause(); err != nil {
		t.Fatal(err)
	}
	_, err := s.Put(t.Context(), user("bob"), []byte("two"), "", time.Time{})
	wantSilent(t, "create", err)
	_, err = s.Put(t.Context(), user("ada"), []byte("two"), version, time.Time{})
	wantSilent(t, "replace", err)
	wantSilent(t, "delete", s.Delete(t.Context(), user("doomed"), doomed))
	if get(t, eager, "bob").Version == "" || get(t, eager, "ada").Version == version || get(t, eager, "doomed").Version != "" {
		t.Error("the writes were not done at the master: this test tests nothing")
	}
	// Nobody concludes anything from what the replica may not have.
	if err := s.Delete(t.Context(), user("doomed"), doomed); err == nil || errors.Is(err, backend.ErrChanged) {
		t.Errorf("delete again: %v", err)
	}
	_, err = s.Put(t.Context(), user("ada"), []byte("three"), version, time.Time{})
	wantCode(t, "replace what has changed", err, session.CodeUnavailable)
	_, err = s.Get(t.Context(), user("doomed"))
	wantCode(t, "get", err, session.CodeUnavailable)
	_, err = s.Scan(t.Context(), backend.KindUser, "", 10)
	wantCode(t, "scan", err, session.CodeUnavailable)
	eventually(t, "not ready", func() bool { return s.Ready() != nil })
	wantCode(t, "ready", s.Ready(), session.CodeUnavailable)
	if text := s.Ready().Error(); !strings.Contains(text, "only 0 of the 1 replicas that tokenizer.wait_replicas asks for") {
		t.Errorf("not ready: %s", text)
	}

	if err := replica.Continue(); err != nil {
		t.Fatal(err)
	}
	awaitReady(t, s)
	eventually(t, "writes again", func() bool {
		_, err := s.Put(t.Context(), user("ada"), []byte("four"), get(t, eager, "ada").Version, time.Time{})
		return err == nil
	})
	if page, err := s.Scan(t.Context(), backend.KindUser, "", 10); err != nil || len(page.Records) != 2 {
		t.Errorf("scan: %d records, %v", len(page.Records), err)
	}
}

// wantSilent wants what is said of a write that the replica may not have: a slow machine's reads may be slower than they may be.
func wantSilent(t *testing.T, what string, err error) {
	t.Helper()
	wantCode(t, what, err, session.CodeOutcomeUnknown)
	if err != nil && !strings.Contains(err.Error(), "its replicas are not known to have it") && !strings.Contains(err.Error(), "did not answer") {
		t.Errorf("%s: %v", what, err)
	}
}

// TestRepeatedWriteWaits: a write whose answer was lost recognises itself, and is acknowledged only when the replica has it.
func TestRepeatedWriteWaits(t *testing.T) {
	t.Parallel()
	master, replica := startPair(t, redistest.Options{})
	way := startLossy(t, master.Address())
	s := open(t, redis.Config{Address: way.address(), WaitReplicas: 1, Timeout: time.Second})
	eager := open(t, redis.Config{Address: master.Address()})
	awaitReady(t, s)
	var first backend.Version
	eventually(t, "a lost answer", func() bool {
		way.loseAnswers(1, "precious", nil)
		var err error
		first, err = s.Put(t.Context(), user("ada"), []byte("precious"), get(t, eager, "ada").Version, time.Time{})
		return err == nil
	})
	if r := getAt(t, replica, "ada"); r.Version != first {
		t.Errorf("the replica has %q of what was acknowledged at the second try, want version %q", r.Version, first)
	}
	if err := replica.Pause(); err != nil {
		t.Fatal(err)
	}
	way.loseAnswers(1, "precious", nil)
	_, err := s.Put(t.Context(), user("ada"), []byte("precious too"), first, time.Time{})
	wantCode(t, "repeated while the replica is silent", err, session.CodeOutcomeUnknown)
	if r := get(t, eager, "ada"); string(r.Value) != "precious too" {
		t.Errorf("at the master: %q", r.Value)
	}
}

// TestTooFewReplicas: a master with fewer replicas than are asked for is not ready and acknowledges nothing, and the reason says why.
func TestTooFewReplicas(t *testing.T) {
	t.Parallel()
	master, _ := startPair(t, redistest.Options{})
	c := quick(redis.Config{Address: master.Address(), WaitReplicas: 2, Timeout: 300 * time.Millisecond})
	s := open(t, c)
	eventually(t, "the reason", func() bool {
		err := s.Ready()
		return err != nil && strings.Contains(err.Error(), "only 1 of the 2 replicas that tokenizer.wait_replicas asks for")
	})
	_, err := s.Put(t.Context(), user("ada"), []byte("one"), "", time.Time{})
	wantCode(t, "put", err, session.CodeOutcomeUnknown)
	_, err = s.Get(t.Context(), user("ada"))
	wantCode(t, "get", err, session.CodeUnavailable)
	startServer(t, redistest.Options{Master: master})
	awaitReady(t, s)
}

// TestFullRedisWithReplicas: what waits for replicas, too, goes on reading and deleting when Redis is full.
func TestFullRedisWithReplicas(t *testing.T) {
	t.Parallel()
	master, _ := startPair(t, redistest.Options{})
	s := open(t, redis.Config{Address: master.Address(), WaitReplicas: 1})
	awaitReady(t, s)
	version := put(t, s, "ada", "one", "")
	if err := raw(t, &goredis.Options{Addr: master.Address()}).ConfigSet(t.Context(), "maxmemory", "1mb").Err(); err != nil {
		t.Fatal(err)
	}
	_, err := s.Put(t.Context(), user("bob"), []byte("two"), "", time.Time{})
	wantCode(t, "create", err, session.CodeOverloaded)
	late := open(t, redis.Config{Address: master.Address(), WaitReplicas: 1})
	awaitReady(t, late)
	if r := get(t, late, "ada"); r.Version != version {
		t.Errorf("got %+v", r)
	}
	if err := s.Delete(t.Context(), user("ada"), version); err != nil {
		t.Errorf("delete: %v", err)
	}
}

// TestUserWhoWaits: a user with the documented permissions can do everything with replicas, and one without those for waiting is told so.
func TestUserWhoWaits(t *testing.T) {
	t.Parallel()
	for _, waits := range []bool{true, false} {
		master, _ := startPair(t, redistest.Options{})
		permissions := redis.Permissions
		if waits {
			permissions += " " + redis.WaitPermissions
		}
		rules := append([]string{"on", ">" + redistest.Password, "~hydrastore:*", "resetchannels"}, strings.Fields(permissions)...)
		if err := raw(t, &goredis.Options{Addr: master.Address()}).ACLSetUser(t.Context(), redistest.User, rules...).Err(); err != nil {
			t.Fatal(err)
		}
		s := open(t, redis.Config{Address: master.Address(), User: redistest.User, Password: redistest.Password, WaitReplicas: 1})
		if !waits {
			if err := s.Ready(); err == nil || !strings.Contains(err.Error(), "can't run this command") && !strings.Contains(err.Error(), "no permissions to run") { // Redis 7, 8
				t.Errorf("ready without the permission to wait: %v", err)
			}
			continue
		}
		awaitReady(t, s)
		version := put(t, s, "ada", "one", "")
		get(t, s, "ada")
		if err := s.Delete(t.Context(), user("ada"), version); err != nil {
			t.Errorf("delete: %v", err)
		}
		if _, err := s.Scan(t.Context(), backend.KindUser, "", 10); err != nil {
			t.Errorf("scan: %v", err)
		}
		if err := s.Sweep(t.Context()); err != nil {
			t.Errorf("sweep: %v", err)
		}
	}
}

// TestContractWithReplicas runs the suite where each answer waits for a replica: of one server, and of each master of a cluster.
func TestContractWithReplicas(t *testing.T) {
	t.Parallel()
	master, _ := startPair(t, redistest.Options{})
	t.Run("server", func(t *testing.T) {
		t.Parallel()
		contract(t, redis.Config{Address: master.Address(), WaitReplicas: 1})
	})
	three, err := redistest.StartReplicated(t.Context(), filepath.Join(t.TempDir(), "cluster"), 3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(three.Stop)
	t.Run("cluster", func(t *testing.T) {
		t.Parallel()
		contract(t, redis.Config{Cluster: three.Addresses(), WaitReplicas: 1})
	})
}

// TestRepetitionsAreNotBelieved: a log-out or log-in whose outcome was unknown leaves something in the master. Repeated, it finds that, and is not
// acknowledged either while a failover might undo it.
func TestRepetitionsAreNotBelieved(t *testing.T) {
	t.Parallel()
	master, replica := startPair(t, redistest.Options{})
	store := mustOpen(t, quick(redis.Config{Address: master.Address(), WaitReplicas: 1, Timeout: 200 * time.Millisecond, DialTimeout: patience}))
	config := backendtest.Config(t)
	config.SweepInterval = time.Hour
	s := backendtest.Start(t, config, store)
	var issued session.Issued
	eventually(t, "log in", func() bool { // a busy machine may be slower than the timeout
		var err error
		issued, err = s.Login(t.Context(), operator, session.Login{User: "ada", Vouched: true})
		return err == nil
	})
	logout := func() error {
		_, err := s.Logout(t.Context(), session.Call{Key: issued.Key})
		return err
	}
	login := func() error {
		_, err := s.Login(t.Context(), operator, session.Login{User: "bob", Vouched: true, IdempotencyKey: "once"})
		return err
	}
	// As of a call whose reads came before the replica fell silent, and whose write came after.
	eager := backendtest.Start(t, config, mustOpen(t, patient(redis.Config{Address: master.Address()})))
	pause(t, replica)
	if _, err := eager.Logout(t.Context(), session.Call{Key: issued.Key}); err != nil {
		t.Fatal(err)
	}
	if _, err := eager.Login(t.Context(), operator, session.Login{User: "bob", Vouched: true, IdempotencyKey: "once"}); err != nil {
		t.Fatal(err)
	}
	for what, call := range map[string]func() error{"log-out": logout, "log-in": login} {
		if err := call(); err == nil {
			t.Errorf("the repeated %s is acknowledged, and the replica knows nothing of it", what)
		}
	}
	if err := replica.Continue(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both are acknowledged", func() bool { return logout() == nil && login() == nil })
}

func mustOpen(t *testing.T, c redis.Config) *redis.Store {
	t.Helper()
	s, err := redis.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestACutOffMaster: a master that does not know that its replica was put in its place serves nothing to those who wait for replicas, and everything to others.
func TestACutOffMaster(t *testing.T) {
	t.Parallel()
	master, replica := startPair(t, redistest.Options{})
	waiting := open(t, quick(redis.Config{Address: master.Address(), WaitReplicas: 1, Timeout: 300 * time.Millisecond}))
	eager := open(t, redis.Config{Address: master.Address()})
	awaitReady(t, waiting)
	version := put(t, eager, "ada", "one", "")
	if err := raw(t, &goredis.Options{Addr: replica.Address()}).ReplicaOf(t.Context(), "no", "one").Err(); err != nil {
		t.Fatal(err)
	}
	successor := open(t, redis.Config{Address: replica.Address()})
	if err := successor.Delete(t.Context(), user("ada"), version); err != nil {
		t.Fatal(err)
	}
	if r := get(t, eager, "ada"); r.Version != version {
		t.Errorf("who waits for nobody finds %+v: the master is not cut off", r)
	}
	_, err := waiting.Get(t.Context(), user("ada"))
	wantCode(t, "get", err, session.CodeUnavailable)
	_, err = waiting.Put(t.Context(), user("bob"), []byte("one"), "", time.Time{})
	wantCode(t, "put", err, session.CodeOutcomeUnknown)
	eventually(t, "not ready", func() bool { return waiting.Ready() != nil })
}
