package backend

import (
	"context"
	"errors"
	"net/netip"
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
	lost      int // ids whose records may have been made, and are not used
}

// mostLost bounds the ids that one log-in draws because the store did not answer.
const mostLost = 2

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
	if l.written == nil && session.CodeOf(err) == session.CodeOutcomeUnknown && l.lost < mostLost && ctx.Err() == nil {
		l.lost++
		s.tidyIDs([]session.ID{l.id})
		l.key = session.Key{} // it leads to that id
		return ErrChanged
	}
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
