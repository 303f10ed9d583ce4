package backend

import (
	"context"
	"errors"
)

// bury deletes the record of a dead session. ErrChanged: it was not dead. It decides nothing: the session is dead whatever becomes of it.
func (s *Service) bury(ctx context.Context, f *found) error {
	if f.session == nil {
		return nil
	}
	err := s.store.Delete(ctx, sessionName(f.id), f.sessionAt)
	if errors.Is(err, ErrChanged) {
		return err
	}
	if err != nil {
		return undecided("end a session", err)
	}
	if f.number != 0 && !f.lives() {
		s.tellEnded(ctx, f, ending{cause: f.endedByTime()})
	}
	s.figures.ended("time", 1)
	dead := *f.session
	s.background(func(ctx context.Context) { s.dropKeys(ctx, &dead) })
	return nil
}

// forget takes a session that is dead, or whose record is gone, out of its user's list.
func (s *Service) forget(ctx context.Context, user string, f *found) error {
	if err := s.bury(ctx, f); err != nil && !errors.Is(err, ErrChanged) {
		return err
	}
	return s.changeUser(ctx, user, func(u *userChange) error {
		all, err := s.readListed(ctx, u, func(l listed) bool { return l.ID == f.id })
		if err != nil {
			return err
		}
		if len(all) == 0 || all[0].lives() {
			return errKeep
		}
		u.user.drop(f.id)
		return nil
	})
}

// buryOverdue deletes the records of sessions whose time is over, before anybody is told: so a use that is under way, and was in time, cannot
// bring back what was seen dead. ErrChanged: one came before. Without a clock that all share, they do not agree on who is dead, and none is deleted for the others.
func (s *Service) buryOverdue(ctx context.Context, all ...*found) error {
	for _, f := range all {
		if f.session == nil || f.number == 0 || f.lives() || !s.features.Clock {
			continue
		}
		if err := s.bury(ctx, f); err != nil {
			return err
		}
	}
	return nil
}
