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

// limitReached says which limit refuses a log-in, and what helps.
func limitReached(field string) string {
	const again = "; end one of them, or wait until one ends"
	switch field {
	case "max_sessions_per_user":
		return "the user has as many sessions as its policy allows" + again
	case "max_sessions_per_address":
		return "as many sessions live from this address as the policy allows" + again
	case "max_sessions":
		return "as many sessions live under this policy as it allows" + again
	}
	return "as many sessions live as the cluster allows; an admin can raise the limit with hydrastore limits set"
}
