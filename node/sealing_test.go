package node_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/session"
)

const (
	firstSafe  = "a first safe password"
	secondSafe = "a second safe password"
)

func sealingWith(passwords ...string) node.Sealing {
	return node.Sealing{Password: passwords[0], Previous: passwords[1:], Params: auth.Params{MemoryKiB: 64, Iterations: 1, Parallelism: 1}}
}

func withSealing(s node.Sealing) func(int, *node.Config) {
	return func(_ int, c *node.Config) { c.Sealing = s }
}

func values(pairs ...string) session.Attributes {
	out := session.Attributes{}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i]] = json.RawMessage(pairs[i+1])
	}
	return out
}

func wantValues(t *testing.T, what string, got, want session.Attributes) {
	t.Helper()
	if fmt.Sprintf("%s", got) != fmt.Sprintf("%s", want) {
		t.Errorf("%s: %s, want %s", what, got, want)
	}
}

// serviceFor vouches for a user at node i and returns the service's call and the user's.
func (c *trio) sealedSession(i int, sealed session.Attributes) (app, user session.Call) {
	c.t.Helper()
	app = c.service(i)
	issued, err := c.nodes[i].Login(c.t.Context(), app, session.Login{User: "bob", Vouched: true, Attributes: values("cart", "[1]"), Sealed: sealed})
	if err != nil {
		c.t.Fatal(err)
	}
	wantValues(c.t, "issued", issued.Sealed, sealed)
	wantValues(c.t, "issued in the clear", issued.Attributes, values("cart", "[1]"))
	return app, with(issued.Key)
}

func presenting(by, user session.Call) session.Call {
	by.Subject = &session.Presented{Key: user.Key, Address: user.Address}
	return by
}

func TestSealedAttributesAreForTheBearerAndServices(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, withSealing(sealingWith(firstSafe)))
	secret := values("token", `"s3cr3t"`)
	app, user := c.sealedSession(0, secret)
	admin := c.admin(0)
	for i, n := range c.nodes {
		for _, look := range []bool{true, false} {
			own, err := n.Check(t.Context(), user, look)
			if err != nil {
				t.Fatal(err)
			}
			wantValues(t, fmt.Sprintf("node %d, the bearer", i+1), own.Sealed, secret)
			wantValues(t, "in the clear", own.Attributes, values("cart", "[1]"))
			if seen, err := n.Check(t.Context(), presenting(app, user), look); err != nil || len(seen.Sealed) != 1 {
				t.Errorf("node %d, the service: %v %v", i+1, seen.Sealed, err)
			}
			if seen, err := n.Check(t.Context(), presenting(admin, user), look); err != nil || seen.Sealed != nil || len(seen.Attributes) != 1 {
				t.Errorf("node %d, an admin: %s %s %v", i+1, seen.Sealed, seen.Attributes, err)
			}
			if seen, err := n.GetSession(t.Context(), admin, own.ID); err != nil || seen.Sealed != nil || len(seen.Attributes) != 1 {
				t.Errorf("node %d, an admin by id: %s %v", i+1, seen.Sealed, err)
			}
		}
	}
}

