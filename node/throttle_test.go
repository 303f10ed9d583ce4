package node_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/session"
)

// addUser makes a user with a password.
func (c *trio) addUser(name, password string) {
	c.t.Helper()
	if _, err := c.nodes[0].CreateUser(c.t.Context(), operator, session.NewUser{Name: name, Password: password}); err != nil {
		c.t.Fatalf("create user %s: %v", name, err)
	}
}

// try logs a user in at node i from an address and returns the error's code.
func (c *trio) try(i int, user, password, address string) (session.Code, *session.Error) {
	_, err := c.nodes[i].Login(c.t.Context(), from(address), session.Login{User: user, Password: password})
	var coded *session.Error
	errors.As(err, &coded)
	return session.CodeOf(err), coded
}

func (c *trio) wantTry(i int, user, password, address string, want session.Code) {
	c.t.Helper()
	if got, err := c.try(i, user, password, address); got != want {
		c.t.Fatalf("log-in of %s from %s at node %d: %v, want %q", user, address, i+1, err, want)
	}
}

// perUser gives attempts back after so long that none comes back in a test which does not move the clocks.
func perUser(n int) func(int, *node.Config) {
	return func(_ int, c *node.Config) {
		c.Throttle = node.Throttle{Window: time.Hour, PerUser: n, PerAddress: 3 * n, PerNode: 256}
	}
}

// A load balancer does not multiply the allowance.
func TestWrongPasswordsAreCountedOverAllNodes(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, perUser(6))
	c.addUser("ada", "ada-password")
	c.addUser("bob", "bob-password")
	for i := range 6 {
		c.wantTry(i%3, "ada", "wrong-password", "192.0.2.7", session.CodeUnauthenticated)
	}
	for i := range 3 {
		code, err := c.try(i, "Ada ", "ada-password", "192.0.2.7") // right, but not looked at
		if code != session.CodeThrottled || err.Field != "user" || err.RetryAfter <= 0 || err.RetryAfter > 10*time.Minute {
			t.Errorf("node %d: %v, asks to wait %v; want throttled and at most 10m", i+1, err, err.RetryAfter)
		}
		c.wantTry(i, "bob", "bob-password", "192.0.2.7", "")
		c.wantTry(i, "ada", "ada-password", "192.0.2.8", "")
	}
	c.advance(10 * time.Minute)
	eventually(t, "one attempt to have come back", func() error {
		_, err := c.nodes[0].Login(t.Context(), from("192.0.2.7"), session.Login{User: "ada", Password: "ada-password"})
		return err
	})
}

func TestAnAddressIsThrottledOverItsUsers(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, perUser(2))
	c.addUser("ada", "ada-password")
	for i := range 6 {
		c.wantTry(i%3, fmt.Sprint("nobody-", i), "wrong-password", "2001:db8::1", session.CodeUnauthenticated)
	}
	if code, err := c.try(1, "ada", "ada-password", "2001:db8::2"); code != session.CodeThrottled || err.Field != "" || err.RetryAfter > 10*time.Minute {
		t.Errorf("another address of the same /64: %v", err)
	}
	c.wantTry(1, "ada", "ada-password", "2001:db8:0:1::1", "")
}

// Whether there is such a user, and whether it is disabled, is told neither by the answer nor by the counting.
func TestUnknownUsersAreThrottledLikeOthers(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 1, perUser(3))
	c.addUser("ada", "ada-password")
	if _, err := c.nodes[0].CreateUser(t.Context(), operator, session.NewUser{Name: "off", Password: "off-password", Disabled: true}); err != nil {
		t.Fatal(err)
	}
	var seen []string
	for i, user := range []string{"ada", "nobody", "off"} {
		answers := ""
		for range 5 {
			_, err := c.try(0, user, "off-password", fmt.Sprint("192.0.2.", 10+i))
			answers += fmt.Sprintf("%s %q %q; ", err.Code, err.Field, err.Message)
		}
		seen = append(seen, answers)
	}
	if seen[0] != seen[1] || seen[0] != seen[2] {
		t.Errorf("users are told apart:\n%s\n%s\n%s", seen[0], seen[1], seen[2])
	}
}

func TestRightPasswordsAreNotCounted(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, perUser(2))
	c.addUser("ada", "ada-password")
	for i := range 20 {
		c.wantTry(i%3, "ada", "ada-password", "192.0.2.7", "")
	}
	// Nor are those that fail for another reason than the password.
	for i := range 10 {
		_, err := c.nodes[i%3].Login(t.Context(), from("192.0.2.7"), session.Login{User: "ada", Password: "ada-password", Policy: "nowhere"})
		if session.CodeOf(err) != session.CodeInvalid {
			t.Fatalf("attempt %d: %v", i, err)
		}
	}
	c.wantTry(0, "ada", "ada-password", "192.0.2.7", "")
}

