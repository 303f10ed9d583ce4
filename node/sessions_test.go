package node_test

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/session"
)

func TestALoginIsKnownEverywhereAndItsEndToo(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, nil)
	ctx := t.Context()
	issued, err := c.nodes[0].Login(ctx, from("192.0.2.7"), session.Login{User: " Admin ", Password: adminPassword})
	if err != nil {
		t.Fatal(err)
	}
	if issued.Number != 1 || issued.User != "admin" || issued.ClientAddress != netip.MustParseAddr("192.0.2.7") {
		t.Errorf("issued %+v", issued.Session)
	}
	for i, n := range c.nodes {
		got, err := n.Check(ctx, with(issued.Key), false)
		if err != nil {
			t.Fatalf("check at node %d: %v", i+1, err)
		}
		if got.ID != issued.ID || got.User != "admin" {
			t.Errorf("node %d knows %+v, want %+v", i+1, got.Session, issued.Session)
		}
	}
	if _, err := c.nodes[1].Logout(ctx, with(issued.Key)); err != nil {
		t.Fatal(err)
	}
	for i, n := range c.nodes {
		if _, err := n.Check(ctx, with(issued.Key), false); session.CodeOf(err) != session.CodeUnauthenticated {
			t.Errorf("node %d after the log-out: %v, want unauthenticated", i+1, err)
		}
	}
	if _, err := c.nodes[2].Logout(ctx, with(issued.Key)); err != nil {
		t.Errorf("a second log-out: %v, want none", err)
	}
}

func TestWrongCredentialsHaveOneAnswer(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 1, nil)
	admin := c.admin(0)
	if _, err := c.nodes[0].CreateUser(t.Context(), admin, session.NewUser{Name: "off", Password: "disabled-one", Disabled: true}); err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, l := range []session.Login{
		{User: "admin", Password: "wrong"}, {User: "nobody", Password: "wrong"}, {User: "admin"}, {User: "off", Password: "disabled-one"},
	} {
		_, err := c.nodes[0].Login(t.Context(), from("192.0.2.1"), l)
		if session.CodeOf(err) != session.CodeUnauthenticated {
			t.Errorf("log-in as %q: %v, want unauthenticated", l.User, err)
			continue
		}
		texts = append(texts, err.Error())
	}
	for _, text := range texts {
		if text != texts[0] {
			t.Errorf("answers differ: %q and %q", text, texts[0])
		}
	}
}

func TestAServiceActsForItsUsers(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, nil)
	ctx := t.Context()
	app := c.service(0)
	issued, err := c.nodes[1].Login(ctx, app, session.Login{
		User: "ada", Vouched: true, Attributes: session.Attributes{"cart": []byte(`{ "b":2, "a":1 }`)}, ClientAddress: netip.MustParseAddr("198.51.100.4"),
	})
	if err != nil {
		t.Fatal(err)
	}
	call := app
	call.Subject = &session.Presented{Key: issued.Key}
	got, err := c.nodes[2].Check(ctx, call, false)
	if err != nil {
		t.Fatal(err)
	}
	if string(got.Attributes["cart"]) != `{"a":1,"b":2}` || got.User != "ada" {
		t.Errorf("checked %+v", got)
	}
	version := got.AttributesVersion
	if _, err := c.nodes[0].PatchAttributes(ctx, call, session.AttributePatch{"seen": []byte("true")}, &version); err != nil {
		t.Fatal(err)
	}
	_, err = c.nodes[0].PatchAttributes(ctx, call, session.AttributePatch{"seen": []byte("false")}, &version)
	if session.CodeOf(err) != session.CodeVersionMismatch {
		t.Errorf("patch with an old version: %v, want version_mismatch", err)
	}
	_, err = c.nodes[0].PatchAttributes(ctx, with(issued.Key), session.AttributePatch{"role": []byte(`"admin"`)}, nil)
	if session.CodeOf(err) != session.CodeForbidden {
		t.Errorf("patch by the bearer: %v, want forbidden", err)
	}
	ada := with(issued.Key)
	ada.Subject = &session.Presented{Key: app.Key}
	if _, err := c.nodes[0].Check(ctx, ada, false); session.CodeOf(err) != session.CodeInvalid {
		t.Errorf("a user presents another key: %v, want invalid_request", err)
	}
	if _, err := c.nodes[0].Login(ctx, app, session.Login{User: "admin", Vouched: true}); session.CodeOf(err) != session.CodeForbidden {
		t.Errorf("vouching for an admin: %v, want forbidden", err)
	}
}

