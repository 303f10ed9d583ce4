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

// TestService runs the suite of session.Service over one server, and over a cluster of three.
func TestService(t *testing.T) {
	t.Parallel()
	one := startServer(t, redistest.Options{})
	t.Run("server", func(t *testing.T) { t.Parallel(); service(t, redis.Config{Address: one.Address()}) })
	three, err := redistest.StartCluster(t.Context(), filepath.Join(t.TempDir(), "cluster"), 3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(three.Stop)
	t.Run("cluster", func(t *testing.T) { t.Parallel(); service(t, redis.Config{Cluster: three.Addresses()}) })
}

func service(t *testing.T, c redis.Config) {
	var homes atomic.Int64
	for _, one := range backendtest.ServiceCases() {
		t.Run(one.Name, func(t *testing.T) {
			t.Parallel()
			c := c
			c.Prefix = "service" + strconv.FormatInt(homes.Add(1), 10)
			var passed atomic.Int64
			one.Run(t, backendtest.ServiceHarness{
				Services: backendtest.StartAll(t, func() (backend.Store, error) {
					s, err := redis.Open(context.WithoutCancel(t.Context()), patient(c))
					if err != nil {
						return nil, err
					}
					return backendtest.Later(s, &passed), nil
				}),
				Advance: func(d time.Duration) { passed.Add(int64(d)) },
			})
		})
	}
}
