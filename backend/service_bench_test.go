package backend_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/backend/backendtest"
	"github.com/hydrastore/hydrastore/backend/local"
	"github.com/hydrastore/hydrastore/backend/memory"
	"github.com/hydrastore/hydrastore/session"
)

// BenchmarkService measures what the rules cost beside a store: in memory nothing else is measured, in a folder its flushes are.
func BenchmarkService(b *testing.B) {
	folder, err := local.Open(local.Config{Path: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	for name, store := range map[string]backend.Store{"memory": memory.New(nil), "local": folder} {
		c := backendtest.Config(quiet{b})
		c.SweepInterval = time.Hour
		s, err := backend.New(c, store)
		if err != nil {
			b.Fatal(err)
		}
		s.Start()
		for s.Ready(false) != nil {
			<-time.After(time.Millisecond)
		}
		b.Run(name+"/login", func(b *testing.B) {
			b.SetParallelism(64)
			b.RunParallel(func(pb *testing.PB) {
				for n := 0; pb.Next(); n++ {
					if _, err := s.Login(b.Context(), session.Call{Operator: true}, session.Login{User: fmt.Sprintf("user-%p-%d", pb, n), Vouched: true}); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
		issued, err := s.Login(b.Context(), session.Call{Operator: true}, session.Login{User: "ada", Vouched: true})
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name+"/check", func(b *testing.B) {
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := s.Check(b.Context(), session.Call{Key: issued.Key}, false); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
		if err := s.Shutdown(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
