package backend

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/hydrastore/hydrastore/session"
)

// renewedAtOnce bounds how many sessions are written side by side.
const renewedAtOnce = 16

// renewSpared writes the sessions that another password has spared as they are, after it was decided and before it is acknowledged. Who has verified the
// earlier password and is about to write that into a session comes too late with that, and finds the account changed.
func (s *Service) renewSpared(ctx context.Context, spared []listed) error {
	for some := range slices.Chunk(spared, renewedAtOnce) {
		errs := make([]error, len(some))
		var work sync.WaitGroup
		for i, l := range some {
			work.Go(func() { errs[i] = s.renew(ctx, l.ID) })
		}
		work.Wait()
		if err := errors.Join(errs...); err != nil {
			return &session.Error{Code: session.CodeOutcomeUnknown, Err: wrapped{"write a session", err},
				Message: "the password was changed, but the store did not answer in time: for a few seconds a proof with the earlier one may still count in a session that stays"}
		}
	}
	return nil
}

func (s *Service) renew(ctx context.Context, id session.ID) error {
	find := func() (*found, error) { return s.lookID(ctx, id) }
	f, err := find()
	if err != nil || f.session == nil {
		return err
	}
	return s.changeSession(ctx, f, find, func(f *found) error {
		if !f.lives() {
			return errKeep
		}
		return nil
	})
}
