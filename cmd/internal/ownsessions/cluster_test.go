package ownsessions_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/backend/backendtest"
	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/session"
)

var (
	operator = session.Call{Operator: true}
	address  = netip.MustParseAddr("192.0.2.1")
)

func with(i session.Issued) session.Call { return session.Call{Key: i.Key, Address: address} }

func ptr[T any](v T) *T { return &v }

// world is three nodes of one cluster, each with its own sessions.
type world struct {
	*testing.T
	a, b, c *member
	clock   *clock
}

func newWorld(t *testing.T, changes ...func(*node.Config)) *world {
	t.Helper()
	shared := &clock{begun: time.Now()}
	all := startCluster(t, 3, shared, changes...)
	return &world{t, all[0], all[1], all[2], shared}
}

func (w *world) user(at *member, name string, roles ...session.Role) {
	w.Helper()
	if _, err := at.CreateUser(w.Context(), operator, session.NewUser{Name: name, Password: "password of " + name, Roles: roles}); err != nil {
		w.Fatalf("create %s: %v", name, err)
	}
}

func (w *world) update(at *member, name string, ch session.UserChange) {
	w.Helper()
	if _, err := at.UpdateUser(w.Context(), operator, name, ch); err != nil {
		w.Fatalf("change %s: %v", name, err)
	}
}

func (w *world) login(at *member, name string) session.Issued {
	w.Helper()
	return w.loginWith(at, name, "password of "+name)
}

func (w *world) loginWith(at *member, name, password string) session.Issued {
	w.Helper()
	issued, err := at.Login(w.Context(), session.Call{Address: address}, session.Login{User: name, Password: password})
	if err != nil {
		w.Fatalf("log %s in: %v", name, err)
	}
	return issued
}

func (w *world) vouch(at *member, l session.Login) session.Issued {
	w.Helper()
	l.Vouched = true
	issued, err := at.Login(w.Context(), operator, l)
	if err != nil {
		w.Fatalf("vouch for %s: %v", l.User, err)
	}
	return issued
}

func (w *world) good(what string, at *member, i session.Issued) session.Checked {
	w.Helper()
	checked, err := at.Check(w.Context(), with(i), false)
	if err != nil {
		w.Errorf("%s: got %v, want a good key", what, err)
	}
	return checked
}

func (w *world) bad(what string, at *member, i session.Issued) {
	w.Helper()
	if _, err := at.Check(w.Context(), with(i), false); session.CodeOf(err) != session.CodeUnauthenticated {
		w.Errorf("%s: got %v, want %s", what, err, session.CodeUnauthenticated)
	}
}

