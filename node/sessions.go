package node

import (
	"context"
	"errors"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// limit bounds a request by the request timeout.
func (n *Node) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, n.config.RequestTimeout)
}

// Check implements session.Sessions.
func (n *Node) Check(ctx context.Context, c session.Call, look bool) (session.Checked, error) {
	ctx, cancel := n.limit(ctx)
	defer cancel()
	t, err := n.target(ctx, c)
	if err != nil {
		return session.Checked{}, err
	}
	if err := n.recentlyProved(c, t); err != nil {
		return session.Checked{}, err
	}
	meta := n.readMeta(c, t.principal.point)
	if look || !t.principal.extends() {
		return n.shown(t.record, meta, t.maySeeSealed())
	}
	return n.used(ctx, t, false)
}

// Touch implements session.Sessions.
func (n *Node) Touch(ctx context.Context, c session.Call) (session.Checked, error) {
	ctx, cancel := n.limit(ctx)
	defer cancel()
	c.Consistency, c.MinIndex = session.Linearizable, ""
	t, err := n.target(ctx, c)
	if err != nil {
		return session.Checked{}, err
	}
	return n.used(ctx, t, true)
}

// used counts a use, or a tickle, and answers with the state after it.
func (n *Node) used(ctx context.Context, t *target, tickle bool) (session.Checked, error) {
	r, index, err := n.useTarget(ctx, t, tickle)
	if err != nil {
		return session.Checked{}, err
	}
	return n.shown(r, n.writeMeta(index), t.maySeeSealed())
}

// PatchAttributes implements session.Sessions.
func (n *Node) PatchAttributes(ctx context.Context, c session.Call, p session.AttributePatch, ifMatch *uint64) (session.Checked, error) {
	ctx, cancel := n.limit(ctx)
	defer cancel()
	patch, err := p.Canonical()
	if err != nil {
		return session.Checked{}, err
	}
	local, err := n.isLocal(ctx, c)
	if err != nil {
		return session.Checked{}, err
	}
	for range termDraws { // what this node knows of the policy may be of a moment ago
		var checked session.Checked
		if local {
			checked, err = n.patchLocal(ctx, c, patch, ifMatch)
		} else {
			checked, err = n.patch(ctx, c, &fsmpb.PatchAttributes{IfVersion: ifMatch, Changes: changes(patch)})
		}
		if !errors.Is(err, errElsewhere) {
			return checked, err
		}
		local = !local
	}
	return session.Checked{}, errPlaceChanges()
}

// patch addresses and writes a patch of the called session. errElsewhere: its attributes are not in the log.
func (n *Node) patch(ctx context.Context, c session.Call, command *fsmpb.PatchAttributes) (session.Checked, error) {
	openSealed, err := n.addressPatch(ctx, c, command)
	if err != nil {
		return session.Checked{}, err
	}
	if err := n.sealCredentials(ctx, c, command); err != nil {
		return session.Checked{}, err
	}
	result, index, err := n.outbox.submit(ctx, &fsmpb.Command{Kind: &fsmpb.Command_PatchAttributes{PatchAttributes: command}})
	if err != nil {
		return session.Checked{}, err
	}
	if knewBetter(result) {
		return session.Checked{}, errElsewhere
	}
	if err := resultError(result, patching); err != nil {
		return session.Checked{}, err
	}
	return n.shown(recordFrom(result.GetSession(), fsm.Record{}), n.writeMeta(index), openSealed)
}

// addressPatch says whose attributes a patch changes and on whose authority, and tells whether the caller may see sealed ones.
func (n *Node) addressPatch(ctx context.Context, c session.Call, command *fsmpb.PatchAttributes) (openSealed bool, err error) {
	to, err := n.addressed(ctx, c)
	command.KeyHash, command.Address, command.Authority, command.Judged = to.keyHash, to.address, to.authority, to.judged
	return to.openSealed, err
}

// addressee is the session that a write is about, as commands name it.
type addressee struct {
	keyHash, address []byte
	authority        *fsmpb.Authority // nil = the bearer itself
	judged           bool             // the key was good when it was presented, as far as this node could know
	openSealed       bool             // the caller may see its sealed attributes
}

