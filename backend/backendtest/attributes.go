package backendtest

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

// asAdmin presents a session's key through the admin, who may write attributes.
func (e *env) asAdmin(i session.Issued) session.Call {
	c := e.admin
	c.Subject = &session.Presented{Key: i.Key, Address: home}
	return c
}

func attributesMerge(e *env) {
	i := e.vouched(session.Login{User: "ada", Attributes: values("a", "1", "b", `{"z":1,"a":[1, 2]}`, "null", "null", "html", `"<&>"`, "big", "12345678901234567890")})
	e.wantAttributes("at log-in", i.Attributes, `{"a":1,"b":{"a":[1,2],"z":1},"big":12345678901234567890,"html":"\u003c\u0026\u003e"}`)
	c, err := e.s.PatchAttributes(e.Context(), e.asAdmin(i), patchOf("a", "null", "b", "2", "c", `"new"`, "missing", "null"), nil)
	e.ok("patch", err)
	e.wantAttributes("patched", c.Attributes, `{"b":2,"big":12345678901234567890,"c":"new","html":"\u003c\u0026\u003e"}`)
	if string(c.Attributes["html"]) != `"<&>"` {
		e.Errorf("the value's bytes have become %s", c.Attributes["html"])
	}
	if c.AttributesVersion <= i.AttributesVersion {
		e.Errorf("version %d after %d", c.AttributesVersion, i.AttributesVersion)
	}
	same, err := e.other.PatchAttributes(e.Context(), e.asAdmin(i), patchOf("b", "2"), nil)
	e.ok("patch without a change", err)
	if same.AttributesVersion != c.AttributesVersion {
		e.Errorf("nothing has changed, and the version is %d after %d", same.AttributesVersion, c.AttributesVersion)
	}
	_, err = e.s.PatchAttributes(e.Context(), e.asAdmin(i), patchOf("b", "3"), &i.AttributesVersion)
	e.code("If-Match of an old version", err, session.CodeVersionMismatch)
	c, err = e.s.PatchAttributes(e.Context(), e.asAdmin(i), patchOf("b", "3"), &same.AttributesVersion)
	e.ok("If-Match of the present version", err)
	e.wantAttributes("after it", e.alive("a look", i).Attributes, text(c.Attributes))
}

func attributeLimits(e *env) {
	i := e.vouched(session.Login{User: "ada"})
	many := session.AttributePatch{}
	for n := range session.MaxAttributes {
		many[fmt.Sprint(n)] = json.RawMessage("1")
	}
	_, err := e.s.PatchAttributes(e.Context(), e.asAdmin(i), many, nil)
	e.ok("as many as allowed", err)
	_, err = e.s.PatchAttributes(e.Context(), e.asAdmin(i), patchOf("more", "1"), nil)
	e.code("one more", err, session.CodeTooLarge)
	_, err = e.s.PatchAttributes(e.Context(), e.asAdmin(i), patchOf("more", "1", "0", "null"), nil)
	e.ok("one in the place of another", err)
	value := func(bytes int) string { return `"` + strings.Repeat("x", bytes-2) + `"` }
	i = e.vouched(session.Login{User: "ada"})
	_, err = e.s.PatchAttributes(e.Context(), e.asAdmin(i), patchOf("a", value(session.MaxAttributeBytes+1)), nil)
	e.code("a value too long", err, session.CodeTooLarge)
	for _, name := range []string{"a", "b", "c"} {
		_, err = e.s.PatchAttributes(e.Context(), e.asAdmin(i), patchOf(name, value(session.MaxAttributeBytes)), nil)
		e.ok("a value as long as allowed", err)
	}
	rest := session.MaxAttributesBytes - 3*(session.MaxAttributeBytes+1) - 1
	_, err = e.s.PatchAttributes(e.Context(), e.asAdmin(i), patchOf("d", value(rest+1)), nil)
	e.code("too many bytes in all", err, session.CodeTooLarge)
	c, err := e.s.PatchAttributes(e.Context(), e.asAdmin(i), patchOf("d", value(rest)), nil)
	e.ok("as many bytes as allowed", err)
	if len(c.Attributes) != 4 {
		e.Errorf("%d attributes", len(c.Attributes))
	}
}

