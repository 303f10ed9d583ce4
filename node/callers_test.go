package node_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/session"
)

var operator = session.Call{Operator: true}

// A service that only logs users in uses its own key each time, and keeps it alive.
func TestAServicesWritesKeepItsOwnKeyAlive(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, nil)
	app := c.service(0)
	for round := range 6 {
		c.advance(9 * time.Minute) // idle is 30 minutes
		if _, err := c.nodes[round%3].Login(t.Context(), app, session.Login{User: "bob", Vouched: true}); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		eventually(t, "the replicated clock to follow", func() error {
			_, err := c.nodes[0].Check(t.Context(), app, true)
			return err
		})
	}
}

// "Revoke everything" ends the caller's own session too, and last.
func TestRevokingEverythingEndsTheCallerLast(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 1, nil)
	admin := c.admin(0) // its session is older than all others
	const sessions = 1_500
	var work sync.WaitGroup
	for i := range 30 {
		work.Go(func() {
			for range sessions / 30 {
				if _, err := c.nodes[0].Login(t.Context(), operator, session.Login{User: fmt.Sprint("u", i), Vouched: true}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	work.Wait()
	revoked, err := c.nodes[0].RevokeSessions(t.Context(), admin, session.Filter{})
	if err != nil || revoked.Count != sessions+1 {
		t.Errorf("revoked %d, %v; want %d", revoked.Count, err, sessions+1)
	}
	list, err := c.nodes[0].ListSessions(t.Context(), operator, session.Filter{}, session.Page{})
	if err != nil || len(list.Items) != 0 {
		t.Errorf("%d sessions live on, %v", len(list.Items), err)
	}
	if _, err := c.nodes[0].Check(t.Context(), admin, true); session.CodeOf(err) != session.CodeUnauthenticated {
		t.Errorf("the caller's own session: %v", err)
	}
}

func TestEveryPageOfUsersLeadsToTheNext(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 1, nil)
	const users = 1_005
	var work sync.WaitGroup
	for i := range 15 {
		work.Go(func() {
			for j := range users / 15 {
				if _, err := c.nodes[0].CreateUser(t.Context(), operator, session.NewUser{Name: fmt.Sprintf("u%02d-%03d", i, j)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	work.Wait()
	for _, limit := range []int{1000, 999, 100} {
		seen := 0
		for page := (session.Page{Limit: limit}); ; {
			list, err := c.nodes[0].ListUsers(t.Context(), operator, page)
			if err != nil {
				t.Fatal(err)
			}
			seen += len(list.Items)
			if page.Cursor = list.NextCursor; page.Cursor == "" {
				break
			}
		}
		if seen != users+1 { // and the first admin
			t.Errorf("pages of %d show %d users, want %d", limit, seen, users+1)
		}
	}
}

func TestWhoMayChooseAPolicy(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 1, withPolicy("other", time.Hour))
	n, ctx := c.nodes[0], t.Context()
	if _, err := n.CreateUser(ctx, operator, session.NewUser{Name: "ada", Password: "ada-password"}); err != nil {
		t.Fatal(err)
	}
	for name, l := range map[string]session.Login{
		"an admin, its own":   {User: "admin", Password: adminPassword, Policy: "default"},
		"an admin, another":   {User: "admin", Password: adminPassword, Policy: "other"},
		"a user, its own":     {User: "ada", Password: "ada-password", Policy: "default"},
		"the operator, vouch": {User: "bob", Vouched: true, Policy: "other"},
	} {
		call := from("192.0.2.1")
		call.Operator = l.Vouched
		if _, err := n.Login(ctx, call, l); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := n.Login(ctx, from("192.0.2.1"), session.Login{User: "ada", Password: "ada-password", Policy: "other"})
	if session.CodeOf(err) != session.CodeForbidden {
		t.Errorf("a user, another's: %v, want forbidden", err)
	}
	_, err = n.Login(ctx, from("192.0.2.1"), session.Login{User: "admin", Password: adminPassword, Policy: "nowhere"})
	if session.CodeOf(err) != session.CodeInvalid {
		t.Errorf("no such policy: %v, want invalid_request", err)
	}
}

// The retry of a phone that has changed networks is the same request.
func TestARepetitionMayComeFromAnotherAddress(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 1, nil)
	l := session.Login{User: "admin", Password: adminPassword, IdempotencyKey: "k1"}
	first, err := c.nodes[0].Login(t.Context(), from("192.0.2.1"), l)
	if err != nil {
		t.Fatal(err)
	}
	again, err := c.nodes[0].Login(t.Context(), from("192.0.2.2"), l)
	if err != nil || again.ID != first.ID {
		t.Errorf("repeated: %v, %v; want %v", again.ID, err, first.ID)
	}
}

// A node that never found a leader stops in time, and tells its waiting caller that nothing was done.
func TestANodeWithoutALeaderStops(t *testing.T) {
	t.Parallel()
	config := node.DefaultConfig()
	config.Cluster.Dir, config.Cluster.PeerListen, config.Cluster.GossipListen = t.TempDir(), freeAddress(t), "127.0.0.1:0"
	config.Cluster.Join, config.Cluster.BootstrapExpect = []string{config.Cluster.PeerListen, freeAddress(t)}, 2
	config.Hashing, config.Logger = cheapHashing, testLogger(t, "lonely")
	config.Fatal = func(err error) { t.Error(err) }
	n, err := node.New(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	answer := make(chan error, 1)
	go func() {
		_, err := n.Login(t.Context(), operator, session.Login{User: "ada", Vouched: true})
		answer <- err
	}()
	eventually(t, "the write to wait", func() error {
		if n.WritesWaiting() == 0 {
			return fmt.Errorf("it has not come yet")
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := n.Shutdown(ctx); err != nil {
		t.Logf("shutdown: %v", err)
	}
	if err := <-answer; session.CodeOf(err) != session.CodeUnavailable && session.CodeOf(err) != session.CodeNoQuorum {
		t.Errorf("the waiting write: %v, want unavailable or no_quorum", err)
	}
}

// After an hour without a majority, a session whose minute is long over opens nothing, however soon one reads.
func TestAfterALongOutageNothingOverdueOpens(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, withPolicy("minute", time.Minute))
	issued := c.vouch(c.service(0), 0, "minute")
	for i := range c.nodes {
		c.isolate(i)
	}
	for i, n := range c.nodes {
		eventually(t, "every node to have lost the majority", func() error {
			local := with(issued.Key)
			local.Consistency = session.Local
			if _, err := n.Check(t.Context(), local, true); session.CodeOf(err) != session.CodeTooStale {
				return fmt.Errorf("node %d: %v", i+1, err)
			}
			return nil
		})
	}
	c.advance(time.Hour)
	c.heal()
	var readers sync.WaitGroup
	for i, n := range c.nodes {
		for _, index := range []session.IndexToken{"", issued.Index} {
			readers.Go(func() {
				call := with(issued.Key)
				call.MinIndex = index
				for asked := time.Now(); time.Since(asked) < patience; {
					_, err := n.Check(t.Context(), call, true)
					switch session.CodeOf(err) {
					case "":
						t.Errorf("node %d accepts the key (min_index %q)", i+1, index)
						return
					case session.CodeUnauthenticated:
						return
					}
				}
				t.Errorf("node %d never answered", i+1)
			})
		}
	}
	readers.Wait()
}
