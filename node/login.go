package node

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"unicode/utf8"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// Login implements session.Sessions.
func (n *Node) Login(ctx context.Context, c session.Call, l session.Login) (session.Issued, error) {
	ctx, cancel := n.limit(ctx)
	defer cancel()
	if err := n.normalLogin(&l); err != nil {
		return session.Issued{}, err
	}
	asked := l // before the connection's address fills in: a repetition may come over another one
	create := &fsmpb.CreateSession{
		User: l.User, Policy: l.Policy, Attributes: newAttributes(l.Attributes), UserAgent: l.UserAgent, Permanent: l.Permanent,
	}
	if l.IdleTimeout != nil {
		create.IdleMs = ptr(l.IdleTimeout.Milliseconds())
	}
	proof, err := n.vouchOrVerify(ctx, c, &l, create)
	if err != nil {
		return session.Issued{}, err
	}
	create.Replaces = n.replaced(c, l)
	create.Address = addressBytes(l.ClientAddress)
	create.Idempotency = idempotency(proof.subject, asked)
	if err := n.carrySealed(ctx, &l, create.Replaces); err != nil {
		n.giveBack(ctx, create.Attempt)
		return session.Issued{}, err
	}
	issued, err := n.create(ctx, create, l.Sealed)
	if err == nil && proof.outdated {
		n.upgradePassword(ctx, l, create)
	}
	return issued, err
}

// normalLogin validates l and brings it to its canonical form.
func (n *Node) normalLogin(l *session.Login) (err error) {
	if l.User, err = session.FoldUserName(l.User); err != nil {
		return err
	}
	if l.Attributes, err = l.Attributes.Canonical(); err != nil {
		return err
	}
	if l.Sealed, err = l.Sealed.Canonical(); err != nil {
		return ofSealed(err)
	}
	for name := range l.Sealed {
		if _, twice := l.Attributes[name]; twice {
			return session.Invalid("sealed_attributes", "%q is among the attributes too", name)
		}
	}
	if l.Policy != "" {
		if err := session.ValidatePolicyName(l.Policy); err != nil {
			return err
		}
	}
	if err := validTimers(l); err != nil {
		return err
	}
	switch {
	case len(l.Password) > session.MaxPasswordBytes:
		return session.TooLarge("password", "a password has at most %d bytes", session.MaxPasswordBytes)
	case len(l.UserAgent) > session.MaxUserAgentBytes:
		return session.TooLarge("user_agent", "a user agent has at most %d bytes", session.MaxUserAgentBytes)
	case !utf8.ValidString(l.UserAgent):
		return session.Invalid("user_agent", "must be valid UTF-8")
	case len(l.IdempotencyKey) > session.MaxIdempotencyKeyBytes:
		return session.TooLarge("Idempotency-Key", "has at most %d bytes", session.MaxIdempotencyKeyBytes)
	}
	l.ClientAddress = l.ClientAddress.Unmap().WithZone("")
	return nil
}

