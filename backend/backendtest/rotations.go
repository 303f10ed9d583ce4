package backendtest

import (
	"slices"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

func (e *env) rotate(what string, i session.Issued) session.Issued {
	e.Helper()
	next, err := e.s.Rotate(e.Context(), with(i))
	e.ok(what, err)
	return next
}

func rotation(e *env) {
	e.policy("web", session.PolicyChange{RotateGrace: ptr(time.Minute)})
	e.policy("hard", session.PolicyChange{RotateGrace: ptr(time.Duration(0))})
	first := e.vouched(session.Login{User: "ada", Policy: "web", Attributes: values("a", "1")})
	second := e.rotate("rotate", first)
	if second.ID != first.ID || second.Number != first.Number || second.Key == first.Key {
		e.Errorf("first %+v, second %+v", first.Session, second.Session)
	}
	e.wantAttributes("rotated", second.Attributes, `{"a":1}`)
	if c := e.alive("the old key in its grace", first); !c.Rotate || c.ID != first.ID {
		e.Errorf("it should be rotated: %+v", c)
	}
	if c := e.alive("the new key", second); c.Rotate {
		e.Errorf("it should not be rotated")
	}
	again, err := e.other.Rotate(e.Context(), with(first))
	e.ok("rotate the old key again", err)
	if again.Key != second.Key {
		e.Errorf("it has two successors")
	}
	third := e.rotate("rotate the new key", second)
	fromFirst := e.rotate("rotate the oldest key", first)
	if fromFirst.Key != third.Key {
		e.Errorf("the oldest key does not lead to the newest")
	}
	hard := e.under("ada", "hard")
	next := e.rotate("rotate without grace", hard)
	e.alive("its successor", next)
	e.dead("a key without grace", hard)
	e.dead("and with its use the session", next)
	e.pass(2 * time.Minute)
	e.alive("the newest key after the grace", third)
}

func spentKey(e *env) {
	e.policy("web", session.PolicyChange{RotateGrace: ptr(time.Minute)})
	first := e.under("ada", "web")
	second := e.rotate("rotate", first)
	e.pass(2 * time.Minute)
	e.alive("the successor", second)
	_, err := e.other.Check(e.Context(), with(first), false)
	e.code("use of the spent key", err, session.CodeUnauthenticated)
	e.dead("the session of a spent key", second)
	one := e.under("bob", "web")
	two := e.rotate("rotate", one)
	e.pass(2 * time.Minute)
	_, err = e.s.Logout(e.Context(), with(one))
	e.ok("log out with a spent key", err)
	e.dead("its session", two)
}

func rotationBound(e *env) {
	e.policy("web", session.PolicyChange{RotateGrace: ptr(time.Minute)})
	i := e.under("ada", "web")
	keys := []session.Issued{i}
	for range session.MaxRetiredKeys {
		i = e.rotate("rotate", i)
		keys = append(keys, i)
	}
	_, err := e.s.Rotate(e.Context(), with(i))
	e.code("one rotation too many within the grace", err, session.CodeConflict)
	if last := e.rotate("rotate the oldest", keys[0]); last.Key != i.Key {
		e.Errorf("the oldest key does not lead to the newest")
	}
	e.pass(2 * time.Minute)
	i = e.rotate("rotate after the grace", i)
	_, err = e.s.Check(e.Context(), with(keys[0]), true)
	e.code("a key that is forgotten", err, session.CodeUnauthenticated)
	e.alive("the session of a forgotten key", i)
	_, err = e.s.Check(e.Context(), with(keys[1]), true)
	e.code("the oldest that is remembered", err, session.CodeUnauthenticated)
	e.dead("the session of a spent key", i)
}

func reauthentication(e *env) {
	e.policy("web", session.PolicyChange{RotateGrace: ptr(time.Minute), IdleTimeout: ptr(2 * time.Hour)})
	e.newUser(session.NewUser{Name: "ada", Password: password("ada"), Policies: []string{"web"}})
	e.user("app", session.RoleService)
	i := e.login("ada")
	recent := with(i)
	recent.MaxAuthAge = 10 * time.Minute
	_, err := e.s.Check(e.Context(), recent, false)
	e.ok("proved recently", err)
	_, err = e.s.Reauthenticate(e.Context(), with(i), session.Proof{Password: "wrong"})
	e.code("a wrong password", err, session.CodeUnauthenticated)
	_, err = e.s.Reauthenticate(e.Context(), with(i), session.Proof{Vouched: true})
	e.code("the bearer vouches", err, session.CodeInvalid)
	e.alive("after that", i)
	e.pass(20 * time.Minute)
	app := e.login("app")
	_, err = e.s.Check(e.Context(), recent, false)
	e.code("proved long ago", err, session.CodeReauthenticate)
	next, err := e.s.Reauthenticate(e.Context(), with(i), session.Proof{Password: password("ada")})
	e.ok("prove", err)
	if next.ID != i.ID || !next.AuthTime.After(i.AuthTime) {
		e.Errorf("proved at %v, before at %v", next.AuthTime, i.AuthTime)
	}
	recent.Key = next.Key
	_, err = e.s.Check(e.Context(), recent, false)
	e.ok("proved again", err)
	c := with(app)
	c.Subject = &session.Presented{Key: next.Key}
	vouched, err := e.s.Reauthenticate(e.Context(), c, session.Proof{Vouched: true})
	e.ok("a service vouches", err)
	if !slices.Equal(vouched.Methods, []session.Method{session.MethodPassword, session.MethodService}) {
		e.Errorf("proved by %v", vouched.Methods)
	}
	rotated := e.rotate("rotate", vouched)
	_, err = e.s.Reauthenticate(e.Context(), with(vouched), session.Proof{Password: password("ada")})
	e.code("prove with a key that has a successor", err, session.CodeConflict)
	e.alive("the successor", rotated)
	_, err = e.s.Check(e.Context(), with(next), true)
	e.code("the key from before", err, session.CodeUnauthenticated)
	e.dead("and with its use the session", rotated)
}

// firstProof: a session for which services have vouched has what its user gained since from the first proof by password on, and before it nothing of that.
func firstProof(e *env) {
	e.user("eve")
	i := e.vouched(session.Login{User: "eve"})
	roles := []session.Role{session.RoleService}
	_, err := e.s.UpdateUser(e.Context(), e.admin, "eve", session.UserChange{Roles: &roles})
	e.ok("change roles", err)
	want := func(what string, i session.Issued, r session.Role) {
		e.Helper()
		if c := e.alive(what, i); !slices.Equal(c.Roles, []session.Role{r}) || c.Rotate {
			e.Errorf("%s: roles %v, rotate %v", what, c.Roles, c.Rotate)
		}
	}
	want("vouched for", i, session.RoleUser)
	i = e.rotate("rotate", i)
	want("rotated", i, session.RoleUser)
	proved, err := e.other.Reauthenticate(e.Context(), with(i), session.Proof{Password: password("eve")})
	e.ok("prove", err)
	want("proved", proved, session.RoleService)
}

func roleChanges(e *env) {
	e.user("ada", session.RoleAdmin)
	i := e.login("ada")
	roles := func(r ...session.Role) {
		e.Helper()
		_, err := e.s.UpdateUser(e.Context(), e.admin, "ada", session.UserChange{Roles: &r})
		e.ok("change roles", err)
	}
	want := func(what string, i session.Issued, rotate bool, r ...session.Role) {
		e.Helper()
		if c := e.alive(what, i); !slices.Equal(c.Roles, r) || c.Rotate != rotate {
			e.Errorf("%s: roles %v, rotate %v", what, c.Roles, c.Rotate)
		}
	}
	want("at first", i, false, session.RoleAdmin)
	roles(session.RoleUser)
	want("after a loss", i, true, session.RoleUser)
	_, err := e.other.ListUsers(e.Context(), with(i), session.Page{})
	e.code("what it was allowed to do", err, session.CodeForbidden)
	i = e.rotate("rotate", i)
	want("rotated after a loss", i, false, session.RoleUser)
	roles(session.RoleAdmin)
	want("before its rotation a gain counts nothing", i, true, session.RoleUser)
	next := e.rotate("rotate", i)
	want("rotated after a gain", next, false, session.RoleAdmin)
	e.dead("a key that was worth less has no grace", i)
	e.user("bob")
	vouched := e.vouched(session.Login{User: "bob"})
	_, err = e.s.UpdateUser(e.Context(), e.admin, "bob", session.UserChange{Roles: &[]session.Role{session.RoleAdmin}})
	e.ok("promote", err)
	vouched = e.rotate("rotate a session that a service vouched for", vouched)
	want("vouching gains nothing", vouched, false, session.RoleUser)
}
