package apitest

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"strconv"

	"github.com/hydrastore/hydrastore/session"
)

var _ session.Service = (*Service)(nil)

// Login implements session.Sessions.
func (s *Service) Login(ctx context.Context, c session.Call, l session.Login) (session.Issued, error) {
	leave, err := s.enter(ctx, "Login", c)
	if err != nil {
		return session.Issued{}, err
	}
	defer leave()
	if l.User, err = session.FoldUserName(l.User); err != nil {
		return session.Issued{}, err
	}
	if l.Attributes, err = l.Attributes.Canonical(); err != nil {
		return session.Issued{}, err
	}
	if l.Sealed, err = l.Sealed.Canonical(); err != nil {
		return session.Issued{}, err
	}
	roles, err := s.admit(c, &l)
	if err != nil {
		return session.Issued{}, err
	}
	request := fmt.Sprintf("%s %s %s %v %v %v", l.User, l.Policy, l.UserAgent, l.Attributes, l.Permanent, l.IdleTimeout != nil)
	if first := s.repeated[l.IdempotencyKey]; l.IdempotencyKey != "" && first != nil && !first.ended {
		return s.again(first, request)
	}
	if old := s.replaced(c, l); old != nil {
		if old.User == l.User {
			carried := maps.Clone(old.attributes)
			maps.Copy(carried, l.Attributes)
			l.Attributes = carried
		}
		s.end(old)
	}
	key, h := s.create(l, roles)
	if h.request = request; l.IdempotencyKey != "" {
		s.repeated[l.IdempotencyKey] = h
	}
	return session.Issued{Key: key, Session: h.Session, Attributes: h.attributes, Sealed: h.sealed, Meta: s.written()}, nil
}

// replaced finds the session in whose place a log-in comes.
func (s *Service) replaced(c session.Call, l session.Login) *held {
	if c.Subject != nil {
		return s.byKey(c.Subject.Key)
	}
	if old := s.byKey(c.Key); !l.Vouched && old != nil && (old.User == l.User || !old.has(session.RoleService, session.RoleAdmin)) {
		return old
	}
	return nil
}

// again answers a repeated log-in: the session made first, with a new key.
func (s *Service) again(h *held, request string) (session.Issued, error) {
	if h.request != request {
		return session.Issued{}, session.Errorf(session.CodeIdempotencyMismatch, "used for another request")
	}
	key, err := s.rekey(h, s.keyFormat(h.Policy))
	if err != nil {
		return session.Issued{}, err
	}
	return session.Issued{Key: key, Session: h.Session, Attributes: h.attributes, Sealed: h.sealed, Meta: s.written()}, nil
}

// admit judges a log-in and fills in its policy and address.
func (s *Service) admit(c session.Call, l *session.Login) ([]session.Role, error) {
	if l.Policy == "" {
		l.Policy = session.DefaultPolicyName
	}
	if err := session.ValidatePolicyName(l.Policy); err != nil {
		return nil, err
	}
	if _, known := s.policies[l.Policy]; !known {
		return nil, &session.Error{Code: session.CodeForbidden, Field: "policy", Message: "not this policy"}
	}
	if l.Permanent && !s.policies[l.Policy].PermanentAllowed {
		return nil, &session.Error{Code: session.CodeForbidden, Field: "permanent", Message: "not under this policy"}
	}
	if l.IdleTimeout != nil {
		if err := session.ValidateOwnIdleTimeout(*l.IdleTimeout); err != nil {
			return nil, err
		}
	}
	if l.Vouched {
		_, err := s.caller(c, session.RoleService, session.RoleAdmin)
		return []session.Role{session.RoleUser}, err
	}
	if c.Subject != nil {
		if own, err := s.caller(c); err != nil || !own.has(session.RoleService, session.RoleAdmin) {
			return nil, session.Invalid("Hydrastore-Session", "takes role service or admin")
		}
	}
	if l.ClientAddress.IsValid() || l.UserAgent != "" {
		return nil, session.Invalid("client_ip", "takes role service or admin")
	}
	u := s.users[l.User]
	if !u.proves(l.Password, l.Digest) {
		return nil, session.ErrWrongCredentials()
	}
	l.ClientAddress, l.UserAgent = c.Address, c.UserAgent
	return u.Roles, nil
}

func (s *Service) checked(h *held, c session.Call) session.Checked {
	key := c.Key
	if c.Subject != nil {
		key = c.Subject.Key
	}
	_, rotate := h.retired[key.Hash()]
	return session.Checked{Session: h.Session, Roles: h.roles, Rotate: rotate, Attributes: maps.Clone(h.attributes), Sealed: s.sealedFor(h, c), At: s.now, Meta: s.meta(c)}
}

