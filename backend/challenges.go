package backend

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/session"
)

// hourRecord is the secret that signs an hour's challenges.
type hourRecord struct {
	header
	Secret sealedValue `json:"secret"`
}

// usedRecord says that a challenge was answered.
type usedRecord struct{ header }

func hourName(hour time.Time) Name {
	return requestName(sha256.Sum256([]byte("hour " + hour.UTC().Format(time.RFC3339))))
}

func usedName(challenge string) Name {
	return requestName(sha256.Sum256([]byte("used " + challenge)))
}

// authenticateByPassword finds out who asks by credentials that are good for this call alone. They pass what log-ins pass: throttle and turns.
func (s *Service) authenticateByPassword(ctx context.Context, c session.Call) (*principal, error) {
	if c.Operator || !c.Key.IsZero() || c.Subject != nil {
		return nil, session.Invalid("Credentials", "stand in place of a key, and present no other")
	}
	given, err := c.Credentials.Normal()
	if err != nil {
		return nil, err
	}
	checked, err := s.checkPassword(ctx, passwordCheck{user: given.User, password: given.Password, digest: given.Digest, address: c.Address})
	if err != nil {
		return nil, err
	}
	s.giveBack(ctx, checked.attempt)
	if given.Digest == nil {
		s.keepUp(ctx, given.User, given.Password, &checked)
	}
	record, _, _, err := s.readCluster(ctx)
	if err != nil {
		return nil, err
	}
	p := &principal{call: c, user: given.User, roles: checked.account.Roles, cluster: record}
	if checked.version == 0 {
		p.roles = []session.Role{session.RoleUser}
	}
	return p, nil
}

// Identify implements session.Proofs.
func (s *Service) Identify(ctx context.Context, c session.Call) (session.Identity, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	p, _, err := s.authenticate(ctx, c)
	if err != nil {
		return session.Identity{}, err
	}
	if c.Operator {
		return session.Identity{}, session.Invalid("Credentials", "the operator is no user")
	}
	if err := s.useUnlessLocal(ctx, p); err != nil {
		return session.Identity{}, err
	}
	return session.Identity{User: p.user, Roles: slices.Clone(p.roles), Meta: s.readMeta(c)}, nil
}

// IssueChallenge implements session.Proofs. The store's clock dates the challenge, and a secret signs it that all who use the store have, so that any of
// them can check it. It is written once an hour, when it is first needed.
func (s *Service) IssueChallenge(ctx context.Context, _ session.Call) (session.Challenge, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	if !s.settled.Load() {
		return session.Challenge{}, errStarting()
	}
	_, _, nowMS, err := s.readCluster(ctx)
	if err != nil {
		return session.Challenge{}, err
	}
	now := instant(nowMS)
	secret, err := s.secretToSign(ctx, auth.ChallengeHour(now))
	if err != nil {
		return session.Challenge{}, err
	}
	c, err := auth.NewChallenge(s.config.Random, secret, now, session.ChallengeLifetime)
	if err != nil {
		return session.Challenge{}, internalError("issue challenge", err)
	}
	return session.Challenge{Text: c.Text, IssuedAt: now.Truncate(time.Second), ExpiresAt: c.ExpiresAt, Meta: s.meta()}, nil
}

// secretToSign returns the secret of an hour, and draws it if there is none, or one that this server cannot open: the safe password was changed, and
// then perhaps nobody can.
func (s *Service) secretToSign(ctx context.Context, hour time.Time) (secret []byte, err error) {
	err = s.again(ctx, func() error {
		var was Version
		secret, was, err = s.hourSecret(ctx, hour)
		if lost := was != "" && session.CodeOf(err) == session.CodeUnavailable; secret != nil || err != nil && !lost {
			return err
		}
		secret = make([]byte, auth.ChallengeSecretBytes)
		if _, err := io.ReadFull(s.config.Random, secret); err != nil {
			return internalError("draw the secret of challenges", err)
		}
		sealed, err := s.seals.sealFor(s.config.Random, auth.SecretOwner(hour), auth.SealedSecret, secret)
		if err != nil {
			return err
		}
		end := hour.Add(time.Hour + session.ChallengeLifetime + expiryMargin)
		_, err = s.put(ctx, hourName(hour), &hourRecord{Secret: *sealed}, was, end)
		return err
	})
	return secret, err
}

// hourSecret opens the secret of an hour; nil when there is none. With the version of its record it has been read, whether it opens or not.
func (s *Service) hourSecret(ctx context.Context, hour time.Time) ([]byte, Version, error) {
	snapshot, err := s.read(ctx, hourName(hour))
	if err != nil || snapshot.Records[0].Version == "" {
		return nil, "", err
	}
	r := &hourRecord{}
	if err := decode(snapshot.Records[0].Value, r); err != nil {
		return nil, "", internalError("read the secret of challenges", err)
	}
	secret, err := s.seals.openFor(auth.SecretOwner(hour), auth.SealedSecret, r.Secret)
	return secret, snapshot.Records[0].Version, err
}

