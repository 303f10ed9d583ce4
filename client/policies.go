package client

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/hydrastore/hydrastore/client/internal/wire"
	"github.com/hydrastore/hydrastore/session"
)

// ListPolicies returns all policies in the order of their names.
func (c *Client) ListPolicies(ctx context.Context, options ...Option) (session.PolicyList, error) {
	a, err := c.do(ctx, c.request(http.MethodGet, "/v1/policies", options))
	if err != nil {
		return session.PolicyList{}, err
	}
	var page wire.PolicyPage
	meta, err := a.read(&page)
	list := session.PolicyList{Items: make([]session.Policy, len(page.Items)), Meta: meta}
	for i, w := range page.Items {
		list.Items[i] = policyOf(w)
	}
	return list, err
}

// GetPolicy returns one policy.
func (c *Client) GetPolicy(ctx context.Context, name string, options ...Option) (session.PolicyResult, error) {
	return c.policy(ctx, c.request(http.MethodGet, policyPath(name), options))
}

// PutPolicy creates or replaces a policy; nil fields take their default.
func (c *Client) PutPolicy(ctx context.Context, name string, ch session.PolicyChange, options ...Option) (session.PolicyResult, error) {
	r := c.request(http.MethodPut, policyPath(name), nil)
	r.idempotent = true
	return c.changePolicy(ctx, r, ch, options)
}

// PatchPolicy changes a policy; nil fields stay.
func (c *Client) PatchPolicy(ctx context.Context, name string, ch session.PolicyChange, options ...Option) (session.PolicyResult, error) {
	return c.changePolicy(ctx, c.request(http.MethodPatch, policyPath(name), nil), ch, options)
}

// DeletePolicy removes a policy that nobody uses.
func (c *Client) DeletePolicy(ctx context.Context, name string, options ...Option) (session.Meta, error) {
	return c.deletion(ctx, policyPath(name), options)
}

func (c *Client) changePolicy(ctx context.Context, r *request, ch session.PolicyChange, options []Option) (session.PolicyResult, error) {
	for _, option := range options {
		option(r)
	}
	if ch.IfMatch != nil {
		IfMatch(*ch.IfMatch)(r)
	}
	body := wire.PolicySettings{
		IdleTimeoutS: secondsOrNil(ch.IdleTimeout), AbsoluteLifetimeS: secondsOrNil(ch.AbsoluteLifetime),
		TouchWindowS: secondsOrNil(ch.TouchWindow), Attributes: (*wire.AttributesPlace)(ch.Attributes), AttributesWrite: (*wire.AttributesWrite)(ch.AttributesWrite),
		InactivityTimeoutS: secondsOrNil(ch.InactivityTimeout), NoTickle: ch.NoTickle, BindAddress: (*wire.BindAddress)(ch.BindAddress),
		PermanentAllowed:   ch.PermanentAllowed,
		LongerIdleAllowed:  ch.LongerIdleAllowed,
		RotateGraceS:       secondsOrNil(ch.RotateGrace),
		KeyFormat:          (*wire.KeyFormat)(ch.KeyFormat),
		MaxSessionsPerUser: ch.MaxSessionsPerUser, MaxSessionsPerAddress: ch.MaxSessionsPerAddress, MaxSessions: ch.MaxSessions,
		OnLimit: (*wire.OnLimit)(ch.OnLimit), SingleSession: ch.SingleSession,
		PermanentCounted: ch.PermanentCounted,
	}
	if ch.TouchWindow != nil && *ch.TouchWindow == session.TouchWindowAuto {
		asDefault := -1.0
		body.TouchWindowS = &asDefault
	}
	if err := r.json(body); err != nil {
		return session.PolicyResult{}, err
	}
	return c.policy(ctx, r)
}

func (c *Client) policy(ctx context.Context, r *request) (session.PolicyResult, error) {
	a, err := c.do(ctx, r)
	if err != nil {
		return session.PolicyResult{}, err
	}
	var w wire.Policy
	meta, err := a.read(&w)
	return session.PolicyResult{Policy: policyOf(w), Meta: meta}, err
}

func policyPath(name string) string { return "/v1/policies/" + url.PathEscape(name) }

func secondsOrNil(d *time.Duration) *float64 {
	if d == nil {
		return nil
	}
	seconds := inSeconds(*d)
	return &seconds
}
