package redis_test

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/backend/backendtest"
	"github.com/hydrastore/hydrastore/backend/redis"
	"github.com/hydrastore/hydrastore/backend/redis/redistest"
	"github.com/hydrastore/hydrastore/session"
)

// BenchmarkWaitReplicas measures log-ins and checks without and with a replica that is waited for, one at a time and by 64 clients, where both servers
// flush each write before they answer, and where they flush each second.
func BenchmarkWaitReplicas(b *testing.B) {
	for _, flush := range []string{"everysec", "always"} {
		master, _ := startPair(b, redistest.Options{Lines: []string{"appendonly yes", "appendfsync " + flush}})
		for _, replicas := range []int{0, 1} {
			b.Run(fmt.Sprintf("flush=%s/replicas=%d", flush, replicas), func(b *testing.B) {
				measure(b, redis.Config{Address: master.Address(), WaitReplicas: replicas, Timeout: patience})
			})
		}
	}
}

func measure(b *testing.B, c redis.Config) {
	store, err := redis.Open(b.Context(), c)
	if err != nil {
		b.Fatal(err)
	}
	config := backendtest.Config(b)
	config.SweepInterval = time.Hour
	s := backendtest.Start(b, config, store)
	checked, err := s.Login(b.Context(), operator, session.Login{User: "ada", Vouched: true})
	if err != nil {
		b.Fatal(err)
	}
	var users atomic.Int64
	for _, call := range []struct {
		name string
		do   func() error
	}{
		{"login", func() error {
			_, err := s.Login(b.Context(), operator, session.Login{User: fmt.Sprint("user-", users.Add(1)), Vouched: true})
			return err
		}},
		{"check", func() error {
			_, err := s.Check(b.Context(), session.Call{Key: checked.Key}, false)
			return err
		}},
	} {
		b.Run(call.name+"/clients=1", func(b *testing.B) {
			for b.Loop() {
				if err := call.do(); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(call.name+"/clients=64", func(b *testing.B) {
			b.SetParallelism(max(1, 64/runtime.GOMAXPROCS(0)))
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := call.do(); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
		})
	}
}
