package node

import (
	"context"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// Login implements session.Sessions.
func (n *Node) Login(ctx context.Context, c session.Call, l session.Login) (session.Issued, error) {
	ctx, cancel := n.limit(ctx)
	defer cancel()
	l, err := l.Normal()
	if err != nil {
		return session.Issued{}, err
	}
	asked := l // before the connection's address fills in: a repetition may come over another one
	create := &fsmpb.CreateSession{
		User: l.User, Policy: l.Policy, UserAgent: l.UserAgent, Permanent: l.Permanent,
		BindAddress: l.BindAddress,
	}
	if l.IdleTimeout != nil {
		create.IdleMs = ptr(l.IdleTimeout.Milliseconds())
	}
	proof, err := n.vouchOrVerify(ctx, c, &l, create)
	if err != nil {
		return session.Issued{}, err
	}
	if create.Replaces, err = n.replaced(ctx, c, l); err != nil {
		n.giveBack(ctx, create.Attempt)
		return session.Issued{}, err
	}
	create.Address = addressBytes(l.ClientAddress)
	create.Idempotency = idempotency(proof.subject, asked)
	issued, err := n.create(ctx, create, firstAttributes{open: l.Attributes, reserved: l.Reserved, sealed: l.Sealed, sealing: len(l.Sealed) > 0})
	if err == nil && !l.Vouched && l.Digest == nil {
		n.keepUp(ctx, l.Password, proof.checked)
	}
	return issued, err
}

// vouchOrVerify makes sure that the user may log in, fills in what the command needs of it, and returns what proves that.
func (n *Node) vouchOrVerify(ctx context.Context, c session.Call, l *session.Login, create *fsmpb.CreateSession) (proof, error) {
	if l.Vouched {
		return n.vouch(ctx, c, create)
	}
	if c.Subject != nil || l.ClientAddress.IsValid() || l.UserAgent != "" {
		if err := n.mayNameClient(ctx, c); err != nil {
			return proof{}, err
		}
	} else {
		l.ClientAddress, create.UserAgent = c.Address, session.CutUserAgent(c.UserAgent)
	}
	return n.verify(ctx, c, *l, create)
}

// vouch lets a service answer for the user.
func (n *Node) vouch(ctx context.Context, c session.Call, create *fsmpb.CreateSession) (proof, error) {
	p, err := n.writer(ctx, c, session.RoleAdmin, session.RoleService)
	if err != nil {
		return proof{}, err
	}
	create.Vouched, create.Authority = true, p.authority(false, fsmpb.Role_ROLE_SERVICE, fsmpb.Role_ROLE_ADMIN)
	return proof{subject: "service " + p.record.User}, nil
}

// mayNameClient tells whether the caller may say on whose behalf it logs in: services and admins.
func (n *Node) mayNameClient(ctx context.Context, c session.Call) error {
	forbidden := session.ErrMayNotNameClient()
	if c.Subject != nil {
		forbidden = session.ErrMayNotPresent()
	}
	if c.Key.IsZero() && !c.Operator {
		return forbidden
	}
	_, err := n.authenticateAs(ctx, c, session.RoleAdmin, session.RoleService)
	if session.CodeOf(err) == session.CodeForbidden {
		return forbidden
	}
	return err
}

// replaced is the hash of the key of the session in whose place a log-in comes, nil when there is none. Apply judges what it
// opens. A service that sends its own key says who asks, and nothing about its user's session.
func (n *Node) replaced(ctx context.Context, c session.Call, l session.Login) ([]byte, error) {
	key := c.Key
	switch {
	case c.Subject != nil:
		key = c.Subject.Key
	case l.Vouched || key.IsZero():
		return nil, nil
	default:
		caller, ok := n.sessionOf(key)
		p := principal{call: c, record: caller}
		if ok && caller.User != l.User && p.has(session.RoleService, session.RoleAdmin) {
			return nil, nil
		}
	}
	if known, err := n.namesItsSession(ctx, key); err != nil || !known {
		return nil, err
	}
	hash := key.Hash()
	return hash[:], nil
}

const (
	// termDraws bounds how often a log-in is written anew while its policy's terms change.
	termDraws = 3
	// carryDraws bounds how often, while the sealed attributes change that it takes along.
	carryDraws = 32
)

// create draws the id, seals, and writes the session.
func (n *Node) create(ctx context.Context, create *fsmpb.CreateSession, first firstAttributes) (session.Issued, error) {
	id, err := session.NewID(n.config.Random)
	if err != nil {
		return session.Issued{}, internalError("create session", err)
	}
	create.Id = id[:]
	key, result, index, err := n.createOnTerms(ctx, id, create, first)
	if err != nil {
		n.local.drop(id)
		return session.Issued{}, err
	}
	if err := loginError(result); err != nil {
		n.local.drop(id)
		n.giveBack(ctx, create.Attempt)
		return session.Issued{}, err
	}
	if result.Repeated {
		n.local.drop(id) // it is not the one that was made
	}
	r := recordFrom(result.GetSession(), fsm.Record{})
	issued := session.Issued{Key: key.WithNumber(r.Number), Session: view(r, n.nowMS()), Attributes: n.attributesOf(r), Meta: n.writeMeta(index)}
	if !r.AttributesLocal {
		issued.Sealed, err = n.sealing.open(r.ID, r.Attributes)
	}
	return issued, err
}

// createOnTerms writes the session on the terms of its policy as this node knows them: with a key of its format, and the attributes where it
// has them. Where the log knows better, the node reads that and writes anew.
func (n *Node) createOnTerms(ctx context.Context, id session.ID, create *fsmpb.CreateSession, first firstAttributes) (key session.Key, result *fsmpb.Result, index uint64, err error) {
	if err := n.hearOf(ctx, create); err != nil {
		n.giveBack(ctx, create.Attempt)
		return key, nil, 0, err
	}
	for terms, carries := 0, 0; terms < termDraws && carries < carryDraws; {
		all, err := n.carryOver(ctx, create, first)
		if err != nil {
			n.giveBack(ctx, create.Attempt)
			return key, nil, 0, err
		}
		known := n.fsm.LoginTerms(create.User, create.Policy)
		if err := n.place(id, create, known, all); err != nil {
			n.giveBack(ctx, create.Attempt)
			return key, nil, 0, err
		}
		if key, err = session.NewKeyFor(create.User, known.KeyFormat, n.config.Random); err != nil {
			return key, nil, 0, internalError("create session", err)
		}
		hash := key.Hash()
		create.KeyHash, create.KeyFormat = hash[:], 0
		if known.KeyFormat != session.KeyNative {
			create.KeyFormat = keyFormatTo(known.KeyFormat)
		}
		result, index, err = n.outbox.submit(ctx, &fsmpb.Command{Kind: &fsmpb.Command_CreateSession{CreateSession: create}})
		switch {
		case err != nil:
			return key, nil, 0, err
		case fsm.OnOtherTerms(result):
			terms++
		case fsm.TookAlongOlder(result):
			carries++
		default:
			return key, result, index, nil
		}
		if err = n.cluster.WaitApplied(ctx, index); err != nil {
			return key, nil, 0, asError("read policy", err)
		}
	}
	return key, result, index, err
}

// loginError translates the refusals of a create.
func loginError(r *fsmpb.Result) error {
	switch {
	case r.Code == fsmpb.Code_CODE_NOT_FOUND && r.Field == "policy":
		return session.ErrLoginPolicyUnknown()
	case r.Code == fsmpb.Code_CODE_FORBIDDEN && r.Field == "user":
		return session.ErrVouchForPowerful()
	case r.Code == fsmpb.Code_CODE_FORBIDDEN && r.Field == "policy":
		return session.ErrLoginPolicyForbidden()
	case r.Code == fsmpb.Code_CODE_CONFLICT && r.Field == "attributes":
		return &session.Error{Code: session.CodeConflict, Field: "sealed_attributes", Message: "the seal key was retired meanwhile; log in again"}
	case r.Code == fsmpb.Code_CODE_FORBIDDEN && r.Field == "permanent":
		return session.ErrPermanentForbidden()
	case r.Code == fsmpb.Code_CODE_FORBIDDEN && r.Field == "idle_timeout_s":
		return session.ErrIdleForbidden()
	case r.Code == fsmpb.Code_CODE_INVALID && r.Field == "client_ip":
		return session.ErrAddressNeeded()
	case r.Code == fsmpb.Code_CODE_IDEMPOTENCY_MISMATCH && r.Field == "client_ip":
		return session.ErrRequestElsewhere()
	case r.Code == fsmpb.Code_CODE_SESSION_LIMIT:
		return session.ErrSessionLimit(r.Field)
	case r.Code == fsmpb.Code_CODE_BUSY:
		return &session.Error{Code: session.CodeOverloaded, Field: r.Field, RetryAfter: removalPause,
			Message: "sessions that have ended still count towards this limit until they are removed, which is under way; nothing was done"}
	case fsm.TookAlongOlder(r):
		return &session.Error{Code: session.CodeConflict, Field: "attributes", Message: "the sealed attributes that the log-in takes along change all the time; log in again"}
	case fsm.OnOtherTerms(r):
		return &session.Error{Code: session.CodeConflict, Field: "policy", Message: "the policy's key_format or attributes were changed meanwhile; log in again"}
	case r.Code == fsmpb.Code_CODE_CONFLICT:
		return session.ErrLoginUserChanged()
	}
	return resultError(r, "log in as this user")
}

// idempotency is what the log keeps of an Idempotency-Key.
func idempotency(subject string, l session.Login) *fsmpb.Idempotency {
	h, ok := l.RequestHash(subject)
	if !ok {
		return nil
	}
	return &fsmpb.Idempotency{ScopeHash: h.Scope[:], BodyHash: h.Body[:]}
}
