package backend

import (
	"context"

	"github.com/hydrastore/hydrastore/session"
)

// tidy takes away, beside the request, what an ended session leaves.
func (s *Service) tidy(f *found) {
	ended := *f
	s.background(func(ctx context.Context) {
		s.dropKeys(ctx, ended.session)
		_ = s.changeUser(ctx, ended.session.User, func(u *userChange) error {
			if u.user.find(ended.id) == nil {
				return errKeep
			}
			u.user.drop(ended.id)
			return nil
		})
	})
}

// tidyIDs takes away, beside the request, the records of sessions that have left their user's list.
func (s *Service) tidyIDs(ids []session.ID) {
	if len(ids) == 0 {
		return
	}
	s.background(func(ctx context.Context) {
		for _, id := range ids {
			s.dropUnlisted(ctx, id)
		}
	})
}

// dropUnlisted deletes a session's record that no list names, and its keys'. An id that has left the list never comes back, so there is
// no hurry and no harm.
func (s *Service) dropUnlisted(ctx context.Context, id session.ID) {
	_ = s.again(ctx, func() error {
		snapshot, err := s.read(ctx, sessionName(id))
		if err != nil || snapshot.Records[0].Version == "" {
			return err
		}
		f := &found{id: id}
		if err := f.setSession(snapshot.Records[0]); err != nil {
			return err
		}
		if err := s.store.Delete(ctx, sessionName(id), f.sessionAt); err != nil {
			return err
		}
		s.dropKeys(ctx, f.session)
		return nil
	})
}
