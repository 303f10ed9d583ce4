package node_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/session"
)

// attributesAt tells what node i says of a session's attributes.
func (c *trio) attributesAt(i int, k session.Key) string {
	c.t.Helper()
	got, err := c.nodes[i].Check(c.t.Context(), with(k), true)
	if err != nil {
		c.t.Fatalf("node %d: %v", i+1, err)
	}
	return fmt.Sprintf("%s", got.Attributes)
}

// TestLocalAttributesStayAtTheirNode: each node has its own, none is in the log, and all of them go with their session.
func TestLocalAttributesStayAtTheirNode(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, nil)
	ctx, app := t.Context(), c.service(0)
	local, bearer := session.AttributesLocal, session.WriteByBearer
	c.policy(0, "desk", session.PolicyChange{Attributes: &local, IdleTimeout: ptr(time.Hour)})
	c.policy(0, "open", session.PolicyChange{Attributes: &local, AttributesWrite: &bearer})
	const secret = "nobody-else-may-see-this-3307"
	made, err := c.nodes[1].Login(ctx, app, session.Login{User: "ada", Vouched: true, Policy: "desk", Attributes: session.Attributes{"note": []byte(`"` + secret + `"`)}})
	if err != nil || len(made.Attributes) != 1 {
		t.Fatalf("log-in: %s, %v", made.Attributes, err)
	}
	patch := func(i int, call session.Call, p session.AttributePatch) (session.Checked, error) {
		return c.nodes[i].PatchAttributes(ctx, call, p, nil)
	}
	if got, err := patch(1, subject(app, made.Key), session.AttributePatch{"cart": []byte("[1, 2]"), "gone": []byte("null")}); err != nil || len(got.Attributes) != 2 {
		t.Fatalf("patch: %s, %v", got.Attributes, err)
	}
	if _, err := patch(2, subject(app, made.Key), session.AttributePatch{"cart": []byte("[3]")}); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"map[]", `map[cart:[1,2] note:"` + secret + `"]`, "map[cart:[3]]"} {
		if got := c.attributesAt(i, made.Key); got != want {
			t.Errorf("node %d has %s, want %s", i+1, got, want)
		}
	}
	byID, err := c.nodes[1].GetSession(ctx, c.admin(1), made.ID)
	if err != nil || len(byID.Attributes) != 2 {
		t.Errorf("by its id: %s, %v", byID.Attributes, err)
	}

	// What is refused, and by whom it may be asked.
	version := uint64(3)
	var e *session.Error
	if _, err := c.nodes[1].PatchAttributes(ctx, subject(app, made.Key), session.AttributePatch{"a": []byte("1")}, &version); !errors.As(err, &e) || e.Code != session.CodeInvalid || e.Field != "If-Match" {
		t.Errorf("If-Match: %v", err)
	}
	if _, err := patch(1, with(made.Key), session.AttributePatch{"a": []byte("1")}); session.CodeOf(err) != session.CodeForbidden {
		t.Errorf("the bearer under attributes_write service: %v", err)
	}
	if _, err := patch(1, with(c.vouch(app, 1, "open").Key), session.AttributePatch{"a": []byte("1")}); err != nil {
		t.Errorf("the bearer under attributes_write bearer: %v", err)
	}
	if _, err := patch(1, subject(app, made.Key), session.AttributePatch{"a": []byte(`"` + strings.Repeat("x", session.MaxAttributeBytes) + `"`)}); session.CodeOf(err) != session.CodeTooLarge {
		t.Errorf("a large value: %v", err)
	}
	for n := range 5 {
		_, err = patch(1, subject(app, made.Key), session.AttributePatch{fmt.Sprint(n): []byte(`"` + strings.Repeat("x", 4000) + `"`)})
	}
	if session.CodeOf(err) != session.CodeTooLarge {
		t.Errorf("twenty kilobytes: %v", err)
	}

	// A log-in over the session takes along what this node has; a rotation changes nothing.
	over, err := c.nodes[2].Login(ctx, subject(app, made.Key), session.Login{User: "ada", Vouched: true, Policy: "desk", Attributes: session.Attributes{"b": []byte("2")}})
	if got := fmt.Sprintf("%s", over.Attributes); err != nil || got != "map[b:2 cart:[3]]" {
		t.Errorf("a log-in over it: %s, %v", got, err)
	}
	rotated, err := c.nodes[2].Rotate(ctx, with(over.Key))
	if got := fmt.Sprintf("%s", rotated.Attributes); err != nil || got != "map[b:2 cart:[3]]" {
		t.Errorf("rotated: %s, %v", got, err)
	}
	for i, n := range c.nodes {
		want := map[int]int{1: 1, 2: 1}[i] // the bearer's, and those of the last one
		eventually(t, fmt.Sprintf("node %d to forget what has ended", i+1), func() error {
			if got := n.LocalAttributes(); got != want {
				return fmt.Errorf("it has attributes of %d sessions, want %d", got, want)
			}
			return nil
		})
	}

	// Nothing of it was written, anywhere.
	for i := range c.nodes {
		c.stop(i)
		if where := findInFolder(t, c.dirs[i], secret); where != "" {
			t.Errorf("%s holds a local attribute", where)
		}
	}
}