func attributeWriters(e *env) {
	e.policy("own", session.PolicyChange{AttributesWrite: ptr(session.WriteByBearer)})
	e.user("app", session.RoleService)
	app := e.login("app")
	byService, byBearer := e.vouched(session.Login{User: "ada"}), e.under("ada", "own")
	_, err := e.s.PatchAttributes(e.Context(), with(byService), patchOf("a", "1"), nil)
	e.code("the bearer, where services write", err, session.CodeForbidden)
	_, err = e.s.SealAttributes(e.Context(), with(byService), patchOf("a", "1"), nil)
	e.code("the bearer seals, where services write", err, session.CodeForbidden)
	_, err = e.s.PatchAttributes(e.Context(), with(byBearer), patchOf("a", "1"), nil)
	e.ok("the bearer, where it may", err)
	_, err = e.s.PatchAttributes(e.Context(), with(app), patchOf("a", "1"), nil)
	e.ok("a service, its own", err)
	c := with(app)
	c.Subject = &session.Presented{Key: byService.Key}
	_, err = e.s.PatchAttributes(e.Context(), c, patchOf("a", "1"), nil)
	e.ok("a service, a user's", err)
}

func sealedAttributes(e *env) {
	e.user("app", session.RoleService)
	app := with(e.login("app"))
	i, err := e.s.Login(e.Context(), app, session.Login{User: "ada", Vouched: true, Attributes: values("open", "1"), Sealed: values("secret", `"sesame"`)})
	e.ok("log in with sealed attributes", err)
	e.wantAttributes("issued", i.Attributes, `{"open":1}`)
	e.wantAttributes("issued, sealed", i.Sealed, `{"secret":"sesame"}`)
	bearer := e.alive("the bearer", i)
	e.wantAttributes("the bearer sees", bearer.Sealed, `{"secret":"sesame"}`)
	through := app
	through.Subject = &session.Presented{Key: i.Key}
	c, err := e.other.Check(e.Context(), through, true)
	e.ok("a service looks", err)
	e.wantAttributes("a service sees", c.Sealed, `{"secret":"sesame"}`)
	for what, look := range map[string]func() (session.Checked, error){
		"an admin that presents the key": func() (session.Checked, error) { return e.s.Check(e.Context(), e.asAdmin(i), true) },
		"an admin that asks by id":       func() (session.Checked, error) { return e.s.GetSession(e.Context(), e.admin, i.ID) },
	} {
		c, err := look()
		e.ok(what, err)
		if len(c.Sealed) != 0 || len(c.Attributes) != 1 {
			e.Errorf("%s sees %v and %v", what, c.Attributes, c.Sealed)
		}
	}
	c, err = e.s.SealAttributes(e.Context(), through, patchOf("open", "2", "more", "[1]"), &i.AttributesVersion)
	e.ok("seal", err)
	e.wantAttributes("not sealed", c.Attributes, `{}`)
	e.wantAttributes("sealed", c.Sealed, `{"more":[1],"open":2,"secret":"sesame"}`)
	c, err = e.s.PatchAttributes(e.Context(), through, patchOf("open", "3", "more", "null"), nil)
	e.ok("patch in the clear", err)
	e.wantAttributes("in the clear", c.Attributes, `{"open":3}`)
	e.wantAttributes("still sealed", c.Sealed, `{"secret":"sesame"}`)
	rotated, err := e.s.Rotate(e.Context(), with(i))
	e.ok("rotate", err)
	e.wantAttributes("after rotation", rotated.Sealed, `{"secret":"sesame"}`)
	_, err = e.s.SealAttributes(e.Context(), through, patchOf("long", `"`+strings.Repeat("x", session.MaxSealedAttributeBytes)+`"`), nil)
	e.code("a value too long to be sealed", err, session.CodeTooLarge)
}

