package node

import "github.com/hydrastore/hydrastore/fsm/fsmpb"

// batch is a group of commands that share a log entry and an outcome.
type batch struct{ commands []*pending }

// attempt is one way of a batch to the log: under one number, in one epoch. Its fields but the last three never change.
type attempt struct {
	number   uint64
	epoch    uint64
	commands []*pending

	blind   bool          // a snapshot hid a part of the log: whether it was applied cannot be known any more
	fate    fate          // set before decided is closed, once
	decided chan struct{} // closed when the fate is known
}

// fate is what became of an attempt.
type fate int

const (
	fateOpen     fate = iota
	fateAnswered      // the commands have their answers
	fateNothing       // it certainly had and will have no effect: the batch may be sent again
)

// wanted tells whether any caller still waits in the queue's stage.
func (b *batch) wanted() bool {
	for _, p := range b.commands {
		if p.stage.Load() == stageQueued {
			return true
		}
	}
	return false
}

// begin marks the commands as possibly in the log. Commands whose callers went away before are dropped.
func (b *batch) begin() []*pending {
	live := make([]*pending, 0, len(b.commands))
	for _, p := range b.commands {
		if p.stage.CompareAndSwap(stageQueued, stageSent) {
			live = append(live, p)
		}
	}
	b.commands = live
	return live
}

// retract takes the commands back after an attempt without effect. Those whose callers were told that the outcome is
// unknown are not tried again: nobody waits for them.
func (b *batch) retract() {
	for _, p := range b.commands {
		p.stage.CompareAndSwap(stageSent, stageQueued)
	}
}

// fail answers all commands with err; those that are answered already keep their answer.
func fail(commands []*pending, err error) {
	for _, p := range commands {
		p.answer(outcome{err: err})
	}
}

func answer(commands []*pending, index uint64, results []*fsmpb.Result) {
	for i, p := range commands {
		p.answer(outcome{result: results[i], index: index})
	}
}
