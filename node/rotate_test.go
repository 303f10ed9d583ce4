package node_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/session"
)

// pastGrace lets the grace of rotated keys under the policy "default" end.
func (c *trio) pastGrace() {
	c.advance(session.DefaultRotateGrace + time.Second)
}

// wantDead looks at every node whether a key opens nothing.
func (c *trio) wantDead(what string, k session.Key) {
	c.t.Helper()
	for i, n := range c.nodes {
		if n == nil {
			continue
		}
		if _, err := n.Check(c.t.Context(), with(k), true); session.CodeOf(err) != session.CodeUnauthenticated {
			c.t.Errorf("%s at node %d: %v, want unauthenticated", what, i+1, err)
		}
	}
}

// Twenty who rotate the same key at once, at all nodes and while the leader goes, and as many who only use it: all succeed, and all
// who rotate have the same key afterwards.
func TestParallelRotationsReachOneSuccessor(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, nil)
	c.freeze() // the grace is half a minute
	old := c.vouch(c.service(0), 0, "").Key
	lead := c.leader()
	var mu sync.Mutex
	var work sync.WaitGroup
	keys := map[session.Key]int{}
	for i := range 20 {
		at := c.nodes[i%3]
		work.Go(func() {
			issued, err := at.Rotate(t.Context(), with(old))
			if err != nil {
				t.Errorf("rotation at node %d: %v", i%3+1, err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			keys[issued.Key]++
		})
		work.Go(func() {
			if _, err := at.Check(t.Context(), with(old), false); err != nil {
				t.Errorf("check at node %d: %v", i%3+1, err)
			}
		})
		if i == 10 {
			work.Go(func() {
				next := c.nodes[(lead+1)%3].NodeID()
				_, _ = c.nodes[lead].TransferLeadership(t.Context(), session.Call{Operator: true}, next)
			})
		}
	}
	work.Wait()
	if len(keys) != 1 {
		t.Fatalf("%d different successors", len(keys))
	}
	for next := range keys {
		if next == old {
			t.Error("the successor is the old key")
		}
		for i, n := range c.nodes {
			if got, err := n.Check(t.Context(), with(next), false); err != nil || got.Rotate {
				t.Errorf("the successor at node %d: %+v, %v", i+1, got, err)
			}
			if got, err := n.Check(t.Context(), with(old), true); err != nil || !got.Rotate {
				t.Errorf("the old key at node %d: %+v, %v", i+1, got, err)
			}
		}
	}
}

// One use of a rotated key after its grace ends the session, by whichever way it comes, and is answered like any bad key.
func TestOneUseAfterTheGraceEndsTheSession(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, nil)
	app := c.service(0)
	local := func(k session.Key) session.Call {
		call := with(k)
		call.Consistency = session.Local
		return call
	}
	subject := func(k session.Key) session.Call {
		call := app
		call.Subject = &session.Presented{Key: k}
		return call
	}
	uses := map[string]func(ctx context.Context, n *node.Node, k session.Key) error{
		"check": func(ctx context.Context, n *node.Node, k session.Key) error {
			_, err := n.Check(ctx, with(k), false)
			return err
		},
		"look": func(ctx context.Context, n *node.Node, k session.Key) error {
			_, err := n.Check(ctx, with(k), true)
			return err
		},
		"local look": func(ctx context.Context, n *node.Node, k session.Key) error {
			for { // until the node has heard of the leader since its clock was moved
				if _, err := n.Check(ctx, local(k), true); session.CodeOf(err) != session.CodeTooStale {
					return err
				}
			}
		},
		"touch": func(ctx context.Context, n *node.Node, k session.Key) error {
			_, err := n.Touch(ctx, with(k))
			return err
		},
		"patch": func(ctx context.Context, n *node.Node, k session.Key) error {
			_, err := n.PatchAttributes(ctx, with(k), session.AttributePatch{"a": []byte("1")}, nil)
			return err
		},
		"list": func(ctx context.Context, n *node.Node, k session.Key) error {
			_, err := n.ListSessions(ctx, with(k), session.Filter{User: "ada"}, session.Page{})
			return err
		},
		"rotate": func(ctx context.Context, n *node.Node, k session.Key) error {
			_, err := n.Rotate(ctx, with(k))
			return err
		},
		"re-authenticate": func(ctx context.Context, n *node.Node, k session.Key) error {
			_, err := n.Reauthenticate(ctx, with(k), session.Proof{Password: "whatever"})
			return err
		},
		"by a service": func(ctx context.Context, n *node.Node, k session.Key) error {
			_, err := n.Check(ctx, subject(k), true)
			return err
		},
		"status page": func(ctx context.Context, n *node.Node, k session.Key) error {
			_, err := n.ClusterStatus(ctx, with(k))
			return err
		},
		"log-out": func(ctx context.Context, n *node.Node, k session.Key) error {
			_, err := n.Logout(ctx, with(k))
			return err
		},
	}
	old, next := map[string]session.Key{}, map[string]session.Key{}
	for name := range uses {
		old[name] = c.vouch(app, len(old)%3, "").Key
		issued, err := c.nodes[len(old)%3].Rotate(t.Context(), with(old[name]))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		next[name] = issued.Key
	}
	c.pastGrace()
	unknown, err := session.NewKey(randomness{})
	if err != nil {
		t.Fatal(err)
	}
	at := 0
	for name, use := range uses {
		n := c.nodes[at%3]
		at++
		if _, err := n.Check(t.Context(), with(next[name]), true); err != nil {
			t.Fatalf("%s: the new key does not work: %v", name, err)
		}
		got, want := use(t.Context(), n, old[name]), use(t.Context(), n, unknown)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: the answer is %v, to an unknown key %v", name, got, want)
		}
		if name == "local look" || name == "status page" { // these do not wait for a majority
			eventually(t, name+" to end the session", func() error {
				if _, err := c.nodes[at%3].Check(t.Context(), with(next[name]), true); err == nil {
					return errors.New("it lives")
				}
				return nil
			})
		}
		c.wantDead(name+": the new key", next[name])
	}
}