// A node that has not heard yet that another one gave an attempt back asks before it refuses.
func TestARightPasswordAtAnotherNodeIsKnownAtOnce(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, perUser(1))
	c.addUser("ada", "ada-password")
	for i := range 60 {
		c.wantTry(i%3, "ada", "ada-password", "192.0.2.7", "")
	}
	c.wantTry(0, "ada", "wrong-password", "192.0.2.7", session.CodeUnauthenticated)
	for i := range 3 {
		c.wantTry(i, "ada", "ada-password", "192.0.2.7", session.CodeThrottled)
	}
}

// Behind a service that names no client address all are counted by the service's own, also when it names what it knows besides.
func TestWithoutAClientAddressTheServicesOwnIsThrottled(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 1, perUser(2))
	app := c.service(0)
	for i := range 7 {
		_, err := c.nodes[0].Login(t.Context(), app, session.Login{User: fmt.Sprint("nobody-", i), Password: "wrong-password", UserAgent: "Firefox"})
		want := session.CodeUnauthenticated
		if i == 6 {
			want = session.CodeThrottled
		}
		if session.CodeOf(err) != want {
			t.Errorf("log-in %d: %v, want %q", i, err, want)
		}
	}
}

// With room for one attempt alone, those that come while it is under way wait for what becomes of it.
func TestWhoWaitsIsNotRefusedForWhoGoesFirst(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 1, func(i int, config *node.Config) {
		perUser(1)(i, config)
		config.Hashing = auth.Config{Params: auth.Params{MemoryKiB: 16 << 10, Iterations: 4, Parallelism: 1}}
	})
	c.addUser("ada", "ada-password")
	var work sync.WaitGroup
	for range 3 {
		work.Go(func() {
			for range 5 {
				issued, err := c.nodes[0].Login(t.Context(), from("192.0.2.7"), session.Login{User: "ada", Password: "ada-password"})
				if err != nil {
					t.Errorf("a right password: %v", err)
				}
				// A few round trips, so that the next one comes while another one is being hashed.
				for range 3 {
					_, _ = c.nodes[0].Touch(t.Context(), with(issued.Key))
				}
			}
		})
	}
	work.Wait()
	var wrong, throttled atomic.Int64
	for range 20 {
		work.Go(func() {
			switch code, _ := c.try(0, "ada", "wrong-password", "192.0.2.7"); code {
			case session.CodeUnauthenticated:
				wrong.Add(1)
			case session.CodeThrottled:
				throttled.Add(1)
			}
		})
	}
	work.Wait()
	if wrong.Load() != 1 || throttled.Load() != 19 {
		t.Errorf("%d wrong passwords were looked at, %d not; want 1 and 19", wrong.Load(), throttled.Load())
	}
}

// Simultaneous log-ins of one user that are all right wait for one another, and are no flood.
func TestManyRightPasswordsAtOnceAreNoFlood(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, perUser(3))
	c.addUser("ada", "ada-password")
	var work sync.WaitGroup
	for i := range 30 {
		work.Go(func() {
			if code, err := c.try(i%3, "ada", "ada-password", "192.0.2.7"); code != "" {
				t.Errorf("log-in %d: %v", i, err)
			}
		})
	}
	work.Wait()
}

func TestWithoutLimitsNothingIsThrottled(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 1, func(_ int, c *node.Config) { c.Throttle.PerUser, c.Throttle.PerAddress = 0, 0 })
	c.addUser("ada", "ada-password")
	for range 120 {
		c.wantTry(0, "ada", "wrong-password", "192.0.2.7", session.CodeUnauthenticated)
	}
	c.wantTry(0, "ada", "ada-password", "192.0.2.7", "")
}

// The counters go with the log and its snapshots.
func TestTheThrottleSurvivesARestart(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 1, perUser(2))
	c.addUser("ada", "ada-password")
	for range 2 {
		c.wantTry(0, "ada", "wrong-password", "192.0.2.7", session.CodeUnauthenticated)
	}
	c.stop(0)
	c.start(0)
	c.awaitReady(0)
	c.wantTry(0, "ada", "ada-password", "192.0.2.7", session.CodeThrottled)
}

// Who types the password where the name belongs finds it in no file: not as it is, and not as a hash that can be tried.
func TestAPasswordInTheUserFieldStaysNowhere(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 1, nil)
	const typed = "hunter2-typed-in-the-wrong-field"
	c.wantTry(0, typed, "whatever-it-was", "192.0.2.7", session.CodeUnauthenticated)
	c.addUser("ada", "ada-password")
	c.stop(0)
	sum := sha256.Sum256([]byte(typed))
	files := 0
	err := filepath.WalkDir(c.dirs[0], func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		files++
		for _, secret := range [][]byte{[]byte(typed), []byte("whatever-it-was"), sum[:8]} {
			if bytes.Contains(data, secret) {
				t.Errorf("%s holds it", d.Name())
			}
		}
		return err
	})
	if err != nil || files == 0 {
		t.Fatalf("%d files, %v", files, err)
	}
}

