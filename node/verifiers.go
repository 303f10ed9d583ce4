package node

import (
	"context"
	"log/slog"
	"time"

	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// sealFor seals a value with the key that all nodes have.
func (s *sealing) sealFor(owner []byte, name string, value []byte) ([]byte, error) {
	key, k, err := s.active()
	if err != nil {
		return nil, session.ErrNoMD5Login()
	}
	return s.sealWith(key, k, owner, name, value)
}

func (s *sealing) sealWith(key uint32, k *auth.SealKey, owner []byte, name string, value []byte) ([]byte, error) {
	sealed, err := k.Seal(fsm.SealHeader(key), s.node.config.Random, owner, name, value)
	if err != nil {
		return nil, internalError("seal "+name, err)
	}
	return sealed, nil
}

// openFor is the way back.
func (s *sealing) openFor(owner []byte, name string, value []byte) ([]byte, error) {
	key, sealed, _ := fsm.CutSealed(value)
	k := s.key(key)
	if k == nil {
		return nil, &session.Error{Code: session.CodeUnavailable, Message: "this node has not the key that this log-in needs; ask another one", RetryAfter: electionPause}
	}
	opened, err := k.Open(sealed, owner, name)
	if err != nil {
		return nil, internalError("open "+name, err)
	}
	return opened, nil
}

func (s *sealing) sealSecret(hour time.Time, secret []byte) ([]byte, error) {
	return s.sealFor(auth.SecretOwner(hour), auth.SealedSecret, secret)
}

func (s *sealing) openSecret(hour time.Time, sealed []byte) ([]byte, error) {
	return s.openFor(auth.SecretOwner(hour), auth.SealedSecret, sealed)
}

// sealVerifier seals what is kept of a password for log-ins by its MD5.
func (s *sealing) sealVerifier(user, password string) ([]byte, error) {
	return s.sealFor(auth.VerifierOwner(user), auth.SealedMD5, auth.PasswordMD5(password))
}

// rightDigest tells whether a digest is the user's. A user without a verifier costs the same.
func (n *Node) rightDigest(user fsm.UserRecord, d *session.Digest) (bool, error) {
	known := len(user.Verifier) > 0
	stored := make([]byte, 16)
	if known {
		var err error
		if stored, err = n.sealing.openFor(auth.VerifierOwner(user.Name), auth.SealedMD5, user.Verifier); err != nil {
			return false, err
		}
	} else if key, _, err := n.sealing.active(); err == nil {
		decoy := append(fsm.SealHeader(key), make([]byte, fsm.MaxVerifierBytes-len(fsm.SealHeader(key)))...)
		_, _ = n.sealing.openFor(auth.VerifierOwner(user.Name), auth.SealedMD5, decoy)
	}
	if d.MD5 != "" {
		return auth.IsPasswordMD5(stored, d.MD5) && known, nil
	}
	return auth.IsResponse(stored, d.Challenge, d.Response) && known, nil
}

// fillVerifier says what a change of a user means for log-ins by MD5: those need a seal key before they are allowed, and a new password brings
// its verifier along. Where that cannot be sealed at the moment the password is changed nevertheless, and the next log-in with it makes up for that.
func (n *Node) fillVerifier(ch session.UserChange, put *fsmpb.PutUser) error {
	put.Md5Login = ch.MD5Login
	wanted := ch.MD5Login != nil && *ch.MD5Login
	if wanted {
		if _, _, err := n.sealing.active(); err != nil {
			return session.ErrNoMD5Login()
		}
	} else if ch.MD5Login == nil {
		user, _ := n.account(put.Name)
		wanted = user.MD5Login
	}
	if !wanted || ch.Password == nil {
		return nil
	}
	sealed, err := n.sealing.sealVerifier(put.Name, *ch.Password)
	if err != nil {
		n.log.Warn("a user's log-ins by MD5 have to wait for its next log-in with the password itself", slog.String("user", put.Name), slog.Any("error", err))
		return nil
	}
	put.Md5Verifier = sealed
	return nil
}

// keepUp stores what should be kept of a password that was just verified and is not: a hash of today's costs, and the verifier of a user that may
// log in by MD5. It is done when the request has succeeded, and a failure is left to the next one.
func (n *Node) keepUp(ctx context.Context, password string, checked checkedPassword) {
	upgrade := &fsmpb.UpgradePassword{User: checked.account.Name, ExpectedVersion: checked.account.Version}
	var err error
	if checked.Outdated {
		upgrade.PasswordHash, err = n.hasher.Hash(ctx, password)
	}
	if err == nil && checked.account.MD5Login && len(checked.account.Verifier) == 0 && !checked.Outside {
		upgrade.Md5Verifier, err = n.sealing.sealVerifier(checked.account.Name, password)
	}
	if upgrade.PasswordHash != "" || len(upgrade.Md5Verifier) > 0 {
		_, err = n.writeAt(ctx, "keep what a log-in has brought", &fsmpb.Command{Kind: &fsmpb.Command_UpgradePassword{UpgradePassword: upgrade}})
	}
	if err != nil {
		n.log.Debug("what is kept of a password was not brought up to date; the next log-in tries again", slog.Any("error", err))
	}
}
