package backendtest

import (
	"strings"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

// tokenizerPolicy makes the policy that QueryCommander's sessions are under, from its preset.
func (e *env) tokenizerPolicy() {
	e.Helper()
	p, ok := session.Preset(session.PresetTokenizer)
	if !ok {
		e.Fatalf("there is no preset %q", session.PresetTokenizer)
	}
	e.policy(p.Name, p.AsChange())
}

// tokenUser makes an account that logs in under that policy.
func (e *env) tokenUser() {
	e.Helper()
	e.newUser(session.NewUser{Name: "ada", Password: password("ada"), Policies: []string{session.PresetTokenizer, session.DefaultPolicyName}})
}

func (e *env) loginWith(c session.Call, l session.Login) session.Issued {
	e.Helper()
	if c.Key.IsZero() {
		c.Address = home
	}
	l.Password = password(strings.ToLower(l.User))
	i, err := e.s.Login(e.Context(), c, l)
	e.ok("log in as "+l.User, err)
	return i
}

// wantSealed wants a session to have these attributes in the clear, and these sealed, at every service.
func (e *env) wantSealed(what string, i session.Issued, open, sealed string) {
	e.Helper()
	c := e.alive(what, i)
	e.wantAttributes(what+", in the clear", c.Attributes, open)
	e.wantAttributes(what+", sealed", c.Sealed, sealed)
	hidden, err := e.other.Check(e.Context(), e.asAdmin(i), true)
	e.ok(what+", looked at by an admin", err)
	e.wantAttributes(what+", as an admin sees it", hidden.Attributes, open)
	if len(hidden.Sealed) != 0 {
		e.Errorf("%s: an admin sees %v", what, hidden.Sealed)
	}
}

const (
	secretCredentials = `{"password":"tiger","username":"scott"}`
	otherCredentials  = `{"password":"lion","username":"scott"}`
	noneSealed        = "null"
)

func credentialsAreSealed(e *env) {
	e.tokenizerPolicy()
	e.tokenUser()
	i := e.loginWith(session.Call{}, session.Login{User: "ada", Attributes: values("credentials", secretCredentials, "role", `"dba"`)})
	e.wantAttributes("issued", i.Attributes, `{"role":"dba"}`)
	e.wantAttributes("issued, sealed", i.Sealed, `{"credentials":`+secretCredentials+`}`)
	e.wantSealed("at log-in", i, `{"role":"dba"}`, `{"credentials":`+secretCredentials+`}`)
	list, err := e.s.GetSession(e.Context(), e.admin, i.ID)
	e.ok("get it by id", err)
	e.wantAttributes("by its id", list.Attributes, `{"role":"dba"}`)

	patch := func(p session.AttributePatch, ifMatch *uint64) (session.Checked, error) {
		return e.other.PatchAttributes(e.Context(), e.asAdmin(i), p, ifMatch)
	}
	c, err := patch(patchOf("credentials", otherCredentials, "role", `"guest"`), &i.AttributesVersion)
	e.ok("patch both", err)
	e.wantAttributes("as patched", c.Attributes, `{"role":"guest"}`)
	e.wantSealed("patched", i, `{"role":"guest"}`, `{"credentials":`+otherCredentials+`}`)
	if c.AttributesVersion <= i.AttributesVersion {
		e.Errorf("version %d after %d", c.AttributesVersion, i.AttributesVersion)
	}
	_, err = patch(patchOf("credentials", secretCredentials), &i.AttributesVersion)
	e.code("If-Match of an old version", err, session.CodeVersionMismatch)
	_, err = e.s.PatchAttributes(e.Context(), with(i), patchOf("credentials", secretCredentials), nil)
	e.code("the bearer, where services write", err, session.CodeForbidden)
	e.wantSealed("after refusals", i, `{"role":"guest"}`, `{"credentials":`+otherCredentials+`}`)
	_, err = patch(patchOf("role", "null"), &c.AttributesVersion)
	e.ok("patch the other", err)
	e.wantSealed("after a patch of another", i, `{}`, `{"credentials":`+otherCredentials+`}`)
	_, err = e.s.SealAttributes(e.Context(), e.asAdmin(i), patchOf("credentials", secretCredentials), nil)
	e.ok("seal by name", err)
	e.wantSealed("sealed by name", i, `{}`, `{"credentials":`+secretCredentials+`}`)
	_, err = patch(patchOf("credentials", "null"), nil)
	e.ok("delete", err)
	e.wantSealed("deleted", i, `{}`, noneSealed)

	long := `"` + strings.Repeat("x", session.MaxSealedAttributeBytes-2) + `"`
	_, err = patch(patchOf("credentials", long[:len(long)-1]+`y"`, "role", "1"), nil)
	e.code("credentials too long to be sealed", err, session.CodeTooLarge)
	e.wantSealed("after that", i, `{}`, noneSealed)
	_, err = patch(patchOf("credentials", long), nil)
	e.ok("credentials as long as can be sealed", err)
	_, err = e.s.Login(e.Context(), session.Call{Address: home}, session.Login{User: "ada", Password: password("ada"), Attributes: values("credentials", long[:len(long)-1]+`y"`)})
	e.code("a log-in with credentials too long to be sealed", err, session.CodeTooLarge)
	_, err = e.s.PatchAttributes(e.Context(), session.Call{Key: e.admin.Key, Address: home, Subject: &session.Presented{Key: e.loginWith(session.Call{}, session.Login{User: "ada"}).Key}},
		session.AttributePatch{"credentials": []byte(`{"`)}, nil)
	e.code("no JSON", err, session.CodeInvalid)
}

func credentialsOfOthers(e *env) {
	e.tokenizerPolicy()
	e.tokenUser()
	open := `{"credentials":` + secretCredentials + `}`
	given := values("credentials", secretCredentials)
	elsewhere := e.loginWith(session.Call{}, session.Login{User: "ada", Policy: session.DefaultPolicyName, Attributes: given})
	e.wantSealed("under another policy", elsewhere, open, noneSealed)
	vouched := e.vouched(session.Login{User: "bob", Policy: session.PresetTokenizer, Attributes: given})
	e.wantSealed("of a user that a service answers for", vouched, open, noneSealed)
	_, err := e.s.PatchAttributes(e.Context(), e.asAdmin(vouched), patchOf("credentials", otherCredentials), nil)
	e.ok("patch them", err)
	e.wantSealed("patched", vouched, `{"credentials":`+otherCredentials+`}`, noneSealed)

	early := e.vouched(session.Login{User: "ada", Policy: session.PresetTokenizer, Attributes: given})
	proved, err := e.s.Reauthenticate(e.Context(), with(early), session.Proof{Password: password("ada")})
	e.ok("prove the user", err)
	e.wantSealed("in the clear from before", proved, open, noneSealed)
	_, err = e.other.PatchAttributes(e.Context(), e.asAdmin(proved), patchOf("credentials", otherCredentials), nil)
	e.ok("patch after the proof", err)
	e.wantSealed("written again", proved, `{}`, `{"credentials":`+otherCredentials+`}`)
	_, err = e.s.PatchAttributes(e.Context(), e.asAdmin(vouched), patchOf("credentials", "null"), nil)
	e.ok("delete what is in the clear", err)
	e.wantSealed("deleted", vouched, `{}`, noneSealed)
}

func credentialsCarriedOver(e *env) {
	e.tokenizerPolicy()
	e.tokenUser()
	sealed := func(v string) string { return `{"credentials":` + v + `}` }
	first := e.loginWith(session.Call{}, session.Login{User: "ada", Policy: session.DefaultPolicyName, Attributes: values("credentials", secretCredentials, "a", "1")})
	second := e.loginWith(with(first), session.Login{User: "ada"})
	e.dead("the session before", first)
	e.wantSealed("from the clear", second, `{"a":1}`, sealed(secretCredentials))
	third := e.loginWith(with(second), session.Login{User: "ada"})
	e.wantSealed("carried over", third, `{"a":1}`, sealed(secretCredentials))
	fourth := e.loginWith(with(third), session.Login{User: "ada", Attributes: values("credentials", otherCredentials)})
	e.wantSealed("the log-in's own", fourth, `{"a":1}`, sealed(otherCredentials))
	fifth := e.loginWith(with(fourth), session.Login{User: "ada", Policy: session.DefaultPolicyName})
	e.wantSealed("sealed values stay sealed under another policy", fifth, `{"a":1}`, sealed(otherCredentials))
	sixth := e.loginWith(with(fifth), session.Login{User: "ada", Policy: session.DefaultPolicyName, Attributes: values("credentials", secretCredentials)})
	e.wantSealed("the log-in's own, under another policy", sixth, `{"a":1,"credentials":`+secretCredentials+`}`, noneSealed)

	asked := session.Login{User: "ada", IdempotencyKey: "one", Attributes: values("credentials", secretCredentials)}
	made := e.loginWith(session.Call{}, asked)
	again := e.loginWith(session.Call{}, asked)
	if again.ID != made.ID {
		e.Errorf("a repeated log-in made another session")
	}
	e.wantSealed("repeated", again, `{}`, sealed(secretCredentials))
	asked.Attributes = values("credentials", otherCredentials)
	other := e.loginWith(session.Call{}, asked) // nothing is kept by which what is sealed could be compared
	e.wantSealed("repeated with others", other, `{}`, sealed(secretCredentials))
	asked.Attributes = values("another", otherCredentials)
	_, err := e.s.Login(e.Context(), session.Call{Address: home}, session.Login{User: "ada", Password: password("ada"), IdempotencyKey: "one", Attributes: asked.Attributes})
	e.code("repeated without any", err, session.CodeOf(session.ErrRequestMismatch()))
}

// tokenizerTimeLine is QueryCommander's: twenty minutes from the last use, and looks are none. The policy's window is a second.
func tokenizerTimeLine(e *env) {
	e.tokenizerPolicy()
	e.tokenUser()
	i := e.loginWith(session.Call{}, session.Login{User: "ada"})
	if n := len(i.Key.Reveal()); n != 64 || i.IdleTimeout != 20*time.Minute || !near(i.ExpiresAt, i.CreatedAt.Add(20*time.Minute), time.Millisecond) {
		e.Errorf("a key of %d digits, idle timeout %v, created %v, expires %v", n, i.IdleTimeout, i.CreatedAt, i.ExpiresAt)
	}
	started, passed := time.Now(), time.Duration(0)
	at := func(t time.Duration) { // since the log-in, which took a moment
		e.Helper()
		e.pass(t - passed)
		passed = t
	}
	const slack = 10 * time.Second
	for _, minute := range []time.Duration{19, 38} {
		at(minute * time.Minute)
		c := e.use("a use", i)
		if !near(c.ExpiresAt, c.LastUsedAt.Add(20*time.Minute), time.Second) || !near(c.LastUsedAt, i.CreatedAt.Add(minute*time.Minute), slack) {
			e.Errorf("used at %v, recorded %v, expires %v", minute*time.Minute, c.LastUsedAt.Sub(i.CreatedAt), c.ExpiresAt.Sub(i.CreatedAt))
		}
	}
	at(57 * time.Minute)
	before := e.alive("a look at 57", i)
	after := e.alive("another look", i)
	if !after.ExpiresAt.Equal(before.ExpiresAt) || !near(after.ExpiresAt, i.CreatedAt.Add(58*time.Minute), slack) {
		e.Errorf("looks extend: %v, then %v", before.ExpiresAt.Sub(i.CreatedAt), after.ExpiresAt.Sub(i.CreatedAt))
	}
	if time.Since(started) > slack {
		e.Skipf("too slow a machine to judge seconds")
	}
	at(58*time.Minute - slack)
	e.alive("ten seconds before its end", i)
	at(58*time.Minute + slack)
	e.dead("after it", i)

	one := e.loginWith(session.Call{}, session.Login{User: "ADA"})
	two := e.loginWith(session.Call{Address: away}, session.Login{User: "ada"})
	e.dead("the first of two log-ins", one)
	_, err := e.other.Logout(e.Context(), session.Call{Key: two.Key, Address: away})
	e.ok("log out", err)
	e.dead("after log-out", two)
}
