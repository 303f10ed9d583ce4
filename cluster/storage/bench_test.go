package storage_test

import (
	"fmt"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/hydrastore/hydrastore/cluster/storage"
)

// What an append costs, fsync included: go test -bench StoreLogs ./cluster/storage
func BenchmarkStoreLogs(b *testing.B) {
	for _, kind := range kinds {
		for _, batch := range []uint64{1, 64} {
			b.Run(fmt.Sprintf("%s/batch=%d", kind, batch), func(b *testing.B) { benchmarkStore(b, kind, batch) })
		}
	}
}

func benchmarkStore(b *testing.B, kind string, batch uint64) {
	s, err := storage.Open(storage.Config{Dir: b.TempDir(), LogStore: kind, Fatal: func(err error) { b.Error(err) }})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	payload := make([]byte, 512)
	b.SetBytes(int64(batch) * int64(len(payload)))
	b.ReportAllocs()
	next := uint64(1)
	for b.Loop() {
		logs := make([]*raft.Log, batch)
		for i := range logs {
			logs[i] = &raft.Log{Index: next, Term: 1, Data: payload}
			next++
		}
		if err := s.Log().StoreLogs(logs); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(next-1)/b.Elapsed().Seconds(), "entries/s")
}
