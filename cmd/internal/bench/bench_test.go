package bench_test

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/cmd/internal/bench"
	"github.com/hydrastore/hydrastore/session"
)

// cluster is a small store that remembers what the bench did.
type cluster struct {
	mu       sync.Mutex
	keys     map[session.Key]string // policy
	policies map[string]session.PolicyChange
	created  int
	checks   map[session.Consistency]int
	failEach int // every n-th check fails; 0 = none
	failMake bool
}

func newCluster() *cluster {
	return &cluster{keys: map[session.Key]string{}, policies: map[string]session.PolicyChange{}, checks: map[session.Consistency]int{}}
}

func (c *cluster) Create(_ context.Context, user, policy string) (session.Key, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.policies[policy]; !ok || user == "" || c.failMake {
		return session.Key{}, session.Invalid("policy", "no such policy")
	}
	key, err := session.NewKey(rand.Reader)
	c.keys[key] = policy
	c.created++
	return key, err
}

func (c *cluster) Check(_ context.Context, key session.Key, consistency session.Consistency) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.checks[consistency]++
	if n := c.checks[consistency]; c.failEach > 0 && n%c.failEach == 0 {
		return session.Errorf(session.CodeNoQuorum, "no majority")
	}
	if _, ok := c.keys[key]; !ok {
		return session.ErrUnauthenticated()
	}
	return nil
}

func (c *cluster) Logout(_ context.Context, key session.Key) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.keys, key)
	return nil
}

func (c *cluster) PutPolicy(_ context.Context, name string, change session.PolicyChange) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.policies[name] = change
	return nil
}

func (c *cluster) DeletePolicy(_ context.Context, name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.policies, name)
	return nil
}

func (c *cluster) RevokePolicySessions(_ context.Context, policy string) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for key, p := range c.keys {
		if p == policy {
			delete(c.keys, key)
			n++
		}
	}
	return n, nil
}

func options(workload string) bench.Options {
	return bench.Options{Workload: workload, Clients: 4, Sessions: 20, Duration: 100 * time.Millisecond}
}

func TestWorkloads(t *testing.T) {
	t.Parallel()
	for workload, operations := range map[string]string{"create": "create", "check": "check", "check-extend": "check-extend", "mixed": "check create logout"} {
		t.Run(workload, func(t *testing.T) {
			t.Parallel()
			c := newCluster()
			report, err := bench.Run(t.Context(), []bench.Node{c, c}, c, options(workload))
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, o := range report.Operations {
				names = append(names, o.Name)
				if o.Count == 0 || o.Rate <= 0 || len(o.Errors) > 0 || o.Latency.Max < o.Latency.P50 {
					t.Errorf("got %+v, want successes only", o)
				}
			}
			if got := strings.Join(names, " "); got != operations {
				t.Errorf("got the operations %q, want %q", got, operations)
			}
			if report.Nodes != 2 || report.Clients != 4 || report.Seconds < 0.1 || report.Failed() != 0 {
				t.Errorf("got %+v", report)
			}
			if len(c.keys) != 0 || len(c.policies) != 0 {
				t.Errorf("%d sessions and %d policies were left behind", len(c.keys), len(c.policies))
			}
		})
	}
}

func TestCheckExtendWritesEveryUse(t *testing.T) {
	t.Parallel()
	c := newCluster()
	seen := make(chan session.PolicyChange, 1)
	watch := watchedAdmin{cluster: c, put: func(change session.PolicyChange) { seen <- change }}
	if _, err := bench.Run(t.Context(), []bench.Node{c}, watch, options("check-extend")); err != nil {
		t.Fatal(err)
	}
	if change := <-seen; change.TouchWindow == nil || *change.TouchWindow != 0 {
		t.Errorf("got the policy %+v, want touch window 0", change)
	}
}

type watchedAdmin struct {
	*cluster
	put func(session.PolicyChange)
}

func (w watchedAdmin) PutPolicy(ctx context.Context, name string, change session.PolicyChange) error {
	w.put(change)
	return w.cluster.PutPolicy(ctx, name, change)
}

func TestErrorsAreCountedByCode(t *testing.T) {
	t.Parallel()
	c := newCluster()
	c.failEach = 3
	o := options("check")
	o.Consistency = session.Local
	report, err := bench.Run(t.Context(), []bench.Node{c}, c, o)
	if err != nil {
		t.Fatal(err)
	}
	got := report.Operations[0].Errors
	if got[session.CodeNoQuorum] == 0 || len(got) != 1 || report.Failed() != got[session.CodeNoQuorum] {
		t.Errorf("got errors %v, want no_quorum only", got)
	}
	if c.checks[session.Linearizable] != 0 || report.Consistency != "local" {
		t.Errorf("%d checks were linearizable, the report says %s", c.checks[session.Linearizable], report.Consistency)
	}
}

func TestFailedPreparationIsSaidAndCleanedUp(t *testing.T) {
	t.Parallel()
	c := newCluster()
	c.failMake = true
	_, err := bench.Run(t.Context(), []bench.Node{c}, c, options("check"))
	if session.CodeOf(err) != session.CodeInvalid {
		t.Errorf("got %v, want the cause", err)
	}
	if len(c.policies) != 0 {
		t.Error("the policy was left behind")
	}
}

func TestInterruptedRunCleansUp(t *testing.T) {
	t.Parallel()
	c := newCluster()
	ctx, cancel := context.WithCancel(t.Context())
	o := options("create")
	o.Duration = time.Hour
	o.Progress = func(bench.Progress) { cancel() }
	report, err := bench.Run(ctx, []bench.Node{c}, c, o)
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if len(report.Operations) == 0 || len(c.keys) != 0 {
		t.Errorf("got %+v and %d sessions left; want the counts so far and none", report, len(c.keys))
	}
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	change := func(f func(*bench.Options)) bench.Options {
		o := options("check")
		f(&o)
		return o
	}
	cases := map[string]bench.Options{
		"no workload":     change(func(o *bench.Options) { o.Workload = "x" }),
		"--clients":       change(func(o *bench.Options) { o.Clients = 0 }),
		"--sessions":      change(func(o *bench.Options) { o.Sessions = bench.MaxSessions + 1 }),
		"--duration":      change(func(o *bench.Options) { o.Duration = 0 }),
		"extends nothing": change(func(o *bench.Options) { o.Workload = "check-extend"; o.Consistency = session.Local }),
	}
	for want, o := range cases {
		if want == "no workload" {
			want = "there is no workload"
		}
		if err := o.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %q in it", o, err, want)
		}
	}
}
