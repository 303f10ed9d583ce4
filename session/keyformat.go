package session

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math/big"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// KeyFormat is the form of the keys that a policy's log-ins are given. A key of every format opens its session everywhere.
type KeyFormat string

const (
	// KeyNative is "hs_" and 48 characters: 256 bits and a checksum, by which garbage is told from keys without a look-up. The default.
	KeyNative KeyFormat = "native"
	// KeyHex32 is 32 lower-case hex digits: 128 bits.
	KeyHex32 KeyFormat = "hex32"
	// KeyHex64 is 64 lower-case hex digits: 256 bits.
	KeyHex64 KeyFormat = "hex64"
	// KeyAlnum25 is 25 letters and digits: 148 bits.
	KeyAlnum25 KeyFormat = "alnum25"
	// KeyWS is ws:<user>:<number>:<auth>: the user's name, escaped as in a query; the session's number; 22 letters and digits: 130 bits.
	KeyWS KeyFormat = "ws"
)

// KeyFormats lists the known formats.
func KeyFormats() []KeyFormat {
	return []KeyFormat{KeyNative, KeyHex32, KeyHex64, KeyAlnum25, KeyWS}
}

func (f KeyFormat) validate() error {
	if !slices.Contains(KeyFormats(), f) {
		return Invalid("key_format", "must be %q, %q, %q, %q or %q", KeyNative, KeyHex32, KeyHex64, KeyAlnum25, KeyWS)
	}
	return nil
}

const (
	hex32Bytes   = 16 // of a secret
	alnum25Chars = 25
	wsPrefix     = "ws:"
	wsAuthChars  = 22
	base62       = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	// noNumber stands in a key of format ws until its session has a number. No session has this one, and no such text is a key.
	noNumber = "0"
)

// keySecret is the random part of a key, whatever its format; a format with less room begins with it, or has its remainder.
type keySecret [KeySecretBytes]byte

// spell writes the key of a user with that secret. Of a key of format ws the number is still missing.
func (f KeyFormat) spell(user string, secret keySecret) (Key, error) {
	switch f {
	case KeyNative:
		return Key{spellNative(secret)}, nil
	case KeyHex32:
		return Key{hex.EncodeToString(secret[:hex32Bytes])}, nil
	case KeyHex64:
		return Key{hex.EncodeToString(secret[:])}, nil
	case KeyAlnum25:
		return Key{spellBase62(secret, alnum25Chars)}, nil
	case KeyWS:
		return Key{wsParts{url.QueryEscape(user), noNumber, spellBase62(secret, wsAuthChars)}.text()}, nil
	}
	return Key{}, f.validate()
}

// formatOf tells the format by a key's shape, "" when it has none of them.
func formatOf(text string) KeyFormat {
	switch {
	case strings.HasPrefix(text, KeyPrefix):
		if wellFormedNative(text) {
			return KeyNative
		}
	case strings.HasPrefix(text, wsPrefix):
		if _, wellFormed := parseWS(text); wellFormed {
			return KeyWS
		}
	case len(text) == 2*hex32Bytes && isHex(text):
		return KeyHex32
	case len(text) == 2*KeySecretBytes && isHex(text):
		return KeyHex64
	case len(text) == alnum25Chars && isBase62(text):
		return KeyAlnum25
	}
	return ""
}

// Format is the key's format; "" of the zero Key.
func (k Key) Format() KeyFormat {
	if k.NamesSession() { // also before it has its number
		return KeyWS
	}
	return formatOf(k.text)
}

// user is the name that a key of format ws has in it, "" in others.
func (k Key) user() string {
	if !k.NamesSession() {
		return ""
	}
	name, _ := url.QueryUnescape(splitWS(k.text).user)
	return name
}

// WithNumber completes a key whose format names its session. Others stay as they are.
func (k Key) WithNumber(number uint64) Key {
	if !k.NamesSession() {
		return k
	}
	parts := splitWS(k.text)
	parts.number = strconv.FormatUint(number, 10)
	return Key{parts.text()}
}

// Names tells whether the key may open the session with that number: always, unless its format names another. The number is no
// part of the key's hash, for a log-in's is known only when it has been done; so whoever looks a key up asks here.
func (k Key) Names(number uint64) bool {
	return !k.NamesSession() || number > 0 && splitWS(k.text).number == strconv.FormatUint(number, 10)
}