// TestANodeThatIsLateSendsNoLocalAttribute: it has not heard of the policy, nor of its session, and does not send their attributes to the log, where they would be
// refused and stay.
func TestANodeThatIsLateSendsNoLocalAttribute(t *testing.T) {
	t.Parallel()
	var holds [3]atomic.Pointer[chan struct{}]
	c := startTrio(t, 3, func(i int, config *node.Config) {
		config.Cluster.Faults.Apply = func() {
			if released := holds[i].Load(); released != nil {
				<-*released
			}
		}
	})
	app := c.service(0)
	lead := c.leader()
	late := (lead + 1) % 3
	if _, err := c.nodes[late].Check(t.Context(), app, true); err != nil { // from here on it knows the service
		t.Fatal(err)
	}
	released := make(chan struct{})
	release := sync.OnceFunc(func() { close(released) })
	defer release()
	holds[late].Store(&released)
	c.policy(lead, "desk", session.PolicyChange{Attributes: ptr(session.AttributesLocal)})
	made := c.vouch(app, lead, "desk")

	const secret = "nobody-else-may-see-this-8812"
	attributes := map[string]json.RawMessage{"note": []byte(`"` + secret + `"`)}
	for what, ask := range map[string]func(ctx context.Context) error{
		"a log-in": func(ctx context.Context) error {
			_, err := c.nodes[late].Login(ctx, app, session.Login{User: "ada", Vouched: true, Policy: "desk", Attributes: attributes})
			return err
		},
		"a patch": func(ctx context.Context) error {
			_, err := c.nodes[late].PatchAttributes(ctx, subject(app, made.Key), attributes, nil)
			return err
		},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond) // which is time enough to send it
		if err := ask(ctx); session.CodeOf(err) != session.CodeNoQuorum && session.CodeOf(err) != session.CodeUnavailable {
			t.Errorf("%s at a node that cannot know: %v, want that nothing was changed", what, err)
		}
		cancel()
	}
	release()
	for i := range c.nodes {
		c.stop(i)
		if where := findInFolder(t, c.dirs[i], secret); where != "" {
			t.Errorf("%s holds a local attribute", where)
		}
	}
}

// TestLocalAttributesStayWhereTheirSessionIsBound: a log-in over a session that is bound to another address carries nothing of it over, and leaves
// it alone.
func TestLocalAttributesStayWhereTheirSessionIsBound(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 1, nil)
	app := c.service(0)
	c.policy(0, "desk", session.PolicyChange{Attributes: ptr(session.AttributesLocal), BindAddress: ptr(session.BindStrict)})
	login := func(call session.Call, address string, first session.Attributes) session.Issued {
		t.Helper()
		issued, err := c.nodes[0].Login(t.Context(), call, session.Login{
			User: "bob", Vouched: true, Policy: "desk", ClientAddress: netip.MustParseAddr(address), Attributes: first})
		if err != nil {
			t.Fatal(err)
		}
		return issued
	}
	first := login(app, "192.0.2.7", values("cart", "1"))
	over := app
	over.Subject = &session.Presented{Key: first.Key, Address: netip.MustParseAddr("192.0.2.8")}
	for want, address := range []string{"192.0.2.8", "192.0.2.7"} {
		if issued := login(over, address, nil); len(issued.Attributes) != want {
			t.Errorf("at %s: %s, want %d of them", address, issued.Attributes, want)
		}
	}
}

