package fsm

import (
	"errors"
	"io"
	"sync"

	"github.com/hydrastore/hydrastore/session"
)

// Options of a Machine.
type Options struct {
	// HashSeed seeds the in-memory hash tables against crafted names and addresses. It may differ between nodes and
	// runs: nothing that is replicated or written depends on it.
	HashSeed uint64
	// EndsPerEntry bounds how many sessions one entry ends by itself; 0 = DefaultEndsPerEntry. It is part of the
	// replicated rules: all nodes of a cluster must use the same value.
	EndsPerEntry int
}

const (
	// DefaultEndsPerEntry keeps the ending of a backlog under a millisecond or so an entry.
	DefaultEndsPerEntry = 512
	// SupportedFormatLevel is the highest format level that this code applies.
	SupportedFormatLevel = 1
)

// Machine is the replicated state machine. Apply, Snapshot and Restore belong to one goroutine, in log order; all
// other methods are safe to call from any goroutine at any time.
type Machine struct {
	mu    sync.RWMutex
	clock int64
}

// New makes a machine as it stands before the first entry.
func New(o Options) *Machine { return &Machine{} }

// Apply applies one entry of the log. An error means that this node cannot follow the log and must stop; the state is then
// as it was before. data is not kept.
func (m *Machine) Apply(index, term uint64, data []byte) (*Applied, error) {
	return nil, errors.New("apply entry: not supported")
}

// Snapshot freezes the state for writing without stopping later applies. The caller must Release it.
func (m *Machine) Snapshot() *Snapshot { return &Snapshot{} }

// Restore replaces the state by that of a snapshot. It builds the new state first: on an error the old one stays.
func (m *Machine) Restore(r io.Reader) error { return errors.New("restore snapshot: not supported") }

// Snapshot is the state at one point of the log.
type Snapshot struct{}

// WriteTo streams the snapshot. It runs concurrently with Apply and never blocks it.
func (s *Snapshot) WriteTo(w io.Writer) (int64, error) { return 0, nil }

// Release frees what the snapshot holds. It may be called more than once.
func (s *Snapshot) Release() {}

// ClockMS is the replicated clock.
func (m *Machine) ClockMS() int64 { return 0 }

// Index is the log index of the last applied entry.
func (m *Machine) Index() uint64 { return 0 }

// FormatLevel is the replicated format level: entries are proposed at most at this level.
func (m *Machine) FormatLevel() uint32 { return 1 }

// History counts the histories of this state: it begins with 1, and each restored backup begins a new one.
func (m *Machine) History() uint64 { return 1 }

// NextDeadlineMS is the earliest instant at which the machine has something to end; false = never, as it stands.
// While ended users' sessions wait for their removal it is the current clock.
func (m *Machine) NextDeadlineMS() (int64, bool) { return 0, false }

// SessionByKey finds the living session that a key opens.
func (m *Machine) SessionByKey(h session.KeyHash) (Record, bool) { return Record{}, false }

// SessionByID finds a living session.
func (m *Machine) SessionByID(id session.ID) (Record, bool) { return Record{}, false }

// ListSessions appends living sessions that match f, in the order of creation: those with afterSeq < Seq ≤ maxSeq, at most limit
// of them, looking at no more than scanBudget. done tells that there are no more; otherwise the list goes on after nextSeq.
func (m *Machine) ListSessions(f session.Filter, afterSeq, maxSeq uint64, limit, scanBudget int) (items []Record, nextSeq uint64, done bool) {
	return nil, 0, true
}

// LastSeq is the Seq of the session created last: the maxSeq of a list that shows what existed when it began.
func (m *Machine) LastSeq() uint64 { return 0 }

// User finds a user by its folded name.
func (m *Machine) User(name string) (UserRecord, bool) { return UserRecord{}, false }

// ListUsers returns up to limit accounts in the order of their names, those after the given one.
func (m *Machine) ListUsers(after string, limit int) []UserRecord { return nil }

// HasAdmin tells whether any account has role admin.
func (m *Machine) HasAdmin() bool { return false }

// Policy finds a policy by name.
func (m *Machine) Policy(name string) (session.Policy, bool) { return session.Policy{}, false }

// Policies returns all policies in the order of their names.
func (m *Machine) Policies() []session.Policy { return nil }

// Stats returns figures for metrics.
func (m *Machine) Stats() Stats { return Stats{} }