// randomness makes one key that nobody else has.
type randomness struct{}

func (randomness) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 7
	}
	return len(p), nil
}

// A caller that goes away does not save the session.
func TestReuseIsWrittenThoughTheCallerIsGone(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, nil)
	old := c.vouch(c.service(0), 0, "").Key
	issued, err := c.nodes[1].Rotate(t.Context(), with(old))
	if err != nil {
		t.Fatal(err)
	}
	c.pastGrace()
	gone, cancel := context.WithCancel(t.Context())
	local := with(old)
	local.Consistency = session.Local
	eventually(t, "the key to be refused", func() error {
		if _, err := c.nodes[2].Check(gone, local, true); session.CodeOf(err) == session.CodeUnauthenticated {
			cancel()
			return nil
		}
		return errors.New("it works still")
	})
	eventually(t, "the session to end", func() error {
		if _, err := c.nodes[0].Check(t.Context(), with(issued.Key), true); err == nil {
			return errors.New("it lives")
		}
		return nil
	})
}

// The successor survives what its cluster survives: all nodes stop and start, and the old key still leads to it.
func TestASuccessorSurvivesARestart(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, nil)
	c.freeze() // the grace is half a minute
	old := c.vouch(c.service(0), 0, "").Key
	issued, err := c.nodes[0].Rotate(t.Context(), with(old))
	if err != nil {
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
		again, err := c.nodes[i].Rotate(t.Context(), with(old))
		if err != nil || again.Key != issued.Key {
			t.Errorf("node %d leads to another key, or %v", i+1, err)
		}
	}
}

func TestRolesFollowTheUserAtOnceDownAndByRotationUp(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, nil)
	ctx, admin := t.Context(), c.admin(0)
	if _, err := c.nodes[0].CreateUser(ctx, admin, session.NewUser{Name: "eve", Password: "eve-password"}); err != nil {
		t.Fatal(err)
	}
	eve := c.login(1, "eve", "eve-password")
	set := func(roles ...session.Role) {
		t.Helper()
		if _, err := c.nodes[2].UpdateUser(ctx, admin, "eve", session.UserChange{Roles: &roles}); err != nil {
			t.Fatal(err)
		}
	}
	may := func(call session.Call, want session.Code) {
		t.Helper()
		for i, n := range c.nodes {
			if _, err := n.ListUsers(ctx, call, session.Page{}); session.CodeOf(err) != want {
				t.Errorf("node %d lets the session list users: %v, want %q", i+1, err, want)
			}
		}
	}
	set(session.RoleAdmin)
	may(eve, session.CodeForbidden)
	if got, err := c.nodes[0].Check(ctx, eve, false); err != nil || !got.Rotate || fmt.Sprint(got.Roles) != "[user]" {
		t.Errorf("after the gain: %+v, %v", got, err)
	}
	issued, err := c.nodes[1].Rotate(ctx, eve)
	if err != nil {
		t.Fatal(err)
	}
	may(with(issued.Key), "")
	set(session.RoleUser)
	may(with(issued.Key), session.CodeForbidden)
	// The key from before the gain ended with it, grace or not.
	c.wantDead("the key before", eve.Key)
	c.wantDead("the key after its use", issued.Key)
}

