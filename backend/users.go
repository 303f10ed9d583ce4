package backend

import (
	"context"
	"encoding/base64"
	"slices"

	"github.com/hydrastore/hydrastore/session"
)

// accountChange is a change of an account whose parts have been judged; nil fields stay.
type accountChange struct {
	create       bool
	hash         *string
	roles        *[]session.Role
	policies     *[]string
	disabled     *bool
	ifVersion    *uint64
	except       session.ID // the session that another password spares
	endPermanent bool
	md5          *bool
	password     string // new, whose MD5 is kept if the user may log in by it; "" = stays
}

// CreateUser implements session.Users.
func (s *Service) CreateUser(ctx context.Context, c session.Call, u session.NewUser) (session.UserResult, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	change := session.UserChange{Roles: &u.Roles, Policies: &u.Policies, Disabled: &u.Disabled, MD5Login: &u.MD5Login}
	if u.Password != "" {
		change.Password = &u.Password
	}
	return s.putUser(ctx, c, u.Name, change, &accountChange{create: true})
}

// UpdateUser implements session.Users.
func (s *Service) UpdateUser(ctx context.Context, c session.Call, name string, ch session.UserChange) (session.UserResult, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	return s.putUser(ctx, c, name, ch, &accountChange{ifVersion: ch.IfMatch, endPermanent: ch.EndPermanent})
}

// putUser validates a change, hashes the password, and writes.
func (s *Service) putUser(ctx context.Context, c session.Call, name string, ch session.UserChange, put *accountChange) (session.UserResult, error) {
	folded, err := session.FoldUserName(name)
	if err != nil {
		return session.UserResult{}, err
	}
	if err := put.fill(ch); err != nil {
		return session.UserResult{}, err
	}
	p, err := s.mayChangeUser(ctx, c, folded, ch, put)
	if err != nil {
		return session.UserResult{}, err
	}
	if put.md5 = ch.MD5Login; put.md5 != nil && *put.md5 {
		if _, _, err := s.seals.presentKey(); err != nil {
			return session.UserResult{}, session.ErrNoMD5Login()
		}
	}
	if ch.Password != nil {
		hash, err := s.hasher.Hash(ctx, *ch.Password)
		if err != nil {
			return session.UserResult{}, asError("hash password", err)
		}
		put.hash, put.password = &hash, *ch.Password
		if p.user == folded && p.found != nil {
			put.except = p.found.id
		}
	}
	result, err := s.writeUser(ctx, folded, put)
	if ch.IfMatch == nil && session.CodeOf(err) == session.CodeVersionMismatch {
		err = session.ErrUserChanged()
	}
	return result, err
}

// fill translates the parts of a change that need no work.
func (put *accountChange) fill(ch session.UserChange) error {
	put.disabled = ch.Disabled
	if ch.Password != nil {
		if err := session.ValidatePassword(*ch.Password); err != nil {
			return err
		}
	}
	if ch.Roles != nil {
		roles, err := session.NormalRoles(*ch.Roles)
		if err != nil {
			return err
		}
		put.roles = &roles
	}
	if ch.Policies != nil {
		policies, err := session.NormalPolicyNames(*ch.Policies)
		if err != nil {
			return err
		}
		put.policies = &policies
	}
	return nil
}

// mayChangeUser authenticates the one who makes a change of a user: an admin, or the user itself for its own password. For the own
// password the present one must be given, whoever asks: whoever found an open session must not make it theirs for good.
func (s *Service) mayChangeUser(ctx context.Context, c session.Call, name string, ch session.UserChange, put *accountChange) (*principal, error) {
	c.Consistency, c.MinIndex, c.Subject = session.Linearizable, "", nil
	p, _, err := s.authenticate(ctx, c)
	if err != nil {
		return nil, err
	}
	own := p.user == name && !put.create
	onlyPassword := ch.Password != nil && ch.Roles == nil && ch.Policies == nil && ch.Disabled == nil && ch.MD5Login == nil
	if !p.has(session.RoleAdmin) && !(own && onlyPassword) {
		return nil, session.ErrNeedsRole(session.RoleAdmin)
	}
	if ch.CurrentPassword != nil && !(own && ch.Password != nil) {
		return nil, session.Invalid("current_password", "is taken together with a new password of the session's own user only")
	}
	if err := s.useCaller(ctx, p); err != nil {
		return nil, err
	}
	if !own || ch.Password == nil {
		return p, nil
	}
	return p, s.provePassword(ctx, c, name, ch, put)
}

