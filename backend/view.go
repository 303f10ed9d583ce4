package backend

import (
	"slices"
	"strings"

	"github.com/hydrastore/hydrastore/session"
)

// view gives the public form of a session.
func (f *found) view() session.Session {
	r, p := f.session, f.policy()
	out := session.Session{
		ID: f.id, Number: f.number, User: r.User, Policy: r.Policy,
		CreatedAt: instant(r.CreatedMS), LastUsedAt: instant(r.LastUseMS), ExpiresAt: r.expiresAt(f.rules()),
		Permanent: r.Permanent, Prompt: r.prompts(f.rules(), f.nowMS),
		ClientAddress: r.Address, UserAgent: r.UserAgent, AttributesVersion: r.AttributesVersion,
		AuthTime: instant(r.AuthMS), Methods: slices.Clone(r.Methods), Reserved: r.reserved(),
	}
	switch {
	case r.Permanent:
	case r.OwnIdleMS != nil:
		out.IdleTimeout = milliseconds(*r.OwnIdleMS)
	case p != nil:
		out.IdleTimeout = p.IdleTimeout
	default:
		out.IdleTimeout = milliseconds(r.Timers.IdleMS)
	}
	return out
}

// attributes gives those that are neither sealed nor reserved.
func (r *sessionRecord) attributes() session.Attributes {
	out := make(session.Attributes, len(r.Attributes))
	for name, value := range r.Attributes {
		if !strings.HasPrefix(name, session.ReservedAttributePrefix) {
			out[name] = value
		}
	}
	return out
}

// reserved gives the attributes that protocols keep, nil when there are none.
func (r *sessionRecord) reserved() (out session.Attributes) {
	for name, value := range r.Attributes {
		if short, is := strings.CutPrefix(name, session.ReservedAttributePrefix); is {
			if out == nil {
				out = session.Attributes{}
			}
			out[short] = value
		}
	}
	return out
}

// checked gives the public form of a session with its roles and attributes.
func (f *found) checked(m session.Meta) session.Checked {
	roles := f.roles()
	return session.Checked{
		Session: f.view(), Roles: slices.Clone(roles), Attributes: f.session.attributes(), At: instant(f.nowMS), Meta: m,
		Rotate: f.state == keyInGrace || !slices.Equal(f.session.Roles, f.rolesDue()),
	}
}

// mayShow tells, before anything is done, whether the sealed attributes open that will be shown in the end: who is told that a server cannot open them relies on it that nothing
// was done. What it has opened is kept for shown, so what is sealed in r may not be changed any more.
func (s *Service) mayShow(t *target, r *sessionRecord) (err error) {
	if !t.maySeeSealed() || t.openedOf == r {
		return nil
	}
	if t.opened, err = s.seals.open(t.id, r.Sealed); err == nil {
		t.openedOf = r
	}
	return err
}

// shown is checked with the sealed attributes, which the session's own bearer and services may see.
func (s *Service) shown(t *target, m session.Meta) (session.Checked, error) {
	c := t.checked(m)
	if err := s.mayShow(t, t.session); err != nil {
		return c, err
	}
	c.Sealed = t.opened
	return c, nil
}
