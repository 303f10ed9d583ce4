package node_test

import (
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/node"
)

// Removal rests for a moment when it is alone, for longer the longer its entries wait for others, never for very long, and gets used to a slower disk.
func TestRemovalRestsByLoad(t *testing.T) {
	t.Parallel()
	var p node.Pace
	const alone = 4 * time.Millisecond
	for range 10 {
		if got, want := p.Rest(alone, false), alone/2; got > want {
			t.Errorf("alone it rests for %v, want %v at most", got, want)
		}
	}
	var last time.Duration
	for _, took := range []time.Duration{alone, 2 * alone, 3 * alone, 4 * alone} {
		rest := p.Rest(took, true)
		if rest <= last {
			t.Errorf("an entry that took %v is followed by a rest of %v, want more than the %v before", took, rest, last)
		}
		last = rest
	}
	if first := p.Rest(alone, true); first < 3*alone {
		t.Errorf("with others an entry of %v is followed by a rest of %v: most of the time is to be theirs", alone, first)
	}
	if got := p.Rest(10*time.Second, true); got != node.LongestRest {
		t.Errorf("after ten seconds it rests for %v, want %v", got, node.LongestRest)
	}
	const slower = 2 * alone
	for range 200 {
		p.Rest(slower, true)
	}
	if got, want := p.Rest(slower, true), slower*7/2; got > want {
		t.Errorf("on a disk that has become slower it rests for %v, want %v at most", got, want)
	}
	if got := p.Rest(0, false); got < 0 || got > time.Millisecond {
		t.Errorf("an entry that took no time is followed by a rest of %v", got)
	}
}
