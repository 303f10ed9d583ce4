package session_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/hydrastore/hydrastore/session"
)

func newKey(t testing.TB) session.Key {
	t.Helper()
	k, err := session.NewKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKeyRoundTrip(t *testing.T) {
	t.Parallel()
	k := newKey(t)
	text := k.Reveal()
	if !strings.HasPrefix(text, "hs_") || len(text) != 51 {
		t.Fatalf("key has %d characters and begins with %q", len(text), text[:3])
	}
	back, err := session.ParseKey(text)
	if err != nil || back != k {
		t.Fatalf("parse: %v, %v", back, err)
	}
	if k.Hash() != sha256.Sum256([]byte(text)) {
		t.Error("the hash is not the SHA-256 of the text")
	}
}

func TestEveryChangedCharacterIsRefused(t *testing.T) {
	t.Parallel()
	text := newKey(t).Reveal()
	for i := range text {
		for _, c := range []byte("A-0_!\x00") {
			if text[i] == c {
				continue
			}
			changed := text[:i] + string(c) + text[i+1:]
			if _, err := session.ParseKey(changed); session.CodeOf(err) != session.CodeUnauthenticated {
				t.Fatalf("a key with character %d changed to %q: %v", i, c, err)
			}
		}
	}
	for _, other := range []string{"", "hs_", text + "A", text[:50], strings.ToUpper(text), " " + text, strings.Repeat("é", 51)} {
		if _, err := session.ParseKey(other); session.CodeOf(err) != session.CodeUnauthenticated {
			t.Errorf("ParseKey(%d bytes): %v", len(other), err)
		}
	}
}

func TestKeyNeverPrintsItself(t *testing.T) {
	t.Parallel()
	k := newKey(t)
	secret := k.Reveal()[3:]
	holder := struct{ K session.Key }{k}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", k, "holder", holder)
	encoded, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		fmt.Sprint(k), fmt.Sprintf("%v %+v %#v %s %q %x", k, k, k, k, k, k), fmt.Sprintf("%v %+v %#v", holder, holder, holder), log.String(), string(encoded),
	} {
		if strings.Contains(text, secret) || strings.Contains(text, fmt.Sprintf("%x", k.Reveal())) {
			t.Errorf("the key shows in %q", text)
		}
	}
}

func TestNewKeyReportsABrokenSource(t *testing.T) {
	t.Parallel()
	if _, err := session.NewKey(bytes.NewReader(make([]byte, 31))); err == nil {
		t.Error("31 bytes made a key")
	}
	if _, err := session.NewID(bytes.NewReader(nil)); err == nil {
		t.Error("nothing made an id")
	}
}

func TestIDRoundTrip(t *testing.T) {
	t.Parallel()
	id, err := session.NewID(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	back, err := session.ParseID(id.String())
	if err != nil || back != id {
		t.Fatalf("parse %s: %v, %v", id, back, err)
	}
	for _, bad := range []string{"", "x", id.String() + "0", strings.ToUpper(id.String()[:25]) + "U", strings.Repeat("z", 26), strings.Repeat("l", 26)} {
		if got, err := session.ParseID(bad); err == nil {
			t.Errorf("ParseID(%q) = %v", bad, got)
		}
	}
}

func TestErrorsMatchByCode(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("log in: %w", &session.Error{Code: session.CodeConflict, Message: "changed", Err: errors.New("cause")})
	if !errors.Is(err, &session.Error{Code: session.CodeConflict}) || errors.Is(err, &session.Error{Code: session.CodeInvalid}) {
		t.Error("errors.Is does not go by code")
	}
	if session.CodeOf(err) != session.CodeConflict || session.CodeOf(errors.New("x")) != session.CodeInternal || session.CodeOf(nil) != "" {
		t.Error("CodeOf is wrong")
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add(newKey(f).Reveal())
	f.Add("hs_")
	for _, format := range session.KeyFormats() {
		f.Add(keyIn(f, format).Reveal())
	}
	f.Fuzz(func(t *testing.T, text string) {
		k, err := session.ParseKey(text)
		if err != nil {
			return
		}
		next, err := k.NewSuccessor(rand.Reader)
		if err != nil || k.Reveal() != text || next.Format() != k.Format() || len(text) > session.MaxKeyBytes {
			t.Errorf("%q parses to another key, or has no successor: %v", text, err)
		}
	})
}
