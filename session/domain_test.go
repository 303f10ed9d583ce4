package session_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/hydrastore/hydrastore/session"
)

func TestFoldUserName(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"ADMIN": "admin", "  Ada\t": "ada", "ÄRGER": "ärger", "ΣΊΣΥΦΟΣ": "σίσυφοσ", "σίσυφος": "σίσυφοσ",
		"K": "k" /* the Kelvin sign */, "用户": "用户", "a b": "a b", "x@Example.ORG": "x@example.org",
		strings.Repeat("A", 128): strings.Repeat("a", 128),
	} {
		if got, err := session.FoldUserName(in); err != nil || got != want {
			t.Errorf("FoldUserName(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"", "   ", "a\x00b", "a\nb", "\xff", strings.Repeat("a", 129), "\ufffd"} {
		if got, err := session.FoldUserName(in); err == nil {
			t.Errorf("FoldUserName(%q) = %q; want an error", in, got)
		}
	}
}

// Folding a folded name changes nothing, and all spellings that Unicode folds together fold to one.
func TestFoldingIsStableAndJoinsAllSpellings(t *testing.T) {
	t.Parallel()
	for r := rune(1); r <= unicode.MaxRune; r++ {
		if unicode.IsControl(r) || unicode.IsSpace(r) || (r >= 0xd800 && r < 0xe000) || r == 0xfffd {
			continue
		}
		once, err := session.FoldUserName(string(r))
		if err != nil {
			t.Fatalf("%U: %v", r, err)
		}
		if twice, _ := session.FoldUserName(once); twice != once {
			t.Errorf("%U folds to %q and that to %q", r, once, twice)
		}
		if other, _ := session.FoldUserName(string(unicode.SimpleFold(r))); other != once {
			t.Errorf("%U folds to %q, its other case to %q", r, once, other)
		}
	}
}

func TestPolicyRules(t *testing.T) {
	t.Parallel()
	change := func(f func(*session.Policy)) session.Policy {
		p := session.DefaultPolicy()
		f(&p)
		return p
	}
	for name, c := range map[string]struct {
		policy session.Policy
		field  string // "" = valid
	}{
		"the default":               {session.DefaultPolicy(), ""},
		"only an idle timeout":      {change(func(p *session.Policy) { p.AbsoluteLifetime = 0 }), ""},
		"only an absolute lifetime": {change(func(p *session.Policy) { p.IdleTimeout, p.TouchWindow = 0, 0 }), ""},
		"the shortest idle timeout": {change(func(p *session.Policy) { p.IdleTimeout = time.Second }), ""},
		"below the shortest":        {change(func(p *session.Policy) { p.IdleTimeout = time.Second - time.Millisecond }), "idle_timeout_s"},
		"negative idle":             {change(func(p *session.Policy) { p.IdleTimeout = -1 }), "idle_timeout_s"},
		"the longest idle timeout":  {change(func(p *session.Policy) { p.IdleTimeout = session.MaxTimeout }), ""},
		"beyond the longest":        {change(func(p *session.Policy) { p.IdleTimeout = session.MaxTimeout + 1 }), "idle_timeout_s"},
		"no end at all":             {change(func(p *session.Policy) { p.IdleTimeout, p.AbsoluteLifetime = 0, 0 }), "idle_timeout_s"},
		"negative lifetime":         {change(func(p *session.Policy) { p.AbsoluteLifetime = -1 }), "absolute_lifetime_s"},
		"a window longer than idle": {change(func(p *session.Policy) { p.TouchWindow = p.IdleTimeout + 1 }), "touch_window_s"},
		"a negative window":         {change(func(p *session.Policy) { p.TouchWindow = -2 }), "touch_window_s"},
		"an unknown writer":         {change(func(p *session.Policy) { p.AttributesWrite = "all" }), "attributes_write"},
		"no name":                   {change(func(p *session.Policy) { p.Name = "" }), "policy"},
		"upper case":                {change(func(p *session.Policy) { p.Name = "Default" }), "policy"},
		"a path":                    {change(func(p *session.Policy) { p.Name = "../x" }), "policy"},
		"the longest name":          {change(func(p *session.Policy) { p.Name = strings.Repeat("x", 64) }), ""},
		"a name too long":           {change(func(p *session.Policy) { p.Name = strings.Repeat("x", 65) }), "policy"},
	} {
		err := c.policy.Validate()
		switch e, ok := err.(*session.Error); {
		case c.field == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.field != "" && (!ok || e.Field != c.field):
			t.Errorf("%s: %v, want an error about %s", name, err, c.field)
		}
	}
}

func TestDefaultTouchWindow(t *testing.T) {
	t.Parallel()
	for idle, want := range map[time.Duration]time.Duration{
		2 * time.Second: 62 * time.Millisecond, 30 * time.Minute: 56250 * time.Millisecond, 12 * time.Hour: time.Minute, 0: 0,
	} {
		p := session.Policy{IdleTimeout: idle, TouchWindow: session.TouchWindowAuto}
		if got := p.EffectiveTouchWindow(); got != want {
			t.Errorf("idle %v: window %v, want %v", idle, got, want)
		}
	}
}

func TestPasswordsAndRoles(t *testing.T) {
	t.Parallel()
	for password, ok := range map[string]bool{
		"12345678": true, "1234567": false, "": false, strings.Repeat("a", 1024): true, strings.Repeat("a", 1025): false,
		"pässwörd": true, "\xff\xfe\xfd12345": false,
	} {
		err := session.ValidatePassword(password)
		if (err == nil) != ok {
			t.Errorf("a password of %d bytes: %v", len(password), err)
		}
		if err != nil && password != "" && strings.Contains(err.Error(), password) {
			t.Errorf("the error repeats the password")
		}
	}
	roles, err := session.NormalRoles([]session.Role{"user", "admin", "user"})
	if err != nil || fmt.Sprint(roles) != "[admin user]" {
		t.Errorf("roles %v, %v", roles, err)
	}
	if _, err := session.NormalRoles([]session.Role{"root"}); err == nil {
		t.Error("role root is accepted")
	}
}

func TestAttributesAreCanonical(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`{"b": 1, "a" : [1 , 2]}`: `{"a":[1,2],"b":1}`, ` "x" `: `"x"`, `12345678901234567890`: `12345678901234567890`,
		`"<&>"`: `"<&>"`, `1.50`: `1.50`, `true`: `true`, `"a\u0062"`: `"ab"`,
	} {
		got, err := session.AttributePatch{"x": json.RawMessage(in)}.Canonical()
		if err != nil || string(got["x"]) != want {
			t.Errorf("%s: %s, %v; want %s", in, got["x"], err, want)
		}
	}
	first, err := session.Attributes{"keep": []byte("1"), "drop": []byte("null")}.Canonical()
	if err != nil || len(first) != 1 {
		t.Errorf("first values with a null: %v, %v", first, err)
	}
}

