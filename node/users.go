package node

import (
	"context"
	"encoding/base64"
	"slices"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// CreateUser implements session.Users.
func (n *Node) CreateUser(ctx context.Context, c session.Call, u session.NewUser) (session.UserResult, error) {
	ctx, cancel := n.limit(ctx)
	defer cancel()
	put := &fsmpb.PutUser{Mode: fsmpb.PutUser_MODE_CREATE, Disabled: &u.Disabled}
	change := session.UserChange{Roles: &u.Roles, Policies: &u.Policies, MD5Login: &u.MD5Login}
	if u.Password != "" {
		change.Password = &u.Password
	}
	return n.putUser(ctx, c, u.Name, change, put)
}

// UpdateUser implements session.Users.
func (n *Node) UpdateUser(ctx context.Context, c session.Call, name string, ch session.UserChange) (session.UserResult, error) {
	ctx, cancel := n.limit(ctx)
	defer cancel()
	put := &fsmpb.PutUser{Mode: fsmpb.PutUser_MODE_UPDATE, Disabled: ch.Disabled, ExpectedVersion: ch.IfMatch, EndPermanent: ch.EndPermanent}
	return n.putUser(ctx, c, name, ch, put)
}

// putUser validates a change, hashes the password, and writes.
func (n *Node) putUser(ctx context.Context, c session.Call, name string, ch session.UserChange, put *fsmpb.PutUser) (session.UserResult, error) {
	folded, err := session.FoldUserName(name)
	if err != nil {
		return session.UserResult{}, err
	}
	put.Name = folded
	if err := fillUser(ch, put); err != nil {
		return session.UserResult{}, err
	}
	p, err := n.mayChangeUser(ctx, c, ch, put)
	if err != nil {
		return session.UserResult{}, err
	}
	put.Authority = p.authority(true, fsmpb.Role_ROLE_ADMIN)
	if err := n.fillVerifier(ch, put); err != nil {
		return session.UserResult{}, err
	}
	if ch.Password != nil {
		hash, err := n.hasher.Hash(ctx, *ch.Password)
		if err != nil {
			return session.UserResult{}, asError("hash password", err)
		}
		put.PasswordHash = &hash
		if p.record.User == folded {
			put.ExceptId = slices.Clone(p.record.ID[:])
		}
	}
	index, err := n.writeUser(ctx, &fsmpb.Command{Kind: &fsmpb.Command_PutUser{PutUser: put}})
	if ch.IfMatch == nil && session.CodeOf(err) == session.CodeVersionMismatch {
		err = session.ErrUserChanged()
	}
	if err != nil {
		return session.UserResult{}, err
	}
	return n.userAfter(ctx, folded, index)
}

// fillUser translates the parts of a change that need no work.
func fillUser(ch session.UserChange, put *fsmpb.PutUser) error {
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
		put.Roles = rolesTo(roles)
	}
	if ch.Policies != nil {
		policies, err := session.NormalPolicyNames(*ch.Policies)
		if err != nil {
			return err
		}
		put.Policies = &fsmpb.NameList{Names: policies}
	}
	return nil
}

// userAfter shows the user as it stands after an own write at index.
func (n *Node) userAfter(ctx context.Context, name string, index uint64) (session.UserResult, error) {
	if err := n.cluster.WaitApplied(ctx, index); err != nil {
		return session.UserResult{}, errOutcomeUnknown() // written, but what it looks like now is not known
	}
	record, ok := n.account(name)
	if !ok {
		return session.UserResult{}, session.ErrNoSuchUser()
	}
	return session.UserResult{User: record.User, Meta: n.writeMeta(index)}, nil
}

// account finds a stored user; the zero record when there is none.
func (n *Node) account(name string) (fsm.UserRecord, bool) {
	record, ok := n.fsm.User(name)
	if !ok || record.Shell {
		return fsm.UserRecord{}, false
	}
	return record, true
}

// GetUser implements session.Users.
func (n *Node) GetUser(ctx context.Context, c session.Call, name string) (session.UserResult, error) {
	ctx, cancel := n.limit(ctx)
	defer cancel()
	folded, err := session.FoldUserName(name)
	if err != nil {
		return session.UserResult{}, err
	}
	p, err := n.authenticateAs(ctx, c, session.RoleAdmin)
	if err != nil {
		return session.UserResult{}, err
	}
	record, ok := n.account(folded)
	if !ok {
		return session.UserResult{}, session.ErrNoSuchUser()
	}
	return session.UserResult{User: record.User, Meta: n.writeMeta(p.point.index)}, nil
}

// ListUsers implements session.Users.
func (n *Node) ListUsers(ctx context.Context, c session.Call, p session.Page) (session.UserList, error) {
	ctx, cancel := n.limit(ctx)
	defer cancel()
	limit, err := p.Size()
	if err != nil {
		return session.UserList{}, err
	}
	after, err := base64.RawURLEncoding.DecodeString(p.Cursor)
	if err != nil || len(after) > session.MaxUserNameBytes {
		return session.UserList{}, session.ErrCursor()
	}
	caller, err := n.authenticateAs(ctx, c, session.RoleAdmin)
	if err != nil {
		return session.UserList{}, err
	}
	records := n.fsm.ListUsers(string(after), limit+1)
	list := session.UserList{Meta: n.writeMeta(caller.point.index)}
	if len(records) > limit {
		records = records[:limit]
		list.NextCursor = base64.RawURLEncoding.EncodeToString([]byte(records[limit-1].Name))
	}
	for _, r := range records {
		list.Items = append(list.Items, r.User)
	}
	return list, nil
}

// DeleteUser implements session.Users.
func (n *Node) DeleteUser(ctx context.Context, c session.Call, name string) (session.Meta, error) {
	ctx, cancel := n.limit(ctx)
	defer cancel()
	folded, err := session.FoldUserName(name)
	if err != nil {
		return session.Meta{}, err
	}
	p, err := n.authenticateAs(ctx, c, session.RoleAdmin)
	if err != nil {
		return session.Meta{}, err
	}
	index, err := n.writeUser(ctx, &fsmpb.Command{Kind: &fsmpb.Command_DeleteUser{DeleteUser: &fsmpb.DeleteUser{
		Name: folded, Authority: p.authority(false, fsmpb.Role_ROLE_ADMIN),
	}}})
	if err != nil {
		return session.Meta{}, err
	}
	return n.writeMeta(index), nil
}

// writeUser writes a change of a user.
func (n *Node) writeUser(ctx context.Context, command *fsmpb.Command) (index uint64, err error) {
	result, index, err := n.outbox.submit(ctx, command)
	switch {
	case err != nil:
		return 0, err
	case result.Code == fsmpb.Code_CODE_CONFLICT && result.Field == "last_admin":
		return 0, session.ErrLastAdmin()
	}
	return index, resultError(result, "change this user")
}