// Check implements session.Sessions.
func (s *Service) Check(ctx context.Context, c session.Call, look bool) (session.Checked, error) {
	leave, err := s.enter(ctx, "Check", c)
	if err != nil {
		return session.Checked{}, err
	}
	defer leave()
	h, err := s.called(c)
	if err != nil {
		return session.Checked{}, err
	}
	if c.MaxAuthAge > 0 && s.now.Sub(h.AuthTime) > c.MaxAuthAge {
		return session.Checked{}, session.Errorf(session.CodeReauthenticate, "too long ago")
	}
	if !look && c.Consistency != session.Local && c.MinIndex == "" {
		h.uses++
	}
	return s.checked(h, c), nil
}

// Touch implements session.Sessions.
func (s *Service) Touch(ctx context.Context, c session.Call) (session.Checked, error) {
	leave, err := s.enter(ctx, "Touch", c)
	if err != nil {
		return session.Checked{}, err
	}
	defer leave()
	h, err := s.called(c)
	if err != nil {
		return session.Checked{}, err
	}
	h.uses++
	return s.checked(h, c), nil
}

// Rotate implements session.Sessions.
func (s *Service) Rotate(ctx context.Context, c session.Call) (session.Issued, error) {
	leave, err := s.enter(ctx, "Rotate", c)
	if err != nil {
		return session.Issued{}, err
	}
	defer leave()
	h, err := s.called(c)
	if err != nil {
		return session.Issued{}, err
	}
	old := c.Key
	if c.Subject != nil {
		old = c.Subject.Key
	}
	key, earlier := h.retired[old.Hash()]
	if !earlier {
		if key, err = s.rekey(h, old.Format()); err != nil {
			return session.Issued{}, err
		}
		if h.retired == nil {
			h.retired = map[session.KeyHash]session.Key{}
		}
		h.retired[old.Hash()] = key
	}
	return session.Issued{Key: key, Session: h.Session, Attributes: maps.Clone(h.attributes), Sealed: maps.Clone(h.sealed), Meta: s.written()}, nil
}

// rekey draws a session's next key. The one before opens nothing any more.
func (s *Service) rekey(h *held, format session.KeyFormat) (session.Key, error) {
	key, err := session.NewKeyFor(h.User, format, rand.Reader)
	if err != nil {
		return key, err
	}
	delete(s.sessions, h.hash)
	h.hash = key.Hash()
	s.sessions[h.hash] = h
	return key.WithNumber(h.Number), nil
}

// Reauthenticate implements session.Sessions.
func (s *Service) Reauthenticate(ctx context.Context, c session.Call, p session.Proof) (session.Issued, error) {
	leave, err := s.enter(ctx, "Reauthenticate", c)
	if err != nil {
		return session.Issued{}, err
	}
	defer leave()
	h, err := s.called(c)
	if err != nil {
		return session.Issued{}, err
	}
	u := s.users[h.User]
	switch {
	case p.Vouched && c.Subject == nil:
		return session.Issued{}, session.Invalid("password", "is needed")
	case !p.Vouched && (u == nil || u.password != p.Password):
		return session.Issued{}, session.ErrWrongCredentials()
	}
	old := c.Key
	if c.Subject != nil {
		old = c.Subject.Key
	}
	key, err := s.rekey(h, old.Format())
	h.AuthTime, h.retired = s.now, nil
	return session.Issued{Key: key, Session: h.Session, Attributes: maps.Clone(h.attributes), Sealed: maps.Clone(h.sealed), Meta: s.written()}, err
}

// sealedFor gives the sealed attributes to the session's own bearer and to services.
func (s *Service) sealedFor(h *held, c session.Call) session.Attributes {
	presented := c.Key
	if c.Subject != nil {
		presented = c.Subject.Key
	}
	if presented.Hash() != h.hash {
		return nil
	}
	if c.Subject != nil {
		if by, err := s.caller(c); err != nil || !by.has(session.RoleService) {
			return nil
		}
	}
	return maps.Clone(h.sealed)
}

// PatchAttributes implements session.Sessions.
func (s *Service) PatchAttributes(ctx context.Context, c session.Call, p session.AttributePatch, ifMatch *uint64) (session.Checked, error) {
	return s.patch(ctx, "PatchAttributes", c, p, ifMatch)
}

