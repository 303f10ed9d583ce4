package redis_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/backend/redis"
	"github.com/hydrastore/hydrastore/backend/redis/redistest"
	"github.com/hydrastore/hydrastore/session"
)

// TestMaxConnections: reads and writes have no more connections together than the setting says, and reads can have all of them.
func TestMaxConnections(t *testing.T) {
	t.Parallel()
	const most, callers = 12, 40
	server := startServer(t, redistest.Options{})
	s := open(t, redis.Config{Address: server.Address(), MaxConnections: most})
	awaitReady(t, s)
	client := raw(t, &goredis.Options{Addr: server.Address(), PoolSize: 1})
	connections := func() int {
		list, err := client.ClientList(t.Context()).Result()
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(list, "id=") - 1 // its own
	}
	// What is held up needs a connection of its own.
	if err := client.ClientPause(t.Context(), 2*time.Second).Err(); err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	for range callers {
		work.Go(func() {
			if _, err := s.Get(t.Context(), user("ada")); err != nil {
				t.Errorf("get: %v", err)
			}
		})
	}
	work.Wait()
	if got := connections(); got != most {
		t.Errorf("%d reads at once had %d connections, want %d", callers, got, most)
	}
	for i := range callers {
		work.Go(func() {
			if _, err := s.Put(t.Context(), user(fmt.Sprint(i)), []byte("v"), "", time.Time{}); err != nil {
				t.Errorf("put: %v", err)
			}
		})
	}
	work.Wait()
	if got := connections(); got > most {
		t.Errorf("%d connections, want %d at most", got, most)
	}
}

// TestTLSAndUser: certificates are verified, a user with the documented permissions can do everything, and no other can.
func TestTLSAndUser(t *testing.T) {
	t.Parallel()
	server := startServer(t, redistest.Options{TLS: true, WithUser: true, AppendOnly: true})
	pem, err := os.ReadFile(server.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	good := redis.Config{Address: server.Address(), User: redistest.User, Password: redistest.Password, TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}

	s := open(t, good)
	awaitReady(t, s)
	version := put(t, s, "ada", "one", "")
	if r := get(t, s, "ada"); string(r.Value) != "one" || r.Version != version {
		t.Errorf("got %+v", r)
	}
	if page, err := s.Scan(t.Context(), backend.KindUser, "", 10); err != nil || len(page.Records) != 1 {
		t.Errorf("scan: %+v, %v", page, err)
	}
	if err := s.Sweep(t.Context()); err != nil {
		t.Errorf("sweep: %v", err)
	}
	server.Stop()
	if err := server.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the record is there after a restart", func() bool {
		got, err := s.Get(t.Context(), user("ada"))
		return err == nil && got.Records[0].Version == version
	})

	for what, spoil := range map[string]func(*redis.Config){
		"an unknown authority": func(c *redis.Config) { c.TLS = &tls.Config{MinVersion: tls.VersionTLS12} },
		"no TLS":               func(c *redis.Config) { c.TLS = nil },
		"a wrong password":     func(c *redis.Config) { c.Password = "not-the-password" },
		"no user":              func(c *redis.Config) { c.User, c.Password = "", "" },
		"keys of others":       func(c *redis.Config) { c.Prefix = "others" },
	} {
		c := good
		spoil(&c)
		s := open(t, c)
		_, err := s.Get(t.Context(), user("ada"))
		wantCode(t, what, err, session.CodeUnavailable)
		wantCode(t, what+", ready", s.Ready(), session.CodeUnavailable)
		if text := fmt.Sprint(err, s.Ready()); strings.Contains(text, c.Password) && c.Password != "" {
			t.Errorf("%s: the error tells the password: %s", what, text)
		}
	}
}

