package ownsessions

import (
	"context"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/node"
)

// audited tells the node's audit trail what is done to its own sessions; nil where it keeps none.
func audited(a node.Accounts) func(context.Context, backend.Event) {
	if !a.Audits() {
		return nil
	}
	return func(ctx context.Context, e backend.Event) { a.Report(ctx, e.AtMS, reported(e)) }
}

// reported is an event as the cluster's own are.
func reported(e backend.Event) node.SessionEvent {
	out := node.SessionEvent{
		Kind: node.EventKind(e.Kind), User: e.User, Session: e.Session, Number: e.Number, Policy: e.Policy, Address: e.Address, UserAgent: e.UserAgent,
		Method: string(e.Method), Reason: e.Reason, Field: e.Field, Permanent: e.Permanent, Count: e.Count,
		Actor: node.EventActor{System: e.Actor.System, User: e.Actor.User, Session: e.Actor.Session, Address: e.Actor.Address},
	}
	switch e.Cause {
	case "":
	case backend.CauseIdle:
		out.Cause = node.CauseIdle
	case backend.CauseInactive:
		out.Cause = node.CauseInactive
	case backend.CauseAbsolute:
		out.Cause = node.CauseAbsolute
	case backend.CauseUser:
		out.Cause = node.CauseUser
	case backend.CauseLogout:
		out.Cause = node.CauseLogout
	case backend.CauseRevoked:
		out.Cause = node.CauseRevoked
	case backend.CauseReused:
		out.Cause = node.CauseReused
	case backend.CauseReplaced:
		out.Cause = node.CauseReplaced
	case backend.CauseEvicted:
		out.Cause = node.CauseEvicted
	}
	return out
}