// NamesSession tells whether the key's format names a session, so that Names must be asked.
func (k Key) NamesSession() bool { return strings.HasPrefix(k.text, wsPrefix) }

// secret is the way back from spell.
func (k Key) secret() (s keySecret, err error) {
	malformed := errors.New("the key is malformed") // without the cause: it could quote the key
	switch k.Format() {
	case KeyNative:
		raw, err := base64.RawURLEncoding.DecodeString(k.text[len(KeyPrefix):])
		if err != nil {
			return s, malformed
		}
		copy(s[:], raw)
	case KeyHex32, KeyHex64:
		if _, err := hex.Decode(s[:], []byte(k.text)); err != nil {
			return s, malformed
		}
	case KeyAlnum25:
		readBase62(k.text).FillBytes(s[:])
	case KeyWS:
		readBase62(splitWS(k.text).auth).FillBytes(s[:])
	default:
		return s, malformed
	}
	return s, nil
}

func spellNative(secret keySecret) string {
	var raw [KeySecretBytes + keyChecksumBytes]byte
	copy(raw[:], secret[:])
	binary.BigEndian.PutUint32(raw[KeySecretBytes:], keyChecksum(secret[:]))
	return KeyPrefix + keyEncoding.EncodeToString(raw[:])
}

func wellFormedNative(text string) bool {
	if len(text) != keyTextBytes {
		return false
	}
	var raw [KeySecretBytes + keyChecksumBytes]byte
	if _, err := keyEncoding.Decode(raw[:], []byte(text[len(KeyPrefix):])); err != nil {
		return false
	}
	return binary.BigEndian.Uint32(raw[KeySecretBytes:]) == keyChecksum(raw[:KeySecretBytes])
}

// wsParts are what stands between the colons of a key of format ws.
type wsParts struct{ user, number, auth string }

func (p wsParts) text() string { return wsPrefix + p.user + ":" + p.number + ":" + p.auth }

// splitWS takes a key of format ws apart that is known to be well formed, or to want a number only.
func splitWS(text string) (p wsParts) {
	rest := text[len(wsPrefix):]
	p.user, rest, _ = strings.Cut(rest, ":")
	p.number, p.auth, _ = strings.Cut(rest, ":")
	return p
}

// parseWS accepts one spelling of each key.
func parseWS(text string) (wsParts, bool) {
	if len(text) > MaxKeyBytes {
		return wsParts{}, false
	}
	p := splitWS(text)
	name, err := url.QueryUnescape(p.user)
	if err != nil || url.QueryEscape(name) != p.user || len(p.auth) != wsAuthChars || !isBase62(p.auth) {
		return p, false
	}
	folded, err := FoldUserName(name)
	if err != nil || folded != name {
		return p, false
	}
	n, err := strconv.ParseUint(p.number, 10, 64)
	return p, err == nil && n > 0 && strconv.FormatUint(n, 10) == p.number
}

func isHex(text string) bool { return strings.Trim(text, "0123456789abcdef") == "" }

func isBase62(text string) bool {
	for i := range len(text) {
		switch c := text[i]; {
		case '0' <= c && c <= '9', 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z':
		default:
			return false
		}
	}
	return true
}

// spellBase62 writes so many digits of the secret as a number. All texts are as likely, to one part in 2^107: it has 256 bits and they
// have at most 149.
func spellBase62(secret keySecret, digits int) string {
	n, base, digit := new(big.Int).SetBytes(secret[:]), big.NewInt(int64(len(base62))), new(big.Int)
	text := make([]byte, digits)
	for i := digits - 1; i >= 0; i-- {
		n.DivMod(n, base, digit)
		text[i] = base62[digit.Int64()]
	}
	return string(text)
}

// readBase62 reads what spellBase62 wrote.
func readBase62(text string) *big.Int {
	n, base := new(big.Int), big.NewInt(int64(len(base62)))
	for i := range len(text) {
		n.Mul(n, base)
		n.Add(n, big.NewInt(int64(strings.IndexByte(base62, text[i]))))
	}
	return n
}
