package node_test

import (
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/node"
)

func TestLingerNeverHoldsUpALoneCaller(t *testing.T) {
	t.Parallel()
	var l node.Linger
	for _, size := range []int{0, 1, 2, 3} {
		l.Done(size, 0, time.Second)
		if got := l.Enough(); got != 1 {
			t.Errorf("after a batch of %d a batch waits for %d commands, want 1", size, got)
		}
	}
}

func TestLingerWaitsForMostCallersAndNotForLong(t *testing.T) {
	t.Parallel()
	var l node.Linger
	l.Done(60, 40, 2*time.Millisecond)
	if got := l.Enough(); got != 87 {
		t.Errorf("waits for %d commands, want 87", got)
	}
	if got := l.Patience(); got != time.Millisecond {
		t.Errorf("waits %v, want half of the last batch's time", got)
	}
	l.Done(60, 40, time.Minute)
	if got := l.Patience(); got != 3*time.Millisecond {
		t.Errorf("waits %v after a very slow batch, want 3ms", got)
	}
}
