package ownsessions_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/session"
)

// TestNodeWithAnotherSetting: it is not let in, and one that restarts with another setting stops, and says why.
func TestNodeWithAnotherSetting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	late := newMembers(t, 1, w.clock)[0]
	late.config.SessionsAtNode = false
	late.config.Cluster.Join, late.config.Cluster.BootstrapExpect = []string{w.a.config.Cluster.PeerListen}, 0
	late.wantStop("the newcomer", "user.sessionPersistence: true", "user.sessionPersistence: false")
	status, err := w.a.ClusterStatus(t.Context(), operator)
	if err != nil || len(status.Members) != 3 {
		t.Errorf("%d members, %v; want 3", len(status.Members), err)
	}
	zoe := w.vouch(w.a, session.Login{User: "zoe"})
	w.c.stop()
	w.c.config.SessionsAtNode = false
	w.c.wantStop("the restarted node", "user.sessionPersistence: true", "user.sessionPersistence: false")
	w.good("after it", w.a, zoe)
}

// wantStop starts a node as one without own sessions, and waits for its end.
func (m *member) wantStop(what string, says ...string) {
	m.t.Helper()
	n := m.startPlain()
	select {
	case err := <-m.fatal:
		for _, want := range says {
			if !strings.Contains(err.Error(), want) {
				m.t.Errorf("%s stops with %v, want in it: %s", what, err, want)
			}
		}
	case <-time.After(patience):
		m.t.Errorf("%s goes on", what)
	}
	if err := n.Ready(false); err == nil {
		m.t.Errorf("%s is ready", what)
	}
}

// startPlain starts the node alone, and stops it with the test.
func (m *member) startPlain() *node.Node {
	m.t.Helper()
	c := m.config
	c.Fatal = func(err error) { m.fatal <- err }
	n, err := node.New(c)
	if err != nil {
		m.t.Fatal(err)
	}
	if err := n.Start(m.t.Context()); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { stopPlain(n) })
	return n
}

func stopPlain(n *node.Node) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = n.Shutdown(ctx) // again, or after its end
}

// TestChangeOfTheSetting: when all nodes are stopped and started with another setting, sessions end, and none of an earlier time at nodes comes back.
func TestChangeOfTheSetting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	all := []*member{w.a, w.b, w.c}
	w.user(w.a, "ann")
	first := w.login(w.a, "ann")
	for _, m := range all {
		m.stop()
	}
	var plain []*node.Node
	for _, m := range all {
		m.config.SessionsAtNode = false
		plain = append(plain, m.startPlain())
	}
	for _, n := range plain {
		eventually(t, "ready with sessions in the cluster", func() error { return n.Ready(false) })
	}
	if _, err := plain[0].Check(t.Context(), with(first), false); session.CodeOf(err) != session.CodeUnauthenticated {
		t.Errorf("a node's session in the cluster: %v", err)
	}
	shared, err := plain[0].Login(t.Context(), session.Call{Address: address}, session.Login{User: "ann", Password: "password of ann"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := plain[1].Check(t.Context(), with(shared), false); err != nil {
		t.Errorf("the cluster's session at another node: %v", err)
	}
	for _, n := range plain {
		stopPlain(n)
	}
	for _, m := range all {
		m.config.SessionsAtNode = true
		m.start()
	}
	for _, m := range all {
		m.awaitReady()
	}
	w.bad("the node's session of the earlier time", w.a, first)
	w.bad("the cluster's session", w.a, shared)
	w.good("a new one", w.a, w.login(w.a, "ann"))
}

// TestChangeOfTheSettingThatNodesCannotKeep: the cluster's sessions are not ended for a setting that its policies do not let the nodes take up.
func TestChangeOfTheSettingThatNodesCannotKeep(t *testing.T) {
	t.Parallel()
	told := make(chan string, 1)
	m := newMembers(t, 1, &clock{begun: time.Now()}, func(c *node.Config) {
		c.Logger = slog.New(calls{slog.DiscardHandler, func(message string) {
			if strings.HasPrefix(message, "where sessions live is not changed yet") {
				select {
				case told <- message:
				default:
				}
			}
		}})
	})[0]
	plain := func() *node.Node {
		t.Helper()
		m.config.SessionsAtNode = false
		n := m.startPlain()
		eventually(t, "ready with sessions in the cluster", func() error { return n.Ready(false) })
		return n
	}
	n := plain()
	if _, err := n.PatchPolicy(t.Context(), operator, session.DefaultPolicyName, session.PolicyChange{LimitsChange: session.LimitsChange{MaxSessions: ptr(5)}}); err != nil {
		t.Fatal(err)
	}
	zoe, err := n.Login(t.Context(), operator, session.Login{User: "zoe", Vouched: true})
	if err != nil {
		t.Fatal(err)
	}
	stopPlain(n)
	own := func() {
		t.Helper()
		m.config.SessionsAtNode = true
		m.start()
		select {
		case <-told:
		case err := <-m.fatal:
			t.Fatalf("the node ends: %v", err)
		case <-time.After(patience):
			t.Fatal("nobody says why the setting is not in force")
		}
		if err := m.Ready(false); err == nil {
			t.Error("ready with a limit that no node holds")
		}
	}
	own()
	m.stop()
	n = plain()
	if _, err := n.Check(t.Context(), session.Call{Key: zoe.Key}, false); err != nil {
		t.Errorf("a session of the cluster, after the setting was taken back: %v", err)
	}
	if _, err := n.Move(t.Context(), operator, session.MoveStep{Kind: session.MoveClose}); err != nil {
		t.Fatal(err)
	}
	stopPlain(n)
	own()
	if moving, err := m.Move(t.Context(), operator, session.MoveStep{Kind: session.MoveReopen}); err != nil || moving.Phase != session.MoveOpen {
		t.Fatalf("open the cluster: %+v, %v", moving, err)
	}
	if _, err := m.PatchPolicy(t.Context(), operator, session.DefaultPolicyName, session.PolicyChange{LimitsChange: session.LimitsChange{MaxSessions: ptr(0)}}); err != nil {
		t.Fatal(err)
	}
	m.awaitReady()
}
