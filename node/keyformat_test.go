package node_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/session"
)

// withFormats adds a policy for each format, of its name.
func withFormats(_ int, config *node.Config) {
	for _, format := range session.KeyFormats() {
		p := session.DefaultPolicy()
		p.Name, p.KeyFormat = string(format), format
		config.Policies = append(config.Policies, p)
	}
}

// TestAKeyOfEveryFormatIsAKeyEverywhere: it is used, shown, written with, rotated, proved anew, repeated and ended at other nodes than the one that
// issued it, and every key of its session has its format.
func TestAKeyOfEveryFormatIsAKeyEverywhere(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, withFormats)
	c.freeze() // the grace is half a minute
	ctx, app := t.Context(), c.service(0)
	for n, format := range session.KeyFormats() {
		at := func(step int) *node.Node { return c.nodes[(n+step)%3] }
		issued := func(what string, s session.Issued, err error) session.Key {
			t.Helper()
			text := s.Key.Reveal()
			back, parses := session.ParseKey(text)
			if err != nil || parses != nil || back != s.Key || s.Key.Format() != format {
				t.Fatalf("%s: %s: key of format %q, %v, %v", format, what, s.Key.Format(), err, parses)
			}
			if format == session.KeyWS && !strings.HasPrefix(text, fmt.Sprintf("ws:ada:%d:", s.Number)) {
				t.Fatalf("%s: a key of session %d that says %s", what, s.Number, text[:len(text)-22])
			}
			return s.Key
		}
		asked := session.Login{User: "ada", Vouched: true, Policy: string(format), IdempotencyKey: string(format)}
		first, err := at(0).Login(ctx, app, asked)
		issued("log-in", first, err)
		again, err := at(1).Login(ctx, app, asked)
		key := issued("repetition", again, err)
		if again.ID != first.ID {
			t.Errorf("%s: a repetition made another session", format)
		}
		c.wantDead(string(format)+": the key before the repetition", first.Key)
		for i, node := range c.nodes {
			if got, err := node.Check(ctx, with(key), false); err != nil || got.ID != first.ID {
				t.Errorf("%s at node %d: %+v, %v", format, i+1, got.Session, err)
			}
		}
		for what, call := range map[string]session.Call{"bearer": with(key), "service": subject(app, key)} {
			if _, err := at(2).Touch(ctx, call); err != nil {
				t.Errorf("%s: touch by the %s: %v", format, what, err)
			}
		}
		if _, err := at(1).PatchAttributes(ctx, subject(app, key), session.AttributePatch{"a": []byte("1")}, nil); err != nil {
			t.Errorf("%s: patch: %v", format, err)
		}
		rotated, err := at(2).Rotate(ctx, with(key))
		next := issued("rotation", rotated, err)
		repeated, err := at(0).Rotate(ctx, with(key))
		if issued("the other rotation", repeated, err) != next {
			t.Errorf("%s: two rotations of one key lead to two", format)
		}
		further, err := at(1).Rotate(ctx, with(next))
		last := issued("second rotation", further, err)
		chain, err := at(2).Rotate(ctx, with(key))
		if issued("rotation of the first key", chain, err) != last {
			t.Errorf("%s: the first key leads to another than the last", format)
		}
		proved, err := at(0).Reauthenticate(ctx, subject(app, last), session.Proof{Vouched: true})
		last = issued("re-authentication", proved, err)
		c.wantDead(string(format)+": the key before it", further.Key)
		if format == session.KeyWS {
			continue // what is left is done to it below
		}
		if _, err := at(2).Logout(ctx, with(last)); err != nil {
			t.Errorf("%s: log out: %v", format, err)
		}
		c.wantDead(string(format)+": after the log-out", last)
	}
}

func subject(service session.Call, k session.Key) session.Call {
	service.Subject = &session.Presented{Key: k, Address: service.Address}
	return service
}