func TestSealedAttributesArePatched(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, withSealing(sealingWith(firstSafe)))
	app, user := c.sealedSession(0, values("token", `"one"`, "old", "1"))
	call := presenting(app, user)
	patched, err := c.nodes[1].SealAttributes(t.Context(), call, session.AttributePatch(values("token", `"two"`, "old", "null", "new", "[2]", "cart", "3")), nil)
	if err != nil {
		t.Fatal(err)
	}
	wantValues(t, "sealed", patched.Sealed, values("token", `"two"`, "new", "[2]", "cart", "3"))
	wantValues(t, "in the clear", patched.Attributes, values())
	stale := patched.AttributesVersion - 1
	if _, err := c.nodes[2].SealAttributes(t.Context(), call, session.AttributePatch(values("token", "9")), &stale); session.CodeOf(err) != session.CodeVersionMismatch {
		t.Errorf("an old If-Match: %v", err)
	}
	patched, err = c.nodes[2].PatchAttributes(t.Context(), call, session.AttributePatch(values("cart", "4", "new", "null")), &patched.AttributesVersion)
	if err != nil {
		t.Fatal(err)
	}
	wantValues(t, "sealed, after a patch in the clear", patched.Sealed, values("token", `"two"`))
	wantValues(t, "in the clear", patched.Attributes, values("cart", "4"))
	for name, ask := range map[string]struct {
		call session.Call
		set  session.Attributes
		want session.Code
	}{
		"the bearer, against the policy": {user, values("token", "1"), session.CodeForbidden},
		"an admin":                       {presenting(c.admin(0), user), values("token", "1"), ""},
		"a dead key":                     {with(unknownKey(t)), values("token", "1"), session.CodeUnauthenticated},
		"nobody":                         {from("192.0.2.1"), values("token", "1"), session.CodeUnauthenticated},
		"a reserved name":                {call, values("hydrastore.x", "1"), session.CodeInvalid},
		"too much":                       {call, values("token", `"`+strings.Repeat("x", session.MaxSealedAttributeBytes-1)+`"`), session.CodeTooLarge},
		"as much as is allowed":          {call, values("token", `"`+strings.Repeat("x", session.MaxSealedAttributeBytes-2)+`"`), ""},
	} {
		seen, err := c.nodes[0].SealAttributes(t.Context(), ask.call, session.AttributePatch(ask.set), nil)
		if session.CodeOf(err) != ask.want {
			t.Errorf("%s: %v, want %q", name, err, ask.want)
		}
		if name == "an admin" && seen.Sealed != nil {
			t.Errorf("an admin is shown %s", seen.Sealed)
		}
	}
}

func unknownKey(t *testing.T) session.Key {
	t.Helper()
	k, err := session.NewKey(strings.NewReader(strings.Repeat("k", session.KeySecretBytes)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestWithoutASafePasswordNothingIsSealed(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 1, nil)
	app := c.service(0)
	_, err := c.nodes[0].Login(t.Context(), app, session.Login{User: "bob", Vouched: true, Sealed: values("token", "1")})
	if session.CodeOf(err) != session.CodeConflict {
		t.Errorf("got %v, want conflict", err)
	}
	_, err = c.nodes[0].Login(t.Context(), app, session.Login{User: "bob", Vouched: true, Sealed: values("a", "1"), Attributes: values("a", "2")})
	if session.CodeOf(err) != session.CodeInvalid {
		t.Errorf("a name in both: got %v, want invalid", err)
	}
}

// What is sealed, and the password, stand in no file of a node.
func TestSealedValuesStandInNoFile(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 1, withSealing(sealingWith(firstSafe)))
	app, user := c.sealedSession(0, values("token", `"the-sealed-value-4711"`))
	if _, err := c.nodes[0].SealAttributes(t.Context(), presenting(app, user), session.AttributePatch(values("more", `"the-sealed-value-4712"`)), nil); err != nil {
		t.Fatal(err)
	}
	c.stop(0)
	cart := false
	err := filepath.WalkDir(c.dirs[0], func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		cart = cart || bytes.Contains(data, []byte("cart"))
		for _, secret := range []string{"the-sealed-value", firstSafe} {
			if bytes.Contains(data, []byte(secret)) {
				t.Errorf("%s holds %q", d.Name(), secret)
			}
		}
		return err
	})
	if err != nil || !cart {
		t.Fatalf("the search does not find what is in the clear (%v)", err)
	}
}

// restartWith starts node i anew with other passwords; fatal receives why it stops, if it does.
func (c *trio) restartWith(i int, s node.Sealing) (fatal chan error) {
	c.t.Helper()
	fatal = make(chan error, 1)
	c.stop(i)
	c.setup = func(_ int, config *node.Config) {
		config.Sealing = s
		config.Fatal = func(err error) {
			select {
			case fatal <- err:
			default:
			}
		}
	}
	c.start(i)
	return fatal
}

func (c *trio) wantSealed(i int, user session.Call, want session.Attributes) {
	c.t.Helper()
	eventually(c.t, fmt.Sprintf("node %d to show the sealed attributes", i+1), func() error {
		seen, err := c.nodes[i].Check(c.t.Context(), user, true)
		if err == nil && fmt.Sprintf("%s", seen.Sealed) != fmt.Sprintf("%s", want) {
			err = fmt.Errorf("got %s", seen.Sealed)
		}
		return err
	})
}

