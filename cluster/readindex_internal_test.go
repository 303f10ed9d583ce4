package cluster

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// TestWonRoundStaysWon: the configuration gets another voter between the answer
// that decides a round and the moment its callers look.
func TestWonRoundStaysWon(t *testing.T) {
	t.Parallel()
	voters := []string{"a", "b", "c"}
	c := &confirmer{
		self: "a", timeout: time.Second, peers: map[string]bool{},
		leading: func() (uint64, bool) { return 7, true },
		commit:  func() uint64 { return 42 },
		voters:  func() []string { return voters },
		ask:     func(context.Context, string) (uint64, error) { return 7, nil },
	}
	r := newRound()
	r.epoch, r.index, r.members = 7, 42, 1
	c.now = r
	c.answer(r, "b", 7, nil)
	if !r.over {
		t.Fatal("two of three voters do not decide the round")
	}
	voters = []string{"a", "b", "c", "d"}
	if won, lost, _ := c.tally(r, map[string]bool{"a": true}); !won || lost {
		t.Errorf("tally = %v, %v; nobody will be asked again, so the round must be won", won, lost)
	}
}

// TestARoundThatBeginsWithoutLeadershipIsLost for all who waited for it; what they read of it was written before they were let in.
func TestARoundThatBeginsWithoutLeadershipIsLost(t *testing.T) {
	t.Parallel()
	for range 200 {
		var leads atomic.Bool
		leads.Store(true)
		c := &confirmer{
			self: "a", timeout: time.Second, peers: map[string]bool{},
			leading: func() (uint64, bool) { return 7, leads.Load() },
			commit:  func() uint64 { return 42 },
			voters:  func() []string { return []string{"a", "b", "c"} },
			ask: func(context.Context, string) (uint64, error) {
				t.Error("who does not lead asks")
				return 0, nil
			},
		}
		first := newRound()
		first.members = 1
		c.now = first
		waiting := make(chan error, 8)
		for range cap(waiting) {
			go func() {
				_, _, err := c.join(t.Context(), 7, map[string]bool{"a": true})
				waiting <- err
			}()
		}
		for members := 0; members < cap(waiting); runtime.Gosched() {
			c.mu.Lock()
			if c.next != nil {
				members = c.next.members
			}
			c.mu.Unlock()
		}
		leads.Store(false)
		c.exit(first)
		for range cap(waiting) {
			if err := <-waiting; !errors.Is(err, ErrNotLeader) {
				t.Fatalf("got %v, want %v", err, ErrNotLeader)
			}
		}
	}
}
