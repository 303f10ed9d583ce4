package backend_test

import (
	"testing"

	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/backend/backendtest"
	"github.com/hydrastore/hydrastore/backend/memory"
	"github.com/hydrastore/hydrastore/session"
)

// TestChallengesOutliveASafePassword: the hour's secret is sealed with a safe password that a server has not any more. It gives challenges all the same.
func TestChallengesOutliveASafePassword(t *testing.T) {
	t.Parallel()
	store := memory.New(nil)
	var last session.Challenge
	for _, passwords := range [][]string{{"a safe password"}, {"another safe password", "a safe password"}, {"another safe password"}} {
		c := backendtest.Config(t)
		c.Sealing = auth.Sealing{Password: passwords[0], Previous: passwords[1:], Params: c.Sealing.Params}
		issued, err := backendtest.Start(t, c, store).IssueChallenge(t.Context(), session.Call{})
		if err != nil || issued.Text == last.Text {
			t.Errorf("with %d passwords: got %q, %v", len(passwords), issued.Text, err)
		}
		last = issued
	}
}
