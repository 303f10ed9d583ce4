package cli_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/api"
	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/cmd/internal/cli"
	"github.com/hydrastore/hydrastore/e2e/freeport"
	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/session"
)

// skippingClock is the machine's clock until it is stopped, and tests let time pass.
type skippingClock struct {
	node.Clock
	begun time.Time

	mu      sync.Mutex
	skipped time.Duration
	stopped bool
}

func (c *skippingClock) Wall() time.Time { return c.begun.Add(c.Monotonic()) }

func (c *skippingClock) Monotonic() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		c.skipped += time.Microsecond // the node can still tell what came first
		return c.skipped
	}
	return c.Clock.Monotonic() + c.skipped
}

func (c *skippingClock) skip(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.skipped += d
}

// stop lets time pass by skip alone, however long the machine takes.
func (c *skippingClock) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.skipped, c.stopped = c.skipped+c.Clock.Monotonic(), true
}

// ports deals out the ports of this package's tests.
var ports = freeport.New()

const elsewhere = "203.0.113.9"

// startFlowTraq runs a real node whose sessions of the policy flowtraq end after maxAge without use, 0 = there is no such policy. elsewhere
// answers like home to somebody who comes from another address.
func startFlowTraq(t *testing.T, maxAge time.Duration) (x *terminal, clock *skippingClock, away string) {
	t.Helper()
	clock = &skippingClock{Clock: node.SystemClock(), begun: time.Now()}
	config := node.DefaultConfig()
	address, err := ports.Address()
	if err != nil {
		t.Fatal(err)
	}
	config.Cluster.Dir, config.Cluster.Name, config.Cluster.PeerListen, config.Cluster.GossipListen = t.TempDir(), "one", address, "127.0.0.1:0"
	config.Cluster.Join, config.Cluster.BootstrapExpect = []string{address}, 1
	config.AdminPassword, config.Clock = password+"-admin", clock
	config.Hashing = auth.Config{Params: auth.Params{MemoryKiB: 64, Iterations: 1, Parallelism: 1}}
	config.Logger = slog.New(slog.DiscardHandler)
	config.Fatal = func(err error) { t.Error(err) }
	if maxAge > 0 {
		policy, _ := session.Preset(session.PresetFlowTraq)
		policy.IdleTimeout = maxAge
		config.Policies = append(config.Policies, policy)
	}
	n, err := node.New(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = n.Shutdown(ctx)
	})
	await(t, "the node is ready", func() error { return n.Ready(false) })
	if _, err := n.CreateUser(t.Context(), session.Call{Operator: true}, session.NewUser{
		Name: "ada", Password: password, Policies: []string{"default", "flowtraq"}[:1+min(1, int(maxAge))],
	}); err != nil {
		t.Fatal(err)
	}
	settings := api.DefaultConfig()
	settings.Logger, settings.TrustedProxies = slog.New(slog.DiscardHandler), []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	server, err := api.New(settings, n)
	if err != nil {
		t.Fatal(err)
	}
	home := httptest.NewServer(server.Handler(false))
	t.Cleanup(home.Close)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("X-Forwarded-For", elsewhere)
		server.Handler(false).ServeHTTP(w, r)
	}))
	t.Cleanup(other.Close)
	x = &terminal{t: t, login: t.TempDir() + "/login.json"}
	x.environ = []string{"HYDRASTORE_ADDRESS=" + strings.TrimPrefix(home.URL, "http://"), "HYDRASTORE_LOGIN_FILE=" + x.login}
	return x, clock, strings.TrimPrefix(other.URL, "http://")
}

// await asks again until there is no error, for a minute at most.
func await(t *testing.T, what string, ask func() error) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		err := ask()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited a minute for this: %s: %v", what, err)
		}
		time.Sleep(pause)
	}
}

// TestFlowTraqsTimeLines: keys of 120 seconds, by the commands that scripts call. The exact second is judged on the replicated clock (fsm: TestTimeLines).
func TestFlowTraqsTimeLines(t *testing.T) {
	t.Parallel()
	x, clock, away := startFlowTraq(t, 120*time.Second)
	clock.stop()
	x.stdin = password
	issue := func() string { t.Helper(); return issuedKey(t, x, "whoami -un ada --password-file - -us") }
	type use struct {
		after time.Duration // since the step before
		from  string        // "" = home
		code  int
	}
	for name, uses := range map[string][]use{
		"each use resets the timer":       {{after: 115 * time.Second}, {after: 115 * time.Second}, {after: 126 * time.Second, code: cli.ExitUnauthenticated}},
		"never used":                      {{after: 126 * time.Second, code: cli.ExitUnauthenticated}},
		"elsewhere it is unknown":         {{after: 10 * time.Second, from: away, code: cli.ExitUnauthenticated}, {after: 105 * time.Second}},
		"a use elsewhere extends nothing": {{after: 60 * time.Second, from: away, code: cli.ExitUnauthenticated}, {after: 66 * time.Second, code: cli.ExitUnauthenticated}},
	} {
		key := issue()
		for i, u := range uses {
			clock.skip(u.after)
			line := "session list --of-user ada -us " + key
			if u.from != "" {
				line += " --address " + u.from
			}
			want := u.code
			if stdout, stderr, code := x.run(line); code != want || (code == cli.ExitOK) != strings.Contains(stdout, "flowtraq") {
				t.Errorf("%s, use %d: exit code %d, want %d: %s%s", name, i+1, code, want, stdout, stderr)
			}
		}
	}
}

// TestFlowTraqsKeysAreOffAtFirst: without maxsessionkeyage there is none, whoever asks, and the reason is told to who has the password.
func TestFlowTraqsKeysAreOffAtFirst(t *testing.T) {
	t.Parallel()
	x, _, _ := startFlowTraq(t, 0)
	for line, want := range map[string]int{
		"whoami -un ada -up " + password + " -us":         cli.ExitFailure,
		"whoami -un admin -up " + password + "-admin -us": cli.ExitFailure,
		"whoami -un ada -up wrong -us":                    cli.ExitUnauthenticated,
	} {
		stdout, stderr, code := x.run(line)
		if told := strings.Contains(stderr, "session keys are not issued here"); code != want || stdout != "" || told != (want == cli.ExitFailure) {
			t.Errorf("%s: exit code %d, want %d: %s%s", line, code, want, stdout, stderr)
		}
	}
}

// TestAKeyIsNotForUsersWithoutThePolicy names what an admin has to do.
func TestAKeyIsNotForUsersWithoutThePolicy(t *testing.T) {
	t.Parallel()
	x, _, _ := startFlowTraq(t, time.Minute)
	x.stdin = password + "-admin"
	x.must("login admin --password-file -")
	x.stdin = password
	x.must("user add bob --new-password-file -")
	if _, stderr, code := x.run("whoami -un bob -up " + password + " -us"); code != cli.ExitFailure || !strings.Contains(stderr, "hydrastore user set bob --policy default,flowtraq") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	x.must("user set bob --policy default,flowtraq")
	issuedKey(t, x, "whoami -un bob -up "+password+" -us")
}
