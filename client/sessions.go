package client

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"

	"github.com/hydrastore/hydrastore/client/internal/wire"
	"github.com/hydrastore/hydrastore/session"
)

// Login makes a session. Unless l names an IdempotencyKey, the client draws one for this call, so that it can be repeated.
// l.Vouched needs a key of role service or admin.
func (c *Client) Login(ctx context.Context, l session.Login, options ...Option) (session.Issued, error) {
	r := c.request(http.MethodPost, "/v1/sessions", options)
	if err := c.setIdempotencyKey(r, l.IdempotencyKey); err != nil {
		return session.Issued{}, err
	}
	if err := r.json(loginRequest(l)); err != nil {
		return session.Issued{}, err
	}
	a, err := c.do(ctx, r)
	if err != nil {
		return session.Issued{}, err
	}
	return issuedOf(a)
}

// issuedOf reads an answer that issues a key.
func issuedOf(a answer) (session.Issued, error) {
	var issued wire.IssuedSession
	meta, err := a.read(&issued)
	if err != nil {
		return session.Issued{}, err
	}
	key, err := session.ParseKey(issued.Key)
	if err != nil {
		return session.Issued{}, unreadable(fmt.Errorf("read key: %w", err))
	}
	s, err := sessionOf(wire.Session{
		ID: issued.ID, Number: issued.Number, User: issued.User, Policy: issued.Policy, CreatedAt: issued.CreatedAt,
		LastUsedAt: issued.LastUsedAt, ExpiresAt: issued.ExpiresAt, IdleTimeoutS: issued.IdleTimeoutS, Permanent: issued.Permanent, Prompt: issued.Prompt, ClientIP: issued.ClientIP,
		UserAgent: issued.UserAgent, AttributesVersion: issued.AttributesVersion, AuthTime: issued.AuthTime, Methods: issued.Methods,
	})
	return session.Issued{Key: key, Session: s, Attributes: session.Attributes(issued.Attributes), Sealed: sealedOf(issued.SealedAttributes), Meta: meta}, err
}

// Rotate gives the called session another key. Repeated within the policy's grace it answers with the same one. The client goes on
// with the key that it has: take up the new one with With.
func (c *Client) Rotate(ctx context.Context, options ...Option) (session.Issued, error) {
	r := c.request(http.MethodPost, "/v1/session/rotate", options)
	r.idempotent = true
	a, err := c.do(ctx, r)
	if err != nil {
		return session.Issued{}, err
	}
	return issuedOf(a)
}

// Reauthenticate proves anew who the called session's user is, and gives the session another key; the present one ends at once.
func (c *Client) Reauthenticate(ctx context.Context, p session.Proof, options ...Option) (session.Issued, error) {
	r := c.request(http.MethodPost, "/v1/session/reauthenticate", options)
	var proof wire.Proof
	if !p.Vouched {
		proof.Password = &p.Password
	}
	if err := r.json(proof); err != nil {
		return session.Issued{}, err
	}
	a, err := c.do(ctx, r)
	if err != nil {
		return session.Issued{}, err
	}
	return issuedOf(a)
}

func (c *Client) setIdempotencyKey(r *request, named string) error {
	if named == "" && c.config.NoIdempotencyKeys {
		return nil
	}
	if named == "" {
		var random [16]byte
		if _, err := rand.Read(random[:]); err != nil {
			return fmt.Errorf("draw idempotency key: %w", err)
		}
		named = hex.EncodeToString(random[:])
	}
	r.header("Idempotency-Key", named)
	r.idempotent = true
	return nil
}

func loginRequest(l session.Login) wire.LoginRequest {
	w := wire.LoginRequest{User: l.User, Policy: unlessEmpty(l.Policy), UserAgent: unlessEmpty(l.UserAgent)}
	if w.IdleTimeoutS = secondsOrNil(l.IdleTimeout); l.Permanent {
		w.Permanent = &l.Permanent
	}
	if !l.Vouched {
		w.Password = &l.Password
	}
	if len(l.Attributes) > 0 {
		attributes := wire.Attributes(l.Attributes)
		w.Attributes = &attributes
	}
	if len(l.Sealed) > 0 {
		sealed := wire.SealedAttributes(l.Sealed)
		w.SealedAttributes = &sealed
	}
	if l.ClientAddress.IsValid() {
		address := l.ClientAddress.String()
		w.ClientIP = &address
	}
	return w
}

func sealedOf(a *wire.SealedAttributes) session.Attributes {
	if a == nil {
		return nil
	}
	return session.Attributes(*a)
}

