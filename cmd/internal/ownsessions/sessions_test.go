package ownsessions_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/session"
)

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
