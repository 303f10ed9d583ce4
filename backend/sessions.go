package backend

import (
	"context"

	"github.com/hydrastore/hydrastore/session"
)

// Check implements session.Sessions.
func (s *Service) Check(ctx context.Context, c session.Call, look bool) (session.Checked, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	t, err := s.target(ctx, c)
	if err != nil {
		return session.Checked{}, err
	}
	if c.MaxAuthAge > 0 && milliseconds(t.nowMS-t.session.AuthMS) > c.MaxAuthAge {
		return session.Checked{}, session.ErrReauthenticate()
	}
	if !look && t.principal.extends() {
		if err := s.useShown(ctx, t, false); err != nil {
			return session.Checked{}, err
		}
	}
	return s.shown(t, s.readMeta(c))
}

// Touch implements session.Sessions.
func (s *Service) Touch(ctx context.Context, c session.Call) (session.Checked, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	c.Consistency, c.MinIndex = session.Linearizable, ""
	t, err := s.target(ctx, c)
	if err != nil {
		return session.Checked{}, err
	}
	if err := s.useShown(ctx, t, true); err != nil {
		return session.Checked{}, err
	}
	return s.shown(t, s.meta())
}

// Logout implements session.Sessions. It is judged nowhere by address: whoever holds a key may give it up.
func (s *Service) Logout(ctx context.Context, c session.Call) (session.Meta, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	key, address, by := c.Key, c.Address, (*principal)(nil)
	if c.Subject != nil {
		p, err := s.authenticateAs(ctx, c, session.RoleAdmin, session.RoleService)
		if session.CodeOf(err) == session.CodeForbidden {
			return session.Meta{}, session.ErrMayNotPresent()
		}
		if err != nil {
			return session.Meta{}, err
		}
		key, address, by = c.Subject.Key, c.Subject.Address, p
	}
	if key.IsZero() {
		return session.Meta{}, session.ErrUnauthenticated()
	}
	find := func() (*found, error) { return s.lookOne(ctx, key) }
	f, err := find()
	if err != nil {
		return session.Meta{}, err
	}
	if f.state == keySpent {
		return s.meta(), s.endReused(ctx, f, address)
	}
	why := ending{cause: CauseLogout}
	switch {
	case by != nil:
		why.actor = by.actor()
	case f.session != nil:
		why.actor = EventActor{User: f.session.User, Session: f.id, Address: plain(address)}
	}
	ended, err := s.endSession(ctx, f, why, find, func(f *found) bool { return f.opens() || f.state == keySpent }) // spent, if it was rotated in this moment
	if ended {
		s.figures.ended("logout", 1)
	}
	return s.meta(), err
}

// GetSession implements session.Sessions.
func (s *Service) GetSession(ctx context.Context, c session.Call, id session.ID) (session.Checked, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	c.Subject = nil
	p, _, err := s.authenticate(ctx, c)
	if err != nil {
		return session.Checked{}, err
	}
	if err := s.useUnlessLocal(ctx, p); err != nil {
		return session.Checked{}, err
	}
	f, err := s.lookID(ctx, id)
	if err != nil {
		return session.Checked{}, err
	}
	if !f.lives() || f.session.User != p.user && !p.has(session.RoleAdmin) {
		return session.Checked{}, session.ErrNoSuchSession()
	}
	return f.checked(s.readMeta(c)), nil
}

func (s *Service) useUnlessLocal(ctx context.Context, p *principal) error {
	if !p.extends() {
		return nil
	}
	return s.useCaller(ctx, p)
}