// provePassword checks the present password, as a log-in would: guesses are counted. It binds the change to the account that it was checked
// against.
func (s *Service) provePassword(ctx context.Context, c session.Call, name string, ch session.UserChange, put *accountChange) error {
	if ch.CurrentPassword == nil {
		return session.Invalid("current_password", "the present password is needed to change one's own")
	}
	if len(*ch.CurrentPassword) > session.MaxPasswordBytes {
		return session.TooLarge("current_password", "a password has at most %d bytes", session.MaxPasswordBytes)
	}
	u, err := s.readUser(ctx, name)
	if err != nil {
		return err
	}
	if u.user.Account == nil || u.user.Account.PasswordHash == "" {
		return &session.Error{Code: session.CodeForbidden, Field: "password", Message: "this user has no password here: change it where it is kept, or ask an admin for one"}
	}
	checked, err := s.checkPassword(ctx, passwordCheck{user: name, password: *ch.CurrentPassword, address: c.Address})
	if session.CodeOf(err) == session.CodeUnauthenticated {
		return &session.Error{Code: session.CodeForbidden, Field: "current_password", Message: "the present password is not right"}
	}
	if err != nil {
		return err
	}
	s.giveBack(ctx, checked.attempt)
	if put.ifVersion == nil {
		put.ifVersion = &checked.version
	}
	return nil
}

// writeUser writes the account, and ends the sessions that were won with what is no longer true, in one write. The list of admins is shortened
// before it and lengthened after it (admins.go).
func (s *Service) writeUser(ctx context.Context, name string, put *accountChange) (session.UserResult, error) {
	var gone []session.ID
	var after *userChange
	resigned := false
	err := s.changeUser(ctx, name, func(u *userChange) error {
		if err := put.judge(u, name); err != nil {
			return err
		}
		if u.user.isAdmin() && put.endsAdmin() {
			resigned = true
			if err := s.resign(ctx, name); err != nil {
				return err
			}
		}
		gone, after = put.apply(u), u
		s.applyVerifier(name, put, u.user.Account)
		return nil
	})
	if resigned && err != nil {
		s.enlistAdmin(ctx, name) // it may still be one
	}
	if err != nil {
		return session.UserResult{}, err
	}
	s.tidyIDs(gone)
	s.figures.ended("user", len(gone))
	if put.hash != nil {
		if err := s.renewSpared(ctx, after.user.Sessions); err != nil {
			return session.UserResult{}, err
		}
	}
	if after.user.isAdmin() {
		s.enlistAdmin(ctx, name)
	}
	shown, err := s.shownUser(ctx, name, after)
	return session.UserResult{User: shown, Meta: s.meta()}, err
}

func (put *accountChange) endsAdmin() bool {
	return put.disabled != nil && *put.disabled || put.roles != nil && !slices.Contains(*put.roles, session.RoleAdmin)
}

// makesAdmin tells whether the user is an admin afterwards. stored is nil when there is no account yet.
func (put *accountChange) makesAdmin(stored *account) bool {
	after := account{}
	if stored != nil {
		after = *stored
	}
	if put.roles != nil {
		after.Roles = *put.roles
	}
	if put.disabled != nil {
		after.Disabled = *put.disabled
	}
	return (&userRecord{Account: &after}).isAdmin()
}

// judge tells what stands against the change.
func (put *accountChange) judge(u *userChange, name string) error {
	stored := u.user.Account
	switch {
	case put.create && stored != nil:
		return &session.Error{Code: session.CodeExists, Field: "user", Message: "it exists already"}
	case !put.create && stored == nil:
		return &session.Error{Code: session.CodeNotFound, Field: "user", Message: "it does not exist, or not any more"}
	case put.ifVersion != nil && *put.ifVersion != stored.Version:
		return session.ErrVersion("user")
	case put.makesAdmin(stored) && len(u.cluster.Admins) >= MaxAdmins && !slices.Contains(u.cluster.Admins, name):
		return session.TooLarge("roles", "outside of a cluster there are at most %d admins", MaxAdmins)
	case put.policies == nil:
		return nil
	}
	for _, name := range *put.policies {
		if u.cluster.policy(name) == nil {
			return &session.Error{Code: session.CodeNotFound, Field: "policies", Message: "it does not exist, or not any more"}
		}
	}
	return nil
}

// apply changes the record. A permanent session is no proof of a password, and survives another one unless that is asked for.
func (put *accountChange) apply(u *userChange) (gone []session.ID) {
	a := u.user.Account
	if a == nil {
		a = &account{CreatedMS: u.nowMS}
		u.user.Account = a
	}
	killOthers := false
	if put.roles != nil {
		a.Roles = *put.roles // its sessions lose at once what it loses, and gain by rotation only
	}
	if put.hash != nil {
		killOthers, a.PasswordHash = true, *put.hash
	}
	if put.policies != nil {
		a.Policies = *put.policies
	}
	if put.disabled != nil {
		a.Disabled = *put.disabled
	}
	a.Version = nextVersion(u.user.Version, u.nowMS)
	u.user.Version = a.Version
	for _, l := range u.user.Sessions {
		if put.disabled != nil && *put.disabled || killOthers && l.ID != put.except && (!l.Permanent || put.endPermanent) {
			gone = append(gone, l.ID)
		}
	}
	u.user.drop(gone...)
	return gone
}

