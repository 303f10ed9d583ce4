package backend_test

import (
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/backend/backendtest"
	"github.com/hydrastore/hydrastore/backend/memory"
	"github.com/hydrastore/hydrastore/session"
)

// TestASlowMachineBecomesReady: deriving a key and hashing a password take longer than a request may. The start is no request.
func TestASlowMachineBecomesReady(t *testing.T) {
	t.Parallel()
	c := backendtest.Config(t)
	c.RequestTimeout = 100 * time.Millisecond
	costly := auth.Params{MemoryKiB: 64 << 10, Iterations: 10, Parallelism: 1} // several times as long
	c.Sealing.Params, c.Hashing.Params = costly, costly
	store := memory.New(nil)
	backendtest.Start(t, c, store)

	patient := backendtest.Config(t)
	patient.Hashing.Params = costly
	again := backendtest.Start(t, patient, store)
	login := session.Login{User: "admin", Password: backendtest.AdminPassword}
	if _, err := again.Login(t.Context(), session.Call{}, login); err != nil {
		t.Errorf("the admin of the slow machine: %v", err)
	}
}