// TestSessionsAreTheirNodes: a key is good where it was made, lists and counts show the asked node's and say so, and users and policies are everybody's.
func TestSessionsAreTheirNodes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user(w.a, "ann", session.RoleAdmin)
	ann := w.login(w.a, "ann")
	w.good("at home", w.a, ann)
	w.bad("at the second", w.b, ann)
	w.bad("at the third", w.c, ann)
	there := w.login(w.b, "ann")
	w.bad("the second's at home", w.a, there)

	for _, m := range []*member{w.a, w.b} {
		list, err := m.ListSessions(t.Context(), operator, session.Filter{User: "ann"}, session.Page{})
		want := map[*member]session.Issued{w.a: ann, w.b: there}[m]
		if err != nil || len(list.Items) != 1 || list.Items[0].ID != want.ID || list.Node != m.NodeID() {
			t.Errorf("list: %+v of %q, %v; want the one session of %s", list.Items, list.Node, err, m.NodeID())
		}
		user, err := m.GetUser(t.Context(), operator, "ann")
		if err != nil || user.Sessions != 1 || user.Node != m.NodeID() {
			t.Errorf("user: %d sessions of %q, %v", user.Sessions, user.Node, err)
		}
		users, err := m.ListUsers(t.Context(), operator, session.Page{})
		if err != nil || len(users.Items) != 2 || users.Items[1].Sessions != 1 || users.Node != m.NodeID() {
			t.Errorf("users: %+v of %q, %v", users.Items, users.Node, err)
		}
	}
	if list, err := w.c.ListSessions(t.Context(), operator, session.Filter{}, session.Page{}); err != nil || len(list.Items) != 0 || list.Node != w.c.NodeID() {
		t.Errorf("list of the third: %+v of %q, %v; want none", list.Items, list.Node, err)
	}
	status, err := w.a.ClusterStatus(t.Context(), with(ann))
	if err != nil || status.Sessions != 1 || status.SessionsOf != w.a.NodeID() || len(status.Members) != 3 {
		t.Errorf("status: %+v, %v", status, err)
	}
	if _, err := w.b.ClusterStatus(t.Context(), with(ann)); session.CodeOf(err) != session.CodeUnauthenticated {
		t.Errorf("status with another node's key: %v", err)
	}
	// What an admin does with the key of one node holds at all.
	if _, err := w.a.CreateUser(t.Context(), with(ann), session.NewUser{Name: "bob", Password: "password of bob"}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.a.PutPolicy(t.Context(), with(ann), "web", session.PolicyChange{IdleTimeout: ptr(time.Minute)}); err != nil {
		t.Fatal(err)
	}
	w.update(w.b, "bob", session.UserChange{Policies: ptr([]string{"web"})})
	bob := w.login(w.c, "bob")
	if bob.Policy != "web" || bob.IdleTimeout != time.Minute {
		t.Errorf("bob's session: policy %s, idle %v", bob.Policy, bob.IdleTimeout)
	}
	if _, err := w.c.CreateUser(t.Context(), with(bob), session.NewUser{Name: "eve"}); session.CodeOf(err) != session.CodeForbidden {
		t.Errorf("a user makes a user: %v", err)
	}
	revoked, err := w.a.RevokeUserSessions(t.Context(), with(ann), "bob", session.UserSessions{})
	if err != nil || revoked.Count != 0 || revoked.Node != w.a.NodeID() {
		t.Errorf("revoked %+v, %v; want none of this node", revoked, err)
	}
	w.good("the third's, after a revocation at the first", w.c, bob)
	if _, err := w.a.Logout(t.Context(), with(ann)); err != nil {
		t.Fatal(err)
	}
	w.bad("after the log-out", w.a, ann)
	w.good("the other node's session of the same user", w.b, there)
}

// TestPagesAreOfOneNode: a list is gone on with where it began.
func TestPagesAreOfOneNode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 3 {
		w.vouch(w.a, session.Login{User: fmt.Sprintf("user-%d", i)})
		w.vouch(w.b, session.Login{User: fmt.Sprintf("user-%d", i)})
	}
	page, err := w.a.ListSessions(t.Context(), operator, session.Filter{}, session.Page{Limit: 2})
	if err != nil || len(page.Items) != 2 || page.NextCursor == "" {
		t.Fatalf("first page %+v, %v", page, err)
	}
	if _, err := w.b.ListSessions(t.Context(), operator, session.Filter{}, session.Page{Cursor: page.NextCursor}); session.CodeOf(err) != session.CodeInvalid {
		t.Errorf("gone on at another node: %v", err)
	}
	rest, err := w.a.ListSessions(t.Context(), operator, session.Filter{}, session.Page{Cursor: page.NextCursor})
	if err != nil || len(rest.Items) != 1 || rest.NextCursor != "" {
		t.Errorf("last page %+v, %v", rest, err)
	}
}

