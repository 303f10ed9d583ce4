package backend

import (
	"context"
	"log/slog"
	"net/netip"

	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/session"
)

// proof is what makes it believed that a user is who it says.
type proof struct {
	method  session.Method
	vouched bool // by a service
	subject string
	version uint64 // of the account that the password was verified against; 0 = there was none
	outside bool   // somebody outside has verified it
	grant   auth.Grant
}

// holdsFor tells whether the account is still the one that was verified against, or as absent as then. The password of an account that has one is
// nobody else's to verify.
func (p *proof) holdsFor(u *userRecord) bool {
	if u == nil || u.Account == nil {
		return p.version == 0 && p.outside
	}
	if u.Account.Disabled || p.outside && u.Account.PasswordHash != "" {
		return false
	}
	return p.version == u.Account.Version
}

// roles are those that a verification outside gives to a user without account.
func (p *proof) roles() []session.Role {
	roles, err := session.NormalRoles(p.grant.Roles)
	if err != nil {
		return []session.Role{session.RoleUser}
	}
	return roles
}

// passwordCheck is one try of a password.
type passwordCheck struct {
	user     string // folded
	password string
	digest   *session.Digest // in place of the password; nil = none
	address  netip.Addr      // invalid = unknown
}

// triedFrom is where a password comes from: the client that a service names, or else the caller. All who log in through a service
// that names none are counted together.
func triedFrom(c session.Call, client netip.Addr) netip.Addr {
	if client.IsValid() {
		return client
	}
	return c.Address
}

// checkedPassword is a password that was right.
type checkedPassword struct {
	proof
	attempt  *attempt              // to be given back; nil = none was taken
	outdated bool                  // the password's hash should be made anew
	account  account               // that it was checked against; zero = none
	keepUp   func(context.Context) // a Directory's own; nil = none
}

// checkPassword wants a context that ends with the request. It counts the attempt in the store, then reads the user and compares, or has it judged outside. A right
// password's attempt is returned: giveBack gives it back. Unknown and disabled users cost what others cost. Errors: CodeThrottled and
// CodeOverloaded, for which nothing was compared, CodeUnauthenticated.
func (s *Service) checkPassword(ctx context.Context, c passwordCheck) (checkedPassword, error) {
	try := s.tryPassword
	if s.config.Directory != nil {
		try = s.checkByDirectory
	}
	checked, err := try(ctx, c)
	s.figures.password(err)
	return checked, err
}

func (s *Service) tryPassword(ctx context.Context, c passwordCheck) (checkedPassword, error) {
	if !s.settled.Load() {
		return checkedPassword{}, errStarting()
	}
	u, err := s.readUser(ctx, c.user)
	if err != nil {
		return checkedPassword{}, err
	}
	turns := s.turns
	if (u.user.Account == nil || u.user.Account.PasswordHash == "") && c.digest == nil && len(s.config.Authenticators) > 0 {
		turns = s.remote
	}
	if !turns.Busy(c.address, c.user) { // else the check that goes on is counted, and may be right
		if _, err := s.foreseeAttempt(ctx, c); err != nil {
			return checkedPassword{}, err
		}
	}
	done, err := turns.Wait(ctx, c.address, c.user)
	if err != nil {
		return checkedPassword{}, asError("wait for a turn", err)
	}
	checked, err := s.haveTurn(ctx, c)
	if err != nil {
		done()
		return checkedPassword{}, err
	}
	// A right password's attempt counts until the request gives it back: the turn ends with the request, or the next one would count beside it.
	context.AfterFunc(ctx, done)
	return checked, nil
}

// haveTurn is tryPassword for whom it is the turn of.
func (s *Service) haveTurn(ctx context.Context, c passwordCheck) (checkedPassword, error) {
	if c.digest != nil {
		return s.checkDigest(ctx, c)
	}
	taken, err := s.takeAttempt(ctx, c)
	if err != nil {
		return checkedPassword{}, err
	}
	u, err := s.readUser(ctx, c.user)
	if err != nil {
		s.giveBack(ctx, taken)
		return checkedPassword{}, err
	}
	var account account
	if u.user.Account != nil {
		account = *u.user.Account
	}
	verdict, err := s.chain.Authenticate(ctx, c.user, account.PasswordHash, c.password)
	switch code := session.CodeOf(err); {
	case code == session.CodeUnauthenticated, err == nil && account.Disabled:
		return checkedPassword{}, session.ErrWrongCredentials()
	case !verdict.Judged && (code == session.CodeUnavailable || code == session.CodeOverloaded):
		// Nobody has looked at the password. Where one directory has refused it and another is down, the attempt counts: with the first
		// alone, anybody could guess on and on.
		s.giveBack(ctx, taken)
	}
	if err != nil {
		return checkedPassword{}, asError("verify password", err)
	}
	p := proof{method: session.MethodPassword, subject: "user " + c.user, version: account.Version, outside: verdict.Outside, grant: verdict.Grant}
	if verdict.Outside {
		p.method = session.MethodDirectory
	}
	return checkedPassword{proof: p, attempt: taken, outdated: verdict.Outdated, account: account}, nil
}

// keepUp stores what should be kept of a password that was just verified and is not: a hash of today's costs, and the verifier of a user that may
// log in by MD5. It is done when the request has succeeded, and a failure is left to the next one.
func (s *Service) keepUp(ctx context.Context, user, password string, checked *checkedPassword) {
	if checked.keepUp != nil {
		checked.keepUp(ctx)
		return
	}
	wanted := checked.account.MD5Login && checked.account.Verifier == nil && !checked.outside
	if !checked.outdated && !wanted {
		return
	}
	hash, err := s.hasher.Hash(ctx, password)
	if err == nil {
		err = s.changeUser(ctx, user, func(u *userChange) error {
			a := u.user.Account
			if a == nil || a.Version != checked.version || a.PasswordHash == "" {
				return errKeep
			}
			if checked.outdated {
				a.PasswordHash = hash
			}
			if wanted && a.MD5Login {
				a.Verifier = s.sealVerifier(user, password)
			}
			return nil
		})
	}
	if err != nil {
		s.log.Debug("what is kept of a password was not brought up to date; the next log-in tries again", slog.Any("error", err))
	}
}
