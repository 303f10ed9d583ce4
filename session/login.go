package session

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"io"
	"maps"
	"slices"
	"unicode/utf8"
)

// Normal validates l and returns it in its canonical form.
func (l Login) Normal() (Login, error) {
	var err error
	if l.User, err = FoldUserName(l.User); err != nil {
		return l, err
	}
	if l.Attributes, err = l.Attributes.Canonical(); err != nil {
		return l, err
	}
	if l.Sealed, err = l.Sealed.Canonical(); err != nil {
		return l, OfSealed(err)
	}
	if l.Reserved, err = l.Reserved.Canonical(); err != nil {
		return l, err
	}
	for name := range l.Sealed {
		if _, twice := l.Attributes[name]; twice {
			return l, Invalid("sealed_attributes", "%q is among the attributes too", name)
		}
	}
	if l.Policy != "" {
		if err := ValidatePolicyName(l.Policy); err != nil {
			return l, err
		}
	}
	if err := l.validateTimers(); err != nil {
		return l, err
	}
	l.ClientAddress = l.ClientAddress.Unmap().WithZone("")
	return l, l.validateSizes()
}

// validateTimers judges what a session asks for beside its policy.
func (l Login) validateTimers() error {
	switch {
	case l.IdleTimeout == nil:
		return nil
	case l.Permanent:
		return Invalid("idle_timeout_s", "a permanent session has no idle timeout: leave out one of the two")
	}
	return ValidateOwnIdleTimeout(*l.IdleTimeout)
}

func (l Login) validateSizes() error {
	if err := validateSecrets(l.Password, l.Digest); err != nil {
		return err
	}
	switch {
	case len(l.UserAgent) > MaxUserAgentBytes:
		return TooLarge("user_agent", "a user agent has at most %d bytes", MaxUserAgentBytes)
	case !utf8.ValidString(l.UserAgent):
		return Invalid("user_agent", "must be valid UTF-8")
	case len(l.IdempotencyKey) > MaxIdempotencyKeyBytes:
		return TooLarge("Idempotency-Key", "has at most %d bytes", MaxIdempotencyKeyBytes)
	}
	return nil
}

// OfSealed gives an error about attributes the field that requests call sealed ones.
func OfSealed(err error) error {
	var e *Error
	if errors.As(err, &e) {
		named := *e
		named.Field = "sealed_" + e.Field
		return &named
	}
	return err
}

// CutUserAgent cuts a User-Agent header to what is kept: it is a hint for people and no reason to refuse a log-in.
func CutUserAgent(header string) string {
	if len(header) > MaxUserAgentBytes {
		header = header[:MaxUserAgentBytes]
	}
	for !utf8.ValidString(header) {
		header = header[:len(header)-1]
	}
	return header
}

// RequestHash tells requests apart that come with an Idempotency-Key.
type RequestHash struct {
	Scope [sha256.Size]byte // who asks, with which Idempotency-Key
	Body  [sha256.Size]byte // for what
}

// RequestHash hashes what makes two creates the same; false without an IdempotencyKey. subject is who asks. Sealed values are left out, and credentials
// that may come to be sealed: a hash would tell who guesses them. So is the password: it is verified each time, and a hash of it beside known text would
// be a gift to whoever steals a disk.
func (l Login) RequestHash(subject string) (h RequestHash, ok bool) {
	if l.IdempotencyKey == "" {
		return h, false
	}
	scope, body := sha256.New(), sha256.New()
	WriteParts(scope, "POST /v1/sessions", subject, l.IdempotencyKey)
	WriteParts(body, l.User, l.Policy, l.ClientAddress.String(), l.UserAgent)
	if l.Permanent {
		WriteParts(body, "permanent")
	}
	if l.BindAddress {
		WriteParts(body, "bind")
	}
	if l.IdleTimeout != nil {
		WriteParts(body, "idle", l.IdleTimeout.String())
	}
	for _, name := range slices.Sorted(maps.Keys(l.Attributes)) {
		if name == CredentialsAttribute && !l.Vouched {
			WriteParts(body, "credentials", name)
			continue
		}
		WriteParts(body, name, string(l.Attributes[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(l.Reserved)) {
		WriteParts(body, "reserved", name, string(l.Reserved[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(l.Sealed)) {
		WriteParts(body, "sealed", name)
	}
	scope.Sum(h.Scope[:0])
	body.Sum(h.Body[:0])
	return h, true
}

// WriteParts writes each part with its length before it, so that no two lists of parts give the same bytes.
func WriteParts(w hash.Hash, parts ...string) {
	for _, p := range parts {
		var length [4]byte
		binary.BigEndian.PutUint32(length[:], uint32(len(p)))
		_, _ = w.Write(length[:])
		_, _ = io.WriteString(w, p)
	}
}
