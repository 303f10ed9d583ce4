package node_test

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/session"
	"github.com/hydrastore/hydrastore/session/portable"
)

// costsOf gives costs at which deriving a key takes about so long here and now.
func costsOf(t *testing.T, took time.Duration) auth.Params {
	t.Helper()
	p := auth.Params{MemoryKiB: 8 << 10, Iterations: 1, Parallelism: 1}
	begun := time.Now()
	if _, _, err := auth.NewSealKey(nil, firstSafe, p); err != nil {
		t.Fatal(err)
	}
	p.Iterations = uint32(min(64, 1+took/max(time.Since(begun), time.Millisecond)))
	return p
}

// slowHome has as many seal keys as there can be. Only the oldest, which alone has sealed something, is from firstSafe.
func slowHome(t *testing.T, costs auth.Params) (records []json.RawMessage, key session.Key) {
	t.Helper()
	c := &portable.Cluster{ID: "slow", Version: 1, Policies: []portable.Policy{portable.PolicyOf(session.DefaultPolicy())}, LastSeal: session.MaxSealKeys}
	key = unknownKey(t)
	now := time.Now().Add(-time.Hour).UnixMilli()
	s := &portable.Session{
		ID: session.ID{7}, Number: 1, User: "ada", Policy: session.DefaultPolicyName, Key: key.Hash(), Permanent: true, CreatedMS: now, LastUseMS: now, LastActivityMS: now, AuthMS: now,
		Roles: []session.Role{session.RoleUser}, Methods: []session.Method{session.MethodPassword},
	}
	for id := uint32(1); id <= session.MaxSealKeys; id++ {
		password := "nobody-knows-this-one"
		if id == 1 {
			password = firstSafe
		}
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
// request timeout. The steps say that they are to be asked again, and how far it is; and however often the move begins anew, the node can open what came.
func TestNoRequestWaitsForSlowSealKeys(t *testing.T) {
	t.Parallel()
	const timeout = 2 * time.Second
	records, key := slowHome(t, costsOf(t, timeout/8)) // with two passwords four times the timeout
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
	var begun session.Moving
	for range 3 {
		begun = step(session.MoveStep{Kind: session.MoveBegin, Cluster: records[0], Restart: true})
	}
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
	t.Logf("answers: %v", waited)
}
