package node

import (
	"encoding/json"
	"maps"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// firstAttributes are those of a session that is to be made.
type firstAttributes struct {
	open, reserved session.Attributes
	sealed         session.Attributes // the log-in's own, and those that it carries over
	carried        json.RawMessage    // the credentials in the clear that it carries over; nil = none

	sealing     bool // the log-in asks for sealed ones
	unasked     bool // credentials are among the sealed ones without being asked for
	credentials bool // those are the log-in's own
}

// place puts a session's first attributes into the command, or where its policy says so into this node's memory, where those of the session that
// it replaces may be already.
func (n *Node) place(id session.ID, create *fsmpb.CreateSession, terms fsm.LoginTerms, first firstAttributes) error {
	seals := n.sealsCredentials(create, terms)
	if seals {
		first = first.withCredentialsSealed()
	}
	create.AttributesLocal = terms.Attributes == session.AttributesLocal
	create.Attributes = newReserved(first.reserved)
	n.local.drop(id)
	switch {
	case !create.AttributesLocal:
		sealed, err := n.sealFirst(id, first)
		create.Attributes = append(append(newAttributes(first.open), create.Attributes...), sealed...)
		return err
	case first.sealing:
		return errSealLocal()
	case first.credentials:
		return session.ErrCredentialsLocal()
	}
	all := session.Attributes{}
	if len(create.Replaces) > 0 {
		if old, ok := n.fsm.SessionByKey(session.KeyHash(create.Replaces)); ok && old.AttributesLocal && carriesOver(old, create.User, addressFrom(create.Address)) {
			all = n.local.get(old.ID)
		}
	}
	if seals {
		delete(all, session.CredentialsAttribute)
	}
	maps.Copy(all, first.open)
	return n.local.change(id, session.AttributePatch(all))
}

// withCredentialsSealed moves the credentials to what is sealed: the log-in's own, or those that it carries over.
func (f firstAttributes) withCredentialsSealed() firstAttributes {
	value, own := f.open[session.CredentialsAttribute]
	if !own {
		value = f.carried
	}
	if value == nil {
		return f
	}
	f.open, f.sealed, f.unasked, f.credentials = maps.Clone(f.open), maps.Clone(f.sealed), true, own
	delete(f.open, session.CredentialsAttribute)
	if f.sealed == nil {
		f.sealed = session.Attributes{}
	}
	f.sealed[session.CredentialsAttribute] = value
	return f
}

// sealFirst seals what is to be sealed of the first attributes.
func (n *Node) sealFirst(id session.ID, first firstAttributes) ([]*fsmpb.Attribute, error) {
	if first.unasked {
		if err := n.sealing.takesCredentials(first.sealed[session.CredentialsAttribute]); err != nil {
			return nil, err
		}
	}
	return n.sealing.seal(id, first.sealed)
}
