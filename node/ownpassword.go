package node

import (
	"context"

	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// mayChangeUser authenticates the one who makes a change of a user: an admin, or the user itself for its own password. For the own
// password the present one must be given, whoever asks: whoever found an open session must not make it theirs for good.
func (n *Node) mayChangeUser(ctx context.Context, c session.Call, ch session.UserChange, put *fsmpb.PutUser) (*principal, error) {
	c.Consistency, c.MinIndex = session.Linearizable, ""
	p, err := n.authenticate(ctx, c)
	if err != nil {
		return nil, err
	}
	own := !c.Operator && p.record.User == put.Name && put.Mode == fsmpb.PutUser_MODE_UPDATE
	onlyPassword := ch.Password != nil && put.Roles == nil && put.Policies == nil && put.Disabled == nil && ch.MD5Login == nil
	if !p.has(session.RoleAdmin) && !(own && onlyPassword) {
		return nil, session.ErrNeedsRole(session.RoleAdmin)
	}
	if ch.CurrentPassword != nil && !(own && ch.Password != nil) {
		return nil, session.Invalid("current_password", "is taken together with a new password of the session's own user only")
	}
	if err := n.useCaller(ctx, p); err != nil {
		return nil, err
	}
	if !own || ch.Password == nil {
		return p, nil
	}
	return p, n.provePassword(ctx, c, ch, put)
}

// provePassword checks the present password, as a log-in would: guesses are counted. It binds the change to the record that it was checked
// against.
func (n *Node) provePassword(ctx context.Context, c session.Call, ch session.UserChange, put *fsmpb.PutUser) error {
	if ch.CurrentPassword == nil {
		return session.Invalid("current_password", "the present password is needed to change one's own")
	}
	if len(*ch.CurrentPassword) > session.MaxPasswordBytes {
		return session.TooLarge("current_password", "a password has at most %d bytes", session.MaxPasswordBytes)
	}
	user, _ := n.account(put.Name)
	if !user.HasPassword {
		return &session.Error{Code: session.CodeForbidden, Field: "password", Message: "this user has no password here: change it where it is kept, or ask an admin for one"}
	}
	checked, err := n.checkPassword(ctx, passwordCheck{user: put.Name, password: *ch.CurrentPassword, address: c.Address})
	if session.CodeOf(err) == session.CodeUnauthenticated {
		return &session.Error{Code: session.CodeForbidden, Field: "current_password", Message: "the present password is not right"}
	}
	if err != nil {
		return err
	}
	n.giveBack(ctx, checked.attempt)
	if put.ExpectedVersion == nil {
		put.ExpectedVersion = &checked.account.Version
	}
	return nil
}
