package backend

import (
	"context"
	"slices"
	"sync"

	"github.com/hydrastore/hydrastore/session"
)

// RevokeSession implements session.Sessions.
func (s *Service) RevokeSession(ctx context.Context, c session.Call, id session.ID) (session.Meta, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	p, err := s.authenticateAs(ctx, c, session.Roles()...)
	if err != nil {
		return session.Meta{}, err
	}
	ended, err := s.revoke(ctx, id, p.actor(), func(f *found) bool {
		return f.lives() && (f.session.User == p.user || p.has(session.RoleAdmin))
	})
	if err != nil {
		return session.Meta{}, err
	}
	if !ended {
		return session.Meta{}, session.ErrNoSuchSession()
	}
	return s.meta(), nil
}

// revoke ends a session by its id, if it is what is meant.
func (s *Service) revoke(ctx context.Context, id session.ID, by EventActor, meant func(f *found) bool) (bool, error) {
	find := func() (*found, error) { return s.lookID(ctx, id) }
	f, err := find()
	if err != nil {
		return false, err
	}
	ended, err := s.endSession(ctx, f, ending{CauseRevoked, by}, find, meant)
	if ended {
		s.figures.ended("revoked", 1)
	}
	return ended, err
}

// RevokeSessions implements session.Sessions: it ends one session after the other that the filter selects and that began before it,
// the caller's own last.
func (s *Service) RevokeSessions(ctx context.Context, c session.Call, f session.Filter) (session.Revoked, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	c.Consistency, c.MinIndex = session.Linearizable, ""
	p, err := s.listing(ctx, c, &f)
	if err != nil {
		return session.Revoked{}, err
	}
	if err := s.useCaller(ctx, p); err != nil {
		return session.Revoked{}, err
	}
	out, own := session.Revoked{}, session.ID{}
	for l := (&listing{service: s, filter: f, limit: MaxScan}); !l.done; l.items = nil {
		if err := l.run(ctx, 1); err != nil {
			return session.Revoked{}, session.ErrPartlyRevoked(err, out.Count)
		}
		others := slices.DeleteFunc(l.items, func(item *found) bool { return p.found != nil && item.id == p.found.id })
		if len(others) < len(l.items) {
			own = p.found.id // last: the others need the authority of its key
		}
		count, err := s.revokeItems(ctx, others, p.actor())
		if out.Count += count; err != nil {
			return session.Revoked{}, session.ErrPartlyRevoked(err, out.Count)
		}
	}
	if !own.IsZero() {
		count, err := s.revokeItems(ctx, []*found{p.found}, p.actor())
		if out.Count += count; err != nil {
			return session.Revoked{}, session.ErrPartlyRevoked(err, out.Count)
		}
	}
	out.Meta = s.meta()
	return out, nil
}

// revokesAtOnce bounds the sessions that one revocation ends side by side: where a write waits for a flush, or for an answer from afar, they wait
// together.
const revokesAtOnce = 32

// revokeItems ends sessions and counts those that lived. After an error it begins no more.
func (s *Service) revokeItems(ctx context.Context, items []*found, by EventActor) (count int, err error) {
	var mu sync.Mutex
	var work sync.WaitGroup
	failed := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return err != nil
	}
	places := make(chan struct{}, revokesAtOnce)
	for _, f := range items {
		places <- struct{}{}
		if failed() {
			break
		}
		work.Go(func() {
			defer func() { <-places }()
			ended, failure := s.revokeItem(ctx, f, by)
			mu.Lock()
			defer mu.Unlock()
			if ended {
				count++
			}
			if err == nil {
				err = failure
			}
		})
	}
	work.Wait()
	return count, err
}

func (s *Service) revokeItem(ctx context.Context, f *found, by EventActor) (bool, error) {
	id := f.id
	ended, err := s.endSession(ctx, f, ending{CauseRevoked, by}, func() (*found, error) { return s.lookID(ctx, id) }, (*found).lives)
	if ended {
		s.figures.ended("revoked", 1)
	}
	return ended, err
}