// shownUser gives the public form of an account.
func (s *Service) shownUser(ctx context.Context, name string, u *userChange) (session.User, error) {
	a := u.user.Account
	all, err := s.readListed(ctx, u, func(listed) bool { return true })
	if err != nil {
		return session.User{}, err
	}
	out := session.User{
		Name: name, Roles: slices.Clone(a.Roles), Policies: slices.Clone(a.Policies), Disabled: a.Disabled, HasPassword: a.PasswordHash != "", MD5Login: a.MD5Login,
		CreatedAt: instant(a.CreatedMS), Version: a.Version,
	}
	for _, f := range all {
		if f.lives() {
			out.Sessions++
		}
	}
	return out, nil
}

// GetUser implements session.Users.
func (s *Service) GetUser(ctx context.Context, c session.Call, name string) (session.UserResult, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	folded, err := session.FoldUserName(name)
	if err != nil {
		return session.UserResult{}, err
	}
	if _, err := s.authenticateAs(ctx, c, session.RoleAdmin); err != nil {
		return session.UserResult{}, err
	}
	u, err := s.readUser(ctx, folded)
	if err != nil {
		return session.UserResult{}, err
	}
	if u.user.Account == nil {
		return session.UserResult{}, session.ErrNoSuchUser()
	}
	shown, err := s.shownUser(ctx, folded, u)
	return session.UserResult{User: shown, Meta: s.meta()}, err
}

// ListUsers implements session.Users. In a store that is not Ordered the order is the store's.
func (s *Service) ListUsers(ctx context.Context, c session.Call, p session.Page) (session.UserList, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	limit, err := p.Size()
	if err != nil {
		return session.UserList{}, err
	}
	place, err := base64.RawURLEncoding.DecodeString(p.Cursor)
	if err != nil {
		return session.UserList{}, session.ErrCursor()
	}
	caller, err := s.authenticateAs(ctx, c, session.RoleAdmin)
	if err != nil {
		return session.UserList{}, err
	}
	list := session.UserList{Meta: s.meta()}
	next := string(place)
	for range scanPages {
		page, err := s.store.Scan(ctx, KindUser, next, limit-len(list.Items))
		if err != nil {
			return session.UserList{}, asError("list users", err)
		}
		if err := s.appendUsers(ctx, caller.cluster, page, &list); err != nil {
			return session.UserList{}, err
		}
		if next = page.Next; next == "" || len(list.Items) == limit {
			break
		}
	}
	list.NextCursor = base64.RawURLEncoding.EncodeToString([]byte(next))
	return list, nil
}

func (s *Service) appendUsers(ctx context.Context, cluster *clusterRecord, page Page, list *session.UserList) error {
	for _, r := range page.Records {
		u := &userChange{nowMS: page.Now.UnixMilli(), cluster: cluster, user: &userRecord{}}
		if err := decode(r.Value, u.user); err != nil {
			return internalError("read a user", err)
		}
		if u.user.Account == nil {
			continue
		}
		shown, err := s.shownUser(ctx, r.ID, u)
		if err != nil {
			return err
		}
		list.Items = append(list.Items, shown)
	}
	return nil
}

// DeleteUser implements session.Users.
func (s *Service) DeleteUser(ctx context.Context, c session.Call, name string) (session.Meta, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	folded, err := session.FoldUserName(name)
	if err != nil {
		return session.Meta{}, err
	}
	if _, err := s.authenticateAs(ctx, c, session.RoleAdmin); err != nil {
		return session.Meta{}, err
	}
	var gone []session.ID
	resigned := false
	err = s.changeUser(ctx, folded, func(u *userChange) error {
		if u.user.Account == nil {
			return session.ErrNoSuchUser()
		}
		if u.user.isAdmin() {
			resigned = true
			if err := s.resign(ctx, folded); err != nil {
				return err
			}
		}
		gone = nil
		for _, l := range u.user.Sessions {
			gone = append(gone, l.ID)
		}
		u.user.Account, u.user.Sessions, u.user.Preferences = nil, nil, nil // the numbers go on
		return nil
	})
	if resigned && err != nil {
		s.enlistAdmin(ctx, folded)
	}
	if err != nil {
		return session.Meta{}, err
	}
	s.figures.ended("user", len(gone))
	s.tidyIDs(gone)
	return s.meta(), nil
}
