package session_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/hydrastore/hydrastore/session"
)

// shapes are the formats as other systems' documents show them.
var shapes = map[session.KeyFormat]*regexp.Regexp{
	session.KeyNative:  regexp.MustCompile(`^hs_[A-Za-z0-9_-]{48}$`),
	session.KeyHex32:   regexp.MustCompile(`^[0-9a-f]{32}$`),
	session.KeyHex64:   regexp.MustCompile(`^[0-9a-f]{64}$`),
	session.KeyAlnum25: regexp.MustCompile(`^[A-Za-z0-9]{25}$`),
	session.KeyWS:      regexp.MustCompile(`^ws:ann:7:[A-Za-z0-9]{22}$`),
}

// keyIn draws ann's key in a format, complete with her session's number.
func keyIn(t testing.TB, format session.KeyFormat) session.Key {
	t.Helper()
	k, err := session.NewKeyFor("ann", format, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k.WithNumber(7)
}

func TestKeysHaveTheirFormatsShape(t *testing.T) {
	t.Parallel()
	if len(shapes) != len(session.KeyFormats()) {
		t.Fatalf("%d shapes of %d formats", len(shapes), len(session.KeyFormats()))
	}
	for _, format := range session.KeyFormats() {
		seen := map[session.KeyHash]bool{}
		for range 200 {
			k := keyIn(t, format)
			back, err := session.ParseKey(k.Reveal())
			if err != nil || back != k || back.Format() != format || !shapes[format].MatchString(k.Reveal()) {
				t.Fatalf("%s: %q, %v", format, k.Reveal(), err)
			}
			if seen[k.Hash()] {
				t.Fatalf("%s: drawn twice", format)
			}
			seen[k.Hash()] = true
		}
	}
	if _, err := session.NewKeyFor("ann", "hex16", rand.Reader); session.CodeOf(err) != session.CodeInvalid {
		t.Errorf("an unknown format: %v", err)
	}
	if _, err := session.NewKeyFor("ann", session.KeyHex32, bytes.NewReader(make([]byte, 31))); err == nil {
		t.Error("31 bytes made a key")
	}
}

// TestKeysAreSpelledOnceAndForAll: a sealed successor is spelled anew from its secret, on nodes of any version.
func TestKeysAreSpelledOnceAndForAll(t *testing.T) {
	t.Parallel()
	counting := make([]byte, 32)
	for i := range counting {
		counting[i] = byte(i + 1)
	}
	for _, c := range []struct {
		format session.KeyFormat
		secret []byte
		want   string
	}{
		{session.KeyHex32, counting, "0102030405060708090a0b0c0d0e0f10"},
		{session.KeyHex64, counting, "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20"},
		{session.KeyAlnum25, counting, "my5rsNSFlKgaWqQ4mb8gdEqno"},
		{session.KeyWS, counting, "ws:ann:7:rsNSFlKgaWqQ4mb8gdEqno"},
		{session.KeyAlnum25, bytes.Repeat([]byte{0xff}, 32), "WZWm8LLG7HjnuCA2j5rOw8Xp1"},
		{session.KeyWS, make([]byte, 32), "ws:ann:7:0000000000000000000000"},
	} {
		k, err := session.NewKeyFor("ann", c.format, bytes.NewReader(c.secret))
		if got := k.WithNumber(7).Reveal(); err != nil || got != c.want {
			t.Errorf("%s: %q, %v, want %q", c.format, got, err, c.want)
		}
	}
}

// TestAChangedCharacterIsAnotherKeyOrNone: no two texts are one key, apart from the number, which Names judges.
func TestAChangedCharacterIsAnotherKeyOrNone(t *testing.T) {
	t.Parallel()
	for _, format := range session.KeyFormats() {
		k := keyIn(t, format)
		text := k.Reveal()
		for i := range text {
			for _, c := range []byte("0aAgz-_:%. \x00\xff") {
				changed := text[:i] + string(c) + text[i+1:]
				other, err := session.ParseKey(changed)
				switch {
				case changed == text:
				case err != nil && session.CodeOf(err) != session.CodeUnauthenticated:
					t.Fatalf("%s: %v", format, err)
				case err == nil && other.Hash() == k.Hash() && other.Names(7):
					t.Fatalf("%q and %q are one key", text, changed)
				}
			}
		}
		for _, other := range []string{text + "0", text[:len(text)-1], " " + text, text + "\n", strings.Repeat("é", len(text)/2)} {
			if _, err := session.ParseKey(other); session.CodeOf(err) != session.CodeUnauthenticated {
				t.Errorf("ParseKey(%q): %v", other, err)
			}
		}
	}
	if _, err := session.ParseKey(strings.ToUpper(keyIn(t, session.KeyHex64).Reveal())); err == nil {
		t.Error("upper-case hex is a key")
	}
}

func TestKeysThatNameASessionAreSpelledOneWay(t *testing.T) {
	t.Parallel()
	const auth = "zfFG136kSzzfFG136kSz12"
	for text, want := range map[string]bool{
		"ws:ann:7:" + auth:                              true,
		"ws:ann:18446744073709551615:" + auth:           true,
		"ws:ann%3Ax:7:" + auth:                          true, // a name with a colon
		"ws:zo%C3%AB+b:7:" + auth:                       true,
		"ws:ann:0:" + auth:                              false,
		"ws:ann:07:" + auth:                             false,
		"ws:ann:+7:" + auth:                             false,
		"ws:ann:-7:" + auth:                             false,
		"ws:ann:18446744073709551616:" + auth:           false,
		"ws:ann::" + auth:                               false,
		"ws::7:" + auth:                                 false,
		"ws:Ann:7:" + auth:                              false, // names are folded
		"ws:ann%3ax:7:" + auth:                          false,
		"ws:%61nn:7:" + auth:                            false,
		"ws:zoë:7:" + auth:                              false,
		"ws:an%:7:" + auth:                              false,
		"ws:%00:7:" + auth:                              false,
		"ws:%FF:7:" + auth:                              false,
		"ws:ann:7:" + auth + ":.FS":                     false,
		"ws:ann:7:" + auth[:21]:                         false,
		"ws:ann:7:" + auth[:21] + "_":                   false,
		"ws:ann:7":                                      false,
		"ws:":                                           false,
		"WS:ann:7:" + auth:                              false,
		"ws:" + strings.Repeat("a", 128) + ":7:" + auth: true,
		"ws:" + strings.Repeat("a", 129) + ":7:" + auth: false,
	} {
		if _, err := session.ParseKey(text); (err == nil) != want {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestTheLongestKey(t *testing.T) {
	t.Parallel()
	k, err := session.NewKeyFor(strings.Repeat("ß", session.MaxUserNameBytes/2), session.KeyWS, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	text := k.WithNumber(1<<64 - 1).Reveal()
	if _, err := session.ParseKey(text); err != nil || len(text) != session.MaxKeyBytes {
		t.Errorf("%d bytes, %v; want %d", len(text), err, session.MaxKeyBytes)
	}
}

// TestAKeysNumber: it is no part of the hash, and judged apart.
func TestAKeysNumber(t *testing.T) {
	t.Parallel()
	k, err := session.NewKeyFor("ann", session.KeyWS, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := session.ParseKey(k.Reveal()); err == nil || !k.NamesSession() || k.Names(0) || k.Names(7) || k.Format() != session.KeyWS {
		t.Error("a key without number is a key")
	}
	seventh, eighth := k.WithNumber(7), k.WithNumber(8)
	if seventh.Hash() != k.Hash() || seventh.Hash() != eighth.Hash() || !seventh.Names(7) || seventh.Names(8) || eighth.Names(7) {
		t.Error("the number is judged wrongly")
	}
	bob, err := session.ParseKey(strings.Replace(seventh.Reveal(), "ann", "bob", 1))
	if err != nil || bob.Hash() == seventh.Hash() {
		t.Error("another user's key has the same hash")
	}
	if native := newKey(t); native.NamesSession() || !native.Names(3) || native.WithNumber(3) != native {
		t.Error("a native key has a number")
	}
}

// TestASuccessorHasTheFormatOfItsPredecessor, and opens under it alone, whatever number the predecessor is given.
func TestASuccessorHasTheFormatOfItsPredecessor(t *testing.T) {
	t.Parallel()
	for _, format := range session.KeyFormats() {
		old := keyIn(t, format)
		next, err := old.NewSuccessor(rand.Reader)
		if err != nil || next.Format() != format {
			t.Fatalf("%s: %v, %v", format, next, err)
		}
		sealed, err := old.SealSuccessor(next)
		if err != nil || len(sealed) != session.SealedKeyBytes {
			t.Fatalf("%s: sealed %d bytes, %v", format, len(sealed), err)
		}
		for _, opener := range []session.Key{old, old.WithNumber(8)} {
			if got, err := opener.OpenSuccessor(sealed, next.Hash()); err != nil || got != next {
				t.Errorf("%s: opened %v, %v", format, got, err)
			}
		}
		third, err := next.NewSuccessor(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		again, err := next.SealSuccessor(third)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := next.WithNumber(7).OpenSuccessor(again, third.Hash()); err != nil || got.WithNumber(7) != third.WithNumber(7) {
			t.Errorf("%s: the third key is %v, %v", format, got, err)
		}
		for _, other := range session.KeyFormats() {
			if got, err := keyIn(t, other).OpenSuccessor(sealed, next.Hash()); err == nil || !got.IsZero() {
				t.Errorf("%s: opened under another key of format %s", format, other)
			}
		}
	}
}

func TestNoFormatPrintsItsKey(t *testing.T) {
	t.Parallel()
	for _, format := range session.KeyFormats() {
		k := keyIn(t, format)
		text := k.Reveal()
		shown := fmt.Sprintf("%v %+v %#v %s %q %x", k, k, k, k, k, k)
		if strings.Contains(shown, text[len(text)-20:]) || !strings.Contains(shown, "[redacted]") {
			t.Errorf("%s shows as %s", format, shown)
		}
	}
}

func TestKeyFormatRules(t *testing.T) {
	t.Parallel()
	for _, preset := range session.Presets() {
		want := map[string]session.KeyFormat{
			"netx": session.KeyAlnum25, "flowtraq": session.KeyHex32, "faircom": session.KeyHex64, "tokenizer": session.KeyHex64,
			"livejournal-short": session.KeyWS, "livejournal-long": session.KeyWS, "high-value": session.KeyNative, "low-risk": session.KeyNative,
		}[preset.Name]
		if preset.KeyFormat != want {
			t.Errorf("%s: %q, want %q", preset.Name, preset.KeyFormat, want)
		}
	}
	for _, format := range session.KeyFormats() {
		if err := session.ValidatePolicyName(keyIn(t, format).Reveal()); session.CodeOf(err) != session.CodeInvalid {
			t.Errorf("a policy with a key of format %s for its name: %v", format, err)
		}
	}
	for format, want := range map[session.KeyFormat]bool{"native": true, "ws": true, "": false, "NATIVE": false, "hex": false} {
		p := session.DefaultPolicy()
		p.KeyFormat = format
		if err := p.Validate(); (err == nil) != want {
			t.Errorf("%q: %v", format, err)
		}
	}
}