// TestChangesOfAccountsEndSessionsEverywhere: what is done to an account at one node holds for its sessions at the others at once.
func TestChangesOfAccountsEndSessionsEverywhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.a.PutPolicy(t.Context(), operator, "keys", session.PolicyChange{PermanentAllowed: ptr(true)}); err != nil {
		t.Fatal(err)
	}
	permanent := func(name string) session.Issued {
		t.Helper()
		issued, err := w.a.Login(t.Context(), session.Call{Address: address}, session.Login{User: name, Password: "password of " + name, Policy: "keys", Permanent: true})
		if err != nil {
			t.Fatal(err)
		}
		return issued
	}
	for _, c := range []struct {
		what   string
		change func(name string)
		spares bool // permanent sessions
	}{
		{"disabled", func(name string) { w.update(w.b, name, session.UserChange{Disabled: ptr(true)}) }, false},
		{"disabled and enabled", func(name string) {
			w.update(w.b, name, session.UserChange{Disabled: ptr(true)})
			w.update(w.c, name, session.UserChange{Disabled: ptr(false)})
		}, false},
		{"another password", func(name string) { w.update(w.b, name, session.UserChange{Password: ptr("another password")}) }, true},
		{"another password, permanent too", func(name string) {
			w.update(w.b, name, session.UserChange{Password: ptr("another password"), EndPermanent: true})
		}, false},
		{"deleted", func(name string) {
			if _, err := w.b.DeleteUser(t.Context(), operator, name); err != nil {
				t.Fatal(err)
			}
		}, false},
		{"deleted and made again", func(name string) {
			if _, err := w.b.DeleteUser(t.Context(), operator, name); err != nil {
				t.Fatal(err)
			}
			w.user(w.c, name)
		}, false},
	} {
		name := strings.ReplaceAll(c.what, " ", "-")
		w.user(w.c, name)
		w.update(w.c, name, session.UserChange{Policies: ptr([]string{"default", "keys"})})
		issued, key := w.login(w.a, name), permanent(name)
		w.good(c.what+", before", w.a, issued)
		w.good(c.what+", before, permanent", w.a, key)
		c.change(name)
		w.bad(c.what, w.a, issued)
		if c.spares {
			w.good(c.what+", permanent", w.a, key)
		} else {
			w.bad(c.what+", permanent", w.a, key)
		}
		list, err := w.a.ListSessions(t.Context(), operator, session.Filter{User: name}, session.Page{})
		if err != nil || len(list.Items) != 0 {
			t.Errorf("%s: listed %+v, %v", c.what, list.Items, err)
		}
	}
}

// TestRolesOfOtherNodes: a role that is lost at one node is lost at once by a session at another, and one that is gained comes by its rotation. Neither ends it.
func TestRolesOfOtherNodes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user(w.a, "ann", session.RoleService)
	ann := w.login(w.a, "ann")
	if _, err := w.a.Login(t.Context(), with(ann), session.Login{User: "zoe", Vouched: true}); err != nil {
		t.Fatalf("a service vouches: %v", err)
	}
	w.update(w.b, "ann", session.UserChange{Roles: ptr([]session.Role{session.RoleUser})})
	if _, err := w.a.Login(t.Context(), with(ann), session.Login{User: "zoe", Vouched: true}); session.CodeOf(err) != session.CodeForbidden {
		t.Errorf("a former service vouches: %v", err)
	}
	w.good("with fewer roles", w.a, ann)
	w.update(w.c, "ann", session.UserChange{Roles: ptr([]session.Role{session.RoleAdmin})})
	if checked := w.good("with more roles", w.a, ann); !checked.Rotate {
		t.Error("the check does not say that there are roles to be had")
	}
	rotated, err := w.a.Rotate(t.Context(), with(ann))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.a.GetUser(t.Context(), with(rotated), "ann"); err != nil {
		t.Errorf("the new admin asks: %v", err)
	}
}

// TestOwnPassword: a user's own password spares the session that changes it, and no other, at any node, as often as it is changed.
func TestOwnPassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user(w.a, "ann")
	here, beside, there := w.login(w.a, "ann"), w.login(w.a, "ann"), w.login(w.b, "ann")
	change := func(at *member, i session.Issued, from, to string) error {
		_, err := at.UpdateUser(t.Context(), with(i), "ann", session.UserChange{Password: &to, CurrentPassword: &from})
		return err
	}
	if err := change(w.a, here, "wrong password", "password two"); session.CodeOf(err) != session.CodeForbidden {
		t.Errorf("with a wrong password: %v", err)
	}
	if err := change(w.a, here, "password of ann", "password two"); err != nil {
		t.Fatal(err)
	}
	w.good("the session that changed it", w.a, here)
	w.bad("the one beside it", w.a, beside)
	w.bad("the one at another node", w.b, there)
	if err := change(w.a, here, "password two", "password three"); err != nil {
		t.Fatal(err)
	}
	w.good("after the second change", w.a, here)
	late := w.loginWith(w.b, "ann", "password three")
	if err := change(w.b, late, "password three", "password four"); err != nil {
		t.Fatal(err)
	}
	w.bad("after a change at another node", w.a, here)
	w.good("there", w.b, late)
}