// A flood of wrong passwords from many addresses, with hashes that cost something: others log in, sessions are checked, and the
// log grows by no more than the counters let through.
func TestAFloodStopsNobodyElse(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 1, func(_ int, c *node.Config) {
		c.Hashing = auth.Config{Params: auth.Params{MemoryKiB: 8 << 10, Iterations: 2, Parallelism: 1}, Concurrent: 2}
		c.Throttle = node.Throttle{Window: time.Hour, PerUser: 5, PerAddress: 20, PerNode: 64}
	})
	c.addUser("ada", "ada-password")
	key := c.login(0, "ada", "ada-password")
	ctx, stop := context.WithCancel(t.Context())
	var flood sync.WaitGroup
	var wrong, throttled, refused atomic.Int64
	const addresses = 10
	for i := range 200 {
		flood.Go(func() {
			address := netip.AddrFrom4([4]byte{203, 0, 113, byte(i % addresses)})
			for ctx.Err() == nil {
				_, err := c.nodes[0].Login(ctx, session.Call{Address: address}, session.Login{User: fmt.Sprint("user-", i), Password: "wrong-password"})
				switch session.CodeOf(err) {
				case session.CodeUnauthenticated:
					wrong.Add(1)
				case session.CodeThrottled:
					throttled.Add(1)
					time.Sleep(time.Millisecond) // as a network would
				case session.CodeOverloaded:
					refused.Add(1)
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	for i := range 30 {
		c.wantTry(0, "ada", "ada-password", fmt.Sprint("192.0.2.", i), "")
		if _, err := c.nodes[0].Check(t.Context(), key, false); err != nil {
			t.Fatalf("a check in the flood: %v", err)
		}
	}
	eventually(t, "the flood to meet its limits", func() error {
		if throttled.Load() < 1000 {
			return fmt.Errorf("%d throttled", throttled.Load())
		}
		return nil
	})
	stop()
	flood.Wait()
	t.Logf("%d wrong, %d throttled, %d refused", wrong.Load(), throttled.Load(), refused.Load())
	if most := int64(addresses * 20); wrong.Load() > most {
		t.Errorf("%d passwords were compared, at most %d may be", wrong.Load(), most)
	}
}

// A log-in that races with the disabling of its user leaves no living session, whoever comes first.
func TestLoginRacingWithDisablingLeavesNoSession(t *testing.T) {
	t.Parallel()
	const tries, workers = 1_000, 20
	c := startTrio(t, 3, nil)
	var work sync.WaitGroup
	var in, out atomic.Int64
	yes := true
	for w := range workers {
		work.Go(func() {
			for i := range tries / workers {
				user := fmt.Sprintf("u-%d-%d", w, i)
				if _, err := c.nodes[i%3].CreateUser(t.Context(), operator, session.NewUser{Name: user, Password: "some-password"}); err != nil {
					t.Error(err)
					return
				}
				var both sync.WaitGroup
				var key session.Key
				both.Go(func() {
					call := session.Call{Address: netip.AddrFrom4([4]byte{10, byte(w), byte(i), 1})}
					issued, err := c.nodes[(i+1)%3].Login(t.Context(), call, session.Login{User: user, Password: "some-password"})
					switch session.CodeOf(err) {
					case "":
						key = issued.Key
						in.Add(1)
					case session.CodeUnauthenticated, session.CodeConflict:
						out.Add(1)
					default:
						t.Errorf("%s: %v", user, err)
					}
				})
				both.Go(func() {
					for range i % 4 { // so that now one comes first and now the other
						_, _ = c.nodes[(i+2)%3].GetUser(t.Context(), operator, user)
					}
					if _, err := c.nodes[(i+2)%3].UpdateUser(t.Context(), operator, user, session.UserChange{Disabled: &yes}); err != nil {
						t.Errorf("disable %s: %v", user, err)
					}
				})
				both.Wait()
				c.wantNoSession(user, key)
			}
		})
	}
	work.Wait()
	t.Logf("%d log-ins came first, %d second", in.Load(), out.Load())
	if in.Load() == 0 || out.Load() == 0 {
		t.Error("there was no race")
	}
}

// wantNoSession looks at all nodes for a living session of a user.
func (c *trio) wantNoSession(user string, key session.Key) {
	for i, n := range c.nodes {
		list, err := n.ListSessions(c.t.Context(), operator, session.Filter{User: user}, session.Page{})
		if err != nil || len(list.Items) != 0 {
			c.t.Errorf("node %d: %s has %d sessions, %v", i+1, user, len(list.Items), err)
		}
		if key.IsZero() {
			continue
		}
		if _, err := n.Check(c.t.Context(), with(key), false); session.CodeOf(err) != session.CodeUnauthenticated {
			c.t.Errorf("node %d: the key of %s: %v", i+1, user, err)
		}
	}
}