// A new password comes in node by node. What the old one has sealed stays readable; the new one seals once all nodes have it; and after
// resealing the old one is not needed.
func TestTheSafePasswordIsChangedNodeByNode(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, withSealing(sealingWith(firstSafe)))
	secret := values("token", `"one"`)
	app, user := c.sealedSession(0, secret)
	for i := range 3 {
		if i > 0 { // some nodes have the new password, some do not: sealing goes on with the old one
			if _, err := c.nodes[i].SealAttributes(t.Context(), presenting(app, user), session.AttributePatch(values("at", fmt.Sprint(i))), nil); err != nil {
				t.Fatalf("sealing with %d nodes changed: %v", i, err)
			}
			secret["at"] = json.RawMessage(fmt.Sprint(i))
			for j := range 3 {
				c.wantSealed(j, user, secret)
			}
		}
		c.restartWith(i, sealingWith(secondSafe, firstSafe))
		c.awaitReady(i)
	}
	for n := range 30 {
		login := session.Login{User: fmt.Sprint("u", n), Vouched: true, Sealed: values("n", fmt.Sprint(n))}
		if _, err := c.nodes[n%3].Login(t.Context(), app, login); err != nil {
			t.Fatal(err)
		}
	}
	admin := c.admin(1)
	resealed, err := c.nodes[1].Reseal(t.Context(), admin, "")
	if err != nil || resealed.Count != 2 || resealed.Left != 0 || resealed.NextCursor != "" {
		t.Fatalf("resealed %+v, %v; want the 2 old values", resealed, err)
	}
	for i := range 3 {
		c.restartWith(i, sealingWith(secondSafe))
		c.awaitReady(i)
		c.wantSealed(i, user, secret)
	}
}

func TestANodeWithTheWrongSafePasswordStops(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, withSealing(sealingWith(firstSafe)))
	_, user := c.sealedSession(0, values("token", `"one"`))
	for name, s := range map[string]node.Sealing{
		"another one":                      sealingWith("quite another password"),
		"another one, before and after":    sealingWith("quite another password", "and one more of them"),
		"none, though something is sealed": {},
	} {
		select {
		case err := <-c.restartWith(2, s):
			if strings.Contains(err.Error(), "quite another") || !strings.Contains(err.Error(), "safe_password") {
				t.Errorf("%s: the node says %v", name, err)
			}
			if ready := c.nodes[2].Ready(false); ready == nil {
				t.Errorf("%s: it is ready", name)
			}
		case <-time.After(patience):
			t.Fatalf("%s: the node goes on", name)
		}
	}
	c.restartWith(2, sealingWith(firstSafe))
	c.awaitReady(2)
	c.wantSealed(2, user, values("token", `"one"`))
}

// Resealing races with patches, and loses nothing of theirs.
func TestResealingLosesNoPatch(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 1, withSealing(sealingWith(firstSafe)))
	app, user := c.sealedSession(0, values("token", "0"))
	c.restartWith(0, sealingWith(secondSafe, firstSafe))
	c.awaitReady(0)
	var both sync.WaitGroup
	both.Go(func() {
		for i := range 20 {
			if _, err := c.nodes[0].SealAttributes(t.Context(), presenting(app, user), session.AttributePatch(values("token", fmt.Sprint(i+1))), nil); err != nil {
				t.Error(err)
			}
		}
	})
	both.Go(func() {
		for range 20 {
			if _, err := c.nodes[0].Reseal(t.Context(), operator, ""); err != nil {
				t.Error(err)
			}
		}
	})
	both.Wait()
	c.wantSealed(0, user, values("token", "20"))
	if _, err := c.nodes[0].Reseal(t.Context(), user, ""); session.CodeOf(err) != session.CodeForbidden {
		t.Errorf("a user may reseal: %v", err)
	}
	if _, err := c.nodes[0].Reseal(t.Context(), operator, "nonsense"); session.CodeOf(err) != session.CodeInvalid {
		t.Errorf("a cursor of nonsense: %v", err)
	}
}

func TestSafePasswordsThatAreRefused(t *testing.T) {
	t.Parallel()
	for _, s := range []node.Sealing{
		{Password: "default_password"}, {Password: "too short"}, {Previous: []string{""}}, {Password: strings.Repeat("x", 1025)},
		{Password: firstSafe, Previous: make([]string, session.MaxSealKeys)},
	} {
		config := node.DefaultConfig()
		config.Fatal, config.Sealing = func(error) {}, s
		var coded *session.Error
		if err := config.Validate(); !errors.As(err, &coded) || !strings.HasPrefix(coded.Field, "tokenizer.safe_password") {
			t.Errorf("%q: %v", s.Password, err)
		}
	}
}

