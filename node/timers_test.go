package node_test

import (
	"bytes"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/session"
)

// advance lets time pass for all.
func (c *trio) advance(d time.Duration) { advanceTogether(c.clocks, d) }

// freeze stops the time of all: for tests that come near to a deadline.
func (c *trio) freeze() { freezeTogether(c.clocks) }

// policy makes or changes a policy at node i, as the operator.
func (c *trio) policy(i int, name string, ch session.PolicyChange) {
	c.t.Helper()
	if _, err := c.nodes[i].PutPolicy(c.t.Context(), session.Call{Operator: true}, name, ch); err != nil {
		c.t.Fatalf("put policy %s: %v", name, err)
	}
}

func ptr[T any](v T) *T { return &v }

// TestTheUserIsAskedToStay: a session that is only tickled prompts for its last minute, at every node, and any activity is the answer.
func TestTheUserIsAskedToStay(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, nil)
	app := c.service(0)
	c.policy(1, "desk", session.PolicyChange{
		IdleTimeout: ptr(30 * time.Minute), InactivityTimeout: ptr(time.Hour), AbsoluteLifetime: ptr(time.Duration(0)), TouchWindow: ptr(time.Duration(0)),
	})
	c.freeze()
	asked, silent := c.vouch(app, 0, "desk"), c.vouch(app, 0, "desk")
	if want := asked.CreatedAt.Add(30 * time.Minute); asked.Prompt || !asked.ExpiresAt.Equal(want) {
		t.Errorf("at log-in: prompt %v, expires %v, want false, %v", asked.Prompt, asked.ExpiresAt, want)
	}
	for round := range 6 {
		c.advance(10 * time.Minute)
		for _, s := range []session.Issued{asked, silent} {
			got, err := c.nodes[round%3].Touch(t.Context(), with(s.Key))
			if err != nil {
				t.Fatalf("tickle after %d minutes: %v", 10*(round+1), err)
			}
			if want := round == 5; got.Prompt != want {
				t.Errorf("after %d minutes of tickles: prompt %v, want %v", 10*(round+1), got.Prompt, want)
			}
			if end := got.ExpiresAt.Sub(s.CreatedAt).Round(time.Millisecond); round == 5 && end != 61*time.Minute {
				t.Errorf("after an hour of tickles it expires %v after log-in, want 61m", end)
			}
		}
	}
	c.advance(30 * time.Second)
	for i, n := range c.nodes {
		if got, err := n.Check(t.Context(), with(silent.Key), true); err != nil || !got.Prompt {
			t.Errorf("node %d in the last minute: prompt %v, %v; want true", i+1, got.Prompt, err)
		}
	}
	if got, err := c.nodes[2].Check(t.Context(), with(asked.Key), false); err != nil || got.Prompt {
		t.Errorf("the answer: prompt %v, %v; want false", got.Prompt, err)
	}
	c.advance(31 * time.Second)
	for i, n := range c.nodes {
		if _, err := n.Touch(t.Context(), with(silent.Key)); session.CodeOf(err) != session.CodeUnauthenticated {
			t.Errorf("node %d a minute after nobody answered: %v, want unauthenticated", i+1, err)
		}
		if _, err := n.Touch(t.Context(), with(asked.Key)); err != nil {
			t.Errorf("node %d after the answer: %v", i+1, err)
		}
	}
}

