package node

import (
	"cmp"
	"context"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// Preferences implements session.Sessions.
func (n *Node) Preferences(ctx context.Context, c session.Call) (session.Preferences, error) {
	ctx, cancel := n.limit(ctx)
	defer cancel()
	t, err := n.target(ctx, c)
	if err != nil {
		return session.Preferences{}, err
	}
	meta := n.readMeta(c, t.principal.point)
	values := attributes(n.fsm.Preferences(t.record.User))
	if t.principal.extends() {
		_, index, err := n.useTarget(ctx, t, false)
		if err != nil {
			return session.Preferences{}, err
		}
		meta = n.writeMeta(index)
	}
	return session.Preferences{Values: values, Meta: meta}, nil
}

// PatchPreferences implements session.Sessions. It is the bearer's own: no service answers for what a user likes. A caller whose session this node's keeper has
// must have an account, and gets no session in answer.
func (n *Node) PatchPreferences(ctx context.Context, c session.Call, p session.AttributePatch) (session.Checked, error) {
	ctx, cancel := n.limit(ctx)
	defer cancel()
	c.Consistency, c.MinIndex = session.Linearizable, ""
	patch, err := p.Canonical()
	if err != nil {
		return session.Checked{}, err
	}
	if c.Subject != nil {
		return session.Checked{}, session.ErrMayNotPresent()
	}
	if known, err := n.knownCaller(ctx, c); known != nil || err != nil {
		return session.Checked{}, cmp.Or(err, n.prefer(ctx, known, patch))
	}
	t, err := n.target(ctx, c) // a write for every guessed key would be a gift
	if err != nil {
		return session.Checked{}, err
	}
	hash := c.Key.Hash()
	result, index, err := n.outbox.submit(ctx, &fsmpb.Command{Kind: &fsmpb.Command_PatchPreferences{PatchPreferences: &fsmpb.PatchPreferences{
		KeyHash: hash[:], Address: addressBytes(c.Address), Changes: changes(patch), Judged: true,
	}}})
	if err != nil {
		return session.Checked{}, err
	}
	if err := resultError(result, "keep preferences"); err != nil {
		return session.Checked{}, err
	}
	return n.shown(recordFrom(result.GetSession(), fsm.Record{}), n.writeMeta(index), t.maySeeSealed())
}

// prefer changes the preferences of a caller without a session here.
func (n *Node) prefer(ctx context.Context, p *principal, patch session.AttributePatch) error {
	_, err := n.write(ctx, "keep preferences", &fsmpb.Command{Kind: &fsmpb.Command_PatchPreferences{PatchPreferences: &fsmpb.PatchPreferences{
		Authority: p.authority(false), Changes: changes(patch),
	}}})
	return err
}
