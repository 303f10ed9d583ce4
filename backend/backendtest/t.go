package backendtest

import (
	"context"
	"time"
)

// T is what the cases need of *testing.T.
type T interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
	Skipf(format string, args ...any)
	Cleanup(f func())
	Context() context.Context
}

const (
	patience  = time.Minute // for what should happen at once, on a machine that has much else to do
	breathing = 5 * time.Millisecond
)

// eventually waits for a fact.
func eventually(t T, what string, fact func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !fact(); {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, patience)
		}
		pause(breathing)
	}
}

func pause(d time.Duration) { <-time.After(d) }
