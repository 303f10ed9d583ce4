package fsm_test

import (
	"slices"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/fsm/fsmpb"
)

// BenchmarkDisable1M disables a user with a million sessions: they are dead in that very entry, and what the entries take is reported.
func BenchmarkDisable1M(b *testing.B) {
	for range b.N {
		m := filled(b, 2*million)
		name := "user-0000000"
		clock := start + 700_000
		apply := func(commands ...*fsmpb.Command) time.Duration {
			data := encode(b, clock, commands...)
			began := time.Now()
			if _, err := m.Apply(m.Index()+1, term, data); err != nil {
				b.Fatal(err)
			}
			return time.Since(began)
		}
		user := account(name, "hash")
		user.Disabled = ptr(true)
		disabling := apply(putUser(user))
		var took []time.Duration
		for _, n := range []int{0, million / 2, million - 1} {
			if _, lives := m.SessionByKey(keyOf(n)); lives {
				b.Fatalf("session %d lives after its user was disabled", n)
			}
		}
		for m.Stats().Sessions > 0 {
			clock++
			took = append(took, apply())
		}
		slices.Sort(took)
		b.ReportMetric(float64(disabling.Microseconds()), "disable-µs")
		b.ReportMetric(float64(took[len(took)*999/1000].Microseconds()), "removal-p99.9-µs")
		b.ReportMetric(float64(took[len(took)-1].Microseconds()), "removal-max-µs")
	}
}
