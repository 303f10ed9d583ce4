package backend

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/session"
	"github.com/hydrastore/hydrastore/session/portable"
)

// portable gives the cluster's record as it travels. No record of the store ever had a higher version.
func (c *clusterRecord) portable(version uint64) *portable.Cluster {
	out := &portable.Cluster{ID: c.ID, LastSeal: c.LastSeal, Floor: c.Floor, Version: version}
	for _, p := range c.Policies {
		out.Policies = append(out.Policies, portable.PolicyOf(p))
	}
	for _, p := range c.Past {
		out.Past = append(out.Past, portable.PastPolicy{Policy: p.Name, PastForm: portable.PastForm{
			Version: p.Version, UntilMS: p.UntilMS, IdleMS: p.IdleMS, InactivityMS: p.InactivityMS, WindowMS: p.WindowMS, LifetimeMS: p.AbsoluteEndMS,
		}})
	}
	for _, k := range c.Seals {
		out.Seals = append(out.Seals, portable.SealKey{
			ID: k.ID, Salt: slices.Clone(k.Salt[:]), Check: slices.Clone(k.Check[:]),
			MemoryKiB: k.Params.MemoryKiB, Iterations: k.Params.Iterations, Parallelism: k.Params.Parallelism,
		})
	}
	return out
}

// clusterOf is what the cluster's record becomes here. Its admins are known when its users are.
func clusterOf(p *portable.Cluster) (*clusterRecord, error) {
	out := &clusterRecord{ID: p.ID, LastSeal: p.LastSeal, Floor: p.Floor, Version: p.Version}
	for _, policy := range p.Policies {
		out.Policies = append(out.Policies, policy.Session())
		out.Version = max(out.Version, policy.Version)
	}
	for _, past := range p.Past {
		out.Past = append(out.Past, pastPolicy{past.Policy, pastForm{Version: past.Version, UntilMS: past.UntilMS, timers: timers{
			IdleMS: past.IdleMS, InactivityMS: past.InactivityMS, WindowMS: past.WindowMS, AbsoluteEndMS: past.LifetimeMS,
		}}})
	}
	for _, k := range p.Seals {
		seal := sealRecord{ID: k.ID, SealRecipe: auth.SealRecipe{Params: auth.Params{MemoryKiB: k.MemoryKiB, Iterations: k.Iterations, Parallelism: k.Parallelism}}}
		if copy(seal.Salt[:], k.Salt) != len(k.Salt) || copy(seal.Check[:], k.Check) != len(k.Check) || len(k.Salt) != len(seal.Salt) || len(k.Check) != len(seal.Check) {
			return nil, fmt.Errorf("seal key %d: its salt or its check is not of 16 bytes", k.ID)
		}
		out.Seals = append(out.Seals, seal)
		out.LastSeal = max(out.LastSeal, k.ID)
	}
	return out, nil
}

// portable gives a user's record as it travels: without the list of sessions, for they travel by themselves.
func (u *userRecord) portable(name string) *portable.User {
	out := &portable.User{Name: name, LastNumber: u.LastNumber, Version: u.Version, Preferences: u.Preferences}
	if a := u.Account; a != nil {
		out.Account = &portable.Account{
			PasswordHash: a.PasswordHash, Roles: a.Roles, Policies: a.Policies, Disabled: a.Disabled,
			CreatedMS: a.CreatedMS, Version: a.Version, MD5Login: a.MD5Login,
		}
		if a.Verifier != nil {
			out.Account.Verifier = &portable.Sealed{Key: a.Verifier.Key, Data: a.Verifier.Data}
		}
	}
	return out
}

// userOf is what a user becomes here.
func userOf(p *portable.User) (*userRecord, error) {
	out := &userRecord{LastNumber: p.LastNumber, Version: p.Version, Preferences: p.Preferences}
	if p.Account == nil {
		return out, nil
	}
	roles, err := session.NormalRoles(p.Account.Roles)
	if err != nil {
		return nil, fmt.Errorf("user %q: %w", p.Name, err)
	}
	out.Account = &account{
		PasswordHash: p.Account.PasswordHash, Roles: roles, Policies: p.Account.Policies, Disabled: p.Account.Disabled,
		CreatedMS: p.Account.CreatedMS, Version: p.Account.Version, MD5Login: p.Account.MD5Login,
	}
	if v := p.Account.Verifier; v != nil {
		out.Account.Verifier = &sealedValue{Key: v.Key, Data: v.Data}
	}
	out.Version = max(out.Version, out.Account.Version)
	return out, nil
}

// portable gives a session as it travels. number is the one in its user's list.
func (r *sessionRecord) portable(id session.ID, number uint64, u rules) *portable.Session {
	out := &portable.Session{
		ID: id, Number: number, User: r.User, Policy: r.Policy, Key: r.Key, Permanent: r.Permanent,
		CreatedMS: r.CreatedMS, LastUseMS: r.LastUseMS, LastActivityMS: r.LastActivityMS, AuthMS: r.AuthMS, OwnIdleMS: r.OwnIdleMS,
		Timers: portable.Timers(r.Timers), PolicyVersion: r.PolicyVersion, Roles: r.Roles, Methods: r.Methods,
		Address: r.Address, Bound: r.Bound, UserAgent: r.UserAgent, Attributes: r.Attributes, AttributesVersion: r.AttributesVersion,
	}
	if end := r.deadlineMS(u); end != forever {
		out.EndsMS = max(end, 1) // 0 means never
	}
	for _, k := range r.Retired {
		out.Retired = append(out.Retired, portable.RetiredKey(k))
	}
	for name, value := range r.Sealed {
		if out.Sealed == nil {
			out.Sealed = map[string]portable.Sealed{}
		}
		out.Sealed[name] = portable.Sealed(value)
	}
	return out
}

// sessionOf is what a session becomes here. When it is made, and how long its keys are kept, says who writes it.
func sessionOf(p *portable.Session) (*sessionRecord, error) {
	for _, role := range p.Roles {
		if !slices.Contains(session.Roles(), role) {
			return nil, errors.New("a session has a role that this release does not know")
		}
	}
	out := &sessionRecord{
		User: p.User, Policy: p.Policy, Key: p.Key, Permanent: p.Permanent,
		CreatedMS: p.CreatedMS, LastUseMS: p.LastUseMS, LastActivityMS: p.LastActivityMS, AuthMS: p.AuthMS, OwnIdleMS: p.OwnIdleMS,
		Timers: timers(p.Timers), PolicyVersion: p.PolicyVersion, Roles: slices.Sorted(slices.Values(p.Roles)), Methods: slices.Sorted(slices.Values(p.Methods)),
		Address: p.Address, Bound: p.Bound, UserAgent: p.UserAgent, Attributes: maps.Clone(p.Attributes), AttributesVersion: p.AttributesVersion,
	}
	for _, k := range p.Retired {
		out.Retired = append(out.Retired, retired(k))
	}
	for name, value := range p.Sealed {
		if out.Sealed == nil {
			out.Sealed = map[string]sealedValue{}
		}
		out.Sealed[name] = sealedValue(value)
	}
	return out, nil
}
