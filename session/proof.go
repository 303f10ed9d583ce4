package session

import (
	"time"
	"unicode/utf8"
)

// Digest proves that somebody knows a password without sending it: by the MD5 of the password, or by an answer to a challenge. It is
// taken of users for whom an admin has allowed that (User.MD5Login), because MD5 is no protection for a password.
type Digest struct {
	MD5 string // 32 hexadecimal digits of either case; or else
	// Challenge as IssueChallenge gave it, and Response: the MD5 of it and the password's MD5, each in 32 hexadecimal digits of lower case.
	Challenge, Response string
}

// Credentials prove who asks in place of a key, for one call.
type Credentials struct {
	User     string
	Password string  // ignored with a Digest
	Digest   *Digest // nil = none
}

// Challenge is what IssueChallenge gives. Whoever has it may answer it, once.
type Challenge struct {
	Text      string
	IssuedAt  time.Time // of the replicated clock, in whole seconds
	ExpiresAt time.Time // the first instant at which it is too old
	Meta
}

// Identity answers Identify.
type Identity struct {
	User  string
	Roles []Role
	Meta
}

// Normal validates c and returns it in its canonical form.
func (c Credentials) Normal() (Credentials, error) {
	var err error
	if c.User, err = FoldUserName(c.User); err != nil {
		return c, err
	}
	return c, validateSecrets(c.Password, c.Digest)
}

// validateSecrets bounds what somebody is proved by.
func validateSecrets(password string, d *Digest) error {
	if len(password) > MaxPasswordBytes {
		return TooLarge("password", "a password has at most %d bytes", MaxPasswordBytes)
	}
	if d == nil {
		return nil
	}
	for _, text := range []string{d.MD5, d.Challenge, d.Response} {
		if len(text) > MaxPasswordBytes || !utf8.ValidString(text) {
			return ErrWrongCredentials() // whatever it is, it proves nothing
		}
	}
	return nil
}

// FieldChallenge is the field of the refusal of a challenge that is good but too old.
const FieldChallenge = "challenge"

// ErrChallengeExpired refuses a challenge that is too old: the client shall ask for another one. What else is wrong with a challenge is answered
// like a wrong password.
func ErrChallengeExpired() *Error {
	return &Error{Code: CodeUnauthenticated, Field: FieldChallenge, Message: "the challenge is too old; ask for another one"}
}

// ErrNoMD5Login refuses log-ins by MD5 where nothing can be sealed.
func ErrNoMD5Login() *Error {
	return &Error{Code: CodeConflict, Field: "md5_login",
		Message: "log-ins by MD5 and by challenge need a tokenizer.safe_password, the same on all nodes: without one the cluster keeps no MD5 of a password"}
}
