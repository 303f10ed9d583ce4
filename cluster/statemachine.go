package cluster

import "io"

// StateMachine is what the cluster replicates.
//
// Apply, Established, Snapshot and Restore are called one at a time, on one
// goroutine, in log order. The same calls with the same data happen on every
// node, with one exception: a node that is restored from a snapshot sees the
// snapshot in place of the entries before it.
type StateMachine interface {
	// Apply applies committed entries, in order. The entries and their data are
	// valid only during the call. An error means that this node cannot go on
	// without diverging (an unknown command, say): Config.Fatal is called with
	// it and nothing is applied any more.
	Apply(entries []Entry) error

	// Established tells that the established entry of a leader has been applied
	// at this point of the log: every entry applied from here on carries the
	// term l.Epoch or a later one. l.Self says whether the leader is this node.
	// It is also called right after Restore, with the leadership that the
	// snapshot records, so calls may repeat an epoch but never go back.
	Established(l Leadership)

	// Snapshot fixes the present state, in time independent of its size; it
	// blocks applies. The Snapshot is written while later entries are applied.
	Snapshot() (Snapshot, error)

	// Restore builds the state that r holds beside the present one and then
	// swaps them; readers see the old state until then. index and term are
	// those of the last entry in the snapshot. After an error the present state
	// must be untouched.
	Restore(r io.Reader, index, term uint64) error
}

// Entry is one committed application entry.
type Entry struct {
	// Index is the entry's place in the log. Indexes grow, with gaps where the
	// log holds entries that are not the application's.
	Index uint64
	// Term is the Raft term in which the entry was proposed: the epoch of the
	// leader that took it.
	Term uint64
	// Data is what was given to Propose. It belongs to the log: copy what is
	// kept after the call.
	Data []byte
}

// Snapshot is the state of a StateMachine at one index.
type Snapshot interface {
	// WriteTo writes the state. It runs on its own goroutine, beside later
	// calls to Apply, at most once.
	io.WriterTo
	// Release is called exactly once, when the snapshot is not needed any more,
	// also when it was never written.
	Release()
}

// Leadership says who leads, as this node knows it from the log it has applied.
// The zero value means that no leader is known.
type Leadership struct {
	// NodeID is the leader's node id.
	NodeID string
	// Epoch is the Raft term of the leader's established entry. Epochs only grow.
	Epoch uint64
	// Self says that the leader is this node.
	Self bool
}
