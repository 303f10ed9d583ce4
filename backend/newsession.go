package backend

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

// compose judges what the session is to be.
func (l *login) compose(ctx context.Context, u *userChange) (*sessionRecord, error) {
	p, err := l.choosePolicy(u)
	if err != nil {
		return nil, err
	}
	if l.key.Format() != p.KeyFormat {
		if l.key, err = session.NewKeyFor(l.User, p.KeyFormat, l.service.config.Random); err != nil {
			return nil, internalError("create session", err)
		}
	}
	rec := &sessionRecord{
		User: l.User, Policy: p.Name, Key: l.key.Hash(), Permanent: l.Permanent,
		CreatedMS: u.nowMS, MadeMS: u.nowMS, LastUseMS: u.nowMS, LastActivityMS: u.nowMS, AuthMS: u.nowMS,
		PolicyVersion: p.Version, Methods: []session.Method{l.proof.method}, Roles: l.roles(u),
		Address: l.address, UserAgent: l.agent, Bound: l.BindAddress,
	}
	if err := l.chooseTimers(u, p, rec); err != nil {
		return nil, err
	}
	if !l.Permanent {
		rec.Timers = timersOf(p, rec.OwnIdleMS, rec.CreatedMS)
	}
	if l.written == nil {
		if l.id, err = newID(l.service.config.Random, u.nowMS); err != nil {
			return nil, internalError("create session", err)
		}
		l.begunMS = u.nowMS
	}
	rec.AttributesVersion = nextVersion(0, u.nowMS)
	return rec, l.fillAttributes(ctx, u, rec)
}

// choosePolicy finds the session's policy. A user chooses among its own, services and admins among all.
func (l *login) choosePolicy(u *userChange) (*session.Policy, error) {
	var own []string
	if u.user.Account != nil {
		own = u.user.Account.Policies
	}
	name := l.Policy
	if name == "" && len(l.proof.grant.Policies) > 0 {
		name = l.proof.grant.Policies[0]
	}
	if name == "" && len(own) > 0 {
		name = own[0]
	}
	if name == "" {
		name = session.DefaultPolicyName
	}
	p := u.cluster.policy(name)
	if p == nil {
		return nil, session.ErrLoginPolicyUnknown()
	}
	allowed := l.mayActForOthers(u) || slices.Contains(l.proof.grant.Policies, name) || slices.Contains(own, name) ||
		len(own) == 0 && name == session.DefaultPolicyName
	if !allowed {
		return nil, session.ErrLoginPolicyForbidden()
	}
	return p, nil
}

// mayActForOthers tells whether the one who logs the user in may choose any policy.
func (l *login) mayActForOthers(u *userChange) bool {
	return l.Vouched || u.user.Account != nil && isPowerful(u.user.Account.Roles)
}

func (l *login) roles(u *userChange) []session.Role {
	switch {
	case l.Vouched:
		return []session.Role{session.RoleUser}
	case u.user.Account != nil:
		return slices.Clone(u.user.Account.Roles)
	}
	return l.proof.roles()
}

// chooseTimers judges whether the session may be permanent, have an idle timeout of its own, and be bound to its address.
func (l *login) chooseTimers(u *userChange, p *session.Policy, rec *sessionRecord) error {
	switch {
	case (p.BindAddress == session.BindStrict || rec.Bound) && !rec.Address.IsValid():
		return session.ErrAddressNeeded()
	case l.Permanent && !p.PermanentAllowed:
		return session.ErrPermanentForbidden()
	case l.IdleTimeout == nil:
		return nil
	case !mayHaveIdle(*l.IdleTimeout, p, l.mayActForOthers(u)):
		return session.ErrIdleForbidden()
	}
	ms := l.IdleTimeout.Milliseconds()
	rec.OwnIdleMS = &ms
	return nil
}

// mayHaveIdle tells whether a session may have an idle timeout of its own.
func mayHaveIdle(own time.Duration, p *session.Policy, powerful bool) bool {
	return p == nil || p.LongerIdleAllowed || p.IdleTimeout == 0 || own != 0 && own <= p.IdleTimeout || powerful
}

// fillAttributes gives the attributes of the new session: those of the same user's session before, and over them the log-in's own. What is
// sealed opens in its own session only, so it is sealed anew.
func (l *login) fillAttributes(ctx context.Context, u *userChange, rec *sessionRecord) error {
	s, plain, secret := l.service, session.Attributes{}, session.Attributes{}
	before, err := l.inherit(ctx, u)
	if err != nil {
		return err
	}
	if before != nil {
		maps.Copy(plain, before.session.Attributes)
		opened, err := s.seals.open(before.id, before.session.Sealed)
		if err != nil {
			return err
		}
		maps.Copy(secret, opened)
	}
	for name, value := range l.Attributes {
		delete(secret, name)
		plain[name] = value
	}
	for name, value := range l.Reserved {
		plain[session.ReservedAttributePrefix+name] = value
	}
	for name, value := range l.Sealed {
		delete(plain, name)
		secret[name] = value
	}
	if value, some := plain[session.CredentialsAttribute]; some && s.sealsCredentials(rec) {
		if err := s.seals.takesCredentials(value); err != nil {
			return err
		}
		delete(plain, session.CredentialsAttribute)
		secret[session.CredentialsAttribute] = value
	}
	sealed, err := s.seals.seal(s.config.Random, l.id, secret)
	if err != nil {
		return err
	}
	if len(plain) > 0 {
		rec.Attributes = map[string]json.RawMessage(plain)
	}
	rec.Sealed = sealed
	return rec.withinLimits()
}