// addressed finds out about which session a write is, and on whose authority. Apply judges both.
func (n *Node) addressed(ctx context.Context, c session.Call) (to addressee, err error) {
	presented := c.Subject
	if presented == nil {
		if c.Key.IsZero() {
			return to, session.ErrUnauthenticated()
		}
		presented = &session.Presented{Key: c.Key, Address: c.Address}
	}
	if c.Subject != nil {
		_, known := n.find(*presented) // apply judges the key; here it is noted that it is at a wrong address
		to.judged = known && n.knowsOfLate()
	}
	hash := presented.Key.Hash()
	to.keyHash, to.address = hash[:], addressBytes(presented.Address)
	p, err := n.writer(ctx, c, session.Roles()...)
	if err != nil {
		return to, err
	}
	if c.Subject == nil {
		to.judged = p.judged
	}
	switch {
	case p.has(session.RoleService, session.RoleAdmin): // also for a service's own session
		to.authority = p.authority(false, fsmpb.Role_ROLE_SERVICE, fsmpb.Role_ROLE_ADMIN)
	case c.Subject != nil:
		return to, session.ErrMayNotPresent()
	}
	known, err := n.namesItsSession(ctx, presented.Key)
	if err == nil && !known {
		err = session.ErrUnauthenticated() // as apply answers to an unknown one
	}
	to.openSealed = c.Subject == nil || p.serves()
	return to, err
}

func changes(patch session.AttributePatch) []*fsmpb.AttributeChange {
	out := make([]*fsmpb.AttributeChange, 0, len(patch))
	for _, a := range newAttributes(session.Attributes(patch)) {
		if session.IsDeletion(a.Value) {
			out = append(out, &fsmpb.AttributeChange{Name: a.Name, Delete: true})
		} else {
			out = append(out, &fsmpb.AttributeChange{Name: a.Name, Value: a.Value})
		}
	}
	return out
}

// Logout implements session.Sessions.
func (n *Node) Logout(ctx context.Context, c session.Call) (session.Meta, error) {
	ctx, cancel := n.limit(ctx)
	defer cancel()
	revoke := &fsmpb.RevokeSession{}
	key := c.Key
	if c.Subject != nil {
		p, err := n.writer(ctx, c, session.RoleAdmin, session.RoleService)
		if session.CodeOf(err) == session.CodeForbidden {
			return session.Meta{}, session.ErrMayNotPresent()
		}
		if err != nil {
			return session.Meta{}, err
		}
		key, revoke.Authority = c.Subject.Key, p.authority(false, fsmpb.Role_ROLE_SERVICE, fsmpb.Role_ROLE_ADMIN)
	}
	if key.IsZero() {
		return session.Meta{}, session.ErrUnauthenticated()
	}
	if known, err := n.namesItsSession(ctx, key); err != nil || !known {
		return n.writeMeta(n.fsm.Index()), err
	}
	hash := key.Hash()
	revoke.KeyHash = hash[:]
	if c.Subject == nil {
		revoke.Address = addressBytes(c.Address)
	}
	return n.write(ctx, "end this session", &fsmpb.Command{Kind: &fsmpb.Command_RevokeSession{RevokeSession: revoke}})
}

// write submits a command whose result is only its success.
func (n *Node) write(ctx context.Context, what string, c *fsmpb.Command) (session.Meta, error) {
	index, err := n.writeAt(ctx, what, c)
	return n.writeMeta(index), err
}

// writeAt is write that returns the index.
func (n *Node) writeAt(ctx context.Context, what string, c *fsmpb.Command) (uint64, error) {
	result, index, err := n.outbox.submit(ctx, c)
	if err != nil {
		return 0, err
	}
	return index, resultError(result, what)
}

// GetSession implements session.Sessions.
func (n *Node) GetSession(ctx context.Context, c session.Call, id session.ID) (session.Checked, error) {
	ctx, cancel := n.limit(ctx)
	defer cancel()
	p, err := n.authenticate(ctx, c)
	if err != nil {
		return session.Checked{}, err
	}
	if err := n.useUnlessLocal(ctx, p); err != nil {
		return session.Checked{}, err
	}
	r, ok := n.fsm.SessionByID(id)
	if !ok || (r.User != p.record.User && !p.has(session.RoleAdmin)) {
		return session.Checked{}, session.ErrNoSuchSession()
	}
	return n.checked(r, n.readMeta(c, p.point)), nil
}

func (n *Node) useUnlessLocal(ctx context.Context, p *principal) error {
	if !p.extends() {
		return nil
	}
	return n.useCaller(ctx, p)
}

// mayList tells whether p may see what f selects.
func (p *principal) mayList(f session.Filter) error {
	if p.has(session.RoleAdmin) || (f.User != "" && f.User == p.record.User) {
		return nil
	}
	return session.ErrListOfOthers()
}
