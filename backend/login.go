package backend

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

// orphanAge is how long a session's record may wait for the log-in that writes it to list it. Older ones that no list names may be taken away: so
// who was slower than half of that looks again.
const orphanAge = 10 * time.Minute

// login is a log-in under way.
type login struct {
	session.Login
	service  *Service
	call     session.Call
	proof    proof
	caller   *principal // nil = the user itself, by password
	replaced *found     // the session whose key comes with the call; nil = none
	address  netip.Addr // of the client; invalid = unknown
	agent    string
	request  session.RequestHash
	repeats  bool    // there is a request's hash
	claimed  Version // of the request's record, if this log-in has made it

	key       session.Key
	id        session.ID
	begunMS   int64 // when the id was drawn
	written   *sessionRecord
	writtenAt Version
}

// Login implements session.Sessions.
func (s *Service) Login(ctx context.Context, c session.Call, asked session.Login) (session.Issued, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	asked, err := asked.Normal()
	if err != nil {
		return session.Issued{}, err
	}
	l := &login{Login: asked, service: s, call: c}
	checked, err := l.believe(ctx)
	if err != nil {
		return session.Issued{}, err
	}
	if checked != nil {
		defer s.giveBack(ctx, checked.attempt)
	}
	l.request, l.repeats = asked.RequestHash(l.proof.subject) // without the connection's address: a repetition may come over another one
	if err := l.claim(ctx); err != nil {
		return session.Issued{}, err
	}
	if err := l.findReplaced(ctx); err != nil {
		return session.Issued{}, err
	}
	issued, err := l.run(ctx)
	l.tellRefused(ctx, err)
	if err != nil && session.CodeOf(err) != session.CodeOutcomeUnknown {
		l.unclaim(ctx)
	}
	if err == nil && checked != nil && l.Digest == nil {
		s.keepUp(ctx, l.User, l.Password, checked)
	}
	return issued, err
}

// believe makes sure that the user is who it says; nil when a service does.
func (l *login) believe(ctx context.Context) (checked *checkedPassword, err error) {
	s := l.service
	l.address, l.agent = plain(l.ClientAddress), l.UserAgent
	if l.Vouched {
		c := l.call
		c.Subject = nil
		if l.caller, err = s.authenticateAs(ctx, c, session.RoleAdmin, session.RoleService); err != nil {
			return nil, err
		}
		l.proof = proof{method: session.MethodService, vouched: true, subject: "service " + l.caller.user}
		return nil, nil
	}
	if l.call.Subject != nil || l.ClientAddress.IsValid() || l.UserAgent != "" {
		if err := l.mayNameClient(ctx); err != nil {
			return nil, err
		}
	} else {
		l.address, l.agent = plain(l.call.Address), session.CutUserAgent(l.call.UserAgent)
	}
	right, err := s.checkPassword(ctx, passwordCheck{user: l.User, password: l.Password, digest: l.Digest, address: triedFrom(l.call, l.address)})
	if err != nil {
		return nil, err
	}
	l.proof = right.proof
	return &right, nil
}

// mayNameClient tells whether the caller may say on whose behalf it logs in: services and admins.
func (l *login) mayNameClient(ctx context.Context) error {
	forbidden := session.ErrMayNotNameClient()
	if l.call.Subject != nil {
		forbidden = session.ErrMayNotPresent()
	}
	if l.call.Key.IsZero() && !l.call.Operator {
		return forbidden
	}
	_, err := l.service.authenticateAs(ctx, l.call, session.RoleAdmin, session.RoleService)
	if session.CodeOf(err) == session.CodeForbidden {
		return forbidden
	}
	return err
}

// claim makes sure that the Idempotency-Key was not used for another request.
func (l *login) claim(ctx context.Context) error {
	if !l.repeats {
		return nil
	}
	s := l.service
	return s.again(ctx, func() error {
		snapshot, err := s.read(ctx, requestName(l.request.Scope))
		if err != nil {
			return err
		}
		was, r := snapshot.Records[0], &requestRecord{}
		if was.Version != "" {
			if err := decode(was.Value, r); err != nil {
				return internalError("read a request", err)
			}
			if snapshot.Now.UnixMilli() < r.UntilMS {
				if !bytes.Equal(r.Body, l.request.Body[:]) {
					return session.ErrRequestMismatch()
				}
				return nil
			}
		}
		until := snapshot.Now.Add(session.IdempotencyLifetime)
		r = &requestRecord{Body: l.request.Body[:], UntilMS: until.UnixMilli()}
		l.claimed, err = s.put(ctx, requestName(l.request.Scope), r, was.Version, until.Add(expiryMargin))
		if errors.Is(err, ErrChanged) {
			return err
		}
		return undecided("claim a request", err)
	})
}

