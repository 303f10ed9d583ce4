package backendtest

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/hydrastore/hydrastore/session"
)

// CredentialsText is in all credentials of the following: a home that keeps it anywhere keeps a secret in the clear.
const CredentialsText = "tiger-in-the-clear-4711"

// OpenText is in attributes that are kept in the clear beside them: a search that does not find it searches the wrong place.
const OpenText = "beside-the-tiger-4712"

func markedCredentials(n string) session.Attributes {
	return values("credentials", `{"password":"`+CredentialsText+n+`"}`, "role", `"`+OpenText+`"`)
}

// UseCredentials gives credentials in every way: at log-in, by a patch, under an Idempotency-Key, carried over, and in requests that are refused.
func UseCredentials(t T, h ServiceHarness) {
	t.Helper()
	e := newEnv(t, h)
	e.tokenizerPolicy()
	e.tokenUser()
	e.loginWith(session.Call{}, session.Login{User: "ada", IdempotencyKey: "once", Attributes: markedCredentials("a")})
	i := e.loginWith(session.Call{}, session.Login{User: "ada", IdempotencyKey: "once", Attributes: markedCredentials("b")})
	i = e.loginWith(with(i), session.Login{User: "ada", Attributes: markedCredentials("c")})
	i = e.loginWith(with(i), session.Login{User: "ada"})
	c, err := e.s.PatchAttributes(e.Context(), e.asAdmin(i), session.AttributePatch(markedCredentials("d")), nil)
	e.ok("patch", err)
	_, err = e.s.PatchAttributes(e.Context(), e.asAdmin(i), session.AttributePatch(markedCredentials("e")), &i.AttributesVersion)
	e.code("an old If-Match", err, session.CodeVersionMismatch)
	_, err = e.s.PatchAttributes(e.Context(), with(i), session.AttributePatch(markedCredentials("f")), nil)
	e.code("the bearer, where services write", err, session.CodeForbidden)
	_, err = e.s.Login(e.Context(), session.Call{Address: home}, session.Login{User: "ada", Password: "wrong", Attributes: markedCredentials("g")})
	e.code("a wrong password", err, session.CodeUnauthenticated)
	_, err = e.s.Login(e.Context(), session.Call{Address: home}, session.Login{User: "ada", Password: password("ada"), Permanent: true, Attributes: markedCredentials("h")})
	e.code("a permanent session, which the policy does not allow", err, session.CodeForbidden)
	_, err = e.s.Logout(e.Context(), with(e.loginWith(session.Call{}, session.Login{User: "ada", Attributes: markedCredentials("i")})))
	e.ok("log out", err)
	_, err = e.s.PatchAttributes(e.Context(), e.asAdmin(i), session.AttributePatch(markedCredentials("j")), nil)
	e.code("a session that has ended", err, session.CodeUnauthenticated)
	i = e.loginWith(session.Call{}, session.Login{User: "ada", Attributes: markedCredentials("k")})
	e.wantSealed("at last", i, `{"role":"`+OpenText+`"}`, `{"credentials":`+string(markedCredentials("k")["credentials"])+`}`)
	if c.AttributesVersion == 0 {
		e.Errorf("the patch has made no version")
	}
}

// RefuseCredentials holds a home without any safe password to what it says of credentials, and to doing nothing of what it refuses.
func RefuseCredentials(t T, h ServiceHarness) {
	t.Helper()
	e := newEnv(t, h)
	e.tokenizerPolicy()
	e.tokenUser()
	refused := func(what string, err error) {
		e.Helper()
		var told *session.Error
		if !errors.As(err, &told) || told.Code != session.CodeConflict || told.Field != "attributes" || !strings.Contains(told.Message, "tokenizer.safe_password") {
			e.Errorf("%s: %v", what, err)
		}
	}
	i := e.loginWith(session.Call{}, session.Login{User: "ada", Attributes: values("a", "1")})
	_, err := e.s.Login(e.Context(), with(i), session.Login{User: "ada", Password: password("ada"), Attributes: markedCredentials("a")})
	refused("a log-in", err)
	_, err = e.other.PatchAttributes(e.Context(), e.asAdmin(i), session.AttributePatch(markedCredentials("b")), nil)
	refused("a patch", err)
	_, err = e.s.Login(e.Context(), with(i), session.Login{User: "ada", Password: password("ada"), Sealed: markedCredentials("c")})
	if told := (*session.Error)(nil); !errors.As(err, &told) || told.Code != session.CodeConflict || told.Field != "sealed_attributes" {
		e.Errorf("a log-in that asks for sealing: %v", err)
	}
	if c := e.alive("after refusals", i); c.AttributesVersion != i.AttributesVersion || text(c.Attributes) != `{"a":1}` {
		e.Errorf("after refusals: version %d after %d, %s", c.AttributesVersion, i.AttributesVersion, text(c.Attributes))
	}
	_, err = e.s.PatchAttributes(e.Context(), e.asAdmin(i), session.AttributePatch{"credentials": json.RawMessage("null"), "a": json.RawMessage("2")}, nil)
	e.ok("a deletion, which seals nothing", err)
	e.wantSealed("after it", i, `{"a":2}`, noneSealed)

	elsewhere := e.loginWith(session.Call{}, session.Login{User: "ada", Policy: session.DefaultPolicyName, Attributes: values("credentials", "1")})
	_, err = e.s.Login(e.Context(), with(elsewhere), session.Login{User: "ada", Password: password("ada")})
	refused("a log-in that would carry them over", err)
	e.wantSealed("the session in whose place it would have come", elsewhere, `{"credentials":1}`, noneSealed)
	next := e.loginWith(with(elsewhere), session.Login{User: "ada", Policy: session.DefaultPolicyName})
	e.wantSealed("carried over under a policy that seals none", next, `{"credentials":1}`, noneSealed)
}

// KeepCredentialsPlain holds a home that was told not to seal credentials to that.
func KeepCredentialsPlain(t T, h ServiceHarness) {
	t.Helper()
	e := newEnv(t, h)
	e.tokenizerPolicy()
	e.tokenUser()
	i := e.loginWith(session.Call{}, session.Login{User: "ada", Attributes: values("credentials", secretCredentials)})
	e.wantSealed("at log-in", i, `{"credentials":`+secretCredentials+`}`, noneSealed)
	_, err := e.other.PatchAttributes(e.Context(), e.asAdmin(i), patchOf("credentials", otherCredentials), nil)
	e.ok("patch", err)
	next := e.loginWith(with(i), session.Login{User: "ada"})
	e.wantSealed("carried over", next, `{"credentials":`+otherCredentials+`}`, noneSealed)
}
