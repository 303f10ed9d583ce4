package node_test

import (
	"fmt"
	"testing"

	"github.com/hydrastore/hydrastore/cluster"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/node/nodepb"
)

const (
	applied = nodepb.SubmitResponse_OUTCOME_APPLIED
	refused = nodepb.SubmitResponse_OUTCOME_REFUSED
	unknown = nodepb.SubmitResponse_OUTCOME_UNKNOWN
)

func request(epoch, incarnation, number, oldest uint64) *nodepb.SubmitRequest {
	return &nodepb.SubmitRequest{Epoch: epoch, Incarnation: incarnation, Number: number, Oldest: oldest, Commands: 1, Batch: []byte{1}}
}

func TestTheSameNumberIsOneBatch(t *testing.T) {
	t.Parallel()
	b := node.NewInbox(node.DefaultLimits())
	b.Open(5)
	first := b.Submit("a", request(5, 1, 7, 7))
	if again := b.Submit("a", request(5, 1, 7, 7)); again != first {
		t.Error("a question asked again is a second batch")
	}
	if items := b.Take(); len(items) != 1 {
		t.Fatalf("took %d batches, want 1", len(items))
	}
	b.Applied(5, "a", 1, 7, 42, []*fsmpb.Result{{}})
	if got, _ := b.Submit("a", request(5, 1, 7, 7)).Outcome(); got != applied {
		t.Errorf("asked again after the end: %v, want applied", got)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	b := node.NewInbox(node.DefaultLimits())
	if got, _ := b.Submit("a", request(5, 1, 1, 1)).Outcome(); got != refused {
		t.Errorf("before any epoch: %v", got)
	}
	b.Open(5)
	for name, c := range map[string]struct {
		before []*nodepb.SubmitRequest
		r      *nodepb.SubmitRequest
	}{
		"another epoch":                    {nil, request(4, 1, 1, 1)},
		"finished at the origin":           {[]*nodepb.SubmitRequest{request(5, 1, 9, 9)}, request(5, 1, 8, 8)},
		"from before the origin's restart": {[]*nodepb.SubmitRequest{request(5, 2, 1, 1)}, request(5, 1, 30, 30)},
	} {
		for _, r := range c.before {
			b.Submit(name, r)
		}
		if got, _ := b.Submit(name, c.r).Outcome(); got != refused {
			t.Errorf("%s: %v, want refused", name, got)
		}
	}
}

// An entry that was committed just before leadership was lost is applied after. Its batches must not be refused: their origins
// would send them again, and they would be applied twice.
func TestWhatIsInAnEntryIsNeverRefusedAtTheEndOfATerm(t *testing.T) {
	t.Parallel()
	b := node.NewInbox(node.DefaultLimits())
	b.Open(5)
	flying, lost := b.Submit("a", request(5, 1, 1, 1)), b.Submit("b", request(5, 1, 1, 1))
	items := b.Take()
	waiting := b.Submit("a", request(5, 1, 2, 1))
	b.Close()
	if got, _ := waiting.Outcome(); got != refused {
		t.Errorf("what is in no entry: %v, want refused", got)
	}
	b.Applied(5, "a", 1, 1, 42, []*fsmpb.Result{{}})
	node.Conclude(items, nil)
	if got, _ := flying.Outcome(); got != applied {
		t.Errorf("applied after the term: %v, want applied", got)
	}
	if got, _ := lost.Outcome(); got != unknown {
		t.Errorf("committed, but its results went to nobody: %v, want unknown", got)
	}
}

func TestOnlyWhatIsCertainlyNotInTheLogIsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want nodepb.SubmitResponse_Outcome
	}{
		{cluster.ErrNotLeader, refused}, {fmt.Errorf("propose: %w", cluster.ErrNotLeader), refused},
		{cluster.ErrOutcomeUnknown, unknown}, {cluster.ErrClosed, unknown}, {nil, unknown},
	} {
		b := node.NewInbox(node.DefaultLimits())
		b.Open(5)
		item := b.Submit("a", request(5, 1, 1, 1))
		items := b.Take()
		node.Conclude(items, c.err)
		if got, _ := item.Outcome(); got != c.want {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
}

// A refusal says "not by this question"; the same batch asked for again, under the same number, is taken.
func TestARefusedNumberMayBeTakenLater(t *testing.T) {
	t.Parallel()
	b := node.NewInbox(node.DefaultLimits())
	b.Open(5)
	b.Submit("a", request(5, 1, 1, 1))
	node.Conclude(b.Take(), cluster.ErrNotLeader)
	again := b.Submit("a", request(5, 1, 1, 1))
	if _, answered := again.Outcome(); answered {
		t.Error("the repetition got the old refusal")
	}
	if items := b.Take(); len(items) != 1 {
		t.Errorf("%d batches wait, want 1", len(items))
	}
}

// Leading on in the same epoch, after a moment of doubt, keeps what is remembered.
func TestTheSameEpochAgainKeepsItsNumbers(t *testing.T) {
	t.Parallel()
	b := node.NewInbox(node.DefaultLimits())
	b.Open(5)
	first := b.Submit("a", request(5, 1, 1, 1))
	b.Take()
	b.Close()
	b.Open(5)
	if again := b.Submit("a", request(5, 1, 1, 1)); again != first {
		t.Error("the number is taken as a second batch")
	}
}

func TestTakeKeepsToTheLimitsOfAnEntry(t *testing.T) {
	t.Parallel()
	l := node.DefaultLimits()
	l.BatchCommands = 2
	b := node.NewInbox(l)
	b.Open(5)
	for i := range uint64(5) {
		b.Submit("a", request(5, 1, i+1, 1))
	}
	var sizes []int
	for {
		items := b.Take()
		if len(items) == 0 {
			break
		}
		sizes = append(sizes, len(items))
	}
	if fmt.Sprint(sizes) != "[2 2 1]" {
		t.Errorf("entries of %v batches, want [2 2 1]", sizes)
	}
}