// TestLocalAttributesGoWithTheirSession, however it ends.
func TestLocalAttributesGoWithTheirSession(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, nil)
	ctx, app, admin := t.Context(), c.service(0), c.admin(0)
	c.policy(0, "desk", session.PolicyChange{Attributes: ptr(session.AttributesLocal), IdleTimeout: ptr(time.Hour)})
	holds := func(want int) {
		t.Helper()
		eventually(t, fmt.Sprintf("%d sessions with local attributes", want), func() error {
			if got := c.nodes[1].LocalAttributes(); got != want {
				return fmt.Errorf("there are %d", got)
			}
			return nil
		})
	}
	for name, end := range map[string]func(s session.Issued) error{
		"log-out":    func(s session.Issued) error { _, err := c.nodes[0].Logout(ctx, with(s.Key)); return err },
		"revocation": func(s session.Issued) error { _, err := c.nodes[2].RevokeSession(ctx, admin, s.ID); return err },
		"revocation of all": func(s session.Issued) error {
			_, err := c.nodes[2].RevokeUserSessions(ctx, admin, "ada", session.UserSessions{})
			return err
		},
		"expiry": func(session.Issued) error { c.advance(2 * time.Hour); return nil },
	} {
		if name == "expiry" {
			admin = c.admin(0)
		}
		s, err := c.nodes[1].Login(ctx, c.service(0), session.Login{User: "ada", Vouched: true, Policy: "desk", Attributes: session.Attributes{"a": []byte("1")}})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		holds(1)
		if err := end(s); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		holds(0)
		admin = c.admin(0)
	}
	_, err := c.nodes[1].Login(ctx, app, session.Login{User: "ada", Vouched: true, Policy: "missing", Attributes: session.Attributes{"a": []byte("1")}})
	if err == nil {
		t.Error("logged in under no policy")
	}
	holds(0)
}

// TestAPolicysAttributesChangeLive: from the answer to the change on, patches go to the other place, at every node, and what is in the
// one is not shown in the other.
func TestAPolicysAttributesChangeLive(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, nil)
	ctx, app := t.Context(), c.service(0)
	c.policy(0, "web", session.PolicyChange{IdleTimeout: ptr(time.Hour)})
	s := c.vouch(app, 0, "web")
	for round := range 12 {
		place := []session.AttributesPlace{session.AttributesShared, session.AttributesLocal}[round%2]
		if _, err := c.nodes[round%3].PatchPolicy(ctx, session.Call{Operator: true}, "web", session.PolicyChange{Attributes: &place}); err != nil {
			t.Fatal(err)
		}
		at, value := (round+1)%3, fmt.Sprint(round)
		if _, err := c.nodes[at].PatchAttributes(ctx, subject(app, s.Key), session.AttributePatch{string(place): []byte(value)}, nil); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		for i := range c.nodes {
			got, want := c.attributesAt(i, s.Key), fmt.Sprintf("map[%s:%s]", place, value)
			if place == session.AttributesLocal && i != at {
				continue // its own of an earlier round, or none
			}
			if got != want {
				t.Errorf("round %d, node %d: %s, want %s", round, i+1, got, want)
			}
		}
		made, err := c.nodes[(round+2)%3].Login(ctx, app, session.Login{User: "bob", Vouched: true, Policy: "web", Attributes: session.Attributes{"a": []byte("1")}})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		shown := 0
		for i := range c.nodes {
			if c.attributesAt(i, made.Key) == "map[a:1]" {
				shown++
			}
		}
		if want := map[session.AttributesPlace]int{session.AttributesShared: 3, session.AttributesLocal: 1}[place]; shown != want {
			t.Errorf("round %d: %d nodes show what a log-in brought, want %d", round, shown, want)
		}
	}
}