// TestUsersWithoutAccount: a service's users have sessions as everybody has, and an account of their name that comes and goes, while their node
// is down or up, ends them.
func TestUsersWithoutAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	zoe := w.vouch(w.a, session.Login{User: "zoe"})
	yan := w.vouch(w.a, session.Login{User: "yan"})
	xan := w.vouch(w.a, session.Login{User: "xan"})
	w.bad("elsewhere", w.b, zoe)
	w.user(w.b, "yan") // with a password: who is behind the name is settled anew
	w.bad("whose name is an account's now", w.a, yan)
	w.a.stop()
	w.user(w.b, "xan")
	if _, err := w.b.DeleteUser(t.Context(), operator, "xan"); err != nil {
		t.Fatal(err)
	}
	w.a.start()
	w.a.awaitReady()
	w.bad("whose name was an account's while its node was down", w.a, xan)
	w.good("of whom nobody has heard", w.a, zoe)
	w.good("vouched for again", w.a, w.vouch(w.a, session.Login{User: "xan"}))
}

// TestPreferences: those of an account are the cluster's, and a tickle where they are changed; those of a user without one stay with its sessions.
func TestPreferences(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user(w.a, "ann")
	for _, c := range []struct {
		name         string
		here, there  session.Issued
		known, after string
	}{
		{"ann", w.login(w.a, "ann"), w.login(w.b, "ann"), `"green"`, `"green"`},
		{"zoe", w.vouch(w.a, session.Login{User: "zoe"}), w.vouch(w.b, session.Login{User: "zoe"}), `"green"`, ""},
	} {
		colour := func(at *member, i session.Issued) string {
			t.Helper()
			p, err := at.Preferences(t.Context(), with(i))
			if err != nil {
				t.Fatal(err)
			}
			return string(p.Values["colour"])
		}
		checked, err := w.a.PatchPreferences(t.Context(), with(c.here), session.AttributePatch{"colour": []byte(`"green"`)})
		if err != nil || checked.ID != c.here.ID {
			t.Fatalf("%s: %+v, %v", c.name, checked.Session, err)
		}
		if here, there := colour(w.a, c.here), colour(w.b, c.there); here != c.known || there != c.after {
			t.Errorf("%s prefers %s where it said so, want %s, and %s elsewhere, want %s", c.name, here, c.known, there, c.after)
		}
		if _, err := w.b.PatchPreferences(t.Context(), with(c.here), session.AttributePatch{"colour": []byte("1")}); session.CodeOf(err) != session.CodeUnauthenticated {
			t.Errorf("%s: with another node's key: %v", c.name, err)
		}
	}
}

// TestResealingIsOfOneNode: it goes through the cluster's users and then through the asked node's sessions, and is not gone on with at another one.
func TestResealingIsOfOneNode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	page, err := w.a.Reseal(t.Context(), operator, "")
	if err != nil {
		t.Fatal(err)
	}
	other := page.NextCursor
	for page.NextCursor != "" {
		other = page.NextCursor
		if page, err = w.a.Reseal(t.Context(), operator, page.NextCursor); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.b.Reseal(t.Context(), operator, other); session.CodeOf(err) != session.CodeInvalid {
		t.Errorf("gone on at another node: %v", err)
	}
}

