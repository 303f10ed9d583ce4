package node_test

import (
	"testing"

	"github.com/hydrastore/hydrastore/session"
)

// TestCredentialsWhereAttributesAreLocal: in the memory of nodes nothing is sealed, and whoever may list sessions would see them.
func TestCredentialsWhereAttributesAreLocal(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 1, withSealing(sealingWith(firstSafe)))
	n, ctx := c.nodes[0], t.Context()
	local := session.AttributesLocal
	for _, name := range []string{session.PresetTokenizer, "desk"} {
		c.policy(0, name, session.PolicyChange{Attributes: &local})
	}
	if _, err := n.CreateUser(ctx, c.admin(0), session.NewUser{Name: "ada", Password: "a long password", Policies: []string{session.PresetTokenizer, "desk"}}); err != nil {
		t.Fatal(err)
	}
	login := func(by session.Call, policy string, a session.Attributes) (session.Issued, error) {
		return n.Login(ctx, by, session.Login{User: "ada", Password: "a long password", Policy: policy, Attributes: a})
	}
	secret := values("credentials", `"scott/tiger"`)
	if _, err := login(from("192.0.2.1"), "", secret); session.CodeOf(err) != session.CodeInvalid {
		t.Errorf("a log-in with credentials: %v", err)
	}
	desk, err := login(from("192.0.2.1"), "desk", secret)
	if err != nil {
		t.Fatal(err)
	}
	wantValues(t, "under another policy", desk.Attributes, secret)
	issued, err := login(with(desk.Key), "", values("role", `"dba"`))
	if err != nil {
		t.Fatal(err)
	}
	wantValues(t, "in the place of that one", issued.Attributes, values("role", `"dba"`))
	app := c.service(0)
	if _, err := n.PatchAttributes(ctx, presenting(app, with(issued.Key)), session.AttributePatch(secret), nil); session.CodeOf(err) != session.CodeInvalid {
		t.Errorf("a patch with credentials: %v", err)
	}
	patched, err := n.PatchAttributes(ctx, presenting(app, with(issued.Key)), session.AttributePatch(values("credentials", "null", "role", "null")), nil)
	if err != nil || len(patched.Attributes) != 0 {
		t.Errorf("a patch that deletes: %s, %v", patched.Attributes, err)
	}
}
