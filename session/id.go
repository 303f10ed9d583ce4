package session

import (
	"encoding/base32"
	"fmt"
	"io"
)

// IDBytes is the size of a session id: 128 random bits, unique without coordination.
const IDBytes = 16

// ID is the public handle of a session: safe in URLs, lists and logs, worthless as a key.
type ID [IDBytes]byte

var idEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// NewID draws an id from random.
func NewID(random io.Reader) (ID, error) {
	var id ID
	if _, err := io.ReadFull(random, id[:]); err != nil {
		return ID{}, fmt.Errorf("draw session id: %w", err)
	}
	return id, nil
}

// ParseID reads the text form of an id: 26 characters of Crockford's base 32, lower case.
func ParseID(text string) (ID, error) {
	var id ID
	if len(text) != idEncoding.EncodedLen(IDBytes) {
		return ID{}, Invalid("id", "a session id has %d characters, this has %d", idEncoding.EncodedLen(IDBytes), len(text))
	}
	if _, err := idEncoding.Decode(id[:], []byte(text)); err != nil {
		return ID{}, Invalid("id", "a session id has only the characters 0-9 and a-z without i, l, o, u")
	}
	if id.String() != text {
		return ID{}, Invalid("id", "not the spelling of a session id")
	}
	return id, nil
}

// String returns the 26-character text form.
func (id ID) String() string { return idEncoding.EncodeToString(id[:]) }

// MarshalText is String, for encodings.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText is ParseID, for encodings.
func (id *ID) UnmarshalText(text []byte) (err error) {
	*id, err = ParseID(string(text))
	return err
}

// IsZero tells an absent id.
func (id ID) IsZero() bool { return id == ID{} }
