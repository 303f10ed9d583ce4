package node_test

import (
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/node"
)

const second = int64(1_000_000) // µs

func TestContinuationRunsOnMonotonicTimeAlone(t *testing.T) {
	t.Parallel()
	clock := newFrozenClock()
	k := node.NewTimekeeper(clock)
	if _, ok := k.Continuation(); ok {
		t.Fatal("a continuation before any leader was heard")
	}
	k.Hear(3, 100*second)
	clock.setWallError(time.Hour) // must not matter
	clock.advance(7 * time.Second)
	if us, ok := k.Continuation(); !ok || us != 107*second {
		t.Fatalf("continuation = %d, %v; want %d", us, ok, 107*second)
	}
}

func TestOldAndOvertakenTimesAreNotHeard(t *testing.T) {
	t.Parallel()
	k := node.NewTimekeeper(newFrozenClock())
	k.Hear(3, 100*second)
	k.Hear(2, 500*second) // a deposed leader
	k.Hear(3, 40*second)  // held up on the way
	if us, _ := k.Continuation(); us < 100*second-1_000 {
		t.Fatalf("continuation = %d, want at most a millisecond below %d", us, 100*second)
	}
	k.Hear(4, 90*second) // a newer leader decides, even backwards
	if us, _ := k.Continuation(); us != 90*second {
		t.Fatalf("continuation = %d, want %d", us, 90*second)
	}
}

func TestLeaderNeverStartsBehindItsOwnContinuation(t *testing.T) {
	t.Parallel()
	clock := newFrozenClock()
	k := node.NewTimekeeper(clock)
	k.Hear(3, 100*second)
	clock.advance(5 * time.Second)
	k.Lead(4, 80*second)
	if ms, ok := k.Now(4); !ok || ms != 105_000 {
		t.Fatalf("now = %d, %v; want 105000", ms, ok)
	}
	if _, ok := k.Now(3); ok {
		t.Fatal("time is kept for an epoch that is over")
	}
	k.Hear(4, 500*second) // its own beacon
	if ms, _ := k.Now(4); ms != 105_000 {
		t.Fatalf("now = %d after an own beacon, want 105000", ms)
	}
	k.Hear(5, 200*second)
	if _, ok := k.Now(4); ok {
		t.Fatal("still keeps time for an epoch after a newer leader was heard")
	}
}

// A leader that steers late, since its process stood still, has pulled by what was agreed and no further.
func TestSteeringEndsWithItsInterval(t *testing.T) {
	t.Parallel()
	for _, offset := range []int64{3_000, -3_000} { // µs: less than an interval may pull by
		clock := newFrozenClock()
		k := node.NewTimekeeper(clock)
		k.Lead(1, 1000*second)
		k.Steer(1, offset, 10*time.Second)
		clock.advance(time.Hour)
		if ms, _ := k.Now(1); ms != 4_600_000+offset/1000 {
			t.Errorf("%d µs off, an hour later: %d, want %d", offset, ms, 4_600_000+offset/1000)
		}
	}
}

// A clock is wrong by what the round trip does not explain.
func TestARoundTripMakesNoClockWrong(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ wall, want int64 }{
		{1000, 0}, {1010, 0}, {1400, 0}, {999, -1}, {1401, 1}, {1000 - second, -second}, {1400 + second, second},
	} {
		if got := node.WallOffset(c.wall, 1000, 1400); got != c.want {
			t.Errorf("asked at 1000, answered at 1400, the clock shows %d: %d ahead, want %d", c.wall, got, c.want)
		}
	}
}

func TestSteeringIsSlow(t *testing.T) {
	t.Parallel()
	for _, offset := range []int64{3600 * second, -3600 * second} {
		clock := newFrozenClock()
		k := node.NewTimekeeper(clock)
		k.Lead(1, 1000*second)
		k.Steer(1, offset, 100*time.Second)
		clock.advance(100 * time.Second)
		ms, _ := k.Now(1)
		drift := ms - 1_100_000
		if want := int64(50); drift != want && drift != -want { // 500 ppm of 100 s
			t.Errorf("an hour's offset moved 100 s by %d ms, want ±%d", drift, want)
		}
	}
}

func TestSteeringCorrectsSmallOffsetsInOneInterval(t *testing.T) {
	t.Parallel()
	clock := newFrozenClock()
	k := node.NewTimekeeper(clock)
	k.Lead(1, 1000*second)
	k.Steer(1, 2_000, 10*time.Second)
	clock.advance(10 * time.Second)
	if us, _ := k.Continuation(); us != 1010*second+2_000 {
		t.Errorf("continuation = %d, want the 2 ms corrected", us)
	}
}
