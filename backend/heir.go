package backend

import (
	"context"
	"errors"
	"log/slog"

	"github.com/hydrastore/hydrastore/session"
)

// A log-in that comes in the place of a session takes its attributes along, and is decided by the user's record, while they stand in the session's. So
// it first writes into the session's record who its heir will be, after it has read the user's. Whoever then changes the attributes, or ends the
// session otherwise, first replaces the user's record: with that the log-in comes too late, and reads both anew. Or it finds the heir listed there, and the session has ended.

// errHeir ends a change of a session that has an heir whose log-in may still be decided.
var errHeir = errors.New("a log-in may take the session's place")

// inherit names the log-in's session the heir of the one in whose place it comes, and returns that one's record; nil when it lives no more.
func (l *login) inherit(ctx context.Context, u *userChange) (*found, error) {
	if l.replaced == nil || l.replaced.session.User != l.User {
		return nil, nil
	}
	all, err := l.service.readListed(ctx, u, func(s listed) bool { return s.ID == l.replaced.id })
	if err != nil || len(all) == 0 || !all[0].lives() {
		return nil, err
	}
	f := all[0]
	f.session.Heir = l.id
	value, err := encode(f.session)
	if err != nil {
		return nil, internalError("write a session", err)
	}
	if _, err := l.service.store.Put(ctx, sessionName(f.id), value, f.sessionAt, f.session.expires()); err != nil {
		if errors.Is(err, ErrChanged) {
			return nil, err
		}
		return nil, undecided("write a session", err)
	}
	return f, nil
}

// unlessInherited does what changes or ends a session so that no log-in takes its place as it was before: do is given what judges the session's record, once for
// each that it is about to replace. ended: a log-in has taken its place.
func (s *Service) unlessInherited(ctx context.Context, f *found, do func(judge func(f *found) error) error) (ended bool, err error) {
	var void Version // of the session's record whose heir comes too late
	for {
		err := do(func(f *found) error {
			if f.session.Heir.IsZero() || f.sessionAt == void {
				return nil
			}
			return errHeir
		})
		if !errors.Is(err, errHeir) {
			return false, err
		}
		if listed, err := s.disinherit(ctx, f); err != nil || !listed {
			return err == nil, err
		}
		void = f.sessionAt
	}
}

// disinherit makes every log-in that has read the user's record before come too late. It tells whether the session is still listed.
func (s *Service) disinherit(ctx context.Context, f *found) (stays bool, err error) {
	err = s.changeUser(ctx, f.session.User, func(u *userChange) error {
		if stays = u.user.find(f.id) != nil; !stays {
			return errKeep
		}
		return nil
	})
	return stays, undecided("let a log-in come too late", err)
}

// changeAttributes is changeSession for changes of what a log-in takes along.
func (s *Service) changeAttributes(ctx context.Context, f *found, find func() (*found, error), change func(f *found) error) error {
	ended, err := s.unlessInherited(ctx, f, func(judge func(f *found) error) error {
		return s.changeSession(ctx, f, find, func(f *found) error {
			if err := judge(f); err != nil {
				return err
			}
			f.session.Heir = session.ID{}
			return change(f)
		})
	})
	if ended {
		return session.ErrUnauthenticated()
	}
	return err
}

// findReplaced finds the session in whose place the log-in comes. A service that sends its own key says who asks, and nothing about
// its user's session. What presents a spent key, or one at a wrong address, replaces nothing.
func (l *login) findReplaced(ctx context.Context) error {
	s, key, address := l.service, l.call.Key, l.call.Address
	switch {
	case l.call.Subject != nil:
		key, address = l.call.Subject.Key, l.call.Subject.Address
	case l.Vouched || key.IsZero():
		return nil
	}
	f, err := s.lookOne(ctx, key)
	if err != nil {
		return err
	}
	ok, err := s.open(ctx, f, address)
	if err != nil || !ok {
		return err
	}
	if l.call.Subject == nil && f.session.User != l.User && isPowerful(f.roles()) {
		return nil
	}
	l.replaced = f
	return nil
}

// endReplaced ends the session of another user whose key came with the log-in. The same user's has left the list.
func (l *login) endReplaced(ctx context.Context) {
	f := l.replaced
	if f == nil {
		return
	}
	if f.session.User == l.User {
		l.service.figures.ended("replaced", 1)
		l.service.tidyIDs([]session.ID{f.id})
		return
	}
	key := f.shown
	why := ending{CauseReplaced, l.actor(l.id)}
	_, err := l.service.endSession(ctx, f, why, func() (*found, error) { return l.service.lookOne(ctx, key) }, (*found).opens)
	if err != nil {
		l.service.log.Error("the session in whose place a log-in came was not ended", slog.String("session", f.id.String()), slog.Any("error", err))
	}
}
