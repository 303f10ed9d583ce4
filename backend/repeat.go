package backend

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"github.com/hydrastore/hydrastore/session"
)

// maxRequests is how many idempotent log-ins of one user are remembered at once, the oldest forgotten first.
const maxRequests = 256

// repeated finds the session that this request has made before, if it lives. The claim of the Idempotency-Key may be over a moment sooner.
func (l *login) repeated(u *userChange) (*requested, error) {
	if !l.repeats {
		return nil, nil
	}
	for i, r := range u.user.Requests {
		if u.nowMS >= r.UntilMS || !bytes.Equal(r.Scope, l.request.Scope[:]) || u.user.find(r.ID) == nil {
			continue
		}
		if !bytes.Equal(r.Body, l.request.Body[:]) {
			return nil, session.ErrRequestMismatch()
		}
		return &u.user.Requests[i], nil
	}
	return nil, nil
}

func (l *login) rememberIn(u *userChange) {
	u.user.Requests = slices.DeleteFunc(u.user.Requests, func(r requested) bool {
		return u.nowMS >= r.UntilMS || bytes.Equal(r.Scope, l.request.Scope[:])
	})
	if !l.repeats {
		return
	}
	until := u.nowMS + session.IdempotencyLifetime.Milliseconds()
	u.user.Requests = append(u.user.Requests, requested{Scope: l.request.Scope[:], Body: l.request.Body[:], ID: l.id, UntilMS: until})
	if n := len(u.user.Requests); n > maxRequests {
		u.user.Requests = slices.Clone(u.user.Requests[n-maxRequests:])
	}
}

// rekey answers a repeated request with the session made first, under a new key: the first one ends.
func (l *login) rekey(ctx context.Context, f *found) (session.Issued, error) {
	s, id := l.service, f.id
	format := session.KeyNative
	if p := f.policy(); p != nil {
		format = p.KeyFormat
	}
	var err error
	if l.key, err = session.NewKeyFor(l.User, format, s.config.Random); err != nil {
		return session.Issued{}, internalError("create session", err)
	}
	if err := s.putKey(ctx, keyName(l.key.Hash()), f.session.User, id, f.session.expires(), ""); err != nil {
		return session.Issued{}, undecided("write a key", err)
	}
	until, ended := keysUntil(f.session.expires()), session.KeyHash{}
	find := func() (*found, error) { return s.lookID(ctx, id) }
	err = s.changeByProof(ctx, &l.proof, f, find, func(f *found) error {
		if !f.lives() {
			return errEnded()
		}
		if err := l.stillAdmitted(ctx, f); err != nil {
			return err
		}
		if binding, wrong := f.elsewhere(l.address); wrong && binding == session.BindStrict {
			return session.ErrRequestElsewhere()
		}
		ended, f.session.Key = f.session.Key, l.key.Hash()
		f.session.KeysUntilMS = sooner(f.session.KeysUntilMS, until)
		f.session.capGraces(f.nowMS, f.nowMS) // they led to the key that has just ended
		if l.proof.method == session.MethodDirectory && f.user.Account == nil {
			f.session.Roles = l.proof.roles() // its groups may have changed since
		}
		f.session.use(f.rules(), f.nowMS, false)
		return nil
	})
	if err != nil {
		if session.CodeOf(err) != session.CodeOutcomeUnknown {
			s.dropKey(l.key.Hash())
		}
		return session.Issued{}, err
	}
	l.tellDone(ctx, EventLoginRepeated, f)
	s.dropKey(ended)
	f.state = keyCurrent
	issued := session.Issued{Key: l.key.WithNumber(f.number), Session: f.view(), Attributes: f.session.attributes(), Meta: s.meta()}
	issued.Sealed, err = s.seals.open(id, f.session.Sealed)
	return issued, err
}

// stillAdmitted judges the log-in by the user's record as it is after the session's was read, which a repetition does not write. A password that is changed
// after that has the session written before the change is acknowledged (renewSpared), so that this write of it comes too late. Where a Directory keeps the accounts,
// changeByProof judges once more.
func (l *login) stillAdmitted(ctx context.Context, f *found) error {
	u, err := l.service.readUser(ctx, l.User)
	if err != nil {
		return err
	}
	if u.user.find(f.id) == nil {
		return errEnded()
	}
	f.user = u.user
	return l.admit(u)
}

func errEnded() *session.Error {
	return session.Errorf(session.CodeConflict, "the session that this request has made ended in this moment; ask again")
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
