package backend

import (
	"context"
	"encoding/json"

	"github.com/hydrastore/hydrastore/session"
)

// Alter implements session.Sessions.
func (s *Service) Alter(ctx context.Context, c session.Call, a session.Alteration) (session.Checked, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	if a.IdleTimeout != nil {
		if err := session.ValidateOwnIdleTimeout(*a.IdleTimeout); err != nil {
			return session.Checked{}, err
		}
	}
	reserved, err := a.Reserved.Canonical()
	if err != nil {
		return session.Checked{}, err
	}
	patch := session.AttributePatch{}
	for name, value := range reserved {
		patch[session.ReservedAttributePrefix+name] = value
	}
	c.Consistency, c.MinIndex = session.Linearizable, ""
	t, err := s.target(ctx, c)
	if err != nil {
		return session.Checked{}, err
	}
	powerful := t.principal.has(session.RoleService, session.RoleAdmin)
	change := s.changeSession
	if len(patch) > 0 {
		change = s.changeAttributes
	}
	err = change(ctx, t.found, func() (*found, error) { return s.lookAgain(ctx, t.presented) }, func(f *found) error {
		if err := mayAlterIdle(f, a, powerful); err != nil {
			return err
		}
		f.session.patch(patch)
		if err := f.session.withinLimits(); err != nil {
			return err
		}
		if err := s.mayShow(t, f.session); err != nil {
			return err
		}
		if a.IdleTimeout != nil {
			ms := a.IdleTimeout.Milliseconds()
			f.session.OwnIdleMS = &ms
			f.session.Timers.IdleMS = ms
		}
		f.session.use(f.rules(), f.nowMS, false)
		return nil
	})
	if err != nil {
		return session.Checked{}, err
	}
	return s.shown(t, s.meta())
}

func mayAlterIdle(f *found, a session.Alteration, powerful bool) error {
	switch {
	case a.IdleTimeout == nil:
		return nil
	case f.session.Permanent:
		return &session.Error{Code: session.CodeConflict, Field: "idle_timeout_s", Message: "a permanent session has no idle timeout"}
	case !mayHaveIdle(*a.IdleTimeout, f.policy(), powerful):
		return session.ErrIdleForbidden()
	}
	return nil
}

// Preferences implements session.Sessions.
func (s *Service) Preferences(ctx context.Context, c session.Call) (session.Preferences, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	t, err := s.target(ctx, c)
	if err != nil {
		return session.Preferences{}, err
	}
	values := session.Attributes{}
	for name, value := range t.user.Preferences {
		values[name] = value
	}
	out := session.Preferences{Values: values, Meta: s.readMeta(c)}
	if !t.principal.extends() {
		return out, nil
	}
	return out, s.use(ctx, t.found, t.presented, false)
}

// PatchPreferences implements session.Sessions. It is the bearer's own: no service answers for what a user likes.
func (s *Service) PatchPreferences(ctx context.Context, c session.Call, p session.AttributePatch) (session.Checked, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	c.Consistency, c.MinIndex = session.Linearizable, ""
	patch, err := p.Canonical()
	if err != nil {
		return session.Checked{}, err
	}
	if c.Subject != nil {
		return session.Checked{}, session.ErrMayNotPresent()
	}
	t, err := s.target(ctx, c)
	if err != nil {
		return session.Checked{}, err
	}
	if err := s.mayShow(t, t.session); err != nil {
		return session.Checked{}, err
	}
	err = s.changeUser(ctx, t.session.User, func(u *userChange) error {
		if u.user.find(t.id) == nil || u.user.disabled() {
			return session.ErrUnauthenticated() // it has ended meanwhile
		}
		kept := &sessionRecord{Attributes: u.user.Preferences} // they have the form and the limits of attributes
		if kept.Attributes == nil {
			kept.Attributes = map[string]json.RawMessage{}
		}
		if !kept.patch(patch) {
			return errKeep
		}
		if kept.withinLimits() != nil {
			return session.TooLarge("preferences", "a user has at most %d preferences with %d bytes in all; delete some first", session.MaxAttributes, session.MaxAttributesBytes)
		}
		u.user.Preferences = kept.Attributes
		return nil
	})
	if err != nil {
		return session.Checked{}, err
	}
	if err := s.useShown(ctx, t, true); err != nil {
		return session.Checked{}, err
	}
	return s.shown(t, s.meta())
}