func unlessEmpty(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// Check asks whether the called session is alive, and counts as a use unless Look, Local or MinIndex is given.
func (c *Client) Check(ctx context.Context, options ...Option) (session.Checked, error) {
	return c.checked(ctx, c.request(http.MethodGet, "/v1/session", options))
}

// Touch keeps the called session alive.
func (c *Client) Touch(ctx context.Context, options ...Option) (session.Checked, error) {
	r := c.request(http.MethodPost, "/v1/session/touch", options)
	r.idempotent = true
	return c.checked(ctx, r)
}

// PatchAttributes changes attributes of the called session; null removes one.
func (c *Client) PatchAttributes(ctx context.Context, p session.AttributePatch, options ...Option) (session.Checked, error) {
	return c.patch(ctx, "/v1/session/attributes", p, options)
}

// SealAttributes is PatchAttributes for values that the cluster keeps encrypted.
func (c *Client) SealAttributes(ctx context.Context, p session.AttributePatch, options ...Option) (session.Checked, error) {
	return c.patch(ctx, "/v1/session/sealed_attributes", p, options)
}

func (c *Client) patch(ctx context.Context, path string, p session.AttributePatch, options []Option) (session.Checked, error) {
	r := c.request(http.MethodPatch, path, options)
	if p == nil {
		p = session.AttributePatch{}
	}
	if err := r.json(map[string]json.RawMessage(p)); err != nil {
		return session.Checked{}, err
	}
	return c.checked(ctx, r)
}

// Logout ends the called session. A key that opens nothing is no error.
func (c *Client) Logout(ctx context.Context, options ...Option) (session.Meta, error) {
	return c.change(ctx, c.request(http.MethodDelete, "/v1/session", options))
}

// GetSession returns one session, for its user and admins.
func (c *Client) GetSession(ctx context.Context, id session.ID, options ...Option) (session.Checked, error) {
	return c.checked(ctx, c.request(http.MethodGet, "/v1/sessions/"+id.String(), options))
}

// RevokeSession ends one session, for its user and admins.
func (c *Client) RevokeSession(ctx context.Context, id session.ID, options ...Option) (session.Meta, error) {
	return c.deletion(ctx, "/v1/sessions/"+id.String(), options)
}

// ListSessions returns one page of live sessions.
func (c *Client) ListSessions(ctx context.Context, f session.Filter, p session.Page, options ...Option) (session.SessionList, error) {
	r := c.request(http.MethodGet, "/v1/sessions", options)
	setFilter(r, f)
	setPage(r, p)
	a, err := c.do(ctx, r)
	if err != nil {
		return session.SessionList{}, err
	}
	var page wire.SessionPage
	meta, err := a.read(&page)
	list := session.SessionList{Items: make([]session.Session, len(page.Items)), NextCursor: orEmpty(page.NextCursor), Meta: meta}
	list.Node = orEmpty(page.SessionsNode)
	for i := 0; err == nil && i < len(page.Items); i++ {
		list.Items[i], err = sessionOf(page.Items[i])
	}
	return list, err
}

// Sessions goes through all live sessions that f selects, page by page. An error is the last thing that it yields.
func (c *Client) Sessions(ctx context.Context, f session.Filter, options ...Option) iter.Seq2[session.Session, error] {
	return pages(func(p session.Page) ([]session.Session, string, error) {
		list, err := c.ListSessions(ctx, f, p, options...)
		return list.Items, list.NextCursor, err
	})
}

// RevokeSessions ends the sessions that f selects. A zero f is refused: see RevokeAllSessions.
func (c *Client) RevokeSessions(ctx context.Context, f session.Filter, options ...Option) (session.Revoked, error) {
	r := c.request(http.MethodDelete, "/v1/sessions", options)
	setFilter(r, f)
	return c.revoked(ctx, r)
}

// RevokeAllSessions ends every session of the cluster that is not permanent, the caller's own included.
func (c *Client) RevokeAllSessions(ctx context.Context, options ...Option) (session.Revoked, error) {
	r := c.request(http.MethodDelete, "/v1/sessions", options)
	r.query("all", "true")
	return c.revoked(ctx, r)
}

// RevokeUserSessions ends a user's sessions.
func (c *Client) RevokeUserSessions(ctx context.Context, user string, which session.UserSessions, options ...Option) (session.Revoked, error) {
	r := c.request(http.MethodDelete, "/v1/users/"+url.PathEscape(user)+"/sessions", options)
	if which.Permanent {
		r.query("permanent", "true")
	}
	if which.ExceptCurrent {
		r.query("except", "current")
	}
	return c.revoked(ctx, r)
}

func (c *Client) checked(ctx context.Context, r *request) (session.Checked, error) {
	a, err := c.do(ctx, r)
	if err != nil {
		return session.Checked{}, err
	}
	var w wire.CheckedSession
	meta, err := a.read(&w)
	if err != nil {
		return session.Checked{}, err
	}
	s, err := sessionOf(wire.Session{
		ID: w.ID, Number: w.Number, User: w.User, Policy: w.Policy, CreatedAt: w.CreatedAt, LastUsedAt: w.LastUsedAt,
		ExpiresAt: w.ExpiresAt, IdleTimeoutS: w.IdleTimeoutS, Permanent: w.Permanent, Prompt: w.Prompt, ClientIP: w.ClientIP, UserAgent: w.UserAgent,
		AttributesVersion: w.AttributesVersion, AuthTime: w.AuthTime, Methods: w.Methods,
	})
	return session.Checked{Session: s, Roles: rolesOf(w.Roles), Rotate: w.Rotate, Attributes: session.Attributes(w.Attributes), Sealed: sealedOf(w.SealedAttributes), Meta: meta}, err
}

func (c *Client) revoked(ctx context.Context, r *request) (session.Revoked, error) {
	a, err := c.do(ctx, r)
	if err != nil {
		return session.Revoked{}, err
	}
	var w wire.Revoked
	meta, err := a.read(&w)
	meta.Node = orEmpty(w.SessionsNode)
	return session.Revoked{Count: w.Revoked, Meta: meta}, err
}

func setFilter(r *request, f session.Filter) {
	if f.User != "" {
		r.query("user", f.User)
	}
	if f.ClientAddress.IsValid() {
		r.query("client_ip", f.ClientAddress.String())
	}
	if f.Policy != "" {
		r.query("policy", f.Policy)
	}
	if f.Permanent {
		r.query("permanent", "true")
	}
	if f.IdleLongerThan > 0 {
		r.query("idle_longer_than", strconv.FormatFloat(inSeconds(f.IdleLongerThan), 'f', -1, 64))
	}
}
