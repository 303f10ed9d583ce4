package node_test

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hydrastore/hydrastore/session"
)

// TestCredentialsPatchedDuringTheFirstProof: a service patches the credentials of a session that it has answered for, while the user proves itself with its password for
// the first time. The proof ends the key at once, so a patch comes before it, in the clear as it was due, or is refused; whatever comes under the next key is sealed.
func TestCredentialsPatchedDuringTheFirstProof(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, withSealing(sealingWith(firstSafe)))
	ctx, app := t.Context(), c.service(0)
	preset, _ := session.Preset(session.PresetTokenizer)
	c.policy(0, session.PresetTokenizer, preset.AsChange())
	_, err := c.nodes[0].CreateUser(ctx, c.admin(0), session.NewUser{Name: "ada", Password: "a long password", Policies: []string{session.PresetTokenizer}})
	if err != nil {
		t.Fatal(err)
	}
	var before atomic.Int64
	for round := range 10 {
		issued, err := c.nodes[0].Login(ctx, app, session.Login{User: "ada", Vouched: true, Policy: session.PresetTokenizer})
		if err != nil {
			t.Fatal(err)
		}
		var work sync.WaitGroup
		for i, n := range c.nodes {
			work.Go(func() {
				for k := 0; ; k++ {
					patch := session.AttributePatch(values("credentials", fmt.Sprintf(`"%d %d %d"`, round, i, k)))
					patched, err := n.PatchAttributes(ctx, presenting(app, with(issued.Key)), patch, nil)
					if err != nil {
						if session.CodeOf(err) != session.CodeUnauthenticated {
							t.Errorf("patch: %v", err)
						}
						return // the key has ended
					}
					if before.Add(1); slices.Contains(patched.Methods, session.MethodPassword) {
						t.Errorf("a patch under the earlier key, after the proof: %s in the clear", patched.Attributes)
						return
					}
				}
			})
		}
		work.Go(func() {
			proved, err := c.nodes[round%3].Reauthenticate(ctx, with(issued.Key), session.Proof{Password: "a long password"})
			if err != nil {
				t.Errorf("prove: %v", err)
				return
			}
			// Whoever still presents the earlier key may have ended the session by now.
			patched, err := c.nodes[(round+1)%3].PatchAttributes(ctx, presenting(app, with(proved.Key)), session.AttributePatch(values("credentials", `"last"`)), nil)
			if _, clear := patched.Attributes["credentials"]; clear || err != nil && session.CodeOf(err) != session.CodeUnauthenticated {
				t.Errorf("under the next key: %s, %v", patched.Attributes, err)
			}
		})
		work.Wait()
	}
	if before.Load() == 0 {
		t.Error("no patch came before a proof")
	}
}
