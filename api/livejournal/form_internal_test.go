package livejournal

import (
	"strings"
	"testing"
)

func TestParseForm(t *testing.T) {
	t.Parallel()
	got, err := parseForm([]byte("a=b+c&d=%41%zz%4&&e&f=%3D%26%2B&=x&g=h=i"))
	want := map[string]string{"a": "b c", "d": "A%zz%4", "e": "", "f": "=&+", "": "x", "g": "h=i"}
	if err != nil || len(got) != len(want) {
		t.Fatalf("got %v, %v", got, err)
	}
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s is %q, want %q", name, got[name], value)
		}
	}
	for _, body := range []string{"a=1&a=2", "a&%61", strings.Repeat("x=&", 2)} {
		if got, err := parseForm([]byte(body)); err == nil {
			t.Errorf("%q was read as %v", body, got)
		}
	}
}

func TestCanonicalUser(t *testing.T) {
	t.Parallel()
	c := DefaultConfig()
	for name, want := range map[string]string{
		"test": "test", " TeSt\t\n": "test", "a-b_C9": "a_b_c9", "0123456789abcde": "0123456789abcde",
		"0123456789abcdef": "", "": "", " ": "", "a b": "", "a.b": "", "ä": "", "a\x00": "",
	} {
		if got, ok := c.canonicalUser(name); got != want || ok != (want != "") {
			t.Errorf("%q is %q, %v", name, got, ok)
		}
	}
}

// Whatever is sent: no panic, and never more arguments than are allowed.
func FuzzParseForm(f *testing.F) {
	f.Add([]byte("mode=login&user=test&password=%20+x"))
	f.Add([]byte("a=%&b=%4&c=%zz&&&=&"))
	f.Fuzz(func(t *testing.T, body []byte) {
		args, err := parseForm(body)
		if err != nil {
			return
		}
		size := 0
		for name, value := range args {
			size += len(name) + len(value)
		}
		if len(args) > MaxArguments || size > len(body) {
			t.Fatalf("%d arguments of %d bytes out of %d", len(args), size, len(body))
		}
		writeFlat(args, true)
		if lines := strings.Count(string(writeFlat(args, false)), "\n"); lines != 2*len(args) {
			t.Fatalf("%d lines for %d pairs", lines, len(args))
		}
	})
}
