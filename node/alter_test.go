package node_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

// TestAlter: what a protocol keeps of a session is known at every node, by its own name, and stays out of the attributes.
func TestAlter(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, nil)
	ctx := t.Context()
	if _, err := c.nodes[0].CreateUser(ctx, session.Call{Operator: true}, session.NewUser{Name: "ann", Password: "ann-password"}); err != nil {
		t.Fatal(err)
	}
	issued, err := c.nodes[0].Login(ctx, from("192.0.2.1"), session.Login{User: "ann", Password: "ann-password", Reserved: session.Attributes{"x.a": json.RawMessage(`1`)}})
	if err != nil {
		t.Fatal(err)
	}
	if string(issued.Reserved["x.a"]) != "1" || len(issued.Attributes) != 0 {
		t.Errorf("issued: reserved %s, attributes %s", issued.Reserved, issued.Attributes)
	}
	key := with(issued.Key)
	hour := time.Hour
	_, err = c.nodes[1].Alter(ctx, key, session.Alteration{IdleTimeout: &hour})
	if session.CodeOf(err) != session.CodeForbidden {
		t.Errorf("longer than the policy's: %v, want forbidden", err)
	}
	c.policy(2, session.DefaultPolicyName, session.PolicyChange{LongerIdleAllowed: ptr(true)})
	_, err = c.nodes[1].Alter(ctx, key, session.Alteration{IdleTimeout: &hour, Reserved: session.AttributePatch{"x.b": json.RawMessage(`"2"`), "x.a": json.RawMessage(`null`)}})
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range c.nodes {
		got, err := n.Check(ctx, key, true)
		if err != nil || got.IdleTimeout != hour || string(got.Reserved["x.b"]) != `"2"` || len(got.Reserved) != 1 || len(got.Attributes) != 0 || got.AttributesVersion != issued.AttributesVersion {
			t.Errorf("node %d: got %+v, %v", i+1, got, err)
		}
	}
	list, err := c.nodes[2].ListSessions(ctx, session.Call{Operator: true}, session.Filter{User: "ann"}, session.Page{})
	if err != nil || len(list.Items) != 1 || string(list.Items[0].Reserved["x.b"]) != `"2"` {
		t.Errorf("listed: %+v, %v", list.Items, err)
	}
	for _, name := range []string{"hydrastore.x.b", "hydrastore."} {
		_, err := c.nodes[0].PatchAttributes(ctx, session.Call{Operator: true, Subject: &session.Presented{Key: issued.Key}}, session.AttributePatch{name: json.RawMessage(`1`)}, nil)
		if session.CodeOf(err) != session.CodeInvalid {
			t.Errorf("an application sets %s: %v, want invalid", name, err)
		}
	}
	second := 500 * time.Millisecond
	if _, err := c.nodes[0].Alter(ctx, key, session.Alteration{IdleTimeout: &second}); session.CodeOf(err) != session.CodeInvalid {
		t.Errorf("half a second: %v, want invalid", err)
	}
	if _, err := c.nodes[0].Alter(ctx, session.Call{}, session.Alteration{}); session.CodeOf(err) != session.CodeUnauthenticated {
		t.Errorf("without a key: %v", err)
	}
}

// TestPreferences: a user finds them again in every session at every node; nobody sets another one's.
func TestPreferences(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, nil)
	ctx, operator := t.Context(), session.Call{Operator: true}
	for _, name := range []string{"ann", "bob"} {
		if _, err := c.nodes[0].CreateUser(ctx, operator, session.NewUser{Name: name, Password: name + "-password"}); err != nil {
			t.Fatal(err)
		}
	}
	first, bob := c.login(0, "ann", "ann-password"), c.login(1, "bob", "bob-password")
	if _, err := c.nodes[1].PatchPreferences(ctx, first, session.AttributePatch{"colour": json.RawMessage(`"green"`)}); err != nil {
		t.Fatal(err)
	}
	second := c.login(2, "ann", "ann-password")
	p, err := c.nodes[2].Preferences(ctx, second)
	if err != nil || string(p.Values["colour"]) != `"green"` {
		t.Errorf("in another session: %+v, %v", p, err)
	}
	if p, err := c.nodes[0].Preferences(ctx, bob); err != nil || len(p.Values) != 0 {
		t.Errorf("bob's: %+v, %v", p, err)
	}
	if _, err := c.nodes[0].PatchPreferences(ctx, with(key(t)), session.AttributePatch{"a": json.RawMessage(`1`)}); session.CodeOf(err) != session.CodeUnauthenticated {
		t.Errorf("with an unknown key: %v", err)
	}
	if _, err := c.nodes[0].PatchPreferences(ctx, session.Call{Operator: true, Subject: &session.Presented{Key: bob.Key}}, session.AttributePatch{"a": json.RawMessage(`1`)}); session.CodeOf(err) != session.CodeInvalid {
		t.Errorf("for another one: %v", err)
	}
}

// key draws one that nobody has.
func key(t *testing.T) session.Key {
	t.Helper()
	k, err := session.NewKey(zeros{})
	if err != nil {
		t.Fatal(err)
	}
	return k
}