// TestAKeyThatNamesAnotherSessionIsUnknown, in whichever way it is presented, also where only its hash goes into the log; and it does its
// session no harm, even when it was rotated and its grace is over.
func TestAKeyThatNamesAnotherSessionIsUnknown(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, withFormats)
	ctx, app := t.Context(), c.service(0)
	c.vouch(app, 0, "ws") // so that ada has a session 1
	right := c.vouch(app, 1, "ws")
	wrong := right.Key.WithNumber(1)
	unknown, err := session.NewKey(randomness{})
	if err != nil {
		t.Fatal(err)
	}
	ways := map[string]func(n *node.Node, k session.Key) error{
		"check":  func(n *node.Node, k session.Key) error { _, err := n.Check(ctx, with(k), false); return err },
		"touch":  func(n *node.Node, k session.Key) error { _, err := n.Touch(ctx, with(k)); return err },
		"rotate": func(n *node.Node, k session.Key) error { _, err := n.Rotate(ctx, with(k)); return err },
		"list": func(n *node.Node, k session.Key) error {
			_, err := n.ListSessions(ctx, with(k), session.Filter{User: "ada"}, session.Page{})
			return err
		},
		"revoke by id": func(n *node.Node, k session.Key) error { _, err := n.RevokeSession(ctx, with(k), right.ID); return err },
		"log out":      func(n *node.Node, k session.Key) error { _, err := n.Logout(ctx, with(k)); return err },
		"log out by":   func(n *node.Node, k session.Key) error { _, err := n.Logout(ctx, subject(app, k)); return err },
		"check by":     func(n *node.Node, k session.Key) error { _, err := n.Check(ctx, subject(app, k), false); return err },
		"patch": func(n *node.Node, k session.Key) error {
			_, err := n.PatchAttributes(ctx, with(k), session.AttributePatch{"a": []byte("1")}, nil)
			return err
		},
		"patch by": func(n *node.Node, k session.Key) error {
			_, err := n.PatchAttributes(ctx, subject(app, k), session.AttributePatch{"a": []byte("1")}, nil)
			return err
		},
		"reauthenticate": func(n *node.Node, k session.Key) error {
			_, err := n.Reauthenticate(ctx, subject(app, k), session.Proof{Vouched: true})
			return err
		},
		"log in over it": func(n *node.Node, k session.Key) error {
			_, err := n.Login(ctx, subject(app, k), session.Login{User: "bob", Vouched: true})
			return err
		},
	}
	refused := func(when string) {
		t.Helper()
		for name, way := range ways {
			for i, n := range c.nodes {
				if got, want := fmt.Sprint(way(n, wrong)), fmt.Sprint(way(n, unknown)); got != want {
					t.Errorf("%s: %s at node %d: %s, for an unknown key %s", when, name, i+1, got, want)
				}
			}
		}
	}
	refused("the present key")
	got, err := c.nodes[2].Check(ctx, with(right.Key), false)
	if err != nil || len(got.Attributes) != 0 {
		t.Fatalf("its session has come to harm: %+v, %v", got, err)
	}
	next, err := c.nodes[0].Rotate(ctx, with(right.Key))
	if err != nil {
		t.Fatal(err)
	}
	refused("in its grace")
	c.pastGrace()
	refused("after its grace")
	if _, err := c.nodes[1].Check(ctx, with(next.Key), false); err != nil {
		t.Fatalf("its session has come to harm: %v", err)
	}
	if _, err := c.nodes[1].Logout(ctx, with(right.Key)); err != nil {
		t.Fatal(err)
	}
	c.wantDead("after the spent key with the right number was used", next.Key)
}

// TestAChangedFormatHoldsFromTheNextLogIn at every node: a node that has not heard of it yet draws its key again.
func TestAChangedFormatHoldsFromTheNextLogIn(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, nil)
	app := c.service(0)
	c.policy(0, "web", session.PolicyChange{IdleTimeout: ptr(time.Hour)})
	first := c.vouch(app, 1, "web")
	formats := session.KeyFormats()
	for round := range 30 {
		format := formats[round%len(formats)]
		if _, err := c.nodes[round%3].PatchPolicy(t.Context(), session.Call{Operator: true}, "web", session.PolicyChange{KeyFormat: &format}); err != nil {
			t.Fatal(err)
		}
		for _, other := range []int{(round + 1) % 3, (round + 2) % 3} {
			if got := c.vouch(app, other, "web"); got.Key.Format() != format {
				t.Errorf("round %d: a log-in at node %d has a key of format %s, want %s", round, other+1, got.Key.Format(), format)
			}
		}
	}
	if _, err := c.nodes[2].Check(t.Context(), with(first.Key), false); err != nil {
		t.Errorf("a key of the format before: %v", err)
	}
	wrong := session.KeyFormat("hex16")
	_, err := c.nodes[1].PatchPolicy(t.Context(), session.Call{Operator: true}, "web", session.PolicyChange{KeyFormat: &wrong})
	var e *session.Error
	if !errors.As(err, &e) || e.Code != session.CodeInvalid || e.Field != "key_format" {
		t.Errorf("an unknown format: %v", err)
	}
}
