package node

import (
	"context"
	"slices"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// authenticateByPassword finds out who asks by credentials that are good for this call alone. They pass what log-ins pass: throttle, turns,
// audit. Commands that follow carry the version of the user that was verified against, and apply judges it again.
func (n *Node) authenticateByPassword(ctx context.Context, c session.Call) (*principal, error) {
	if c.Operator || !c.Key.IsZero() || c.Subject != nil {
		return nil, session.Invalid("Credentials", "stand in place of a key, and present no other")
	}
	given, err := c.Credentials.Normal()
	if err != nil {
		return nil, err
	}
	checked, err := n.checkPassword(ctx, passwordCheck{user: given.User, password: given.Password, digest: given.Digest, address: c.Address})
	if err != nil {
		return nil, err
	}
	n.giveBack(ctx, checked.attempt)
	if given.Digest == nil {
		n.keepUp(ctx, given.Password, checked)
	}
	roles := checked.account.Roles
	if checked.account.Name == "" {
		roles = []session.Role{session.RoleUser}
	}
	return &principal{
		call: c, point: readPoint{index: n.cluster.AppliedIndex(), timeMS: n.nowMS()},
		record:   fsm.Record{User: given.User, Roles: roles},
		verified: &fsmpb.VerifiedUser{User: given.User, UserVersion: checked.account.Version, Outside: checked.Outside},
	}, nil
}

// Identify implements session.Proofs.
func (n *Node) Identify(ctx context.Context, c session.Call) (session.Identity, error) {
	ctx, cancel := n.limit(ctx)
	defer cancel()
	p, err := n.authenticate(ctx, c)
	if err != nil {
		return session.Identity{}, err
	}
	if c.Operator {
		return session.Identity{}, session.Invalid("Credentials", "the operator is no user")
	}
	if err := n.useUnlessLocal(ctx, p); err != nil {
		return session.Identity{}, err
	}
	return session.Identity{User: p.record.User, Roles: slices.Clone(p.record.Roles), Meta: n.readMeta(c, p.point)}, nil
}

// unrecorded tells whether the caller has proved by a password to be a user of whom the cluster has no record, and so no session.
func (n *Node) unrecorded(p *principal, name string) bool {
	if p.verified == nil || p.record.User != name {
		return false
	}
	_, known := n.fsm.User(name)
	return !known
}