// TestScriptsAreSentAgain: Redis forgets scripts when it is restarted.
func TestScriptsAreSentAgain(t *testing.T) {
	t.Parallel()
	server := startServer(t, redistest.Options{})
	s := open(t, redis.Config{Address: server.Address()})
	version := put(t, s, "ada", "one", "")
	if err := raw(t, &goredis.Options{Addr: server.Address()}).ScriptFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	version = put(t, s, "ada", "two", version)
	if err := raw(t, &goredis.Options{Addr: server.Address()}).ScriptFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), user("ada"), version); err != nil {
		t.Errorf("delete: %v", err)
	}
}

// TestLostAnswers: a write whose answer is lost is sent again and recognises itself; what others have changed since cannot be told.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	server := startServer(t, redistest.Options{})
	way := startLossy(t, server.Address())
	s := open(t, redis.Config{Address: way.address()})
	other := open(t, redis.Config{Address: server.Address()})
	awaitReady(t, s)

	way.loseAnswers(2, "precious", nil)
	first := put(t, s, "ada", "precious", "")
	if r := get(t, other, "ada"); r.Version != first || string(r.Value) != "precious" {
		t.Errorf("after two lost answers: got %+v, want version %q", r, first)
	}

	way.loseAnswers(1, "made once", nil)
	_, err := s.Put(t.Context(), backend.Name{Kind: backend.KindSession, ID: "1"}, []byte("made once"), "", time.Time{})
	wantCode(t, "a session whose making was not answered", err, session.CodeOutcomeUnknown)

	way.loseAnswers(3, "precious", nil)
	_, err = s.Put(t.Context(), user("ada"), []byte("precious too"), first, time.Time{})
	wantCode(t, "all answers lost", err, session.CodeOutcomeUnknown)
	now := get(t, other, "ada")
	if string(now.Value) != "precious too" {
		t.Fatalf("got %q", now.Value)
	}

	way.loseAnswers(1, "precious", func() { put(t, other, "ada", "another's", get(t, other, "ada").Version) })
	_, err = s.Put(t.Context(), user("ada"), []byte("precious again"), now.Version, time.Time{})
	wantCode(t, "changed by another after the answer was lost", err, session.CodeOutcomeUnknown)
	if r := get(t, other, "ada"); string(r.Value) != "another's" {
		t.Errorf("the repeated write has undone another's: %q", r.Value)
	}

	version := get(t, other, "ada").Version
	way.loseAnswers(1, string(version), nil)
	wantCode(t, "delete", s.Delete(t.Context(), user("ada"), version), session.CodeOutcomeUnknown)
	if r := get(t, other, "ada"); r.Version != "" {
		t.Errorf("after delete: %+v", r)
	}
	way.loseAnswers(2, "get", nil)
	if r := get(t, s, "ada"); r.Version != "" {
		t.Errorf("a read whose answers were lost: %+v", r)
	}
}

// TestRedisAway: while it is gone or silent every call ends soon with a code that says what was done, and when it is back all goes on.
func TestRedisAway(t *testing.T) {
	t.Parallel()
	server := startServer(t, redistest.Options{AppendOnly: true})
	c := quick(redis.Config{Address: server.Address(), Timeout: 200 * time.Millisecond, DialTimeout: 200 * time.Millisecond})
	s, steady := open(t, c), open(t, redis.Config{Address: server.Address()})
	version := put(t, steady, "ada", "one", "")
	awaitReady(t, s)
	calls := func(what string, codes ...session.Code) {
		t.Helper()
		begin := time.Now()
		_, err := s.Get(t.Context(), user("ada"))
		wantCode(t, what+": get", err, session.CodeUnavailable)
		_, err = s.Scan(t.Context(), backend.KindUser, "", 1)
		wantCode(t, what+": scan", err, session.CodeUnavailable)
		_, err = s.Put(t.Context(), user("bob"), []byte("two"), "", time.Time{})
		wantCode(t, what+": put", err, codes...)
		wantCode(t, what+": delete", s.Delete(t.Context(), user("ada"), "0123456789012345678901"), codes...)
		if took := time.Since(begin); took > patience/2 {
			t.Errorf("%s: four calls took %v", what, took)
		}
		eventually(t, what+": not ready", func() bool { return s.Ready() != nil })
	}

	if err := server.Pause(); err != nil {
		t.Fatal(err)
	}
	calls("silent", session.CodeOutcomeUnknown)
	if err := server.Continue(); err != nil {
		t.Fatal(err)
	}
	awaitReady(t, s)

	server.Stop()
	eventually(t, "not ready", func() bool { return s.Ready() != nil }) // pooled connections are found dead before that
	calls("gone", session.CodeUnavailable)
	late := open(t, c) // a node that starts while Redis is away
	wantCode(t, "opened while Redis is away", late.Ready(), session.CodeUnavailable)
	if err := server.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	awaitReady(t, s)
	awaitReady(t, late)
	if r := get(t, steady, "ada"); string(r.Value) != "one" || r.Version != version {
		t.Errorf("after the restart: %+v", r)
	}
	for what, back := range map[string]*redis.Store{"the one that saw it go": s, "the late one": late} { // in as little time as before
		eventually(t, what+" writes again", func() bool {
			_, err := back.Put(t.Context(), user("ada"), []byte("three"), get(t, steady, "ada").Version, time.Time{})
			return err == nil
		})
	}
}

