package client

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/hydrastore/hydrastore/client/internal/wire"
	"github.com/hydrastore/hydrastore/session"
)

// ClusterStatus returns the cluster as the answering node sees it.
func (c *Client) ClusterStatus(ctx context.Context, options ...Option) (session.ClusterStatus, error) {
	a, err := c.do(ctx, c.request(http.MethodGet, "/v1/cluster", options))
	if err != nil {
		return session.ClusterStatus{}, err
	}
	var w wire.ClusterStatus
	if _, err := a.read(&w); err != nil {
		return session.ClusterStatus{}, err
	}
	return statusOf(w), nil
}

// AddMember invites the node that waits at peerAddress.
func (c *Client) AddMember(ctx context.Context, peerAddress string, options ...Option) (session.Meta, error) {
	r := c.request(http.MethodPost, "/v1/cluster/members", options)
	if err := r.json(wire.NewMember{PeerAddress: peerAddress}); err != nil {
		return session.Meta{}, err
	}
	return c.change(ctx, r)
}

// RemoveMember removes a node from the cluster.
func (c *Client) RemoveMember(ctx context.Context, nodeID string, options ...Option) (session.Meta, error) {
	return c.deletion(ctx, "/v1/cluster/members/"+url.PathEscape(nodeID), options)
}

// TransferLeadership hands the leadership to nodeID, or with "" to the most up-to-date voter.
func (c *Client) TransferLeadership(ctx context.Context, nodeID string, options ...Option) (session.Meta, error) {
	r := c.request(http.MethodPost, "/v1/cluster/leader", options)
	if err := r.json(wire.LeaderTransfer{ID: unlessEmpty(nodeID)}); err != nil {
		return session.Meta{}, err
	}
	return c.change(ctx, r)
}

// Reseal seals anew, with the present safe password, what earlier ones have sealed: one page of sessions, after cursor.
func (c *Client) Reseal(ctx context.Context, cursor string, options ...Option) (session.Resealed, error) {
	r := c.request(http.MethodPost, "/v1/cluster/reseal", options)
	r.idempotent = true
	setPage(r, session.Page{Cursor: cursor})
	a, err := c.do(ctx, r)
	if err != nil {
		return session.Resealed{}, err
	}
	var w wire.Resealed
	meta, err := a.read(&w)
	resealed := session.Resealed{Count: w.Resealed, Left: session.LeftUnknown, NextCursor: orEmpty(w.NextCursor), Meta: meta}
	if w.Left != nil {
		resealed.Left = *w.Left
	}
	return resealed, err
}

// Ready tells whether a node would serve a request: a linearizable one, or with local a local one.
func (c *Client) Ready(ctx context.Context, local bool) error {
	r := c.request(http.MethodGet, "/readyz", nil)
	if local {
		r.query("for", "local")
	}
	_, err := c.do(ctx, r)
	return err
}

func statusOf(w wire.ClusterStatus) session.ClusterStatus {
	members := make([]session.Member, len(w.Members))
	for i, m := range w.Members {
		members[i] = memberOf(m)
	}
	var since time.Time
	if w.PhaseSince != nil {
		since = w.PhaseSince.UTC()
	}
	return session.ClusterStatus{
		ClusterID: w.ClusterID, NodeID: w.NodeID, LeaderID: orEmpty(w.LeaderID), Term: w.Term, CommitIndex: w.CommitIndex,
		Applied: w.AppliedIndex, FormatLevel: w.FormatLevel, Time: w.Time.UTC(), Sessions: w.Sessions, SessionsOf: orEmpty(w.SessionsNode), Healthy: w.Healthy,
		Failures: w.FailuresTolerated, Phase: session.MovePhase(w.Phase), PhaseSince: since, Members: members,
	}
}

func memberOf(w wire.Member) session.Member {
	m := session.Member{
		ID: w.ID, Name: w.Name, PeerAddress: w.PeerAddress, APIAddress: w.APIAddress, GossipAddress: w.GossipAddress, Role: w.Role,
		Healthy: w.Healthy, State: w.State, LastContact: -1, Version: w.Version, FormatLevel: w.FormatLevel,
	}
	if w.AppliedIndex != nil {
		m.Applied = *w.AppliedIndex
	}
	if w.Lag != nil {
		m.Lag = *w.Lag
	}
	if w.LastContactS != nil {
		m.LastContact = duration(*w.LastContactS)
	}
	return m
}