func TestListsAndRevocationsByFilter(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, nil)
	ctx := t.Context()
	admin, app := c.admin(0), c.service(0)
	var ada []session.Issued
	for i := range 7 {
		for _, user := range []string{"ada", "bob"} {
			issued, err := c.nodes[i%3].Login(ctx, app, session.Login{User: user, Vouched: true})
			if err != nil {
				t.Fatal(err)
			}
			if user == "ada" {
				ada = append(ada, issued)
			}
		}
	}
	var seen []uint64
	page := session.Page{Limit: 3}
	for {
		list, err := c.nodes[1].ListSessions(ctx, admin, session.Filter{User: "ADA"}, page)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range list.Items {
			seen = append(seen, s.Number)
		}
		if page.Cursor = list.NextCursor; page.Cursor == "" {
			break
		}
	}
	if fmt.Sprint(seen) != "[1 2 3 4 5 6 7]" {
		t.Errorf("numbers of ada's sessions: %v", seen)
	}
	if _, err := c.nodes[0].ListSessions(ctx, with(ada[0].Key), session.Filter{}, session.Page{}); session.CodeOf(err) != session.CodeForbidden {
		t.Errorf("a user lists all: %v, want forbidden", err)
	}
	kept, err := c.nodes[2].RevokeUserSessions(ctx, with(ada[3].Key), "ada", session.UserSessions{ExceptCurrent: true})
	if err != nil || kept.Count != 6 {
		t.Fatalf("revoke all but the current one: %d, %v; want 6", kept.Count, err)
	}
	for i, s := range ada {
		_, err := c.nodes[i%3].Check(ctx, with(s.Key), true)
		if alive := err == nil; alive != (i == 3) {
			t.Errorf("session %d of ada: %v", i+1, err)
		}
	}
	revoked, err := c.nodes[0].RevokeSessions(ctx, admin, session.Filter{User: "bob"})
	if err != nil || revoked.Count != 7 {
		t.Errorf("revoke by filter: %d, %v; want 7", revoked.Count, err)
	}
}

func TestIdempotencyKeyMakesOneSession(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, nil)
	ctx := t.Context()
	app := c.service(0)
	ask := session.Login{User: "ada", Vouched: true, IdempotencyKey: "order-1"}
	first, err := c.nodes[0].Login(ctx, app, ask)
	if err != nil {
		t.Fatal(err)
	}
	again, err := c.nodes[2].Login(ctx, app, ask)
	if err != nil {
		t.Fatal(err)
	}
	if again.ID != first.ID {
		t.Errorf("the repeated create made session %v beside %v", again.ID, first.ID)
	}
	if _, err := c.nodes[1].Check(ctx, with(first.Key), true); session.CodeOf(err) != session.CodeUnauthenticated {
		t.Errorf("the first key after the repeat: %v, want unauthenticated", err)
	}
	if _, err := c.nodes[1].Check(ctx, with(again.Key), true); err != nil {
		t.Errorf("the second key: %v", err)
	}
	ask.User = "bob"
	if _, err := c.nodes[1].Login(ctx, app, ask); session.CodeOf(err) != session.CodeIdempotencyMismatch {
		t.Errorf("another request under the same key: %v, want idempotency_mismatch", err)
	}
}

func TestMinIndexAndLocalReads(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, nil)
	ctx := t.Context()
	issued, err := c.nodes[0].Login(ctx, from("192.0.2.1"), session.Login{User: "admin", Password: adminPassword})
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range c.nodes {
		call := with(issued.Key)
		call.MinIndex = issued.Index
		got, err := n.Check(ctx, call, false)
		if err != nil {
			t.Errorf("min_index at node %d: %v", i+1, err)
		} else if got.Age < 0 {
			t.Errorf("min_index at node %d does not tell its age", i+1)
		}
	}
	call := with(issued.Key)
	call.MinIndex = "ffffffff-1:1"
	if _, err := c.nodes[0].Check(ctx, call, false); session.CodeOf(err) != session.CodeHistoryMismatch {
		t.Errorf("another cluster's token: %v, want history_mismatch", err)
	}
	call.MinIndex = "nonsense"
	if _, err := c.nodes[0].Check(ctx, call, false); session.CodeOf(err) != session.CodeInvalid {
		t.Errorf("a bad token: %v, want invalid_request", err)
	}
}