// unclaim lets the Idempotency-Key be used for another request, when nothing came of this one.
func (l *login) unclaim(ctx context.Context) {
	if l.claimed != "" {
		_ = l.service.store.Delete(ctx, requestName(l.request.Scope), l.claimed)
	}
}

// findReplaced finds the session in whose place the log-in comes. A service that sends its own key says who asks, and nothing about
// its user's session. What presents a spent key, or one at a wrong address, replaces nothing.
func (l *login) findReplaced(ctx context.Context) error {
	s, key, address := l.service, l.call.Key, l.call.Address
	switch {
	case l.call.Subject != nil:
		key, address = l.call.Subject.Key, l.call.Subject.Address
	case l.Vouched || key.IsZero():
		return nil
	}
	f, err := s.lookOne(ctx, key)
	if err != nil {
		return err
	}
	ok, err := s.open(ctx, f, address)
	if err != nil || !ok {
		return err
	}
	if l.call.Subject == nil && f.session.User != l.User && isPowerful(f.roles()) {
		return nil
	}
	l.replaced = f
	return nil
}

// run makes the session, or finds the one that this request has made before.
func (l *login) run(ctx context.Context) (session.Issued, error) {
	s := l.service
	for {
		issued, before, err := l.make(ctx)
		if before == nil {
			return issued, err
		}
		f, err := s.lookID(ctx, before.ID)
		if err != nil {
			return session.Issued{}, err
		}
		if f.lives() {
			return l.rekey(ctx, f)
		}
		if err := s.forget(ctx, l.User, f); err != nil {
			return session.Issued{}, err
		}
	}
}

// make makes the session: its own records first, then, in one write, the user's.
func (l *login) make(ctx context.Context) (issued session.Issued, before *requested, err error) {
	s := l.service
	var gone []session.ID
	var made *found
	var leave []left
	var change *userChange
	err = s.changeUser(ctx, l.User, func(u *userChange) error {
		if err := l.admit(u); err != nil {
			return err
		}
		if before, err = l.repeated(u); before != nil || err != nil {
			return orKeep(err)
		}
		rec, err := l.compose(ctx, u)
		if err != nil {
			return err
		}
		if gone, err = l.makeRoom(ctx, u, rec); err != nil {
			return err
		}
		if err := l.write(ctx, u, rec); err != nil {
			return err
		}
		leave, change = l.leaving(u, rec, gone), u
		made = l.enlist(u, rec, gone)
		return nil
	})
	if err != nil || before != nil {
		if session.CodeOf(err) != session.CodeOutcomeUnknown {
			l.unwrite()
		}
		return session.Issued{}, before, err
	}
	s.tellLeft(ctx, change, leave)
	if err := l.confirm(ctx); err != nil {
		return session.Issued{}, nil, err
	}
	if err := l.stand(ctx, made); err != nil {
		return session.Issued{}, nil, err
	}
	l.tellDone(ctx, EventLogin, made)
	s.tidyIDs(gone)
	l.endReplaced(ctx)
	issued = session.Issued{Key: l.key.WithNumber(made.number), Session: made.view(), Attributes: made.session.attributes(), Meta: s.meta()}
	issued.Sealed, err = s.seals.open(l.id, made.session.Sealed)
	return issued, nil, err
}

// admit judges whether the user may be logged in: by the one who vouches, or by the password that was verified.
func (l *login) admit(u *userChange) error {
	switch account := u.user.Account; {
	case !l.Vouched && !l.proof.holdsFor(u.user):
		return session.ErrLoginUserChanged()
	case !l.Vouched || account == nil:
		return nil
	case account.Disabled || isPowerful(account.Roles):
		return session.ErrVouchForPowerful()
	}
	return nil
}

// mayActForOthers tells whether the one who logs the user in may choose any policy.
func (l *login) mayActForOthers(u *userChange) bool {
	return l.Vouched || u.user.Account != nil && isPowerful(u.user.Account.Roles)
}