// RevokeUserSessions implements session.Sessions: in one write of the user's record.
func (s *Service) RevokeUserSessions(ctx context.Context, c session.Call, user string, which session.UserSessions) (session.Revoked, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	name, err := session.FoldUserName(user)
	if err != nil {
		return session.Revoked{}, err
	}
	p, err := s.authenticateAs(ctx, c, session.Roles()...)
	if err != nil {
		return session.Revoked{}, err
	}
	if len(which.Numbers) > 0 {
		return s.revokeNumbers(ctx, p, name, which)
	}
	if p.user != name && !p.has(session.RoleAdmin) {
		return session.Revoked{}, &session.Error{Code: session.CodeForbidden, Field: "authority", Message: "not permitted to end this user's sessions"}
	}
	p.call.Subject = c.Subject
	except := session.ID{}
	if which.ExceptCurrent {
		if except, err = s.currentID(ctx, p, name); err != nil {
			return session.Revoked{}, err
		}
	}
	all := Event{Kind: EventUserSessionsRevoked, User: name, Session: except, Permanent: which.Permanent, Actor: p.actor()}
	count, err := s.revokeListed(ctx, name, func(l listed) bool { return l.Permanent == which.Permanent && l.ID != except }, ending{cause: CauseUser}, &all)
	return session.Revoked{Count: count, Meta: s.meta()}, err
}

// revokeNumbers ends those of a user's sessions that are named by their numbers, permanent or not.
func (s *Service) revokeNumbers(ctx context.Context, p *principal, user string, which session.UserSessions) (session.Revoked, error) {
	named, err := which.Named()
	if err != nil {
		return session.Revoked{}, err
	}
	if err := p.mayList(session.Filter{User: user}); err != nil {
		return session.Revoked{}, err
	}
	count, err := s.revokeListed(ctx, user, func(l listed) bool { return named[l.Number] }, ending{CauseRevoked, p.actor()}, nil)
	return session.Revoked{Count: count, Meta: s.meta()}, err
}

// revokeListed ends sessions of a user and counts those that lived. act is told of it before their ends are; nil = each end is an act of its own.
func (s *Service) revokeListed(ctx context.Context, name string, which func(listed) bool, why ending, act *Event) (count int, err error) {
	var gone []session.ID
	var lived []*found
	err = s.changeUser(ctx, name, func(u *userChange) error {
		count, gone, lived = 0, nil, nil
		all, err := s.readListed(ctx, u, which)
		if err != nil {
			return err
		}
		for _, f := range all {
			gone = append(gone, f.id)
			if f.lives() {
				count++
				lived = append(lived, f)
			}
		}
		if len(gone) == 0 {
			return errKeep
		}
		u.user.drop(gone...)
		return nil
	})
	if err != nil {
		return 0, err
	}
	if act != nil && count > 0 {
		act.AtMS, act.Count = lived[0].nowMS, uint64(count)
		s.tell(ctx, *act)
	}
	for _, f := range lived {
		s.tellEnded(ctx, f, why)
	}
	s.figures.ended("user", count)
	s.tidyIDs(gone)
	return count, nil
}

// currentID finds the session that "except=current" means: the caller's own, or the one that it presents.
func (s *Service) currentID(ctx context.Context, p *principal, user string) (session.ID, error) {
	current := p.found
	if subject := p.call.Subject; subject != nil {
		if !p.has(session.RoleService, session.RoleAdmin) {
			return session.ID{}, session.ErrMayNotPresent()
		}
		f, err := s.lookOne(ctx, subject.Key)
		if err == nil {
			f, err = s.mustOpen(ctx, f, subject.Address)
		}
		if session.CodeOf(err) == session.CodeUnauthenticated {
			return session.ID{}, session.ErrSubject()
		}
		if err != nil {
			return session.ID{}, err
		}
		current = f
	}
	if current == nil || current.session.User != user {
		return session.ID{}, session.ErrNotCurrent()
	}
	return current.id, nil
}