// validTimers judges what a session asks for beside its policy.
func validTimers(l *session.Login) error {
	switch {
	case l.IdleTimeout == nil:
		return nil
	case l.Permanent:
		return session.Invalid("idle_timeout_s", "a permanent session has no idle timeout: leave out one of the two")
	}
	return session.ValidateOwnIdleTimeout(*l.IdleTimeout)
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
		l.ClientAddress, create.UserAgent = c.Address, agent(c.UserAgent)
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
	forbidden := session.Invalid("client_ip", "only a session with role service or admin may name client_ip and user_agent")
	if c.Subject != nil {
		forbidden = errMayNotPresent()
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
func (n *Node) replaced(c session.Call, l session.Login) []byte {
	key := c.Key
	switch {
	case c.Subject != nil:
		key = c.Subject.Key
	case l.Vouched || key.IsZero():
		return nil
	default:
		caller, ok := n.fsm.SessionByKey(key.Hash())
		p := principal{call: c, record: caller}
		if ok && caller.User != l.User && p.has(session.RoleService, session.RoleAdmin) {
			return nil
		}
	}
	hash := key.Hash()
	return hash[:]
}

// create draws key and id, seals, and writes the session.
func (n *Node) create(ctx context.Context, create *fsmpb.CreateSession, secrets session.Attributes) (session.Issued, error) {
	key, err := session.NewKey(n.config.Random)
	if err != nil {
		return session.Issued{}, internalError("create session", err)
	}
	id, err := session.NewID(n.config.Random)
	if err != nil {
		return session.Issued{}, internalError("create session", err)
	}
	sealed, err := n.sealing.seal(id, secrets)
	if err != nil {
		n.giveBack(ctx, create.Attempt)
		return session.Issued{}, err
	}
	create.Attributes = append(create.Attributes, sealed...)
	hash := key.Hash()
	create.KeyHash, create.Id = hash[:], id[:]
	result, index, err := n.outbox.submit(ctx, &fsmpb.Command{Kind: &fsmpb.Command_CreateSession{CreateSession: create}})
	if err != nil {
		return session.Issued{}, err
	}
	if err := loginError(result); err != nil {
		n.giveBack(ctx, create.Attempt)
		return session.Issued{}, err
	}
	r := recordFrom(result.GetSession(), fsm.Record{})
	issued := session.Issued{Key: key, Session: view(r, n.nowMS()), Attributes: attributes(r.Attributes), Meta: n.writeMeta(index)}
	issued.Sealed, err = n.sealing.open(r.ID, r.Attributes)
	return issued, err
}

// loginError translates the refusals of a create.
func loginError(r *fsmpb.Result) error {
	switch {
	case r.Code == fsmpb.Code_CODE_NOT_FOUND && r.Field == "policy":
		return session.Invalid("policy", "there is no policy of this name")
	case r.Code == fsmpb.Code_CODE_FORBIDDEN && r.Field == "user":
		return errVouchForPowerful()
	case r.Code == fsmpb.Code_CODE_FORBIDDEN && r.Field == "policy":
		return &session.Error{Code: session.CodeForbidden, Field: "policy", Message: "the user may not log in under this policy"}
	case r.Code == fsmpb.Code_CODE_CONFLICT && r.Field == "attributes":
		return &session.Error{Code: session.CodeConflict, Field: "sealed_attributes", Message: "the seal key was retired meanwhile; log in again"}
	case r.Code == fsmpb.Code_CODE_FORBIDDEN && r.Field == "permanent":
		return &session.Error{Code: session.CodeForbidden, Field: "permanent", Message: "the policy does not allow permanent sessions; an admin can change that with permanent_allowed"}
	case r.Code == fsmpb.Code_CODE_FORBIDDEN && r.Field == "idle_timeout_s":
		return &session.Error{Code: session.CodeForbidden, Field: "idle_timeout_s", Message: "only services and admins may ask for a longer idle timeout than the policy's"}
	case r.Code == fsmpb.Code_CODE_INVALID && r.Field == "client_ip":
		return session.Invalid("client_ip", "is needed: the policy binds sessions to the address of their client")
	case r.Code == fsmpb.Code_CODE_IDEMPOTENCY_MISMATCH && r.Field == "client_ip":
		return &session.Error{Code: session.CodeIdempotencyMismatch, Field: "Idempotency-Key", Message: "the session that this Idempotency-Key has made is bound to another address; log in with a new one"}
	case r.Code == fsmpb.Code_CODE_SESSION_LIMIT:
		return &session.Error{Code: session.CodeSessionLimit, Field: r.Field, Message: limitReached(r.Field)}
	case r.Code == fsmpb.Code_CODE_BUSY:
		return &session.Error{Code: session.CodeOverloaded, Field: r.Field, RetryAfter: removalPause,
			Message: "sessions that have ended still count towards this limit until they are removed, which is under way; nothing was done"}
	case r.Code == fsmpb.Code_CODE_CONFLICT:
		return &session.Error{Code: session.CodeConflict, Field: r.Field, Message: "the user was changed or disabled meanwhile; log in again"}
	}
	return resultError(r, "log in as this user")
}

// agent cuts a User-Agent header to what is kept: it is a hint for people and no reason to refuse a log-in.
func agent(header string) string {
	if len(header) > session.MaxUserAgentBytes {
		header = header[:session.MaxUserAgentBytes]
	}
	for !utf8.ValidString(header) {
		header = header[:len(header)-1]
	}
	return header
}

// idempotency hashes what makes two creates the same. Sealed values are left out: a hash would tell who guesses them. So is the password: it is verified each time, and a hash of
// it beside known text would be a gift to whoever steals a disk.
func idempotency(subject string, l session.Login) *fsmpb.Idempotency {
	if l.IdempotencyKey == "" {
		return nil
	}
	scope, body := sha256.New(), sha256.New()
	writeParts(scope, "POST /v1/sessions", subject, l.IdempotencyKey)
	writeParts(body, l.User, l.Policy, l.ClientAddress.String(), l.UserAgent)
	if l.Permanent {
		writeParts(body, "permanent")
	}
	if l.IdleTimeout != nil {
		writeParts(body, "idle", l.IdleTimeout.String())
	}
	for _, a := range newAttributes(l.Attributes) {
		writeParts(body, a.Name, string(a.Value))
	}
	for _, a := range newAttributes(l.Sealed) {
		writeParts(body, "sealed", a.Name)
	}
	return &fsmpb.Idempotency{ScopeHash: scope.Sum(nil), BodyHash: body.Sum(nil)}
}

// writeParts writes each part with its length before it, so that no two lists of parts give the same bytes.
func writeParts(w io.Writer, parts ...string) {
	for _, p := range parts {
		var length [4]byte
		binary.BigEndian.PutUint32(length[:], uint32(len(p)))
		_, _ = w.Write(length[:])
		_, _ = io.WriteString(w, p)
	}
}