// SealAttributes implements session.Sessions.
func (s *Service) SealAttributes(ctx context.Context, c session.Call, p session.AttributePatch, ifMatch *uint64) (session.Checked, error) {
	return s.patch(ctx, "SealAttributes", c, p, ifMatch)
}

func (s *Service) patch(ctx context.Context, method string, c session.Call, p session.AttributePatch, ifMatch *uint64) (session.Checked, error) {
	leave, err := s.enter(ctx, method, c)
	if err != nil {
		return session.Checked{}, err
	}
	defer leave()
	h, err := s.called(c)
	if err != nil {
		return session.Checked{}, err
	}
	if p, err = p.Canonical(); err != nil {
		return session.Checked{}, err
	}
	if ifMatch != nil && *ifMatch != h.AttributesVersion {
		return session.Checked{}, session.Errorf(session.CodeVersionMismatch, "another version")
	}
	plain, sealed := session.Attributes{}, session.Attributes{}
	maps.Copy(plain, h.attributes)
	maps.Copy(sealed, h.sealed)
	to := plain
	if method == "SealAttributes" {
		to = sealed
	}
	for name, value := range p {
		delete(plain, name)
		delete(sealed, name)
		if !session.IsDeletion(value) {
			to[name] = value
		}
	}
	s.index++
	h.attributes, h.sealed, h.AttributesVersion = plain, sealed, s.index
	return s.checked(h, c), nil
}

// Alter implements session.Sessions.
func (s *Service) Alter(ctx context.Context, c session.Call, a session.Alteration) (session.Checked, error) {
	leave, err := s.enter(ctx, "Alter", c)
	if err != nil {
		return session.Checked{}, err
	}
	defer leave()
	h, err := s.called(c)
	if err != nil {
		return session.Checked{}, err
	}
	patch, err := a.Reserved.Canonical()
	if err != nil {
		return session.Checked{}, err
	}
	if a.IdleTimeout != nil {
		if h.Permanent {
			return session.Checked{}, session.Errorf(session.CodeConflict, "permanent")
		}
		if err := session.ValidateOwnIdleTimeout(*a.IdleTimeout); err != nil {
			return session.Checked{}, err
		}
		h.IdleTimeout = *a.IdleTimeout
	}
	h.Reserved = patched(h.Reserved, patch)
	h.uses++
	s.index++
	return s.checked(h, c), nil
}

func patched(before session.Attributes, p session.AttributePatch) session.Attributes {
	after := session.Attributes{}
	maps.Copy(after, before)
	for name, value := range p {
		if after[name] = value; session.IsDeletion(value) {
			delete(after, name)
		}
	}
	return after
}

// Preferences implements session.Sessions.
func (s *Service) Preferences(ctx context.Context, c session.Call) (session.Preferences, error) {
	leave, err := s.enter(ctx, "Preferences", c)
	if err != nil {
		return session.Preferences{}, err
	}
	defer leave()
	h, err := s.called(c)
	if err != nil {
		return session.Preferences{}, err
	}
	h.uses++
	p := session.Preferences{Values: session.Attributes{}, Meta: s.meta(c)}
	if u := s.users[h.User]; u != nil {
		maps.Copy(p.Values, u.preferences)
	}
	return p, nil
}

// PatchPreferences implements session.Sessions.
func (s *Service) PatchPreferences(ctx context.Context, c session.Call, p session.AttributePatch) (session.Checked, error) {
	leave, err := s.enter(ctx, "PatchPreferences", c)
	if err != nil {
		return session.Checked{}, err
	}
	defer leave()
	h, err := s.called(c)
	if err != nil {
		return session.Checked{}, err
	}
	if p, err = p.Canonical(); err != nil {
		return session.Checked{}, err
	}
	if u := s.users[h.User]; u != nil {
		u.preferences = patched(u.preferences, p)
	}
	h.uses++
	s.index++
	return s.checked(h, c), nil
}

// Logout implements session.Sessions.
func (s *Service) Logout(ctx context.Context, c session.Call) (session.Meta, error) {
	leave, err := s.enter(ctx, "Logout", c)
	if err != nil {
		return session.Meta{}, err
	}
	defer leave()
	key := c.Key
	if c.Subject != nil {
		if _, err := s.caller(c, session.RoleService, session.RoleAdmin); err != nil {
			return session.Meta{}, err
		}
		key = c.Subject.Key
	}
	if key.IsZero() {
		return session.Meta{}, session.ErrUnauthenticated()
	}
	if h := s.byKey(key); h != nil {
		s.end(h)
	}
	return s.written(), nil
}

