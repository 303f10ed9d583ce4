package node_test

import (
	"testing"

	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/session"
)

// A batch that was applied and then overtaken by a later epoch has one fate: it was applied.
func TestAnAppliedBatchIsNeverSentAgain(t *testing.T) {
	t.Parallel()
	tr := node.NewTracker()
	b, outcome := node.OneCommand()
	number, decided := tr.Begin(b, 1)
	tr.Applied(number, 10, []*fsmpb.Result{{}})
	tr.Established(2)
	if fate := decided(); fate != node.FateAnswered {
		t.Errorf("fate %v, want answered", fate)
	}
	if index, err := outcome(); err != nil || index != 10 {
		t.Errorf("outcome: index %d, %v", index, err)
	}
}

func TestABatchOfAnEarlierEpochMayBeSentAgain(t *testing.T) {
	t.Parallel()
	tr := node.NewTracker()
	b, outcome := node.OneCommand()
	number, decided := tr.Begin(b, 1)
	tr.Established(1)
	tr.Established(2)
	if fate := decided(); fate != node.FateNothing {
		t.Errorf("fate %v, want none", fate)
	}
	tr.Applied(number, 10, []*fsmpb.Result{{}}) // cannot come; if it did it must not answer
	node.Retract(b)
	if again, _ := tr.Begin(b, 1); again != 0 {
		t.Error("an attempt in an epoch that is over")
	}
	again, decided := tr.Begin(b, 2)
	if again <= number {
		t.Errorf("number %d after %d", again, number)
	}
	tr.Applied(again, 20, []*fsmpb.Result{{}})
	if index, err := outcome(); decided() != node.FateAnswered || err != nil || index != 20 {
		t.Errorf("outcome: index %d, %v", index, err)
	}
}

// When a snapshot stood in for a part of the log, nobody can say whether the batch was in it.
func TestBehindASnapshotTheOutcomeIsUnknown(t *testing.T) {
	t.Parallel()
	tr := node.NewTracker()
	b, outcome := node.OneCommand()
	_, decided := tr.Begin(b, 1)
	tr.Restored()
	tr.Established(2)
	if fate := decided(); fate != node.FateAnswered {
		t.Errorf("fate %v, want answered", fate)
	}
	if _, err := outcome(); session.CodeOf(err) != session.CodeOutcomeUnknown {
		t.Errorf("outcome: %v, want outcome_unknown", err)
	}
}

func TestOldestIsTheSmallestNumberWaiting(t *testing.T) {
	t.Parallel()
	tr := node.NewTracker()
	var numbers []uint64
	for range 3 {
		b, _ := node.OneCommand()
		number, _ := tr.Begin(b, 1)
		numbers = append(numbers, number)
	}
	tr.Applied(numbers[0], 5, []*fsmpb.Result{{}})
	if got := tr.Oldest(); got != numbers[1] {
		t.Errorf("oldest %d, want %d", got, numbers[1])
	}
}
