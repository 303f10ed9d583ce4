package backend_test

import (
	"testing"

	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/backend/backendtest"
	"github.com/hydrastore/hydrastore/backend/memory"
	"github.com/hydrastore/hydrastore/session"
)

// TestASafePasswordComesInServerByServer: one that all servers have as a previous one first is changed without a pause.
func TestASafePasswordComesInServerByServer(t *testing.T) {
	t.Parallel()
	const before, after = "a safe password before", "a safe password after it"
	store := memory.New(nil)
	start := func(passwords ...string) *backend.Service {
		c := backendtest.Config(t)
		c.Sealing = auth.Sealing{Password: passwords[0], Previous: passwords[1:], Params: c.Sealing.Params}
		return backendtest.Start(t, c, store)
	}
	seal := func(s *backend.Service) session.Issued {
		i, err := s.Login(t.Context(), operator, session.Login{User: "ada", Vouched: true, Sealed: session.Attributes{"s": []byte("1")}})
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	unprepared, prepared := start(before), start(before, after)
	old := seal(unprepared)
	changed := start(after, before)
	fresh := seal(changed)
	for range 2 {
		for _, s := range []*backend.Service{prepared, changed} {
			for _, i := range []session.Issued{old, fresh} {
				c, err := s.Check(t.Context(), with(i), true)
				if err != nil || string(c.Sealed["s"]) != "1" {
					t.Errorf("got %s, %v", c.Sealed, err)
				}
			}
		}
		if _, err := unprepared.Check(t.Context(), with(fresh), true); session.CodeOf(err) != session.CodeUnavailable {
			t.Errorf("a server without the new password: %v", err)
		}
	}
	if c, err := changed.Check(t.Context(), with(seal(prepared)), true); err != nil || string(c.Sealed["s"]) != "1" {
		t.Errorf("what a server seals that is yet to change: %s, %v", c.Sealed, err)
	}
}