// TestNothingGrows: when Redis has dropped records, nothing of them stays, whoever wrote them.
func TestNothingGrows(t *testing.T) {
	t.Parallel()
	server := startServer(t, redistest.Options{})
	c := redis.Config{Address: server.Address(), Grace: -1, SweepInterval: time.Hour}
	s := open(t, c)
	names := make([]backend.Name, 0, 6*300)
	for _, kind := range backend.Kinds() {
		for i := range 300 {
			names = append(names, backend.Name{Kind: kind, ID: fmt.Sprint(i)})
		}
	}
	soon := time.Now().Add(300 * time.Millisecond)
	for i, name := range names {
		version, err := s.Put(t.Context(), name, []byte("v"), "", soon)
		if err == nil && i%3 == 0 { // some are replaced, some deleted
			version, err = s.Put(t.Context(), name, []byte("w"), version, soon.Add(time.Millisecond))
		}
		if err == nil && i%5 == 0 {
			err = s.Delete(t.Context(), name, version)
		}
		if err != nil && !errors.Is(err, backend.ErrChanged) { // a slow machine has let it expire
			t.Fatal(err)
		}
	}
	steady := put(t, s, "steady", "v", "")
	client := raw(t, &goredis.Options{Addr: server.Address()})
	eventually(t, "all gone", func() bool {
		if err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		keys, err := client.Keys(t.Context(), "*").Result()
		if err != nil {
			t.Fatal(err)
		}
		return len(keys) == 2+3 // the steady record and its index, and the marks of health
	})
	if get(t, s, "steady").Version != steady {
		t.Error("the sweep has taken away what does not expire")
	}
	if page, err := s.Scan(t.Context(), backend.KindUser, "", 10); err != nil || len(page.Records) != 1 {
		t.Errorf("scan: %+v, %v", page, err)
	}
}