func TestReauthentication(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, nil)
	ctx, admin := t.Context(), c.admin(0)
	recent := func(call session.Call) error {
		call.MaxAuthAge = time.Minute
		_, err := c.nodes[2].Check(ctx, call, false)
		return err
	}
	if err := recent(admin); err != nil {
		t.Fatal(err)
	}
	c.advance(2 * time.Minute)
	if err := recent(admin); session.CodeOf(err) != session.CodeReauthenticate {
		t.Errorf("after two minutes: %v, want reauthenticate", err)
	}
	if _, err := c.nodes[0].Reauthenticate(ctx, admin, session.Proof{Password: "wrong"}); session.CodeOf(err) != session.CodeUnauthenticated {
		t.Errorf("with a wrong password: %v", err)
	}
	if _, err := c.nodes[0].Reauthenticate(ctx, admin, session.Proof{Vouched: true}); session.CodeOf(err) != session.CodeInvalid {
		t.Errorf("vouching for oneself: %v", err)
	}
	issued, err := c.nodes[1].Reauthenticate(ctx, admin, session.Proof{Password: adminPassword})
	if err != nil {
		t.Fatal(err)
	}
	if err := recent(with(issued.Key)); err != nil {
		t.Errorf("after the password: %v", err)
	}
	c.wantDead("the key before", admin.Key)

	// A service for its user, and nobody for an admin.
	app := c.login(0, "admin", adminPassword)
	if _, err := c.nodes[0].CreateUser(ctx, app, session.NewUser{Name: "app", Password: "service-password", Roles: []session.Role{session.RoleService}}); err != nil {
		t.Fatal(err)
	}
	service, ada := c.login(0, "app", "service-password"), session.Presented{}
	ada.Key = c.vouch(service, 1, "").Key
	for user, want := range map[session.Key]session.Code{ada.Key: "", app.Key: session.CodeForbidden} {
		service.Subject = &session.Presented{Key: user}
		got, err := c.nodes[2].Reauthenticate(ctx, service, session.Proof{Vouched: true})
		if session.CodeOf(err) != want || want == "" && fmt.Sprint(got.Methods) != "[service]" {
			t.Errorf("vouched: %+v, %v, want %q", got.Session, err, want)
		}
	}
}

func TestALogInTakesThePlaceOfTheSessionBefore(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, nil)
	ctx, app := t.Context(), c.service(0)
	for _, user := range []string{"ann", "bob"} {
		if _, err := c.nodes[0].CreateUser(ctx, c.admin(0), session.NewUser{Name: user, Password: "a-password"}); err != nil {
			t.Fatal(err)
		}
	}
	logIn := func(i int, call session.Call, l session.Login) session.Issued {
		t.Helper()
		issued, err := c.nodes[i].Login(ctx, call, l)
		if err != nil {
			t.Fatal(err)
		}
		return issued
	}
	first := logIn(0, app, session.Login{User: "ann", Vouched: true, Attributes: session.Attributes{"cart": []byte("[1]")}})
	second := logIn(1, with(first.Key), session.Login{User: "ann", Password: "a-password"})
	if string(second.Attributes["cart"]) != "[1]" || second.Number != 2 {
		t.Errorf("second: %+v", second)
	}
	c.wantDead("the first key", first.Key)
	third := logIn(2, with(second.Key), session.Login{User: "bob", Password: "a-password"})
	if len(third.Attributes) != 0 {
		t.Errorf("bob has %v of ann", third.Attributes)
	}
	c.wantDead("the second key", second.Key)
	call := app
	call.Subject = &session.Presented{Key: third.Key}
	fourth := logIn(0, call, session.Login{User: "bob", Vouched: true})
	c.wantDead("the third key", third.Key)
	// A service's own key says who asks.
	logIn(1, app, session.Login{User: "ann", Password: "a-password"})
	for i, k := range []session.Key{app.Key, fourth.Key} {
		if _, err := c.nodes[2].Check(ctx, with(k), true); err != nil {
			t.Errorf("key %d: %v", i, err)
		}
	}
	call = with(fourth.Key)
	call.Subject = &session.Presented{Key: app.Key}
	if _, err := c.nodes[0].Login(ctx, call, session.Login{User: "ann", Password: "a-password"}); session.CodeOf(err) != session.CodeInvalid {
		t.Errorf("a user presents a service's key: %v", err)
	}
}

