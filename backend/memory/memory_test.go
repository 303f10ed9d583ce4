package memory_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/backend/backendtest"
	"github.com/hydrastore/hydrastore/backend/memory"
)

func TestStore(t *testing.T) {
	t.Parallel()
	for _, c := range backendtest.StoreCases() {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			var passed atomic.Int64
			s := memory.New(func() time.Time { return time.Unix(1_700_000_000, passed.Load()) })
			c.Run(t, backendtest.StoreHarness{
				Open:  func() (backend.Store, error) { return s, nil },
				Keeps: true,
				Expired: func(d time.Duration) {
					passed.Add(int64(d))
					s.DropExpired()
				},
			})
		})
	}
}

func TestService(t *testing.T) {
	t.Parallel()
	for _, c := range backendtest.ServiceCases() {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			begun := time.Now()
			var passed atomic.Int64
			s := memory.New(func() time.Time { return begun.Add(time.Since(begun) + time.Duration(passed.Load())) })
			c.Run(t, backendtest.ServiceHarness{
				Services: backendtest.StartAll(t, func() (backend.Store, error) { return s, nil }),
				Advance: func(d time.Duration) {
					passed.Add(int64(d))
					s.DropExpired()
				},
			})
		})
	}
}