// ListSessions implements session.Sessions. A cursor is the number of sessions passed.
func (s *Service) ListSessions(ctx context.Context, c session.Call, f session.Filter, p session.Page) (session.SessionList, error) {
	leave, err := s.enter(ctx, "ListSessions", c)
	if err != nil {
		return session.SessionList{}, err
	}
	defer leave()
	if err := s.mayList(c, f); err != nil {
		return session.SessionList{}, err
	}
	from := 0
	if p.Cursor != "" {
		if from, err = strconv.Atoi(p.Cursor); err != nil {
			return session.SessionList{}, session.Invalid("cursor", "is not one of this list")
		}
	}
	if p.Limit == 0 {
		p.Limit = session.DefaultPageSize
	}
	list := session.SessionList{Meta: s.meta(c)}
	for at := from; at < len(s.order); at++ {
		if !s.selects(f, s.order[at]) {
			continue
		}
		if len(list.Items) == p.Limit {
			list.NextCursor = strconv.Itoa(at)
			break
		}
		list.Items = append(list.Items, s.order[at].Session)
	}
	return list, nil
}

func (s *Service) mayList(c session.Call, f session.Filter) error {
	own, err := s.caller(c)
	if err == nil && !own.has(session.RoleAdmin) && f.User != own.User {
		return session.Errorf(session.CodeForbidden, "only admins see the sessions of others")
	}
	return err
}

func (s *Service) selects(f session.Filter, h *held) bool {
	return !h.ended && f.Permanent == h.Permanent && (f.User == "" || f.User == h.User) && (f.Policy == "" || f.Policy == h.Policy) &&
		(!f.ClientAddress.IsValid() || f.ClientAddress == h.ClientAddress) && (f.IdleLongerThan == 0 || s.now.Sub(h.LastUsedAt) > f.IdleLongerThan)
}

// RevokeSessions implements session.Sessions.
func (s *Service) RevokeSessions(ctx context.Context, c session.Call, f session.Filter) (session.Revoked, error) {
	leave, err := s.enter(ctx, "RevokeSessions", c)
	if err != nil {
		return session.Revoked{}, err
	}
	defer leave()
	if err := s.mayList(c, f); err != nil {
		return session.Revoked{}, err
	}
	return session.Revoked{Count: s.endAll(func(h *held) bool { return s.selects(f, h) }), Meta: s.written()}, nil
}

func (s *Service) endAll(selected func(*held) bool) (count int) {
	for _, h := range s.order {
		if !h.ended && selected(h) {
			s.end(h)
			count++
		}
	}
	return count
}

// GetSession implements session.Sessions.
func (s *Service) GetSession(ctx context.Context, c session.Call, id session.ID) (session.Checked, error) {
	leave, err := s.enter(ctx, "GetSession", c)
	if err != nil {
		return session.Checked{}, err
	}
	defer leave()
	h, err := s.byID(c, id)
	if err != nil {
		return session.Checked{}, err
	}
	return s.checked(h, c), nil
}

// RevokeSession implements session.Sessions.
func (s *Service) RevokeSession(ctx context.Context, c session.Call, id session.ID) (session.Meta, error) {
	leave, err := s.enter(ctx, "RevokeSession", c)
	if err != nil {
		return session.Meta{}, err
	}
	defer leave()
	h, err := s.byID(c, id)
	if err != nil {
		return session.Meta{}, err
	}
	s.end(h)
	return s.written(), nil
}

func (s *Service) byID(c session.Call, id session.ID) (*held, error) {
	own, err := s.caller(c)
	if err != nil {
		return nil, err
	}
	for _, h := range s.order {
		if h.ID == id && !h.ended && (h.User == own.User || own.has(session.RoleAdmin)) {
			return h, nil
		}
	}
	return nil, session.Errorf(session.CodeNotFound, "there is no such session")
}

// RevokeUserSessions implements session.Sessions.
func (s *Service) RevokeUserSessions(ctx context.Context, c session.Call, name string, which session.UserSessions) (session.Revoked, error) {
	leave, err := s.enter(ctx, "RevokeUserSessions", c)
	if err != nil {
		return session.Revoked{}, err
	}
	defer leave()
	if err := s.mayList(c, session.Filter{User: name}); err != nil {
		return session.Revoked{}, err
	}
	count := s.endAll(func(h *held) bool {
		return h.User == name && h.Permanent == which.Permanent && !(which.ExceptCurrent && h.hash == c.Key.Hash())
	})
	return session.Revoked{Count: count, Meta: s.written()}, nil
}
