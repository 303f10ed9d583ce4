package redis

import (
	"context"
	"errors"

	"github.com/hydrastore/hydrastore/backend"
)

// SweepDelay is how long after a drop ids are looked at.
const SweepDelay = sweepDelay

// Sweep sweeps all kinds now.
func (s *Store) Sweep(ctx context.Context) error {
	var all error
	for _, kind := range backend.Kinds() {
		all = errors.Join(all, s.sweep(ctx, kind))
	}
	return all
}
