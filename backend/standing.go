package backend

import (
	"context"
	"errors"
	"log/slog"

	"github.com/hydrastore/hydrastore/session"
)

// Where a Directory keeps the accounts, a password is judged there, what it proves is written here, and no write of one is a condition of the other. Most of what is written while the
// user gets another password ends by that: it is under a mark that is no more. A permanent session does not. So what a password has proved for one, and every proof anew, is
// judged once more when it is written: if the password has changed by then it is taken back, and nobody has got the key. What is answered was written before the
// change was acknowledged, wherever that was.

// stands tells whether no other password, and nothing else that ends sessions, has come since the user's record was read.
func (s *Service) stands(ctx context.Context, name string, u *userRecord) (bool, error) {
	if _, err := s.config.Directory.Read(ctx, session.Call{}); err != nil {
		return false, asError("read the cluster", err)
	}
	return s.config.Directory.User(name).Sessions.Now == u.Marks.Sessions, nil
}

// mustStand tells whether a proof has to stand when what it proves is written.
func (s *Service) mustStand(p *proof) bool {
	return s.config.Directory != nil && p != nil && !p.vouched
}

// changeByProof is changeSession for a change that a proof allows. change reads the user's record, as it is after the session's was read, into f.
func (s *Service) changeByProof(ctx context.Context, p *proof, f *found, find func() (*found, error), change func(f *found) error) error {
	if !s.mustStand(p) {
		return s.changeSession(ctx, f, find, change)
	}
	free, err := s.locks.take(ctx, sessionName(f.id))
	if err != nil {
		return err
	}
	defer free() // who presents the earlier key meanwhile waits, and finds it good
	var before []byte
	err = s.replaceSession(ctx, f, find, func(f *found) (err error) {
		if before, err = encode(f.session); err != nil {
			return internalError("write a session", err)
		}
		return change(f)
	})
	if err != nil {
		return err
	}
	ok, err := s.stands(ctx, f.session.User, f.user)
	if ok {
		return nil
	}
	if back := s.takeBack(ctx, f, before); back != nil {
		return back
	}
	if err == nil {
		err = session.ErrUserChanged()
	}
	return err
}

// takeBack puts a session's record back, whether the request still has time or not.
func (s *Service) takeBack(ctx context.Context, f *found, before []byte) error {
	ctx, cancel := s.limit(context.WithoutCancel(ctx))
	defer cancel()
	_, err := s.store.Put(ctx, sessionName(f.id), before, f.sessionAt, f.session.expires())
	if errors.Is(err, ErrChanged) {
		return nil // it has ended
	}
	if err != nil {
		s.log.Error("a session was not put back whose proof a new password has overtaken: its key is lost", slog.String("session", f.id.String()), slog.Any("error", err))
		return errNotTakenBack(err)
	}
	return nil
}

// errNotTakenBack is for what was done and should not stay: whatever err says of the way back, that is not "nothing was done".
func errNotTakenBack(err error) error {
	return &session.Error{Code: session.CodeOutcomeUnknown, Err: wrapped{"take back", err},
		Message: "another password has overtaken this request, and it could not be taken back: it may have been done"}
}

// stand judges a log-in once more that another password would not end, and takes it back if that has come.
func (l *login) stand(ctx context.Context, made *found) error {
	s := l.service
	if !made.session.Permanent || !s.mustStand(&l.proof) {
		return nil
	}
	ok, err := s.stands(ctx, l.User, made.user)
	if ok {
		return nil
	}
	back, cancel := s.limit(context.WithoutCancel(ctx))
	defer cancel()
	if err := s.changeUser(back, l.User, func(u *userChange) error {
		u.user.drop(l.id)
		return nil
	}); err != nil {
		return errNotTakenBack(err)
	}
	l.unwrite()
	if err == nil {
		err = session.ErrLoginUserChanged()
	}
	return err
}
