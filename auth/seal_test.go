package auth_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"strings"
	"testing"

	"github.com/hydrastore/hydrastore/auth"
)

func sealKey(t *testing.T, password string) (*auth.SealKey, auth.SealRecipe) {
	t.Helper()
	k, r, err := auth.NewSealKey(nil, password, cheap)
	if err != nil {
		t.Fatal(err)
	}
	return k, r
}

func TestSealedValuesOpenOnlyInTheirPlace(t *testing.T) {
	t.Parallel()
	key, recipe := sealKey(t, "correct horse")
	owner, value := []byte("0123456789abcdef"), []byte(`"a secret"`)
	sealed, err := key.Seal([]byte("head"), rand.Reader, owner, "token", value)
	if err != nil || !bytes.HasPrefix(sealed, []byte("head")) || bytes.Contains(sealed, []byte("secret")) {
		t.Fatalf("sealed %q, %v", sealed, err)
	}
	sealed = sealed[4:]
	again, ok := recipe.Key("correct horse")
	if !ok {
		t.Fatal("the right password does not fit")
	}
	if got, err := again.Open(sealed, owner, "token"); err != nil || !bytes.Equal(got, value) {
		t.Fatalf("opened %q, %v", got, err)
	}
	if _, ok := recipe.Key("correct horsf"); ok {
		t.Error("a wrong password fits")
	}
	other, _ := sealKey(t, "correct horse") // another salt
	flipped := bytes.Clone(sealed)
	flipped[len(flipped)-1] ^= 1
	for name, open := range map[string]func() ([]byte, error){
		"another session": func() ([]byte, error) { return key.Open(sealed, []byte("0123456789abcdeg"), "token") },
		"another name":    func() ([]byte, error) { return key.Open(sealed, owner, "tokem") },
		"another key":     func() ([]byte, error) { return other.Open(sealed, owner, "token") },
		"damaged":         func() ([]byte, error) { return key.Open(flipped, owner, "token") },
		"cut off":         func() ([]byte, error) { return key.Open(sealed[:5], owner, "token") },
		"nothing":         func() ([]byte, error) { return key.Open(nil, owner, "token") },
	} {
		if got, err := open(); err == nil {
			t.Errorf("%s: opened %q", name, got)
		}
	}
}

func TestOneValueIsNeverSealedTheSameTwice(t *testing.T) {
	t.Parallel()
	key, _ := sealKey(t, "correct horse")
	a, _ := key.Seal(nil, rand.Reader, []byte("0123456789abcdef"), "n", []byte("1"))
	b, _ := key.Seal(nil, rand.Reader, []byte("0123456789abcdef"), "n", []byte("1"))
	if bytes.Equal(a, b) {
		t.Error("they are the same")
	}
}

func TestASealKeyPrintsAsNothing(t *testing.T) {
	t.Parallel()
	key, _ := sealKey(t, "correct horse")
	for _, text := range []string{fmt.Sprint(key), fmt.Sprintf("%+v", key), fmt.Sprintf("%#v", key)} {
		if strings.ContainsAny(text, "[0123456789") {
			t.Errorf("it prints as %s", text)
		}
	}
}

func TestRecipesThatWouldCostTooMuchAreRefused(t *testing.T) {
	t.Parallel()
	_, recipe := sealKey(t, "correct horse")
	recipe.Params.MemoryKiB = 1 << 31
	if _, ok := recipe.Key("correct horse"); ok {
		t.Error("it was derived")
	}
}