// TestThrottleCountsOverNodes: wrong passwords at all nodes count together.
func TestThrottleCountsOverNodes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *node.Config) { c.Throttle.PerUser, c.Throttle.Window = 3, time.Hour })
	w.user(w.a, "ann")
	for i, m := range []*member{w.a, w.b, w.c} {
		_, err := m.Login(t.Context(), session.Call{Address: address}, session.Login{User: "ann", Password: "a wrong password"})
		if session.CodeOf(err) != session.CodeUnauthenticated {
			t.Errorf("wrong password %d: %v", i+1, err)
		}
	}
	_, err := w.b.Login(t.Context(), session.Call{Address: address}, session.Login{User: "ann", Password: "password of ann"})
	if session.CodeOf(err) != session.CodeThrottled {
		t.Errorf("the fourth: %v, want %s", err, session.CodeThrottled)
	}
}

// TestRestartKeepsSessions: sessions are there after a restart of their node, with their time, which the cluster's continues, and go with it where it has passed.
func TestRestartKeepsSessions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, idle := range map[string]time.Duration{"long": time.Hour, "short": time.Minute} {
		if _, err := w.a.PutPolicy(t.Context(), operator, name, session.PolicyChange{IdleTimeout: &idle, TouchWindow: ptr(time.Duration(0))}); err != nil {
			t.Fatal(err)
		}
	}
	long, short := w.vouch(w.a, session.Login{User: "zoe", Policy: "long"}), w.vouch(w.a, session.Login{User: "zoe", Policy: "short"})
	w.a.stop()
	w.clock.advance(2 * time.Minute)
	w.a.start()
	w.a.awaitReady()
	w.good("after the restart", w.a, long)
	w.bad("whose time was over", w.a, short)
	if n := w.vouch(w.a, session.Login{User: "zoe"}).Number; n != 3 {
		t.Errorf("the next session has the number %d, want 3", n)
	}
}

// TestWhatWasDeadStaysDead: a policy that is extended brings back no session whose time was over, though nobody looked at it and its node was down.
func TestWhatWasDeadStaysDead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	put := func(idle, lifetime time.Duration) {
		t.Helper()
		if _, err := w.b.PutPolicy(t.Context(), operator, "web", session.PolicyChange{IdleTimeout: &idle, AbsoluteLifetime: &lifetime, TouchWindow: ptr(time.Duration(0))}); err != nil {
			t.Fatal(err)
		}
	}
	put(time.Hour, 10*time.Hour)
	old := w.vouch(w.a, session.Login{User: "old", Policy: "web"})
	w.a.stop()
	put(10*time.Minute, 10*time.Hour)
	w.clock.advance(20 * time.Minute)
	put(time.Hour, 10*time.Hour)
	w.a.start()
	w.a.awaitReady()
	w.bad("unused for longer than the policy allowed meanwhile", w.a, old)

	used := w.vouch(w.a, session.Login{User: "used", Policy: "web"})
	put(time.Hour, 30*time.Minute)
	put(time.Hour, 10*time.Hour)
	w.clock.advance(20 * time.Minute)
	w.good("within the shorter lifetime", w.a, used)
	w.clock.advance(20 * time.Minute)
	w.bad("beyond the shortest lifetime that it had", w.a, used)
}

