package cluster

import (
	"context"
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
