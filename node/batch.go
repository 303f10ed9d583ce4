package node

import (
	"sync"

	"github.com/hydrastore/hydrastore/fsm/fsmpb"
)

// batch is a group of commands that share a log entry and an outcome.
type batch struct {
	commands []*pending

	number uint64 // of the present attempt
	epoch  uint64 // that the present attempt is meant for

	once       sync.Once
	resolved   chan struct{} // closed when the commands have been answered
	superseded chan struct{} // closed when a later epoch began without the batch: it was not and will not be applied
	blind      bool          // a snapshot hid a part of the log: whether it was applied cannot be known any more
}

// attempt prepares b for one number in one epoch and marks its commands as possibly in the log. Commands whose
// callers went away before are dropped.
func (b *batch) attempt() {
	live := b.commands[:0]
	for _, p := range b.commands {
		if p.stage.CompareAndSwap(stageQueued, stageSent) {
			live = append(live, p)
		}
	}
	clear(b.commands[len(live):])
	b.commands = live
	b.once = sync.Once{}
	b.resolved, b.superseded = make(chan struct{}), make(chan struct{})
	b.blind = false
}

// retract takes the commands back after an attempt that certainly had no effect. Those whose callers were told that
// the outcome is unknown are not tried again: nobody waits for them.
func (b *batch) retract() {
	for _, p := range b.commands {
		p.stage.CompareAndSwap(stageSent, stageQueued)
	}
}

// resolve answers all commands with their results, once.
func (b *batch) resolve(index uint64, results []*fsmpb.Result) {
	b.once.Do(func() {
		for i, p := range b.commands {
			p.done <- outcome{result: results[i], index: index}
		}
		close(b.resolved)
	})
}

// fail answers all commands with err, once.
func (b *batch) fail(err error) {
	b.once.Do(func() {
		for _, p := range b.commands {
			p.done <- outcome{err: err}
		}
		close(b.resolved)
	})
}