// TestLimitsThatNobodyHolds: what only a whole cluster could count is refused.
func TestLimitsThatNobodyHolds(t *testing.T) {
	t.Parallel()
	shared := &clock{begun: time.Now()}
	a := startCluster(t, 1, shared)[0]
	for what, ch := range map[string]session.PolicyChange{
		"by address": {LimitsChange: session.LimitsChange{MaxSessionsPerAddress: ptr(1)}},
		"in total":   {LimitsChange: session.LimitsChange{MaxSessions: ptr(1)}},
		"too high":   {LimitsChange: session.LimitsChange{MaxSessionsPerUser: ptr(1001)}},
	} {
		_, put := a.PutPolicy(t.Context(), operator, "web", ch)
		_, patched := a.PatchPolicy(t.Context(), operator, session.DefaultPolicyName, ch)
		if session.CodeOf(put) != session.CodeInvalid || session.CodeOf(patched) != session.CodeInvalid || !strings.Contains(put.Error(), "sessionPersistence") {
			t.Errorf("%s: put %v, patched %v", what, put, patched)
		}
	}
	if _, err := a.PatchLimits(t.Context(), operator, session.ClusterLimitsChange{MaxSessions: ptr(5)}); session.CodeOf(err) != session.CodeInvalid {
		t.Errorf("of the cluster: %v", err)
	}
	if _, err := a.PatchLimits(t.Context(), operator, session.ClusterLimitsChange{MaxSessions: ptr(0)}); err != nil {
		t.Errorf("no limit: %v", err)
	}
	if _, err := a.PutPolicy(t.Context(), operator, "netx", session.PolicyChange{Attributes: ptr(session.AttributesLocal)}); err != nil {
		t.Errorf("attributes of the node: %v", err)
	}
	issued := vouchedUnder(t, a, "netx")
	if _, err := a.PatchAttributes(t.Context(), session.Call{Operator: true, Subject: &session.Presented{Key: issued.Key, Address: address}}, session.AttributePatch{"cart": []byte("[1]")}, nil); err != nil {
		t.Errorf("an attribute of the node: %v", err)
	}
	if _, err := a.DeletePolicy(t.Context(), operator, "netx"); session.CodeOf(err) != session.CodeConflict {
		t.Errorf("delete a policy that a session has: %v", err)
	}
	if _, err := a.Move(t.Context(), operator, session.MoveStep{Kind: session.MoveClose}); session.CodeOf(err) != session.CodeConflict {
		t.Errorf("move the sessions: %v", err)
	}
}

func vouchedUnder(t *testing.T, a *member, policy string) session.Issued {
	t.Helper()
	issued, err := a.Login(t.Context(), operator, session.Login{User: "zoe", Vouched: true, Policy: policy, ClientAddress: address})
	if err != nil {
		t.Fatal(err)
	}
	return issued
}

// TestWithoutMajority: no quorum, no pretence: not for this node's own sessions either, for nobody knows what their accounts have become.
func TestWithoutMajority(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *node.Config) { c.RequestTimeout, c.MaxStale = 10*time.Second, time.Hour })
	zoe := w.vouch(w.a, session.Login{User: "zoe"})
	w.b.stop()
	w.c.stop()
	eventually(t, "without a majority", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		_, err := w.a.Check(ctx, with(zoe), false)
		if code := session.CodeOf(err); code != session.CodeNoQuorum && code != session.CodeUnavailable {
			return fmt.Errorf("got %w, want %s", err, session.CodeNoQuorum)
		}
		return nil
	})
	local := with(zoe)
	local.Consistency = session.Local
	checked, err := w.a.Check(t.Context(), local, false)
	if err != nil || checked.Age <= 0 {
		t.Errorf("a local read: %v with age %v, want a good key and its age", err, checked.Age)
	}
}

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

// TestAdminOfTheFirstStart: the password of the configuration makes an admin, whose key works where it logged in.
func TestAdminOfTheFirstStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root := w.loginWith(w.b, "admin", backendtest.AdminPassword)
	if _, err := w.b.ListPolicies(t.Context(), with(root)); err != nil {
		t.Error(err)
	}
	if _, err := w.a.ListPolicies(t.Context(), with(root)); session.CodeOf(err) != session.CodeUnauthenticated {
		t.Errorf("at another node: %v", err)
	}
	// The account changes between the check of the key and the write: who asks is found out anew.
	w.update(w.c, "admin", session.UserChange{Policies: ptr([]string{session.DefaultPolicyName})})
	if _, err := w.b.CreateUser(t.Context(), with(root), session.NewUser{Name: "bob"}); err != nil {
		t.Error(err)
	}
	w.update(w.c, "admin", session.UserChange{Password: ptr("another password")})
	if _, err := w.b.CreateUser(t.Context(), with(root), session.NewUser{Name: "carl"}); session.CodeOf(err) != session.CodeUnauthenticated {
		t.Errorf("an admin whose password was changed elsewhere: %v", err)
	}
}
