package fsm_test

import (
	"strconv"
	"testing"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
)

// BenchmarkApplyCreateForFew logs 256 users in again and again, so that each has several hundred sessions.
func BenchmarkApplyCreateForFew(b *testing.B) {
	const users, batches = 256, 600
	var entries [][]byte
	for i := range batches {
		commands := make([]*fsmpb.Command, users)
		for u := range commands {
			commands[u] = create(vouched(i*users+u, "user-"+strconv.Itoa(u)))
		}
		entries = append(entries, encode(b, start+int64(i), commands...))
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
	b.ReportMetric(float64(b.N)*users/b.Elapsed().Seconds(), "commands/s")
}
