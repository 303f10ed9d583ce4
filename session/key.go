package session

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
)

const (
	// KeyPrefix begins every native session key, so that scanners of logs and repositories can find a leaked one.
	KeyPrefix = "hs_"
	// KeySecretBytes is the entropy of a native key: 256 bits, twice what OWASP asks of a session identifier. Every other format has at
	// least 128 of them.
	KeySecretBytes = 32
	// MaxKeyBytes is the length of the longest key: one that names a user, whose every byte is escaped, and a session.
	MaxKeyBytes = len(wsPrefix) + 3*MaxUserNameBytes + len(":18446744073709551615:") + wsAuthChars

	keyChecksumBytes = 4
	keyTextBytes     = len(KeyPrefix) + (KeySecretBytes+keyChecksumBytes)*4/3
)

// keyEncoding refuses a text with stray bits in its last character: one key has one spelling.
var keyEncoding = base64.RawURLEncoding.Strict()

// Key is the secret that a client presents. The zero Key means "none presented".
//
// A Key prints as "hs_[redacted]", or as its format's name and "[redacted]", through fmt, slog and encoding/json; only Reveal gives its text.
type Key struct{ text string }

// KeyHash is the SHA-256 of a key's text, without the number that a key of format ws has: all that log, snapshot and memory keep of a key.
type KeyHash [sha256.Size]byte

// NewKey draws a native key from random, which must be a cryptographic source (crypto/rand.Reader).
func NewKey(random io.Reader) (Key, error) { return NewKeyFor("", KeyNative, random) }

// NewKeyFor draws a key for a user, whose name is folded, in the format that a policy asks for. Where the format names the session, the
// key is complete WithNumber only.
func NewKeyFor(user string, format KeyFormat, random io.Reader) (Key, error) {
	var secret keySecret
	if _, err := io.ReadFull(random, secret[:]); err != nil {
		return Key{}, fmt.Errorf("draw session key: %w", err)
	}
	return format.spell(user, secret)
}

// NewSuccessor draws the key that follows k when it is rotated: one of the same format, for whoever holds k is made for that.
func (k Key) NewSuccessor(random io.Reader) (Key, error) {
	return NewKeyFor(k.user(), k.Format(), random)
}

// ParseKey accepts a key's text in any format. Garbage is refused by its shape, and a native key by its checksum too, before
// anything is looked up; its answer is the one for an unknown key, so that it tells a guesser nothing.
func ParseKey(text string) (Key, error) {
	if formatOf(text) == "" {
		return Key{}, ErrUnauthenticated()
	}
	return Key{text: text}, nil
}

func keyChecksum(secret []byte) uint32 {
	return crc32.Checksum(secret, crc32.MakeTable(crc32.Castagnoli))
}

// Hash returns what is stored and looked up in place of the key.
func (k Key) Hash() KeyHash { return sha256.Sum256([]byte(k.identity())) }

// identity is the key's text without what is no secret and comes later. No two keys have the same.
func (k Key) identity() string {
	if !k.NamesSession() {
		return k.text
	}
	p := splitWS(k.text)
	return wsPrefix + p.user + ":" + p.auth
}

// IsZero tells that no key was presented.
func (k Key) IsZero() bool { return k.text == "" }

// Reveal returns the secret text: for the one answer that issues the key, and for presenting it.
func (k Key) Reveal() string { return k.text }

// String keeps the secret out of every %v and %s.
func (k Key) String() string {
	switch format := k.Format(); {
	case k.IsZero():
		return "(no key)"
	case format == KeyNative:
		return KeyPrefix + "[redacted]"
	default:
		return string(format) + ":[redacted]"
	}
}

// GoString keeps the secret out of %#v.
func (k Key) GoString() string { return "session.Key{" + k.String() + "}" }

// MarshalText keeps the secret out of encodings that nobody thought of.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// LogValue keeps the secret out of structured logs.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// Equal compares in constant time.
func (h KeyHash) Equal(o KeyHash) bool { return subtle.ConstantTimeCompare(h[:], o[:]) == 1 }

// IsZero tells an absent hash.
func (h KeyHash) IsZero() bool { return h == KeyHash{} }

// MarshalText is the hash in base64, for encodings.
func (h KeyHash) MarshalText() ([]byte, error) { return keyEncoding.AppendEncode(nil, h[:]), nil }

// UnmarshalText reads what MarshalText writes.
func (h *KeyHash) UnmarshalText(text []byte) error {
	if keyEncoding.DecodedLen(len(text)) != len(h) {
		return fmt.Errorf("a key's hash has %d characters, this has %d", keyEncoding.EncodedLen(len(h)), len(text))
	}
	if _, err := keyEncoding.Decode(h[:], text); err != nil {
		return errors.New("a key's hash is base64")
	}
	return nil
}
