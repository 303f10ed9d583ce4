package node

import (
	"context"

	"github.com/hydrastore/hydrastore/fsm"
)

// SessionEvent is something that was done to a session which this node alone keeps, as the events of the log are.
type SessionEvent = fsm.Event

// EventKind is what a SessionEvent is about.
type EventKind = fsm.EventKind

// EventActor is who caused a SessionEvent.
type EventActor = fsm.Actor

// Why such a session ended.
const (
	CauseIdle     = fsm.CauseIdle
	CauseInactive = fsm.CauseInactive
	CauseAbsolute = fsm.CauseAbsolute
	CauseUser     = fsm.CauseUser
	CauseLogout   = fsm.CauseLogout
	CauseRevoked  = fsm.CauseRevoked
	CauseReused   = fsm.CauseReused
	CauseReplaced = fsm.CauseReplaced
	CauseEvicted  = fsm.CauseEvicted
)

// Audits tells whether the node keeps an audit trail.
func (a Accounts) Audits() bool { return a.node.audit != nil }

// Report writes the line of something that was done, at a time, to a session that this node alone keeps, if there is an audit trail. It returns when the line is written, or when the
// trail does not get on: as everywhere, it holds nobody up for long.
func (a Accounts) Report(ctx context.Context, atMS int64, e SessionEvent) {
	if a.node.audit != nil {
		a.node.audit.Own(ctx, atMS, e)
	}
}
