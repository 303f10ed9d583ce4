package client

import (
	"context"
	"net/http"

	"github.com/hydrastore/hydrastore/client/internal/wire"
	"github.com/hydrastore/hydrastore/session"
)

const limitsPath = "/v1/limits"

// GetLimits returns what caps the whole cluster.
func (c *Client) GetLimits(ctx context.Context, options ...Option) (session.ClusterLimitsResult, error) {
	return c.limits(ctx, c.request(http.MethodGet, limitsPath, options))
}

// PatchLimits changes it; nil fields stay.
func (c *Client) PatchLimits(ctx context.Context, ch session.ClusterLimitsChange, options ...Option) (session.ClusterLimitsResult, error) {
	r := c.request(http.MethodPatch, limitsPath, options)
	if ch.IfMatch != nil {
		IfMatch(*ch.IfMatch)(r)
	}
	if err := r.json(wire.LimitsChange{MaxSessions: ch.MaxSessions, OnLimit: (*wire.OnLimit)(ch.OnLimit)}); err != nil {
		return session.ClusterLimitsResult{}, err
	}
	return c.limits(ctx, r)
}

func (c *Client) limits(ctx context.Context, r *request) (session.ClusterLimitsResult, error) {
	a, err := c.do(ctx, r)
	if err != nil {
		return session.ClusterLimitsResult{}, err
	}
	var w wire.Limits
	meta, err := a.read(&w)
	limits := session.ClusterLimits{MaxSessions: w.MaxSessions, OnLimit: session.OnLimit(w.OnLimit), Version: w.Version}
	return session.ClusterLimitsResult{ClusterLimits: limits, Meta: meta}, err
}