// choosePolicy finds the session's policy. A user chooses among its own, services and admins among all.
func (l *login) choosePolicy(u *userChange) (*session.Policy, error) {
	var own []string
	if u.user.Account != nil {
		own = u.user.Account.Policies
	}
	name := l.Policy
	if name == "" && len(l.proof.grant.Policies) > 0 {
		name = l.proof.grant.Policies[0]
	}
	if name == "" && len(own) > 0 {
		name = own[0]
	}
	if name == "" {
		name = session.DefaultPolicyName
	}
	p := u.cluster.policy(name)
	if p == nil {
		return nil, session.ErrLoginPolicyUnknown()
	}
	allowed := l.mayActForOthers(u) || slices.Contains(l.proof.grant.Policies, name) || slices.Contains(own, name) ||
		len(own) == 0 && name == session.DefaultPolicyName
	if !allowed {
		return nil, session.ErrLoginPolicyForbidden()
	}
	return p, nil
}

// compose judges what the session is to be.
func (l *login) compose(ctx context.Context, u *userChange) (*sessionRecord, error) {
	p, err := l.choosePolicy(u)
	if err != nil {
		return nil, err
	}
	if l.key.Format() != p.KeyFormat {
		if l.key, err = session.NewKeyFor(l.User, p.KeyFormat, l.service.config.Random); err != nil {
			return nil, internalError("create session", err)
		}
	}
	rec := &sessionRecord{
		User: l.User, Policy: p.Name, Key: l.key.Hash(), Permanent: l.Permanent,
		CreatedMS: u.nowMS, MadeMS: u.nowMS, LastUseMS: u.nowMS, LastActivityMS: u.nowMS, AuthMS: u.nowMS,
		PolicyVersion: p.Version, Methods: []session.Method{l.proof.method}, Roles: l.roles(u),
		Address: l.address, UserAgent: l.agent, Bound: l.BindAddress,
	}
	if err := l.chooseTimers(u, p, rec); err != nil {
		return nil, err
	}
	if !l.Permanent {
		rec.Timers = timersOf(p, rec.OwnIdleMS, rec.CreatedMS)
	}
	if l.written == nil {
		if l.id, err = newID(l.service.config.Random, u.nowMS); err != nil {
			return nil, internalError("create session", err)
		}
		l.begunMS = u.nowMS
	}
	rec.AttributesVersion = nextVersion(0, u.nowMS)
	return rec, l.fillAttributes(ctx, u, rec)
}

// mayHaveIdle tells whether a session may have an idle timeout of its own.
func mayHaveIdle(own time.Duration, p *session.Policy, powerful bool) bool {
	return p == nil || p.LongerIdleAllowed || p.IdleTimeout == 0 || own != 0 && own <= p.IdleTimeout || powerful
}

func (l *login) roles(u *userChange) []session.Role {
	switch {
	case l.Vouched:
		return []session.Role{session.RoleUser}
	case u.user.Account != nil:
		return slices.Clone(u.user.Account.Roles)
	}
	return l.proof.roles()
}

// chooseTimers judges whether the session may be permanent, have an idle timeout of its own, and be bound to its address.
func (l *login) chooseTimers(u *userChange, p *session.Policy, rec *sessionRecord) error {
	switch {
	case (p.BindAddress == session.BindStrict || rec.Bound) && !rec.Address.IsValid():
		return session.ErrAddressNeeded()
	case l.Permanent && !p.PermanentAllowed:
		return session.ErrPermanentForbidden()
	case l.IdleTimeout == nil:
		return nil
	case !mayHaveIdle(*l.IdleTimeout, p, l.mayActForOthers(u)):
		return session.ErrIdleForbidden()
	}
	ms := l.IdleTimeout.Milliseconds()
	rec.OwnIdleMS = &ms
	return nil
}

// fillAttributes gives the attributes of the new session: those of the same user's session before, and over them the log-in's own. What is
// sealed opens in its own session only, so it is sealed anew.
func (l *login) fillAttributes(ctx context.Context, u *userChange, rec *sessionRecord) error {
	s, plain, secret := l.service, session.Attributes{}, session.Attributes{}
	before, err := l.inherit(ctx, u)
	if err != nil {
		return err
	}
	if before != nil {
		maps.Copy(plain, before.session.Attributes)
		opened, err := s.seals.open(before.id, before.session.Sealed)
		if err != nil {
			return err
		}
		maps.Copy(secret, opened)
	}
	for name, value := range l.Attributes {
		delete(secret, name)
		plain[name] = value
	}
	for name, value := range l.Reserved {
		plain[session.ReservedAttributePrefix+name] = value
	}
	for name, value := range l.Sealed {
		delete(plain, name)
		secret[name] = value
	}
	if value, some := plain[session.CredentialsAttribute]; some && s.sealsCredentials(rec) {
		if err := s.seals.takesCredentials(value); err != nil {
			return err
		}
		delete(plain, session.CredentialsAttribute)
		secret[session.CredentialsAttribute] = value
	}
	sealed, err := s.seals.seal(s.config.Random, l.id, secret)
	if err != nil {
		return err
	}
	if len(plain) > 0 {
		rec.Attributes = map[string]json.RawMessage(plain)
	}
	rec.Sealed = sealed
	return rec.withinLimits()
}

