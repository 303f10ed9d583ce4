package link_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/cluster/link"
)

// BenchmarkCalls prints the small calls a second that many callers get through one connection on loopback, client
// and server in one process.
func BenchmarkCalls(b *testing.B) {
	for _, bc := range []struct {
		name    string
		callers int
		bytes   int
	}{
		{"callers=1/bytes=64", 1, 64},
		{"callers=64/bytes=64", 64, 64},
		{"callers=256/bytes=64", 256, 64},
		{"callers=8/bytes=65536", 8, 64 << 10},
	} {
		b.Run(bc.name, func(b *testing.B) { benchmarkCalls(b, bc.callers, bc.bytes) })
	}
}

func benchmarkCalls(b *testing.B, callers, bytes int) {
	server := open(b, link.Config{Identity: as("b", "c1")})
	server.Handle("echo", link.PurposeRPC, echo)
	server.Serve()
	client := open(b, link.Config{Identity: as("a", "c1")})
	payload := make([]byte, bytes)
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	call := func() error {
		_, err := client.Call(ctx, server.Addr(), link.PurposeRPC, "echo", payload)
		return err
	}
	if err := call(); err != nil {
		b.Fatal(err)
	}
	var left atomic.Int64
	left.Store(int64(b.N))
	b.SetBytes(int64(2 * bytes))
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := call(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}
