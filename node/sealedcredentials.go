package node

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// sealsCredentials tells whether the session that a log-in makes keeps its credentials sealed. A policy that is the user's own is the one that its
// password was verified with, or apply refuses the log-in.
func (n *Node) sealsCredentials(create *fsmpb.CreateSession, terms fsm.LoginTerms) bool {
	method := session.MethodPassword
	switch {
	case create.Vouched:
		method = session.MethodService
	case create.Outside != nil:
		method = session.MethodDirectory
	}
	return !n.config.Sealing.PlainCredentials && session.SealsCredentials(terms.Policy, []session.Method{method})
}

// keepsCredentialsSealed tells the same of a living session.
func (n *Node) keepsCredentialsSealed(r fsm.Record) bool {
	return !n.config.Sealing.PlainCredentials && session.SealsCredentials(r.Policy, r.Methods)
}

// sealCredentials seals the credentials that a patch gives the called session, if it keeps them sealed, before they come into the log.
func (n *Node) sealCredentials(ctx context.Context, c session.Call, command *fsmpb.PatchAttributes) error {
	i := slices.IndexFunc(command.Changes, func(a *fsmpb.AttributeChange) bool { return a.Name == session.CredentialsAttribute && !a.Delete })
	if i < 0 || n.config.Sealing.PlainCredentials {
		return nil
	}
	change := command.Changes[i]
	if _, _, sealed := fsm.CutSealed(change.Value); sealed {
		return nil
	}
	r, err := n.calledUnder(ctx, c, session.PresetTokenizer)
	if err != nil || !n.keepsCredentialsSealed(r) {
		return err
	}
	if err := n.sealing.takesCredentials(change.Value); err != nil {
		return err
	}
	sealed, err := n.sealing.seal(r.ID, session.Attributes{change.Name: change.Value})
	if err != nil {
		return err
	}
	change.Value = sealed[0].Value
	return nil
}

// calledUnder finds the called session: as this node knows it if it is under another policy, which it keeps, and otherwise as it is now.
func (n *Node) calledUnder(ctx context.Context, c session.Call, policy string) (fsm.Record, error) {
	key, unknown := c.Key, session.ErrUnauthenticated()
	if c.Subject != nil {
		key, unknown = c.Subject.Key, session.ErrSubject()
	}
	if r, ok := n.sessionOf(key); ok && (r.Policy != policy || n.keepsCredentialsSealed(r)) {
		return r, nil
	}
	if _, err := n.read(ctx, session.Call{}); err != nil {
		return fsm.Record{}, asError("read", err)
	}
	r, ok := n.sessionOf(key)
	if !ok {
		return fsm.Record{}, unknown
	}
	return r, nil
}

// takesCredentials judges credentials that are to be sealed.
func (s *sealing) takesCredentials(value json.RawMessage) error {
	if _, _, err := s.active(); err != nil {
		return session.ErrCredentialsUnsealed()
	}
	return session.CheckCredentials(value)
}
