package auth

import (
	"crypto/sha256"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

// Sealing is what sealed attributes are sealed with.
type Sealing struct {
	// Password derives the key that new values are sealed with, once all nodes have it. Equal on all nodes. "" = this node seals
	// nothing.
	Password string
	// Previous are earlier passwords, whose values can still be opened.
	Previous []string
	// PlainCredentials: session.CredentialsAttribute is an attribute like any other. Default: it is sealed where session.SealsCredentials says so.
	PlainCredentials bool
	// Params are the costs of deriving a key that is not known yet. Default DefaultSealParams.
	Params Params
}

// Validate tells the first password that cannot be used.
func (s Sealing) Validate() error {
	if len(s.Previous) > session.MaxSealKeys-1 {
		return session.TooLarge("tokenizer.safe_password_previous", "at most %d", session.MaxSealKeys-1)
	}
	for _, password := range s.Passwords() {
		if err := session.ValidateSafePassword(password); err != nil {
			return err
		}
	}
	return nil
}

// Passwords lists all, the present one first.
func (s Sealing) Passwords() []string {
	if s.Password == "" {
		return s.Previous
	}
	return append([]string{s.Password}, s.Previous...)
}

// The names under which what is no session's attribute is sealed. Its owner is a hash, longer than a session's id, so that none is another's.
const (
	SealedMD5    = "md5"
	SealedSecret = "challenge secret"
)

// VerifierOwner owns the MD5 of a user's password.
func VerifierOwner(user string) []byte {
	h := sha256.New()
	session.WriteParts(h, "user", user)
	return h.Sum(nil)
}

// SecretOwner owns the secret of an hour's challenges.
func SecretOwner(hour time.Time) []byte {
	h := sha256.New()
	session.WriteParts(h, "hour", hour.UTC().Format(time.RFC3339))
	return h.Sum(nil)
}
