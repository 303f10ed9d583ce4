package node_test

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/session"
	"github.com/hydrastore/hydrastore/session/portable"
)

// costsOf gives costs at which deriving a key takes about so long here, at the least.
func costsOf(t *testing.T, took time.Duration) auth.Params {
	t.Helper()
	p := auth.Params{MemoryKiB: 8 << 10, Iterations: 1, Parallelism: 1}
	fastest := took
	for range 5 {
		begun := time.Now()
		if _, _, err := auth.NewSealKey(nil, firstSafe, p); err != nil {
			t.Fatal(err)
		}
		fastest = min(fastest, max(time.Since(begun), time.Millisecond))
	}
	p.Iterations = uint32(min(64, 1+took/fastest))
	return p
}

// sealedHome has a session with something sealed, by the first of several keys, each from its password.
func sealedHome(t *testing.T, costs auth.Params, passwords ...string) (records []json.RawMessage, key session.Key) {
	t.Helper()
	c := &portable.Cluster{ID: "slow", Version: 1, Policies: []portable.Policy{portable.PolicyOf(session.DefaultPolicy())}, LastSeal: uint32(len(passwords))}
	key = unknownKey(t)
	now := time.Now().Add(-time.Hour).UnixMilli()
	s := &portable.Session{
		ID: session.ID{7}, Number: 1, User: "ada", Policy: session.DefaultPolicyName, Key: key.Hash(), Permanent: true, CreatedMS: now, LastUseMS: now, LastActivityMS: now, AuthMS: now,
		Roles: []session.Role{session.RoleUser}, Methods: []session.Method{session.MethodPassword},
	}
	for i, password := range passwords {
		id := uint32(i + 1)
		seal, recipe, err := auth.NewSealKey(nil, password, costs)
		if err != nil {
			t.Fatal(err)
		}
		c.Seals = append(c.Seals, portable.SealKey{
			ID: id, Salt: recipe.Salt[:], Check: recipe.Check[:], MemoryKiB: costs.MemoryKiB, Iterations: costs.Iterations, Parallelism: costs.Parallelism,
		})
		if id == 1 {
			data, err := seal.Seal(nil, rand.Reader, s.ID[:], "token", []byte(`"one"`))
			if err != nil {
				t.Fatal(err)
			}
			s.Sealed = map[string]portable.Sealed{"token": {Key: id, Data: data}}
		}
	}
	for _, r := range []portable.Record{{Cluster: c}, {User: &portable.User{Name: "ada", LastNumber: 1}}, {Session: s}} {
		text, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, text)
	}
	return records, key
}

// TestNoRequestWaitsForSlowSealKeys: a home with as many keys as can be is moved in, and to try the node's passwords on all of them takes several times the
// request timeout. The steps say that they are to be asked again, and how far it is.
func TestNoRequestWaitsForSlowSealKeys(t *testing.T) {
	t.Parallel()
	const timeout = 2 * time.Second
	passwords := slices.Repeat([]string{"nobody-knows-this-one"}, session.MaxSealKeys)
	passwords[0] = firstSafe                                            // the oldest, which is tried last
	records, key := sealedHome(t, costsOf(t, timeout/16), passwords...) // with two passwords for each twice the timeout
	c := startTrio(t, 1, func(_ int, config *node.Config) {
		config.Sealing = sealingWith(secondSafe, firstSafe)
		config.RequestTimeout = timeout
	})
	waited := map[session.Code]int{}
	step := func(s session.MoveStep) (moving session.Moving) {
		t.Helper()
		eventually(t, string(s.Kind), func() (err error) {
			moving, err = c.nodes[0].Move(t.Context(), byOperator, s)
			var told *session.Error
			if errors.As(err, &told) && told.Field != session.SealsField {
				t.Fatalf("step %s: %v", s.Kind, err)
			}
			waited[session.CodeOf(err)]++
			return err
		})
		return moving
	}
	begun := step(session.MoveStep{Kind: session.MoveBegin, Cluster: records[0], Restart: true})
	if waited[session.CodeUnavailable] == 0 {
		t.Error("no step had to be asked again: the keys are not slow")
	}
	m, err := c.nodes[0].ImportRecords(t.Context(), byOperator, fillingOf(begun), records[1:])
	if err != nil {
		t.Fatal(err)
	}
	step(session.MoveStep{Kind: session.MoveFinish, Filling: fillingOf(begun), Users: m.Users, Sessions: m.Sessions})
	c.awaitReady(0)
	got, err := c.nodes[0].Check(t.Context(), with(key), false)
	if err != nil || string(got.Sealed["token"]) != `"one"` {
		t.Errorf("got %s, %v", got.Sealed, err)
	}
}

// TestAMoveMayBeginAnewManyTimes: each time the same seal keys come under other ids, and in the end the node has held more of them than one may say that it holds.
func TestAMoveMayBeginAnewManyTimes(t *testing.T) {
	t.Parallel()
	records, key := sealedHome(t, sealingWith(firstSafe).Params, slices.Repeat([]string{firstSafe}, session.MaxSealKeys/2)...)
	c := startTrio(t, 1, withSealing(sealingWith(secondSafe, firstSafe)))
	for range 3 {
		finish := c.filled(0, records)
		eventually(t, "the move to end", func() error {
			_, err := c.nodes[0].Move(t.Context(), byOperator, finish)
			return err
		})
		c.awaitReady(0)
	}
	got, err := c.nodes[0].Check(t.Context(), with(key), false)
	if err != nil || string(got.Sealed["token"]) != `"one"` {
		t.Errorf("got %s, %v", got.Sealed, err)
	}
}
