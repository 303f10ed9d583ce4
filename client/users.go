package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"

	"github.com/hydrastore/hydrastore/client/internal/wire"
	"github.com/hydrastore/hydrastore/session"
)

// CreateUser makes a user.
func (c *Client) CreateUser(ctx context.Context, u session.NewUser, options ...Option) (session.UserResult, error) {
	body := wire.NewUser{User: u.Name, Password: unlessEmpty(u.Password)}
	if len(u.Roles) > 0 {
		body.Roles = wireRoles(u.Roles)
	}
	if len(u.Policies) > 0 {
		body.Policies = &u.Policies
	}
	if u.MD5Login {
		body.Md5Login = &u.MD5Login
	}
	if u.Disabled {
		body.Disabled = &u.Disabled
	}
	r := c.request(http.MethodPost, "/v1/users", options)
	if err := r.json(body); err != nil {
		return session.UserResult{}, err
	}
	return c.user(ctx, r)
}

// GetUser returns one user.
func (c *Client) GetUser(ctx context.Context, name string, options ...Option) (session.UserResult, error) {
	return c.user(ctx, c.request(http.MethodGet, userPath(name), options))
}

// UpdateUser changes a user; nil fields stay. ch.IfMatch does the same as the option IfMatch.
func (c *Client) UpdateUser(ctx context.Context, name string, ch session.UserChange, options ...Option) (session.UserResult, error) {
	body := wire.UserChange{Password: ch.Password, CurrentPassword: ch.CurrentPassword, Policies: ch.Policies, Disabled: ch.Disabled, Md5Login: ch.MD5Login}
	if ch.EndPermanent {
		body.EndPermanent = &ch.EndPermanent
	}
	if ch.Roles != nil {
		body.Roles = wireRoles(*ch.Roles)
	}
	r := c.request(http.MethodPatch, userPath(name), options)
	if ch.IfMatch != nil {
		IfMatch(*ch.IfMatch)(r)
	}
	if err := r.json(body); err != nil {
		return session.UserResult{}, err
	}
	return c.user(ctx, r)
}

// DeleteUser removes a user and ends its sessions.
func (c *Client) DeleteUser(ctx context.Context, name string, options ...Option) (session.Meta, error) {
	return c.deletion(ctx, userPath(name), options)
}

// ListUsers returns one page of users.
func (c *Client) ListUsers(ctx context.Context, p session.Page, options ...Option) (session.UserList, error) {
	r := c.request(http.MethodGet, "/v1/users", options)
	setPage(r, p)
	a, err := c.do(ctx, r)
	if err != nil {
		return session.UserList{}, err
	}
	var page wire.UserPage
	meta, err := a.read(&page)
	meta.Node = orEmpty(page.SessionsNode)
	list := session.UserList{Items: make([]session.User, len(page.Items)), NextCursor: orEmpty(page.NextCursor), Meta: meta}
	for i, w := range page.Items {
		list.Items[i] = userOf(w)
	}
	return list, err
}

// Users goes through all users in the order of their names. An error is the last thing that it yields.
func (c *Client) Users(ctx context.Context, options ...Option) iter.Seq2[session.User, error] {
	return pages(func(p session.Page) ([]session.User, string, error) {
		list, err := c.ListUsers(ctx, p, options...)
		return list.Items, list.NextCursor, err
	})
}

func (c *Client) user(ctx context.Context, r *request) (session.UserResult, error) {
	a, err := c.do(ctx, r)
	if err != nil {
		return session.UserResult{}, err
	}
	var w wire.User
	meta, err := a.read(&w)
	meta.Node = orEmpty(w.SessionsNode)
	return session.UserResult{User: userOf(w), Meta: meta}, err
}

func userPath(name string) string { return "/v1/users/" + url.PathEscape(name) }

func wireRoles(roles []session.Role) *[]wire.Role {
	w := make([]wire.Role, len(roles))
	for i, role := range roles {
		w[i] = wire.Role(role)
	}
	return &w
}
