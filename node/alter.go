package node

import (
	"context"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// Alter implements session.Sessions.
func (n *Node) Alter(ctx context.Context, c session.Call, a session.Alteration) (session.Checked, error) {
	ctx, cancel := n.limit(ctx)
	defer cancel()
	command := &fsmpb.AlterSession{}
	if a.IdleTimeout != nil {
		if err := session.ValidateOwnIdleTimeout(*a.IdleTimeout); err != nil {
			return session.Checked{}, err
		}
		command.IdleMs = ptr(a.IdleTimeout.Milliseconds())
	}
	patch, err := a.Reserved.Canonical()
	if err != nil {
		return session.Checked{}, err
	}
	command.Changes = changes(patch)
	for _, change := range command.Changes {
		change.Name = session.ReservedAttributePrefix + change.Name
	}
	to, err := n.addressed(ctx, c)
	if err != nil {
		return session.Checked{}, err
	}
	command.KeyHash, command.Address, command.Authority, command.Judged = to.keyHash, to.address, to.authority, to.judged
	result, index, err := n.outbox.submit(ctx, &fsmpb.Command{Kind: &fsmpb.Command_AlterSession{AlterSession: command}})
	if err != nil {
		return session.Checked{}, err
	}
	if err := alterError(result); err != nil {
		return session.Checked{}, err
	}
	return n.shown(recordFrom(result.GetSession(), fsm.Record{}), n.writeMeta(index), to.openSealed)
}

func alterError(r *fsmpb.Result) error {
	switch {
	case r.Code == fsmpb.Code_CODE_CONFLICT && r.Field == "permanent":
		return &session.Error{Code: session.CodeConflict, Field: "idle_timeout_s", Message: "a permanent session has no idle timeout"}
	case r.Code == fsmpb.Code_CODE_FORBIDDEN && r.Field == "idle_timeout_s":
		return session.ErrIdleForbidden()
	}
	return resultError(r, "change this session")
}

// newReserved gives reserved attributes the names that they have in the log.
func newReserved(a session.Attributes) []*fsmpb.Attribute {
	out := newAttributes(a)
	for _, attribute := range out {
		attribute.Name = session.ReservedAttributePrefix + attribute.Name
	}
	return out
}