// logLines is a log that tests read.
type logLines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// TestKeysAtOtherAddresses: a strict policy gives a key at another address the answer of an unknown key, on every route, and lets
// nothing there keep the session alive; log only notes it. Both are counted, and logged without the key.
func TestKeysAtOtherAddresses(t *testing.T) {
	t.Parallel()
	registry, lines := prometheus.NewRegistry(), &logLines{}
	c := startTrio(t, 1, func(_ int, config *node.Config) {
		config.Registerer, config.Logger = registry, slog.New(slog.NewTextHandler(lines, nil))
	})
	c.freeze() // each second allows one more line
	ctx, n, app := t.Context(), c.nodes[0], c.service(0)
	off, zero := session.BindLog, time.Duration(0)
	c.policy(0, "noted", session.PolicyChange{BindAddress: &off})
	c.policy(0, "bound", session.PolicyChange{BindAddress: ptr(session.BindStrict), TouchWindow: &zero})
	home, away := netip.MustParseAddr("198.51.100.4"), netip.MustParseAddr("203.0.113.9")
	login := func(policy string, from netip.Addr) (session.Issued, error) {
		return n.Login(ctx, app, session.Login{User: "ada", Vouched: true, Policy: policy, ClientAddress: from})
	}
	for _, none := range []netip.Addr{{}, netip.IPv6Unspecified(), netip.IPv4Unspecified()} {
		if _, err := login("bound", none); session.CodeOf(err) != session.CodeInvalid {
			t.Errorf("a log-in without an address (%v) under a strict policy: %v, want invalid_request", none, err)
		}
	}
	bound, err := login("bound", home)
	if err != nil {
		t.Fatal(err)
	}
	noted, err := login("noted", home)
	if err != nil {
		t.Fatal(err)
	}
	unknown, err := session.NewKey(zeros{})
	if err != nil {
		t.Fatal(err)
	}
	c.advance(time.Minute)
	app = c.service(0)
	for _, address := range []netip.Addr{away, {}, home} {
		for what, ask := range map[string]func(session.Call) error{
			"check": func(call session.Call) error { _, err := n.Check(ctx, call, true); return err },
			"touch": func(call session.Call) error { _, err := n.Touch(ctx, call); return err },
			"patch": func(call session.Call) error {
				_, err := n.PatchAttributes(ctx, call, session.AttributePatch{}, nil)
				return err
			},
			"list": func(call session.Call) error {
				call.Subject = nil
				_, err := n.ListSessions(ctx, call, session.Filter{User: "ada"}, session.Page{})
				return err
			},
			"revoke": func(call session.Call) error {
				call.Subject = nil
				_, err := n.RevokeUserSessions(ctx, call, "ada", session.UserSessions{Permanent: true})
				return err
			},
		} {
			for _, byService := range []bool{false, true} {
				call := func(key session.Key) session.Call {
					if !byService {
						return session.Call{Key: key, Address: address}
					}
					c := app
					c.Subject = &session.Presented{Key: key, Address: address}
					return c
				}
				if byService && (what == "list" || what == "revoke") || !byService && what == "patch" {
					continue
				}
				got, other := ask(call(bound.Key)), ask(call(unknown))
				if address == home && got != nil || address != home && (got == nil || got.Error() != other.Error()) {
					t.Errorf("%s at %v, by service %v: %v; of an unknown key: %v", what, address, byService, got, other)
				}
				if err := ask(call(noted.Key)); err != nil {
					t.Errorf("%s at %v under log: %v", what, address, err)
				}
			}
		}
	}
	wantMismatches(t, registry)
	text := lines.String()
	if !strings.Contains(text, "another address") || !strings.Contains(text, "address=203.0.113.9") {
		t.Errorf("the log does not tell of it:\n%s", text)
	}
	if strings.Contains(text, bound.Key.Reveal()) || strings.Contains(text, noted.Key.Reveal()) {
		t.Error("the log has a key")
	}
	if count := strings.Count(text, "another address"); count > 5 {
		t.Errorf("%d lines for a few moments: whoever has a key can fill the log", count)
	}
	// A log-out is answered as done, so it must be: wherever it comes from.
	if _, err := n.Logout(ctx, session.Call{Key: bound.Key, Address: away}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Check(ctx, session.Call{Key: bound.Key, Address: home}, true); session.CodeOf(err) != session.CodeUnauthenticated {
		t.Errorf("after a log-out from elsewhere: %v, want unauthenticated", err)
	}
}

// zeros is a random source for a key that nobody has.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func wantMismatches(t *testing.T, registry *prometheus.Registry) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]float64{}
	for _, f := range families {
		if f.GetName() != "hydrastore_address_mismatches_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			counts[m.GetLabel()[0].GetValue()] += m.GetCounter().GetValue()
		}
	}
	if counts["log"] == 0 || counts["strict"] == 0 {
		t.Errorf("counted %v, want some of each", counts)
	}
}

// TestPermanentSessions: they are keys for programs: no timer, listed apart, ended by name or with their user.
func TestPermanentSessions(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, nil)
	ctx := t.Context()
	if _, err := c.nodes[0].CreateUser(ctx, session.Call{Operator: true}, session.NewUser{Name: "robot", Password: "robot-password"}); err != nil {
		t.Fatal(err)
	}
	ask := session.Login{User: "robot", Password: "robot-password", Permanent: true}
	_, err := c.nodes[0].Login(ctx, from("192.0.2.1"), ask)
	if session.CodeOf(err) != session.CodeForbidden || !strings.Contains(err.Error(), "permanent_allowed") {
		t.Errorf("without the policy's leave: %v, want forbidden, and what to do", err)
	}
	c.policy(2, session.DefaultPolicyName, session.PolicyChange{PermanentAllowed: ptr(true)})
	key, err := c.nodes[0].Login(ctx, from("192.0.2.1"), ask)
	if err != nil || !key.Permanent || !key.ExpiresAt.IsZero() || key.IdleTimeout != 0 {
		t.Fatalf("got %+v, %v", key.Session, err)
	}
	other := c.login(1, "robot", "robot-password")
	c.advance(30 * 24 * time.Hour)
	got, err := c.nodes[1].Check(ctx, with(key.Key), false)
	if err != nil || !got.Permanent {
		t.Fatalf("a month later: %+v, %v", got.Session, err)
	}
	if _, err := c.nodes[1].Check(ctx, other, true); session.CodeOf(err) != session.CodeUnauthenticated {
		t.Errorf("the other session a month later: %v, want unauthenticated", err)
	}
	eventually(t, "the last use to be recorded", func() error {
		now, err := c.nodes[2].GetSession(ctx, session.Call{Operator: true}, key.ID)
		if err == nil && now.LastUsedAt.Sub(key.CreatedAt) < 29*24*time.Hour {
			return errors.New("not yet")
		}
		return err
	})
	operator := session.Call{Operator: true}
	for permanent, want := range map[bool]int{false: 0, true: 1} {
		list, err := c.nodes[2].ListSessions(ctx, operator, session.Filter{User: "robot", Permanent: permanent}, session.Page{})
		if err != nil || len(list.Items) != want {
			t.Errorf("listed with permanent=%v: %d, %v; want %d", permanent, len(list.Items), err, want)
		}
	}
	if _, err := c.nodes[0].UpdateUser(ctx, operator, "robot", session.UserChange{Password: ptr("another-password")}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.nodes[1].Check(ctx, with(key.Key), true); err != nil {
		t.Errorf("after another password: %v", err)
	}
	if _, err := c.nodes[0].UpdateUser(ctx, operator, "robot", session.UserChange{Disabled: ptr(true)}); err != nil {
		t.Fatal(err)
	}
	for i, n := range c.nodes {
		if _, err := n.Check(ctx, with(key.Key), true); session.CodeOf(err) != session.CodeUnauthenticated {
			t.Errorf("node %d, its user is disabled: %v, want unauthenticated", i+1, err)
		}
	}
}