// checkDigest is haveTurn for somebody who knows the password and does not send it. A challenge is judged before anything is written for it,
// and used up before anybody looks at the answer to it.
func (s *Service) checkDigest(ctx context.Context, c passwordCheck) (checkedPassword, error) {
	byChallenge := c.digest.MD5 == ""
	var challenge auth.Challenge
	if byChallenge {
		var err error
		if challenge, err = s.judgeChallenge(ctx, c.digest.Challenge); err != nil {
			return checkedPassword{}, err
		}
	}
	taken, err := s.takeAttempt(ctx, c)
	if err != nil {
		return checkedPassword{}, err
	}
	if byChallenge {
		if err := s.useChallenge(ctx, challenge); err != nil {
			return checkedPassword{}, err
		}
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
	right, err := s.rightDigest(c.user, account, c.digest)
	switch {
	case err != nil:
		s.giveBack(ctx, taken) // nobody has looked at it
		return checkedPassword{}, err
	case !right || account.Disabled:
		return checkedPassword{}, session.ErrWrongCredentials()
	}
	p := proof{method: session.MethodPassword, subject: "user " + c.user, version: account.Version}
	return checkedPassword{proof: p, attempt: taken, account: account}, nil
}

// judgeChallenge tells whether a challenge is the store's own and young enough.
func (s *Service) judgeChallenge(ctx context.Context, text string) (auth.Challenge, error) {
	c, ok := auth.ParseChallenge(text)
	if !ok {
		return c, session.ErrWrongCredentials()
	}
	_, _, nowMS, err := s.readCluster(ctx)
	if err != nil {
		return c, err
	}
	secret, _, err := s.hourSecret(ctx, c.Hour)
	switch {
	case err != nil:
		return c, err
	case secret == nil || !c.Signed(secret):
		return c, session.ErrWrongCredentials()
	case nowMS >= c.ExpiresAt.UnixMilli():
		return c, session.ErrChallengeExpired()
	}
	return c, nil
}

// useChallenge uses a challenge up: its record is made once. One that was used before counts as an attempt.
func (s *Service) useChallenge(ctx context.Context, c auth.Challenge) error {
	_, err := s.put(ctx, usedName(c.Text), &usedRecord{}, "", c.ExpiresAt.Add(expiryMargin))
	if errors.Is(err, ErrChanged) {
		return session.ErrWrongCredentials()
	}
	return err
}

// rightDigest tells whether a digest is the user's. A user without a verifier costs the same.
func (s *Service) rightDigest(user string, a account, d *session.Digest) (bool, error) {
	stored, known := make([]byte, 16), a.MD5Login && a.Verifier != nil
	if known {
		var err error
		if stored, err = s.seals.openFor(auth.VerifierOwner(user), auth.SealedMD5, *a.Verifier); err != nil {
			return false, err
		}
	} else if decoy, err := s.seals.sealFor(s.config.Random, auth.VerifierOwner(user), auth.SealedMD5, stored); err == nil {
		_, _ = s.seals.openFor(auth.VerifierOwner(user), auth.SealedMD5, *decoy)
	}
	if d.MD5 != "" {
		return auth.IsPasswordMD5(stored, d.MD5) && known, nil
	}
	return auth.IsResponse(stored, d.Challenge, d.Response) && known, nil
}

// sealVerifier seals what is kept of a password for log-ins by its MD5; nil when that cannot be done now: the next log-in makes up for it.
func (s *Service) sealVerifier(user, password string) *sealedValue {
	sealed, err := s.seals.sealFor(s.config.Random, auth.VerifierOwner(user), auth.SealedMD5, auth.PasswordMD5(password))
	if err != nil {
		s.log.Warn("a user's log-ins by MD5 have to wait for its next log-in with the password itself", slog.String("user", user), slog.Any("error", err))
		return nil
	}
	return sealed
}

// applyVerifier says what a change of a user means for log-ins by MD5: a new password brings its verifier along, and one that is not allowed
// has none.
func (s *Service) applyVerifier(name string, put *accountChange, a *account) {
	if put.md5 != nil {
		a.MD5Login = *put.md5
	}
	switch {
	case !a.MD5Login:
		a.Verifier = nil
	case put.password != "":
		a.Verifier = s.sealVerifier(name, put.password)
	}
}

// sealFor seals what is no session's attribute.
func (k *seals) sealFor(random io.Reader, owner []byte, name string, value []byte) (*sealedValue, error) {
	id, key, err := k.presentKey()
	if err != nil {
		return nil, session.ErrNoMD5Login()
	}
	data, err := key.Seal(nil, random, owner, name, value)
	if err != nil {
		return nil, internalError("seal "+name, err)
	}
	return &sealedValue{Key: id, Data: data}, nil
}

// openFor is the way back.
func (k *seals) openFor(owner []byte, name string, value sealedValue) ([]byte, error) {
	key := k.key(value.Key)
	if key == nil {
		return nil, &session.Error{Code: session.CodeUnavailable, Message: "this server has not the key that this log-in needs; ask another one", RetryAfter: retryPause}
	}
	opened, err := key.Open(value.Data, owner, name)
	if err != nil {
		return nil, internalError("open "+name, err)
	}
	return opened, nil
}
