package fsm_test

import (
	"fmt"
	"testing"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

const benchBatch = 1000

// createBatch encodes the creation of sessions first to first+n-1, one user each.
func createBatch(t testing.TB, clock int64, first, n int) []byte {
	commands := make([]*fsmpb.Command, n)
	for i := range commands {
		commands[i] = create(vouched(first+i, fmt.Sprintf("user-%07d", first+i)))
	}
	return encode(t, clock, commands...)
}

func BenchmarkApplyCreate(b *testing.B) {
	const batches = 100
	var entries [][]byte
	for i := range batches {
		entries = append(entries, createBatch(b, start, i*benchBatch, benchBatch))
	}
	b.ReportAllocs()
	b.ResetTimer()
	var m *fsm.Machine
	for i := range b.N {
		if i%batches == 0 {
			m = fsm.New(fsm.Options{})
		}
		applied, err := m.Apply(uint64(i+1), term, entries[i%batches])
		if err != nil || applied.Batches[0].Results[0].Code != 0 {
			b.Fatal(err, applied)
		}
	}
	b.ReportMetric(float64(b.N)*benchBatch/b.Elapsed().Seconds(), "commands/s")
}

func BenchmarkSessionByKey(b *testing.B) {
	m := fsm.New(fsm.Options{})
	const n = 100_000
	for i := range n / benchBatch {
		if _, err := m.Apply(uint64(i+1), term, createBatch(b, start, i*benchBatch, benchBatch)); err != nil {
			b.Fatal(err)
		}
	}
	keys := make([]session.KeyHash, n)
	for i := range keys {
		keys[i] = keyOf(i)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if _, ok := m.SessionByKey(keys[i%n]); !ok {
			b.Fatal("session is gone")
		}
	}
}
