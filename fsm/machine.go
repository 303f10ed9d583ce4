package fsm

import (
	"sync"
	"sync/atomic"

	"github.com/hydrastore/hydrastore/session"
)

// Options of a Machine.
type Options struct {
	// HashSeed seeds the in-memory hash tables against crafted names and addresses. It may differ between nodes and
	// runs: nothing that is replicated or written depends on it.
	HashSeed uint64
	// EndsPerEntry bounds how many sessions one entry ends by itself that does not say so; 0 = DefaultEndsPerEntry. It is part of the
	// replicated rules: all nodes of a cluster must use the same value.
	EndsPerEntry int
	// Awaited tells whether anybody on this node waits for the results of a batch: those of others come with their code alone, which
	// saves two nodes of three much of the work. It is called on the applying goroutine. It may differ between nodes and runs: the state
	// does not depend on it. nil = all are awaited.
	Awaited func(term uint64, origin string, incarnation uint64) bool
	// Removed is told the id of every session that is taken out of the state, on the applying goroutine and with the state locked: it must not
	// ask the machine anything. Sessions that Restore, or a filling that begins (Applied.Emptied), puts out of the way at once are not told. nil = nobody.
	Removed func(session.ID)
	// Events makes Apply tell what it did. It may differ between nodes and runs: the state does not depend on it.
	Events bool
}

const (
	// DefaultEndsPerEntry keeps the ending of a backlog around a millisecond an entry.
	DefaultEndsPerEntry = 128
	// SupportedFormatLevel is the highest format level that this code applies.
	SupportedFormatLevel = 1
)

// Machine is the replicated state machine. Apply, Snapshot and Restore belong to one goroutine, in log order; all
// other methods are safe to call from any goroutine at any time, and see each command of an entry whole or not at all.
type Machine struct {
	// mu is held for writing by slices of an entry, for reading by reads. The applying goroutine reads without it.
	mu           sync.RWMutex
	state        *state
	seed         uint64
	restores     uint64 // how often the state was replaced
	endsPerEntry int
	awaited      func(term uint64, origin string, incarnation uint64) bool
	events       *recorder     // nil = nobody asks
	phase        atomic.Uint32 // of state.moving, for those who ask at every request
}

// New makes a machine as it stands before the first entry: it has the policy "default" with the first values of
// session.DefaultPolicy, and nothing else.
func New(o Options) *Machine {
	m := &Machine{state: newState(o.HashSeed), seed: o.HashSeed, endsPerEntry: o.EndsPerEntry, awaited: o.Awaited}
	if m.endsPerEntry == 0 {
		m.endsPerEntry = DefaultEndsPerEntry
	}
	if m.awaited == nil {
		m.awaited = func(uint64, string, uint64) bool { return true }
	}
	if o.Events {
		m.events = &recorder{}
		m.state.events = m.events
	}
	m.state.removed = o.Removed
	return m
}
