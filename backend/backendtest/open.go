package backendtest

import (
	"context"
	"log/slog"
	"time"

	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/session"
)

// Config is a backend's for tests: passwords cost little to hash.
func Config(t T) backend.Config {
	cheap := auth.Params{MemoryKiB: 64, Iterations: 1, Parallelism: 1}
	c := backend.DefaultConfig()
	c.AdminPassword = AdminPassword
	c.Hashing.Params = cheap
	c.Sealing = auth.Sealing{Password: SafePassword, Params: cheap}
	c.SweepInterval = 50 * time.Millisecond // often, for it must never matter
	c.RequestTimeout = patience
	c.Logger = slog.New(slog.DiscardHandler)
	c.Fatal = func(err error) { t.Errorf("the service cannot go on: %v", err) }
	return c
}

// Start starts a Service over a store, ready, and ends both with the test.
func Start(t T, c backend.Config, store backend.Store) *backend.Service {
	t.Helper()
	s, err := backend.New(c, store)
	if err != nil {
		t.Fatalf("make service: %v", err)
	}
	s.Start()
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Errorf("shut down: %v", err)
		}
	})
	eventually(t, "the service is ready", func() bool { return s.Ready(false) == nil })
	return s
}

// StartAll starts as many Services as the home can have at once, at most two, over stores that open opens.
func StartAll(t T, open func() (backend.Store, error)) []session.Service {
	t.Helper()
	var all []session.Service
	for len(all) < 2 {
		store, err := open()
		if err != nil {
			t.Fatalf("open store: %v", err)
		}
		all = append(all, Start(t, Config(t), store))
		if !store.Features().Shared {
			break
		}
	}
	return all
}