// TestSweepLeavesWhatCameBack: an id whose record was made anew, or lives longer now, stays in the index.
func TestSweepLeavesWhatCameBack(t *testing.T) {
	t.Parallel()
	server := startServer(t, redistest.Options{})
	s := open(t, redis.Config{Address: server.Address(), Grace: -1, SweepInterval: time.Hour})
	for _, id := range []string{"longer", "anew"} {
		if _, err := s.Put(t.Context(), user(id), []byte("v"), "", time.Now().Add(50*time.Millisecond)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the records are gone", func() bool { return get(t, s, "anew").Version == "" && get(t, s, "longer").Version == "" })
	put(t, s, "anew", "v", "")
	if _, err := s.Put(t.Context(), user("longer"), []byte("v"), "", time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	<-time.After(redis.SweepDelay + 100*time.Millisecond) // until the first expiry is looked at
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if page, err := s.Scan(t.Context(), backend.KindUser, "", 10); err != nil || len(page.Records) != 2 {
		t.Errorf("scan: %+v, %v", page, err)
	}
}

// TestGrace: records outlive their expiry by the grace, so that no clock that is ahead takes them early.
func TestGrace(t *testing.T) {
	t.Parallel()
	server := startServer(t, redistest.Options{})
	s := open(t, redis.Config{Address: server.Address()})
	if _, err := s.Put(t.Context(), user("ada"), []byte("v"), "", time.Now()); err != nil {
		t.Fatal(err)
	}
	keys, err := raw(t, &goredis.Options{Addr: server.Address()}).Keys(t.Context(), "hydrastore:*:ada").Result()
	if err != nil || len(keys) != 1 {
		t.Fatalf("keys: %q, %v", keys, err)
	}
	left, err := raw(t, &goredis.Options{Addr: server.Address()}).PTTL(t.Context(), keys[0]).Result()
	if err != nil || left < 30*time.Second || left > 61*time.Second {
		t.Errorf("the record is kept for %v more, %v; want a minute", left, err)
	}
}

// TestEvictionIsRefused: a server that throws records away when it is full would throw away accounts and sessions.
func TestEvictionIsRefused(t *testing.T) {
	t.Parallel()
	server := startServer(t, redistest.Options{Lines: []string{"maxmemory 100mb", "maxmemory-policy allkeys-lru"}})
	s := open(t, redis.Config{Address: server.Address()})
	_, err := s.Put(t.Context(), user("ada"), []byte("v"), "", time.Time{})
	wantCode(t, "put", err, session.CodeUnavailable)
	_, err = s.Get(t.Context(), user("ada"))
	wantCode(t, "get", err, session.CodeUnavailable)
	wantCode(t, "ready", s.Ready(), session.CodeUnavailable)
	if !strings.Contains(err.Error(), "noeviction") {
		t.Errorf("the error does not say what to do: %v", err)
	}
	if n, err := raw(t, &goredis.Options{Addr: server.Address()}).DBSize(t.Context()).Result(); err != nil || n != 3 { // the marks of health
		t.Errorf("%d keys were written, %v", n, err)
	}
}

// TestTransactionsLeftOut: a Redis whose default user lacks permissions leaves out most records when it is started. It is not used then; and when
// it was mended, all is there.
func TestTransactionsLeftOut(t *testing.T) {
	t.Parallel()
	server := startServer(t, redistest.Options{AppendOnly: true, WithUser: true, Lines: []string{"user default off"}})
	s := open(t, quick(redis.Config{Address: server.Address(), User: redistest.User, Password: redistest.Password}))
	awaitReady(t, s)
	version := put(t, s, "ada", "one", "")
	server.Stop()
	eventually(t, "not ready", func() bool { return s.Ready() != nil })
	if err := server.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the loss is noticed", func() bool { err := s.Ready(); return err != nil && strings.Contains(err.Error(), "left records out") })
	_, err := s.Put(t.Context(), user("ada"), []byte("two"), "", time.Time{})
	wantCode(t, "put", err, session.CodeUnavailable)
	_, err = s.Get(t.Context(), user("ada"))
	wantCode(t, "get", err, session.CodeUnavailable)

	server.Stop()
	if err := server.Rewrite("user default off", "user default off ~* &* +@all"); err != nil {
		t.Fatal(err)
	}
	if err := server.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	awaitReady(t, s)
	if r := get(t, s, "ada"); r.Version != version {
		t.Errorf("after mending: %+v", r)
	}
}

// TestFullRedis: a full server refuses writes whole, and goes on reading.
func TestFullRedis(t *testing.T) {
	t.Parallel()
	server := startServer(t, redistest.Options{})
	s := open(t, redis.Config{Address: server.Address()})
	version := put(t, s, "ada", "one", "")
	client := raw(t, &goredis.Options{Addr: server.Address()})
	if err := client.ConfigSet(t.Context(), "maxmemory", "1mb").Err(); err != nil {
		t.Fatal(err)
	}
	_, err := s.Put(t.Context(), user("bob"), []byte("two"), "", time.Time{})
	wantCode(t, "create", err, session.CodeOverloaded)
	_, err = s.Put(t.Context(), user("ada"), []byte("two"), version, time.Time{})
	wantCode(t, "replace", err, session.CodeOverloaded)
	if r := get(t, s, "ada"); r.Version != version || string(r.Value) != "one" {
		t.Errorf("got %+v", r)
	}
	if page, err := s.Scan(t.Context(), backend.KindUser, "", 10); err != nil || len(page.Records) != 1 {
		t.Errorf("scan: %+v, %v", page, err)
	}
	late := open(t, redis.Config{Address: server.Address()})
	if err := late.Ready(); err != nil {
		t.Errorf("a full server knows the sessions that it has: %v", err)
	}
	if r := get(t, late, "ada"); r.Version != version {
		t.Errorf("at another node: %+v", r)
	}
	if err := s.Delete(t.Context(), user("ada"), version); err != nil {
		t.Errorf("a full server must let records go: %v", err)
	}
}

// TestReadOnlyReplica: writes that reach a replica are refused for certain.
func TestReadOnlyReplica(t *testing.T) {
	t.Parallel()
	master := startServer(t, redistest.Options{})
	replica := startServer(t, redistest.Options{Lines: []string{"replicaof 127.0.0.1 " + master.Port()}})
	s := open(t, redis.Config{Address: replica.Address()})
	_, err := s.Put(t.Context(), user("ada"), []byte("v"), "", time.Time{})
	wantCode(t, "put", err, session.CodeUnavailable)
	wantCode(t, "ready", s.Ready(), session.CodeUnavailable)
}

// TestForeignValue: what somebody else has put where a record should be is neither read nor replaced.
func TestForeignValue(t *testing.T) {
	t.Parallel()
	server := startServer(t, redistest.Options{})
	s := open(t, redis.Config{Address: server.Address()})
	put(t, s, "ada", "v", "")
	client := raw(t, &goredis.Options{Addr: server.Address()})
	keys, err := client.Keys(t.Context(), "hydrastore:*:ada").Result()
	if err != nil || len(keys) != 1 {
		t.Fatalf("keys: %q, %v", keys, err)
	}
	if err := client.Set(t.Context(), keys[0], "short", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), user("ada")); session.CodeOf(err) != session.CodeInternal {
		t.Errorf("get: %v", err)
	}
	if _, err := s.Put(t.Context(), user("ada"), []byte("v"), "", time.Time{}); !errors.Is(err, backend.ErrChanged) {
		t.Errorf("put: %v", err)
	}
}

// TestValidate: what does not fit together is said before anything is connected.
func TestValidate(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]redis.Config{
		"nothing":           {},
		"two ways":          {Address: "a:1", Cluster: []string{"b:1"}},
		"no master":         {Sentinel: redis.Sentinel{Addresses: []string{"a:1"}}},
		"no Sentinels":      {Sentinel: redis.Sentinel{Master: "m"}},
		"cluster database":  {Cluster: []string{"a:1"}, Database: 1},
		"negative database": {Address: "a:1", Database: -1},
		"no password":       {Address: "a:1", User: "u"},
		"a brace":           {Address: "a:1", Prefix: "a{b"},
		"a long prefix":     {Address: "a:1", Prefix: strings.Repeat("x", 65)},
		"replicas below 0":  {Address: "a:1", WaitReplicas: -1},
		"too many replicas": {Address: "a:1", WaitReplicas: redis.MaxWaitReplicas + 1},
		"too many":          {Cluster: make([]string, redis.MaxAddresses+1)},
	} {
		if err := c.Validate(); err == nil {
			t.Errorf("%s: no error", what)
		}
		if s, err := redis.Open(t.Context(), c); err == nil {
			_ = s.Close()
			t.Errorf("%s: opened", what)
		}
	}
}