func TestAttributeLimitsAtTheirEdges(t *testing.T) {
	t.Parallel()
	value := func(n int) json.RawMessage { return json.RawMessage(`"` + strings.Repeat("a", n-2) + `"`) }
	nested := func(n int) json.RawMessage {
		return json.RawMessage(strings.Repeat("[", n) + strings.Repeat("]", n))
	}
	many := func(n, size int) session.AttributePatch {
		p := session.AttributePatch{}
		for i := range n {
			p[fmt.Sprintf("%04d", i)] = value(size)
		}
		return p
	}
	for name, c := range map[string]struct {
		patch session.AttributePatch
		code  session.Code
	}{
		"the largest value":       {session.AttributePatch{"x": value(4096)}, ""},
		"a value too large":       {session.AttributePatch{"x": value(4097)}, session.CodeTooLarge},
		"a huge value":            {session.AttributePatch{"x": value(1 << 20)}, session.CodeTooLarge},
		"the longest name":        {session.AttributePatch{strings.Repeat("n", 128): value(2)}, ""},
		"a name too long":         {session.AttributePatch{strings.Repeat("n", 129): value(2)}, session.CodeTooLarge},
		"as many as there may be": {many(64, 100), ""},
		"one too many":            {many(65, 100), session.CodeTooLarge},
		"as much as there may be": {many(4, 4092), ""},
		"too much in all":         {many(4, 4093), session.CodeTooLarge},
		"the deepest":             {session.AttributePatch{"x": nested(32)}, ""},
		"too deep":                {session.AttributePatch{"x": nested(33)}, session.CodeTooLarge},
		"brackets in a string":    {session.AttributePatch{"x": json.RawMessage(`"` + strings.Repeat(`[\"`, 100) + `"`)}, ""},
		"no name":                 {session.AttributePatch{"": value(2)}, session.CodeInvalid},
		"a control character":     {session.AttributePatch{"a\nb": value(2)}, session.CodeInvalid},
		"no value":                {session.AttributePatch{"x": nil}, session.CodeInvalid},
		"two values":              {session.AttributePatch{"x": json.RawMessage(`1 2`)}, session.CodeInvalid},
		"a bracket too many":      {session.AttributePatch{"x": json.RawMessage(`1]`)}, session.CodeInvalid},
		"bytes that are no UTF-8": {session.AttributePatch{"x": json.RawMessage("\"\xff\"")}, session.CodeInvalid},
		"no JSON":                 {session.AttributePatch{"x": json.RawMessage(`{a:1}`)}, session.CodeInvalid},
	} {
		if _, err := c.patch.Canonical(); session.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want %q", name, err, c.code)
		}
	}
}

func FuzzCanonicalAttribute(f *testing.F) {
	f.Add([]byte(`{"b":[1,2,{"a":null}]}`))
	f.Add([]byte(`"\ud800"`))
	f.Fuzz(func(t *testing.T, value []byte) {
		once, err := session.AttributePatch{"x": value}.Canonical()
		if err != nil {
			return
		}
		twice, err := session.AttributePatch{"x": once["x"]}.Canonical()
		if err != nil || string(twice["x"]) != string(once["x"]) {
			t.Errorf("%q is canonical as %q, and that as %q (%v)", value, once["x"], twice["x"], err)
		}
	})
}