// What a node still writes after its answer is no use of the key that it names: whoever had its answer may rotate at another node, under a
// policy without grace too, and keeps the session.
func TestALateTouchIsNoReuse(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, func(_ int, config *node.Config) {
		config.Limits.BatchesInFlight, config.Limits.BatchCommands = 1, 2 // so that some are still waiting when the checks have their answers
	})
	app, none := c.service(0), time.Duration(0)
	if _, err := c.nodes[0].PatchPolicy(t.Context(), operator, session.DefaultPolicyName, session.PolicyChange{RotateGrace: &none}); err != nil {
		t.Fatal(err)
	}
	lead := c.leader()
	away := c.nodes[(lead+1)%3]
	var keys []session.Key
	for range 60 {
		keys = append(keys, c.vouch(app, lead, "").Key)
	}
	var checks, rotations sync.WaitGroup
	for round := 0; away.TouchesWaiting() == 0; round++ {
		if c.heal(); round == 20 {
			t.Fatal("every touch was written at once, again and again: nothing is late")
		}
		c.advance(session.DefaultIdleTimeout / session.TouchWindowFraction * 3 / 4) // past half of the touch window
		for _, old := range keys {
			checks.Go(func() {
				if _, err := away.Check(t.Context(), with(old), false); err != nil {
					t.Errorf("check: %v", err)
				}
			})
		}
		checks.Wait()
		c.isolate((lead + 1) % 3)
	}
	for i := range keys {
		rotations.Go(func() {
			issued, err := c.nodes[lead].Rotate(t.Context(), with(keys[i]))
			if err != nil {
				t.Errorf("rotate: %v", err)
			}
			keys[i] = issued.Key
		})
	}
	rotations.Wait()
	c.heal()
	eventually(t, "the touches to be written", func() error {
		if n := away.TouchesWaiting(); n > 0 {
			return fmt.Errorf("%d are on their way", n)
		}
		return nil
	})
	for _, next := range keys {
		if _, err := c.nodes[lead].Check(t.Context(), with(next), true); err != nil {
			t.Errorf("after the rotation: %v", err)
		}
	}
}

// Requests that were under way when their key's owner proved anew who it is are refused, and are no reuse of the key that this has spent: the session goes
// on under the new one. The old key ends it when it is presented after that.
func TestRequestsUnderWayOutliveAProof(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, func(_ int, config *node.Config) {
		config.RequestTimeout = patience
		config.Limits.BatchesInFlight, config.Limits.BatchCommands = 8, 1 // so that all are seen under way
	})
	app := c.service(0)
	lead := c.leader()
	away := (lead + 1) % 3
	user := c.vouch(app, lead, "")
	if _, err := c.nodes[away].Check(t.Context(), app, true); err != nil { // it knows the key
		t.Fatal(err)
	}
	c.isolate(away)
	served := app
	served.Subject = &session.Presented{Key: user.Key}
	idle := time.Hour
	requests := map[string]func() error{
		"patch": func() error {
			_, err := c.nodes[away].PatchAttributes(t.Context(), app, session.AttributePatch{"a": []byte("1")}, nil)
			return err
		},
		"patch of a user's session": func() error {
			_, err := c.nodes[away].PatchAttributes(t.Context(), served, session.AttributePatch{"a": []byte("1")}, nil)
			return err
		},
		"own idle timeout": func() error {
			_, err := c.nodes[away].Alter(t.Context(), app, session.Alteration{IdleTimeout: &idle})
			return err
		},
		"log-in of a user": func() error {
			_, err := c.nodes[away].Login(t.Context(), app, session.Login{User: "bob", Vouched: true})
			return err
		},
	}
	var underWay sync.WaitGroup
	for name, request := range requests {
		underWay.Go(func() {
			if err := request(); session.CodeOf(err) != session.CodeUnauthenticated {
				t.Errorf("%s: %v, want %s", name, err, session.CodeUnauthenticated)
			}
		})
	}
	eventually(t, "the requests to be written", func() error {
		if n := c.nodes[away].WritesWaiting(); n < len(requests) {
			return fmt.Errorf("%d wait, want %d", n, len(requests))
		}
		return nil
	})
	proved, err := c.nodes[lead].Reauthenticate(t.Context(), app, session.Proof{Password: "service-password"})
	if err != nil {
		t.Fatal(err)
	}
	c.heal()
	underWay.Wait()
	if _, err := c.nodes[lead].Check(t.Context(), with(proved.Key), true); err != nil {
		t.Fatalf("the key that the proof gave: %v", err)
	}
	c.wantDead("the key before", app.Key)
	c.wantDead("the key after its use", proved.Key)
}
