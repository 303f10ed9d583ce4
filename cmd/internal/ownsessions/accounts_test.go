package ownsessions_test

import (
	"strings"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/backend/backendtest"
	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/session"
)

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