func alterations(e *env) {
	e.policy("own", session.PolicyChange{IdleTimeout: ptr(10 * time.Minute), TouchWindow: ptr(time.Duration(0))})
	e.newUser(session.NewUser{Name: "ada", Password: password("ada"), Policies: []string{"own"}})
	i, err := e.s.Login(e.Context(), session.Call{Address: home}, session.Login{User: "ada", Password: password("ada"), Reserved: values("x.a", "1"), Attributes: values("a", "1")})
	e.ok("log in", err)
	e.wantAttributes("reserved", i.Reserved, `{"x.a":1}`)
	e.wantAttributes("not reserved", i.Attributes, `{"a":1}`)
	_, err = e.s.Alter(e.Context(), with(i), session.Alteration{IdleTimeout: ptr(time.Hour)})
	e.code("longer than the policy's", err, session.CodeForbidden)
	_, err = e.s.Alter(e.Context(), with(i), session.Alteration{IdleTimeout: ptr(time.Millisecond)})
	e.code("too short", err, session.CodeInvalid)
	_, err = e.s.Alter(e.Context(), session.Call{}, session.Alteration{})
	e.code("without key", err, session.CodeUnauthenticated)
	c, err := e.other.Alter(e.Context(), with(i), session.Alteration{Reserved: patchOf("x.a", "null", "x.b", "2")})
	e.ok("alter what is reserved", err)
	e.wantAttributes("altered", c.Reserved, `{"x.b":2}`)
	if c.AttributesVersion != i.AttributesVersion || c.IdleTimeout != 10*time.Minute {
		e.Errorf("version %d after %d, idle timeout %v", c.AttributesVersion, i.AttributesVersion, c.IdleTimeout)
	}
	_, err = e.s.PatchAttributes(e.Context(), e.asAdmin(i), patchOf(session.ReservedAttributePrefix+"x.b", "3"), nil)
	e.code("an application sets a reserved attribute", err, session.CodeInvalid)
	next, err := e.s.Login(e.Context(), with(i), session.Login{User: "ada", Password: password("ada")})
	e.ok("log in in its place", err)
	e.wantAttributes("carried over", next.Reserved, `{"x.b":2}`)
	e.policy("own", session.PolicyChange{IdleTimeout: ptr(10 * time.Minute), TouchWindow: ptr(time.Duration(0)), LongerIdleAllowed: ptr(true)})
	c, err = e.s.Alter(e.Context(), with(next), session.Alteration{IdleTimeout: ptr(time.Hour)})
	e.ok("longer, where users may choose", err)
	if c.IdleTimeout != time.Hour || !near(c.ExpiresAt, c.LastUsedAt.Add(time.Hour), time.Second) {
		e.Errorf("idle timeout %v, used %v, expires %v", c.IdleTimeout, c.LastUsedAt, c.ExpiresAt)
	}
	shorter, err := e.s.Alter(e.Context(), e.asAdmin(next), session.Alteration{IdleTimeout: ptr(30 * time.Minute)})
	e.ok("an admin makes it shorter", err)
	e.pass(20 * time.Minute)
	e.alive("within the session's own timeout", next)
	e.pass(11 * time.Minute)
	e.dead("after it", next)
	if shorter.IdleTimeout != 30*time.Minute {
		e.Errorf("idle timeout %v", shorter.IdleTimeout)
	}
}

func preferences(e *env) {
	e.user("ada")
	e.user("bob")
	first, bob := e.login("ada"), e.login("bob")
	_, err := e.s.PatchPreferences(e.Context(), with(first), patchOf("colour", `"green"`, "size", "2"))
	e.ok("choose", err)
	_, err = e.s.PatchPreferences(e.Context(), with(first), patchOf("size", "null"))
	e.ok("choose again", err)
	second := e.login("ada")
	got, err := e.other.Preferences(e.Context(), with(second))
	e.ok("read in another session", err)
	e.wantAttributes("in another session", got.Values, `{"colour":"green"}`)
	got, err = e.s.Preferences(e.Context(), with(bob))
	e.ok("read another user's", err)
	e.wantAttributes("another user's", got.Values, `{}`)
	_, err = e.s.PatchPreferences(e.Context(), e.asAdmin(bob), patchOf("a", "1"))
	e.code("for another user", err, session.CodeInvalid)
	many := session.AttributePatch{}
	for n := range session.MaxAttributes {
		many[fmt.Sprint(n)] = json.RawMessage("1")
	}
	_, err = e.s.PatchPreferences(e.Context(), with(first), many)
	e.code("too many", err, session.CodeTooLarge)
	_, err = e.s.Logout(e.Context(), with(first))
	e.ok("log out", err)
	_, err = e.s.PatchPreferences(e.Context(), with(first), patchOf("a", "1"))
	e.code("after log-out", err, session.CodeUnauthenticated)
	_, err = e.s.DeleteUser(e.Context(), e.admin, "ada")
	e.ok("delete", err)
	e.user("ada")
	got, err = e.s.Preferences(e.Context(), with(e.login("ada")))
	e.ok("read after the user was made anew", err)
	e.wantAttributes("of the new user", got.Values, `{}`)
}
