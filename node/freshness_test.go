package node_test

import (
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/node"
)

func TestAgeCountsFromTheNewestAppliedConfirmation(t *testing.T) {
	t.Parallel()
	clock := newFrozenClock()
	applied := uint64(0)
	f := node.NewFreshness(clock, func() uint64 { return applied })
	if _, known := f.Age(); known {
		t.Fatal("an age before anything was confirmed")
	}
	clock.advance(10 * time.Second)
	f.Confirm(8*time.Second, 5)
	f.Confirm(9*time.Second, 7)
	if _, known := f.Age(); known {
		t.Fatal("an age though nothing confirmed is applied")
	}
	for _, c := range []struct {
		applied uint64
		want    time.Duration
	}{{5, 2 * time.Second}, {6, 2 * time.Second}, {7, time.Second}, {9, time.Second}} {
		applied = c.applied
		if age, known := f.Age(); !known || age != c.want {
			t.Errorf("applied %d: age = %v, %v; want %v", c.applied, age, known, c.want)
		}
	}
	clock.advance(time.Minute)
	if age, _ := f.Age(); age != time.Minute+time.Second {
		t.Errorf("age = %v after a silent minute", age)
	}
}

func TestManyUnappliedConfirmationsAreBounded(t *testing.T) {
	t.Parallel()
	clock := newFrozenClock()
	applied := uint64(1)
	f := node.NewFreshness(clock, func() uint64 { return applied })
	f.Confirm(0, 1)
	for i := range 1000 {
		f.Confirm(time.Duration(i+1)*time.Millisecond, uint64(i+2))
	}
	clock.advance(time.Second)
	if age, known := f.Age(); !known || age != time.Second {
		t.Errorf("age = %v, %v; want 1s", age, known)
	}
	applied = 1001
	if age, known := f.Age(); !known || age != 0 {
		t.Errorf("age = %v, %v after catching up; want 0", age, known)
	}
}