// write writes the records of session and key that the user's list will lead to.
func (l *login) write(ctx context.Context, u *userChange, rec *sessionRecord) error {
	s, expires := l.service, rec.expires()
	if l.written == nil || l.written.Key != rec.Key {
		if err := s.putKey(ctx, keyName(rec.Key), l.User, l.id, expires, ""); err != nil {
			return undecided("write a key", err)
		}
	}
	rec.KeysUntilMS = keysUntil(expires)
	if l.written != nil {
		rec.KeysUntilMS = sooner(rec.KeysUntilMS, l.written.KeysUntilMS)
		if u.nowMS-l.begunMS > (orphanAge / 2).Milliseconds() {
			return errBusy() // it may be taken for an orphan
		}
	}
	value, err := encode(rec)
	if err != nil {
		return internalError("write a session", err)
	}
	at, err := s.store.Put(ctx, sessionName(l.id), value, l.writtenAt, expires)
	if err != nil {
		return undecided("write a session", notChanged(err))
	}
	l.written, l.writtenAt = rec, at
	return nil
}

var errOwnRecord = errors.New("a record that nobody else knows was changed")

// notChanged turns ErrChanged, where nobody can have changed anything, into what it then is.
func notChanged(err error) error {
	if errors.Is(err, ErrChanged) {
		return errOwnRecord
	}
	return err
}

// unwrite takes the records of a session away that was not made.
func (l *login) unwrite() {
	if l.written != nil {
		l.service.tidyIDs([]session.ID{l.id})
	}
}

// enlist changes the user's record so that the session lives.
func (l *login) enlist(u *userChange, rec *sessionRecord, gone []session.ID) *found {
	if l.replaced != nil && l.replaced.session.User == l.User {
		u.user.drop(l.replaced.id)
	}
	u.user.drop(gone...)
	u.user.LastNumber++
	entry := listed{ID: l.id, Number: u.user.LastNumber, Policy: rec.Policy, Permanent: rec.Permanent}
	u.user.Sessions = append(u.user.Sessions, entry)
	l.rememberIn(u)
	return &found{nowMS: u.nowMS, cluster: u.cluster, id: l.id, session: rec, user: u.user, number: entry.Number, state: keyCurrent}
}

// confirm looks, if much time has passed, whether the session's record was taken for an orphan meanwhile.
func (l *login) confirm(ctx context.Context) error {
	if time.Since(instant(l.begunMS)) < orphanAge/2 {
		return nil
	}
	snapshot, err := l.service.read(ctx, sessionName(l.id))
	if err == nil && snapshot.Records[0].Version == "" {
		err = errBusy()
	}
	return err
}

// endReplaced ends the session of another user whose key came with the log-in. The same user's has left the list.
func (l *login) endReplaced(ctx context.Context) {
	f := l.replaced
	if f == nil {
		return
	}
	if f.session.User == l.User {
		l.service.figures.ended("replaced", 1)
		l.service.tidyIDs([]session.ID{f.id})
		return
	}
	key := f.shown
	why := ending{CauseReplaced, l.actor(l.id)}
	_, err := l.service.endSession(ctx, f, why, func() (*found, error) { return l.service.lookOne(ctx, key) }, (*found).opens)
	if err != nil {
		l.service.log.Error("the session in whose place a log-in came was not ended", slog.String("session", f.id.String()), slog.Any("error", err))
	}
}

// newID draws an id whose order is that of creation: six bytes of milliseconds, ten random ones.
func newID(random interface{ Read([]byte) (int, error) }, nowMS int64) (session.ID, error) {
	id, err := session.NewID(random)
	if err != nil {
		return id, err
	}
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(nowMS))
	copy(id[:6], ms[2:])
	return id, nil
}

// drawnMS is when an id was drawn.
func drawnMS(id session.ID) int64 {
	var ms [8]byte
	copy(ms[2:], id[:6])
	return int64(binary.BigEndian.Uint64(ms[:])) //nolint:gosec // of six bytes
}
