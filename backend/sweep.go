package backend

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

// sweepOnAndOn sweeps until ctx ends.
func (s *Service) sweepOnAndOn(ctx context.Context) {
	ticker := time.NewTicker(s.config.SweepInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if err := s.sweepInTurn(ctx); err != nil && ctx.Err() == nil {
				s.log.Warn("what ended by time was not all taken away; the next sweep goes on", slog.Any("error", err))
			}
		case <-ctx.Done():
			return
		}
	}
}

// sweepTurn names the record that says until when somebody has swept. It is one of the throttle's: those are not moved to other homes.
const sweepTurn = "sweep"

// sweepInTurn sweeps if no other process has within the interval.
func (s *Service) sweepInTurn(ctx context.Context) error {
	mine := false
	bounded, cancel := s.limit(ctx)
	err := s.changeAttempts(bounded, Name{KindAttempt, sweepTurn}, func(r *attemptRecord, nowMS int64) error {
		if mine = nowMS >= r.DryMS; !mine {
			return errKeep
		}
		r.DryMS = nowMS + s.config.SweepInterval.Milliseconds() - sweepSlack.Milliseconds()
		return nil
	})
	cancel()
	if err != nil || !mine {
		return err
	}
	return s.Sweep(ctx)
}

// sweepSlack lets the process that has swept last find its turn over when its own timer says so.
const sweepSlack = 10 * time.Millisecond

// sweepPage is how many records a sweep reads at once.
const sweepPage = 200

// Sweep takes away what ended by time and what requests that broke off have left. Nothing depends on it but space.
func (s *Service) Sweep(ctx context.Context) error {
	if err := s.sweepKind(ctx, KindUser, s.sweepUser); err != nil {
		return err
	}
	if err := s.sweepKind(ctx, KindSession, s.sweepSession); err != nil {
		return err
	}
	if err := s.sweepKind(ctx, KindKey, s.sweepKey); err != nil {
		return err
	}
	if p, apart := s.store.(*pasts); apart {
		return s.bounded(ctx, p.sweep)
	}
	return nil
}

func (s *Service) sweepKind(ctx context.Context, kind Kind, sweep func(ctx context.Context, r Record, nowMS int64) error) error {
	for next, more := "", true; more && ctx.Err() == nil; more = next != "" {
		page, err := s.scan(ctx, kind, next)
		if err != nil {
			return err
		}
		for _, r := range page.Records {
			bounded, cancel := s.limit(ctx)
			err := sweep(bounded, r, page.Now.UnixMilli())
			cancel()
			if err != nil && !errors.Is(err, ErrChanged) {
				return err
			}
		}
		next = page.Next
	}
	return ctx.Err()
}

func (s *Service) scan(ctx context.Context, kind Kind, next string) (Page, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	page, err := s.store.Scan(ctx, kind, next, sweepPage)
	return page, asError("sweep the store", err)
}

// sweepUser takes ended sessions out of a user's list, puts an admin into the list of admins, and drops the record of a user that has
// neither account nor sessions.
func (s *Service) sweepUser(ctx context.Context, r Record, _ int64) error {
	var u userRecord
	if err := decode(r.Value, &u); err != nil {
		return internalError("read a user", err)
	}
	if len(u.Ended) > 0 {
		if err := s.Ended(ctx, r.ID); err != nil {
			return err
		}
	}
	if len(u.Sessions) > 0 || len(u.Requests) > 0 {
		if err := s.pruneUser(ctx, r.ID); err != nil {
			return err
		}
	}
	if u.isAdmin() {
		if record, _, _, err := s.readCluster(ctx); err == nil && !slices.Contains(record.Admins, r.ID) {
			s.enlistAdmin(ctx, r.ID)
		}
	}
	if u.Account != nil || len(u.Sessions) > 0 || len(u.Requests) > 0 {
		return nil
	}
	err := s.changeCluster(ctx, func(c *clusterRecord, _ int64) error {
		if c.Floor >= u.LastNumber {
			return errKeep
		}
		c.Floor = u.LastNumber
		return nil
	})
	if err != nil {
		return err
	}
	return s.store.Delete(ctx, r.Name, r.Version)
}

// pruneUser takes ended sessions, and requests whose time is over, out of a user's list.
func (s *Service) pruneUser(ctx context.Context, name string) error {
	return s.changeUser(ctx, name, func(u *userChange) error {
		sessions, requests := len(u.user.Sessions), len(u.user.Requests)
		prune := &room{service: s, user: u}
		if err := prune.prune(ctx, func(listed) bool { return true }); err != nil {
			return err
		}
		u.user.Requests = slices.DeleteFunc(u.user.Requests, func(r requested) bool { return u.nowMS >= r.UntilMS })
		if len(u.user.Sessions) == sessions && len(u.user.Requests) == requests {
			return errKeep
		}
		u.user.PruneAt = 2 * len(u.user.Sessions)
		return nil
	})
}

// sweepSession deletes a session's record that no list names, if no log-in can be about to list it.
func (s *Service) sweepSession(ctx context.Context, r Record, nowMS int64) error {
	id, err := session.ParseID(r.ID)
	if err != nil {
		return internalError("read a session", err)
	}
	f := &found{id: id}
	if err := f.setSession(r); err != nil {
		return err
	}
	if nowMS-f.session.MadeMS < orphanAge.Milliseconds() {
		return nil
	}
	u, err := s.readUser(ctx, f.session.User)
	if err != nil || u.user.find(id) != nil {
		return err
	}
	if len(u.user.Ended) > 0 {
		return s.Ended(ctx, f.session.User) // which drops it, too
	}
	s.dropUnlisted(ctx, id)
	return nil
}

// sweepKey deletes the record of a key whose session has ended and that the store does not drop by itself: it never expires, for its session was permanent, or
// its time is over. A log-in may still be about to write a young one.
func (s *Service) sweepKey(ctx context.Context, r Record, nowMS int64) error {
	var k keyRecord
	if err := decode(r.Value, &k); err != nil {
		return internalError("read a key", err)
	}
	if k.UntilMS != 0 && nowMS < k.UntilMS || nowMS-drawnMS(k.Session) < orphanAge.Milliseconds() {
		return nil
	}
	snapshot, err := s.read(ctx, sessionName(k.Session))
	if err != nil || snapshot.Records[0].Version != "" {
		return err
	}
	return s.store.Delete(ctx, r.Name, r.Version)
}
