package session

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
)

const (
	// KeyPrefix begins every native session key, so that scanners of logs and repositories can find a leaked one.
	KeyPrefix = "hs_"
	// KeySecretBytes is the entropy of a native key: 256 bits, twice what OWASP asks of a session identifier.
	KeySecretBytes = 32

	keyChecksumBytes = 4
	keyTextBytes     = len(KeyPrefix) + (KeySecretBytes+keyChecksumBytes)*4/3
	redactedKey      = KeyPrefix + "[redacted]"
)

// keyEncoding refuses a text with stray bits in its last character: one key has one spelling.
var keyEncoding = base64.RawURLEncoding.Strict()

// Key is the secret that a client presents. The zero Key means "none presented".
//
// A Key prints as "hs_[redacted]" through fmt, slog and encoding/json; only Reveal gives its text.
type Key struct{ text string }

// KeyHash is the SHA-256 of a key's text: all that log, snapshot and memory keep of a key.
type KeyHash [sha256.Size]byte

// NewKey draws a key from random, which must be a cryptographic source (crypto/rand.Reader).
func NewKey(random io.Reader) (Key, error) {
	var secret [KeySecretBytes]byte
	if _, err := io.ReadFull(random, secret[:]); err != nil {
		return Key{}, fmt.Errorf("draw session key: %w", err)
	}
	return keyOf(secret[:]), nil
}

// keyOf spells the key with that secret.
func keyOf(secret []byte) Key {
	var raw [KeySecretBytes + keyChecksumBytes]byte
	copy(raw[:], secret)
	binary.BigEndian.PutUint32(raw[KeySecretBytes:], keyChecksum(raw[:KeySecretBytes]))
	return Key{text: KeyPrefix + keyEncoding.EncodeToString(raw[:])}
}

// ParseKey accepts a native key's text. Garbage is refused by length, prefix, alphabet and checksum, before
// anything is looked up; its answer is the one for an unknown key, so that it tells a guesser nothing.
func ParseKey(text string) (Key, error) {
	if len(text) != keyTextBytes || text[:len(KeyPrefix)] != KeyPrefix {
		return Key{}, ErrUnauthenticated()
	}
	var raw [KeySecretBytes + keyChecksumBytes]byte
	if _, err := keyEncoding.Decode(raw[:], []byte(text[len(KeyPrefix):])); err != nil {
		return Key{}, ErrUnauthenticated()
	}
	if binary.BigEndian.Uint32(raw[KeySecretBytes:]) != keyChecksum(raw[:KeySecretBytes]) {
		return Key{}, ErrUnauthenticated()
	}
	return Key{text: text}, nil
}

func keyChecksum(secret []byte) uint32 {
	return crc32.Checksum(secret, crc32.MakeTable(crc32.Castagnoli))
}

// Hash returns what is stored and looked up in place of the key.
func (k Key) Hash() KeyHash { return sha256.Sum256([]byte(k.text)) }

// IsZero tells that no key was presented.
func (k Key) IsZero() bool { return k.text == "" }

// Reveal returns the secret text: for the one answer that issues the key, and for presenting it.
func (k Key) Reveal() string { return k.text }

// String keeps the secret out of every %v and %s.
func (k Key) String() string {
	if k.IsZero() {
		return "(no key)"
	}
	return redactedKey
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
