package redis_test

import (
	"context"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/backend/backendtest"
	"github.com/hydrastore/hydrastore/backend/redis"
	"github.com/hydrastore/hydrastore/backend/redis/redistest"
)

// TestContract runs the suite against one server, and against a cluster of three.
func TestContract(t *testing.T) {
	t.Parallel()
	one := startServer(t, redistest.Options{AppendOnly: true})
	t.Run("server", func(t *testing.T) { t.Parallel(); contract(t, redis.Config{Address: one.Address()}) })
	three, err := redistest.StartCluster(t.Context(), filepath.Join(t.TempDir(), "cluster"), 3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(three.Stop)
	t.Run("cluster", func(t *testing.T) { t.Parallel(); contract(t, redis.Config{Cluster: three.Addresses()}) })
}

// contract gives each case a prefix of its own: an empty home.
func contract(t *testing.T, c redis.Config) {
	var homes atomic.Int64
	for _, one := range backendtest.StoreCases() {
		t.Run(one.Name, func(t *testing.T) {
			t.Parallel()
			c := c
			c.Prefix = "home" + strconv.FormatInt(homes.Add(1), 10)
			c.Grace, c.SweepInterval = -1, 50*time.Millisecond
			one.Run(t, backendtest.StoreHarness{
				Open:    func() (backend.Store, error) { return redis.Open(context.WithoutCancel(t.Context()), patient(c)) },
				Keeps:   true,
				Expired: func(d time.Duration) { <-time.After(d + 100*time.Millisecond) },
			})
		})
	}
}
