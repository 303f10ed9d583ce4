package auth_test

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/auth"
)

const (
	bare   = "c0:1073113200:2831:60:2TCbFBYR72f2jhVDuowz"
	secret = "abcdefghijklmnopqrstuvwxyz012345"
	c1     = bare + ":0fba728f5964ea54160a5b18317d92df" // of LiveJournal's documentation; its secret is unknown
	c2     = bare + ":5a28b3e82b5419575fe3ddaabd1a6e79" // signed with secret
)

// The vectors of LiveJournal's documentation, and others computed with Perl's Digest::MD5.
func TestChallengeVectors(t *testing.T) {
	t.Parallel()
	for password, want := range map[string]string{
		"test": "098f6bcd4621d373cade4e832627b4f6", "pass": "1a1dc91c907325c69271ddf0c944bc72",
		"password": "5f4dcc3b5aa765d61d8327deb882cf99", "pässwörd": "12841e4ba5e37d2fbfc78458c6714ade",
	} {
		stored := auth.PasswordMD5(password)
		if got := hex.EncodeToString(stored); got != want {
			t.Errorf("MD5 of %q is %s, want %s", password, got, want)
		}
		if !auth.IsPasswordMD5(stored, want) || !auth.IsPasswordMD5(stored, strings.ToUpper(want)) || auth.IsPasswordMD5(stored, want[1:]) ||
			auth.IsPasswordMD5(stored, password) || auth.IsPasswordMD5(stored, "") {
			t.Errorf("the MD5 of %q is not told from others", password)
		}
	}
	for _, v := range []struct{ challenge, password, response string }{
		{c1, "test", "6c3058176ba0ee6e7de961e4aebb23a1"}, {c1, "pass", "a44476e1c1629ac61a3196636415b9d5"},
		{c1, "password", "8e7556d27661eddbe9a138f8a5ccd15b"}, {c2, "test", "36017482aa1eb677166ec586a899f9df"},
		{c2, "pass", "43360f374de6922cbe7678e166d984d9"}, {c2, "password", "879d317bdb6353187f788de61e8dad16"},
	} {
		if !auth.IsResponse(auth.PasswordMD5(v.password), v.challenge, v.response) {
			t.Errorf("%s does not answer %s for %q", v.response, v.challenge, v.password)
		}
	}
	for _, wrong := range []string{
		"751b02aeb41b4cfb8c6882bbee9241b3", // of the challenge and the password itself
		"45052009dcee8f50f3e9a7990788860f", // the other way round
		"6C3058176BA0EE6E7DE961E4AEBB23A1", // not in lower case
		"6c3058176ba0ee6e7de961e4aebb23a", "",
	} {
		if auth.IsResponse(auth.PasswordMD5("test"), c1, wrong) {
			t.Errorf("%q was taken for an answer", wrong)
		}
	}
}

func TestSignatures(t *testing.T) {
	t.Parallel()
	c, ok := auth.ParseChallenge(c2)
	if !ok || !c.Signed([]byte(secret)) || c.Hour.Unix() != 1073113200 || c.ExpiresAt.Unix() != 1073116091 || c.Text != c2 {
		t.Fatalf("got %+v, %v", c, ok)
	}
	for _, other := range []string{c1, strings.Replace(c2, ":60:", ":70:", 1)} {
		if c, ok := auth.ParseChallenge(other); !ok || c.Signed([]byte(secret)) {
			t.Errorf("%s: read %v, signed %v", other, ok, c.Signed([]byte(secret)))
		}
	}
	if c.Signed([]byte("another secret")) {
		t.Error("another secret has signed it")
	}
}

func TestWhatIsNoChallenge(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "c0", c2 + "x", "x" + c2, c2 + ":", strings.ToUpper(c2[:2]) + c2[2:], strings.Replace(c2, "c0", "c1", 1),
		strings.Replace(c2, "1073113200", "1073113201", 1), strings.Replace(c2, "1073113200", "-1073113200", 1),
		strings.Replace(c2, "1073113200", "01073113200", 1), strings.Replace(c2, "1073113200", "99999999999999999600", 1),
		strings.Replace(c2, ":2831:", ":3600:", 1), strings.Replace(c2, ":2831:", "::", 1), strings.Replace(c2, ":2831:", ":2 831:", 1),
		strings.Replace(c2, ":60:", ":0:", 1), strings.Replace(c2, ":60:", ":3601:", 1), strings.Replace(c2, "2TCb", "2TC-", 1),
		strings.Replace(c2, "2TCb", "2TC", 1), c2[:len(c2)-1], strings.Repeat(c2, 3), strings.Repeat(":", 5),
	} {
		if _, ok := auth.ParseChallenge(text); ok {
			t.Errorf("%q was read", text)
		}
	}
}

func TestNewChallenge(t *testing.T) {
	t.Parallel()
	at := time.Unix(1073116031, 999_000_000)
	seen := map[string]bool{}
	for range 100 {
		c, err := auth.NewChallenge(nil, []byte(secret), at, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		again, ok := auth.ParseChallenge(c.Text)
		if !ok || again != c || !c.Signed([]byte(secret)) || !strings.HasPrefix(c.Text, "c0:1073113200:2831:60:") || c.ExpiresAt.Unix() != 1073116091 || seen[c.Text] {
			t.Fatalf("issued %+v", c)
		}
		seen[c.Text] = true
	}
	if _, err := auth.NewChallenge(strings.NewReader("short"), nil, at, time.Minute); err == nil {
		t.Error("a challenge without randomness")
	}
	for at, hour := range map[int64]int64{3600: 3600, 7199: 3600, 7200: 7200} {
		if got := auth.ChallengeHour(time.Unix(at, 0)).Unix(); got != hour {
			t.Errorf("hour of %d is %d", at, got)
		}
	}
}

// Whatever a client sends is read the same way twice, or not at all.
func FuzzParseChallenge(f *testing.F) {
	f.Add(c1)
	f.Add(c2)
	f.Add("c0:0:0:1:aaaaaaaaaaaaaaaaaaaa:00000000000000000000000000000000")
	f.Fuzz(func(t *testing.T, text string) {
		c, ok := auth.ParseChallenge(text)
		if !ok {
			return
		}
		lifetime := c.ExpiresAt.Unix() - c.Hour.Unix()
		if c.Text != text || len(text) > auth.MaxChallengeBytes || lifetime < 1 || lifetime > 7199 || c.Hour.Unix()%3600 != 0 {
			t.Fatalf("%q was read as %+v", text, c)
		}
		c.Signed([]byte(secret))
	})
}
