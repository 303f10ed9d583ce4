package node

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
	"github.com/hydrastore/hydrastore/session/portable"
)

// sealIDs turn the ids of another home's seal keys into this cluster's, and back.
type sealIDs struct{ offset uint32 }

// value gives a sealed value the form that it has in the log.
func (s sealIDs) value(v portable.Sealed) []byte {
	return append(fsm.SealHeader(v.Key+s.offset), v.Data...)
}

// portable takes a value of the log apart.
func (s sealIDs) portable(value []byte) (portable.Sealed, bool) {
	key, data, ok := fsm.CutSealed(value)
	return portable.Sealed{Key: key - s.offset, Data: data}, ok
}

// beginImport is the command that a portable cluster begins with. It holds for that history alone.
func beginImport(c *portable.Cluster, restart bool, history uint64) *fsmpb.BeginImport {
	out := &fsmpb.BeginImport{
		Origin: c.ID, Restart: restart, History: history, LastSealKey: c.LastSeal, Floor: c.Floor, Version: c.Version,
		Limits: &fsmpb.MovedLimits{MaxSessions: uint32(c.Limits.MaxSessions), OnLimit: onLimitTo(c.Limits.OnLimit), Version: c.Limits.Version},
	}
	for _, p := range c.Policies {
		out.Policies = append(out.Policies, &fsmpb.MovedPolicy{Policy: putPolicy(p.Session(), fsmpb.PutPolicy_MODE_PUT), Version: p.Version})
	}
	for _, k := range c.Seals {
		out.SealKeys = append(out.SealKeys, &fsmpb.MovedSealKey{
			Id: k.ID, Salt: k.Salt, MemoryKib: k.MemoryKiB, Iterations: k.Iterations, Parallelism: uint32(k.Parallelism), Check: k.Check,
		})
	}
	return out
}

// portableCluster is what all sessions share. While the cluster is being filled it is what the origin's record said, as far as that is in the log.
func portableCluster(c fsm.ExportedCluster, m fsm.Moving, id string) *portable.Cluster {
	out := &portable.Cluster{
		ID: id, LastSeal: c.LastSeal, Floor: c.Floor, Version: c.Version,
		Limits: portable.Limits{MaxSessions: c.Limits.MaxSessions, OnLimit: c.Limits.OnLimit, Version: c.Limits.Version},
	}
	for _, p := range c.Policies {
		out.Policies = append(out.Policies, portable.PolicyOf(p))
	}
	for _, p := range c.Past {
		out.Past = append(out.Past, portable.PastPolicy{Policy: p.Name, PastForm: portable.PastForm{
			Version: p.Version, UntilMS: p.UntilMS, IdleMS: p.IdleTimeout.Milliseconds(), InactivityMS: p.InactivityTimeout.Milliseconds(),
			WindowMS: p.EffectiveTouchWindow().Milliseconds(), LifetimeMS: p.AbsoluteLifetime.Milliseconds(),
		}})
	}
	for _, k := range c.Seals {
		if m.Phase == fsm.PhaseFilling && (k.ID <= m.SealOffset || k.ID > m.SealLast) {
			continue // this cluster's own, made before or since
		}
		out.Seals = append(out.Seals, portable.SealKey{
			ID: k.ID - m.SealOffset, Salt: k.Salt[:], Check: k.Check[:], MemoryKiB: k.MemoryKiB, Iterations: k.Iterations, Parallelism: k.Parallelism,
		})
	}
	return out
}

// movedPast leaves out what hangs on the use of sessions: a session that was dead by that is none that moves.
func movedPast(p *portable.Past) *fsmpb.MovedPast {
	out := &fsmpb.MovedPast{Policy: p.Policy}
	for _, form := range p.Forms {
		out.Lifetimes = append(out.Lifetimes, &fsmpb.MovedLifetime{UntilMs: form.UntilMS, LifetimeMs: form.LifetimeMS})
	}
	return out
}

func (s sealIDs) movedUser(u *portable.User) (*fsmpb.MovedUser, error) {
	preferences, err := movedValues(u.Preferences)
	if err != nil {
		return nil, err
	}
	out := &fsmpb.MovedUser{Name: u.Name, LastNumber: u.LastNumber, Preferences: preferences}
	if a := u.Account; a != nil {
		roles, err := session.NormalRoles(a.Roles)
		if err != nil {
			return nil, err
		}
		out.Account = &fsmpb.MovedAccount{
			PasswordHash: a.PasswordHash, Md5Login: a.MD5Login, Roles: rolesTo(roles).Roles, Policies: a.Policies, Disabled: a.Disabled,
			CreatedMs: a.CreatedMS, Version: a.Version,
		}
		if a.Verifier != nil {
			out.Account.Md5Verifier = s.value(*a.Verifier)
		}
	}
	return out, nil
}

func (s sealIDs) portableUser(u *fsmpb.MovedUser) *portable.User {
	out := &portable.User{Name: u.Name, LastNumber: u.LastNumber}
	if len(u.Preferences) > 0 {
		out.Preferences = make(map[string]json.RawMessage, len(u.Preferences))
		for _, p := range u.Preferences {
			out.Preferences[p.Name] = p.Value
		}
	}
	if a := u.Account; a != nil {
		out.Version = a.Version
		out.Account = &portable.Account{
			PasswordHash: a.PasswordHash, MD5Login: a.Md5Login, Roles: rolesFrom(a.Roles), Policies: a.Policies, Disabled: a.Disabled,
			CreatedMS: a.CreatedMs, Version: a.Version,
		}
		if verifier, ok := s.portable(a.Md5Verifier); ok {
			out.Account.Verifier = &verifier
		}
	}
	return out
}

