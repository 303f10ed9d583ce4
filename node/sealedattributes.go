package node

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/netip"
	"slices"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// SealAttributes implements session.Sessions.
func (n *Node) SealAttributes(ctx context.Context, c session.Call, p session.AttributePatch, ifMatch *uint64) (session.Checked, error) {
	ctx, cancel := n.limit(ctx)
	defer cancel()
	patch, err := p.Canonical()
	if err != nil {
		return session.Checked{}, session.OfSealed(err)
	}
	id, err := n.calledID(ctx, c)
	if err != nil {
		return session.Checked{}, err
	}
	command := &fsmpb.PatchAttributes{IfVersion: ifMatch, Changes: changes(patch)}
	values := maps.Clone(session.Attributes(patch))
	maps.DeleteFunc(values, func(_ string, value json.RawMessage) bool { return session.IsDeletion(value) })
	sealed, err := n.sealing.seal(id, values)
	if err != nil {
		return session.Checked{}, err
	}
	for _, change := range command.Changes {
		if i := slices.IndexFunc(sealed, func(a *fsmpb.Attribute) bool { return a.Name == change.Name }); i >= 0 {
			change.Value = sealed[i].Value
		}
	}
	checked, err := n.patch(ctx, c, command)
	if errors.Is(err, errElsewhere) {
		return session.Checked{}, errSealLocal()
	}
	return checked, err
}

// carryOver adds to a log-in the sealed attributes of the same user's session in whose place it comes, as apply does with those in the
// clear: what is sealed opens in its own session only. The log-in's own win. Where that session's key opens nothing, nothing is carried. The credentials that it
// has in the clear are told apart, for the new session may keep them sealed. Apply refuses the log-in where either was changed since.
func (n *Node) carryOver(ctx context.Context, create *fsmpb.CreateSession, first firstAttributes) (firstAttributes, error) {
	create.CarriesDigest = nil
	if len(create.Replaces) == 0 || n.sealing.held() == 0 && n.config.Sealing.PlainCredentials {
		return first, nil
	}
	hash := session.KeyHash(create.Replaces)
	old, ok := n.fsm.SessionByKey(hash)
	if !ok { // perhaps made a moment ago at another node
		if _, err := n.read(ctx, session.Call{}); err != nil {
			return first, asError("read", err)
		}
		old, ok = n.fsm.SessionByKey(hash)
	}
	if !ok || !carriesOver(old, create.User, addressFrom(create.Address)) {
		return first, nil
	}
	digest := fsm.CarriedDigest(old.Attributes)
	create.CarriesDigest = digest[:]
	if _, own := first.sealed[session.CredentialsAttribute]; !own && !old.AttributesLocal {
		first.carried = attributes(old.Attributes)[session.CredentialsAttribute]
	}
	before, err := n.sealing.open(old.ID, old.Attributes)
	if err != nil || before == nil {
		return first, err
	}
	maps.Copy(before, first.sealed)
	maps.DeleteFunc(before, func(name string, _ json.RawMessage) bool { _, inTheClear := first.open[name]; return inTheClear })
	first.sealed = before
	return first, nil
}

// carriesOver tells, as apply does, whether a user's log-in at an address gets the attributes of the session in whose place it comes.
func carriesOver(old fsm.Record, user string, address netip.Addr) bool {
	return old.User == user && (old.BindAddress != session.BindStrict || !elsewhere(old, address))
}

// calledID finds the id of the called session, by which its values are sealed. A key that this node does not know may have been issued
// a moment ago at another one.
func (n *Node) calledID(ctx context.Context, c session.Call) (session.ID, error) {
	key, unknown := c.Key, session.ErrUnauthenticated()
	if c.Subject != nil {
		key, unknown = c.Subject.Key, session.ErrSubject()
	}
	if key.IsZero() {
		return session.ID{}, session.ErrUnauthenticated()
	}
	if record, ok := n.sessionOf(key); ok {
		return record.ID, nil
	}
	if _, err := n.read(ctx, session.Call{}); err != nil {
		return session.ID{}, asError("read", err)
	}
	record, ok := n.sessionOf(key)
	if !ok {
		return session.ID{}, unknown
	}
	return record.ID, nil
}