func TestLocalAttributesAreBoundedAndNeverSealed(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, func(_ int, config *node.Config) {
		config.Limits.LocalAttributeBytes = 3000
		config.Sealing = sealingWith(firstSafe)
	})
	ctx, app := t.Context(), c.service(0)
	c.policy(0, "desk", session.PolicyChange{Attributes: ptr(session.AttributesLocal)})
	first := c.vouch(app, 1, "desk")
	fill := func(k session.Key, bytes int) error {
		_, err := c.nodes[1].PatchAttributes(ctx, subject(app, k), session.AttributePatch{"a": []byte(`"` + strings.Repeat("x", bytes) + `"`)}, nil)
		return err
	}
	if err := fill(first.Key, 2000); err != nil {
		t.Fatal(err)
	}
	second := c.vouch(app, 1, "desk")
	if err := fill(second.Key, 1000); session.CodeOf(err) != session.CodeOverloaded {
		t.Errorf("a full node: %v", err)
	}
	many := session.Login{User: "ada", Vouched: true, Policy: "desk", Attributes: session.Attributes{"a": []byte(`"` + strings.Repeat("x", 1000) + `"`)}}
	if _, err := c.nodes[1].Login(ctx, app, many); session.CodeOf(err) != session.CodeOverloaded {
		t.Errorf("a log-in at a full node: %v", err)
	}
	if err := fill(first.Key, 100); err != nil {
		t.Errorf("less instead of more: %v", err)
	}
	if err := fill(second.Key, 1000); err != nil {
		t.Errorf("with room again: %v", err)
	}
	sealed := session.Login{User: "ada", Vouched: true, Policy: "desk", Sealed: session.Attributes{"s": []byte("1")}}
	if _, err := c.nodes[1].Login(ctx, app, sealed); session.CodeOf(err) != session.CodeInvalid {
		t.Errorf("sealed at log-in: %v", err)
	}
	if _, err := c.nodes[1].SealAttributes(ctx, subject(app, second.Key), session.AttributePatch{"s": []byte("1")}, nil); session.CodeOf(err) != session.CodeInvalid {
		t.Errorf("sealed by a patch: %v", err)
	}
}

// TestLocalAttributesGoWithSessionsThatASnapshotHasNotAnyMore: a node that was away hears of no end, only of what is left.
func TestLocalAttributesGoWithSessionsThatASnapshotHasNotAnyMore(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, func(_ int, config *node.Config) {
		config.Cluster.SnapshotCommands, config.Cluster.TrailingBytes = 20, 1
	})
	ctx, app := t.Context(), c.service(0)
	c.policy(0, "desk", session.PolicyChange{Attributes: ptr(session.AttributesLocal)})
	c.moveLeader(0)
	made, err := c.nodes[2].Login(ctx, app, session.Login{User: "ada", Vouched: true, Policy: "desk", Attributes: session.Attributes{"a": []byte("1")}})
	if err != nil {
		t.Fatal(err)
	}
	stays, err := c.nodes[2].Login(ctx, app, session.Login{User: "bob", Vouched: true, Policy: "desk", Attributes: session.Attributes{"b": []byte("1")}})
	if err != nil || c.nodes[2].LocalAttributes() != 2 {
		t.Fatalf("attributes of %d sessions, %v", c.nodes[2].LocalAttributes(), err)
	}
	c.isolate(2)
	if _, err := c.nodes[0].Logout(ctx, with(made.Key)); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if _, err := c.nodes[0].Login(ctx, app, session.Login{User: "ada", Vouched: true}); err != nil {
			t.Fatal(err)
		}
	}
	status, err := c.nodes[0].ClusterStatus(ctx, operator)
	if err != nil {
		t.Fatal(err)
	}
	awaitSnapshot(t, c.dirs[0], status.Applied-50)
	c.heal()
	eventually(t, "node 3 to forget the session that has ended", func() error {
		if got := c.nodes[2].LocalAttributes(); got != 1 {
			return fmt.Errorf("it has attributes of %d", got)
		}
		return nil
	})
	if got := c.attributesAt(2, stays.Key); got != "map[b:1]" {
		t.Errorf("the session that lives has %s", got)
	}
}