func TestWithoutQuorumNothingIsPretended(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, func(_ int, config *node.Config) { config.RequestTimeout = 2 * time.Second })
	ctx := t.Context()
	admin := c.admin(0)
	lone := (c.leader() + 1) % 3
	local := admin
	local.Consistency = session.Local
	eventually(t, "the lone node knows the session", func() error {
		_, err := c.nodes[lone].Check(ctx, local, true)
		return err
	})
	c.isolate(lone)
	started := time.Now()
	if _, err := c.nodes[lone].Check(ctx, admin, false); session.CodeOf(err) != session.CodeNoQuorum {
		t.Errorf("linearizable check without quorum: %v, want no_quorum", err)
	}
	if _, err := c.nodes[lone].Logout(ctx, admin); session.CodeOf(err) != session.CodeNoQuorum && session.CodeOf(err) != session.CodeOutcomeUnknown {
		t.Errorf("log-out without quorum: %v, want no_quorum", err)
	}
	if took := time.Since(started); took > patience/2 { // the callers' contexts have no end: a refusal that forgets the request timeout never comes
		t.Errorf("two refusals after 2 s each took %v", took)
	}
	eventually(t, "local reads to stop after max_stale", func() error {
		_, err := c.nodes[lone].Check(ctx, local, true)
		if session.CodeOf(err) == session.CodeTooStale {
			return nil
		}
		return fmt.Errorf("local check: %v", err)
	})
	c.heal()
	eventually(t, "the node to come back", func() error {
		_, err := c.nodes[lone].Check(ctx, admin, false)
		return err
	})
}

func TestLosingTheLeaderIsLatencyAndNothingTwice(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, nil)
	ctx := t.Context()
	app := c.service(0)
	leader := c.leader()
	survivors := []int{(leader + 1) % 3, (leader + 2) % 3}
	const clients, each = 8, 25
	var wg sync.WaitGroup
	var mu sync.Mutex
	keys := map[session.ID]session.Key{}
	cut := make(chan struct{})
	for client := range clients {
		wg.Go(func() {
			for k := range each {
				if client == 0 && k == each/2 {
					close(cut)
				}
				at := c.nodes[survivors[(client+k)%2]]
				issued, err := at.Login(ctx, app, session.Login{User: fmt.Sprintf("user%d", client), Vouched: true})
				if err != nil {
					t.Errorf("client %d, log-in %d: %v", client, k, err)
					return
				}
				mu.Lock()
				keys[issued.ID] = issued.Key
				mu.Unlock()
			}
		})
	}
	<-cut
	c.isolate(leader)
	wg.Wait()
	for id, key := range keys {
		got, err := c.nodes[survivors[0]].Check(ctx, with(key), true)
		if err != nil || got.ID != id {
			t.Errorf("session %v: %v", id, err)
		}
	}
	for client := range clients {
		list, err := c.nodes[survivors[1]].ListSessions(ctx, c.login(survivors[0], "admin", adminPassword), session.Filter{User: fmt.Sprintf("user%d", client)}, session.Page{Limit: 1000})
		if err != nil || len(list.Items) != each {
			t.Errorf("user%d has %d sessions, %v; want %d: a create was applied twice or lost", client, len(list.Items), err, each)
		}
	}
	c.heal()
	eventually(t, "the old leader to follow", func() error {
		_, err := c.nodes[leader].Check(ctx, app, true)
		return err
	})
}

func TestAStoppedNodeKeepsItsSessions(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, nil)
	ctx := context.Background()
	admin := c.admin(0)
	app := c.service(0)
	issued, err := c.nodes[0].Login(ctx, app, session.Login{User: "ada", Vouched: true})
	if err != nil {
		t.Fatal(err)
	}
	gone, err := c.nodes[0].Login(ctx, app, session.Login{User: "ada", Vouched: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.nodes[1].Logout(ctx, with(gone.Key)); err != nil {
		t.Fatal(err)
	}
	for i := range c.nodes {
		c.stop(i)
	}
	for i := range c.nodes {
		c.start(i)
	}
	for i := range c.nodes {
		c.awaitReady(i)
		got, err := c.nodes[i].Check(ctx, with(issued.Key), true)
		if err != nil {
			t.Errorf("node %d after a restart of all: %v", i+1, err)
		} else if !got.CreatedAt.Equal(issued.CreatedAt) || !got.ExpiresAt.Equal(issued.ExpiresAt) {
			t.Errorf("deadlines moved: %+v, want %+v", got.Session, issued.Session)
		}
		if _, err := c.nodes[i].Check(ctx, with(gone.Key), true); session.CodeOf(err) != session.CodeUnauthenticated {
			t.Errorf("node %d: the log-out is undone: %v", i+1, err)
		}
	}
	_ = admin
}
