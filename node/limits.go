package node

import (
	"context"

	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// removalPause is what a log-in is told to wait when ended sessions are in its way: ten ticks of a backlog, and often enough.
const removalPause = 10 * tickInterval

// GetLimits implements session.Policies.
func (n *Node) GetLimits(ctx context.Context, c session.Call) (session.ClusterLimitsResult, error) {
	ctx, cancel := n.limit(ctx)
	defer cancel()
	p, err := n.authenticateAs(ctx, c, session.RoleAdmin)
	if err != nil {
		return session.ClusterLimitsResult{}, err
	}
	return session.ClusterLimitsResult{ClusterLimits: n.fsm.Limits(), Meta: n.writeMeta(p.point.index)}, nil
}

// PatchLimits implements session.Policies.
func (n *Node) PatchLimits(ctx context.Context, c session.Call, ch session.ClusterLimitsChange) (session.ClusterLimitsResult, error) {
	ctx, cancel := n.limit(ctx)
	defer cancel()
	p, err := n.authenticateAs(ctx, c, session.RoleAdmin)
	if err != nil {
		return session.ClusterLimitsResult{}, err
	}
	if err := ch.Over(n.fsm.Limits()).Validate(); err != nil {
		return session.ClusterLimitsResult{}, err
	}
	put := &fsmpb.PutLimits{
		MaxSessions: countTo(ch.MaxSessions), ExpectedVersion: ch.IfMatch, Authority: p.authority(false, fsmpb.Role_ROLE_ADMIN),
	}
	if ch.OnLimit != nil {
		put.OnLimit = onLimitTo(*ch.OnLimit)
	}
	index, err := n.writeAt(ctx, "change the limits", &fsmpb.Command{Kind: &fsmpb.Command_PutLimits{PutLimits: put}})
	if err != nil {
		return session.ClusterLimitsResult{}, err
	}
	if err := n.cluster.WaitApplied(ctx, index); err != nil {
		return session.ClusterLimitsResult{}, errOutcomeUnknown() // written, but what they are now is not known
	}
	return session.ClusterLimitsResult{ClusterLimits: n.fsm.Limits(), Meta: n.writeMeta(index)}, nil
}