// A rotated session keeps what is sealed, and a log-in in the place of a session takes it along, like attributes in the clear.
func TestSealedAttributesGoAlong(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, withSealing(sealingWith(firstSafe)))
	app, user := c.sealedSession(0, values("token", `"one"`, "gone", "1", "plain", "2"))
	rotated, err := c.nodes[1].Rotate(t.Context(), user)
	if err != nil {
		t.Fatal(err)
	}
	wantValues(t, "rotated", rotated.Sealed, values("token", `"one"`, "gone", "1", "plain", "2"))
	call := presenting(app, with(rotated.Key))
	again, err := c.nodes[2].Login(t.Context(), call, session.Login{
		User: "bob", Vouched: true, Sealed: values("gone", "3", "new", "4"), Attributes: values("plain", "5")})
	if err != nil {
		t.Fatal(err)
	}
	wantValues(t, "logged in again", again.Sealed, values("token", `"one"`, "gone", "3", "new", "4"))
	wantValues(t, "in the clear", again.Attributes, values("cart", "[1]", "plain", "5"))
	for i := range c.nodes {
		c.wantSealed(i, with(again.Key), again.Sealed)
	}
	other, err := c.nodes[0].Login(t.Context(), presenting(app, with(again.Key)), session.Login{User: "eve", Vouched: true})
	if err != nil || other.Sealed != nil || len(other.Attributes) != 0 {
		t.Errorf("another user is given %s and %s, %v", other.Sealed, other.Attributes, err)
	}
}

// A node that must begin again with its seal keys, because it could not say that it has them, does not make the same one anew.
func TestSettlingSealKeysAgainMakesNoOther(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 1, withSealing(sealingWith(firstSafe)))
	for range 2 {
		if err := c.nodes[0].SettleSealing(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := c.nodes[0].SealKeys(); n != 1 {
		t.Errorf("%d seal keys of one password", n)
	}
}

// The cluster remembers a bounded number of nodes that hold seal keys. Those that live say so again when they are forgotten.
func TestLivingHoldersOfSealKeysAreNotForgotten(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, withSealing(sealingWith(firstSafe)))
	app := c.service(0)
	for i := range session.MaxSealHolders {
		if err := c.nodes[i%3].HoldSealKeys(t.Context(), fmt.Sprint("removed-", i)); err != nil {
			t.Fatal(err)
		}
	}
	for i, n := range c.nodes {
		eventually(t, fmt.Sprintf("node %d to seal again", i+1), func() error {
			_, err := n.Login(t.Context(), app, session.Login{User: "bob", Vouched: true, Sealed: values("n", "1")})
			return err
		})
	}
}

// At an address where its key opens nothing a session gives nothing away: neither what is in the clear nor what is sealed.
func TestSealedAttributesStayWhereTheirSessionIsBound(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 1, withSealing(sealingWith(firstSafe)))
	strict := session.BindStrict
	if _, err := c.nodes[0].PatchPolicy(t.Context(), operator, session.DefaultPolicyName, session.PolicyChange{BindAddress: &strict}); err != nil {
		t.Fatal(err)
	}
	app := c.service(0)
	login := func(call session.Call, address string) session.Issued {
		t.Helper()
		issued, err := c.nodes[0].Login(t.Context(), call, session.Login{
			User: "bob", Vouched: true, ClientAddress: netip.MustParseAddr(address), Attributes: values("cart", "1"), Sealed: values("token", "2")})
		if err != nil {
			t.Fatal(err)
		}
		return issued
	}
	first := login(app, "192.0.2.7")
	over := app
	over.Subject = &session.Presented{Key: first.Key, Address: netip.MustParseAddr("192.0.2.8")}
	for want, address := range []string{"192.0.2.8", "192.0.2.7"} {
		issued, err := c.nodes[0].Login(t.Context(), over, session.Login{User: "bob", Vouched: true, ClientAddress: netip.MustParseAddr(address)})
		if err != nil || len(issued.Sealed) != want || len(issued.Attributes) != want {
			t.Errorf("at %s: %s and %s, %v; want %d of each", address, issued.Sealed, issued.Attributes, err, want)
		}
	}
}