func (s sealIDs) movedSession(p *portable.Session) (*fsmpb.MovedSession, error) {
	roles, err := session.NormalRoles(p.Roles)
	if err != nil {
		return nil, err
	}
	out := &fsmpb.MovedSession{
		KeyHash: p.Key[:], Id: p.ID[:], User: p.User, Policy: p.Policy, Number: p.Number,
		CreatedMs: p.CreatedMS, LastUseMs: p.LastUseMS, LastActivityMs: p.LastActivityMS, AuthMs: p.AuthMS, Permanent: p.Permanent,
		IdleMs: p.OwnIdleMS, BindAddress: p.Bound, Roles: rolesTo(roles).Roles, Address: addressBytes(p.Address), UserAgent: p.UserAgent,
		AttributesVersion: p.AttributesVersion,
	}
	if p.Permanent {
		out.LastActivityMs = out.LastUseMs // nothing hangs on it
	}
	if p.OwnIdleMS != nil {
		out.WindowMs = min(p.Timers.WindowMS, *p.OwnIdleMS)
	}
	for _, m := range p.Methods {
		method, err := methodTo(m)
		if err != nil {
			return nil, err
		}
		out.Methods = append(out.Methods, method)
	}
	for _, k := range p.Retired {
		out.Retired = append(out.Retired, &fsmpb.MovedKey{Hash: k.Hash[:], GraceMs: k.GraceMS, Sealed: k.Sealed})
	}
	out.Attributes, err = s.movedAttributes(p)
	return out, err
}

// movedAttributes are those in the clear, in the form that the log has them in, and the sealed ones.
func (s sealIDs) movedAttributes(p *portable.Session) ([]*fsmpb.Attribute, error) {
	out, err := movedValues(p.Attributes)
	for name, v := range p.Sealed {
		out = append(out, &fsmpb.Attribute{Name: name, Value: s.value(v)})
	}
	slices.SortFunc(out, func(a, b *fsmpb.Attribute) int { return strings.Compare(a.Name, b.Name) })
	return out, err
}

// movedValues are in the order of their names.
func movedValues(values map[string]json.RawMessage) (out []*fsmpb.Attribute, err error) {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		value, err := session.CanonicalAttribute(name, values[name])
		if err != nil {
			return nil, err
		}
		out = append(out, &fsmpb.Attribute{Name: name, Value: value})
	}
	return out, nil
}

func (s sealIDs) portableSession(e fsm.ExportedSession) *portable.Session {
	m := e.MovedSession
	out := &portable.Session{
		ID: session.ID(m.Id), Number: m.Number, User: m.User, Policy: m.Policy, Key: session.KeyHash(m.KeyHash), Permanent: m.Permanent,
		CreatedMS: m.CreatedMs, LastUseMS: m.LastUseMs, LastActivityMS: m.LastActivityMs, AuthMS: m.AuthMs, OwnIdleMS: m.IdleMs,
		PolicyVersion: e.PolicyVersion, EndsMS: e.DeadlineMS, Roles: rolesFrom(m.Roles),
		Bound: m.BindAddress, UserAgent: m.UserAgent, AttributesVersion: m.AttributesVersion,
	}
	if len(m.Address) > 0 {
		out.Address = addressFrom(m.Address)
	}
	if !m.Permanent {
		out.Timers = portable.Timers{IdleMS: e.IdleMS, InactivityMS: e.InactivityMS, WindowMS: e.WindowMS, AbsoluteEndMS: e.AbsoluteEndMS}
	}
	for _, method := range m.Methods {
		out.Methods = append(out.Methods, methodFrom(method))
	}
	for _, k := range m.Retired {
		out.Retired = append(out.Retired, portable.RetiredKey{Hash: session.KeyHash(k.Hash), GraceMS: k.GraceMs, Sealed: k.Sealed})
	}
	for _, a := range m.Attributes {
		if sealed, ok := s.portable(a.Value); ok {
			if out.Sealed == nil {
				out.Sealed = map[string]portable.Sealed{}
			}
			out.Sealed[a.Name] = sealed
			continue
		}
		if out.Attributes == nil {
			out.Attributes = map[string]json.RawMessage{}
		}
		out.Attributes[a.Name] = a.Value
	}
	return out
}

func rolesFrom(roles []fsmpb.Role) []session.Role {
	out := make([]session.Role, len(roles))
	for i, r := range roles {
		out[i] = roleFrom(r)
	}
	return out
}

func methodTo(m session.Method) (fsmpb.Method, error) {
	switch m {
	case session.MethodPassword:
		return fsmpb.Method_METHOD_PASSWORD, nil
	case session.MethodService:
		return fsmpb.Method_METHOD_SERVICE, nil
	case session.MethodDirectory:
		return fsmpb.Method_METHOD_DIRECTORY, nil
	}
	return 0, session.Invalid("methods", "%q is none", m)
}
