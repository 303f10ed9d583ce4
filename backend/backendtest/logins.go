package backendtest

import (
	"slices"
	"strings"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

func logInCheckLogOut(e *env) {
	e.user("ada")
	before := time.Now()
	i, err := e.s.Login(e.Context(), session.Call{Address: home, UserAgent: "browser"}, session.Login{User: "ada", Password: password("ada"), Attributes: values("a", "1")})
	e.ok("log in", err)
	if i.Number != 1 || i.User != "ada" || i.Policy != session.DefaultPolicyName || i.ID.IsZero() || i.Key.IsZero() || i.ClientAddress != home || i.UserAgent != "browser" || i.Permanent {
		e.Errorf("issued %+v", i.Session)
	}
	if !slices.Equal(i.Methods, []session.Method{session.MethodPassword}) || !i.AuthTime.Equal(i.CreatedAt) {
		e.Errorf("proved by %v at %v, created %v", i.Methods, i.AuthTime, i.CreatedAt)
	}
	if e.Advance == nil && !near(i.CreatedAt, before, time.Minute) {
		e.Errorf("created at %v, now is %v", i.CreatedAt, before)
	}
	if !near(i.ExpiresAt, i.CreatedAt.Add(session.DefaultIdleTimeout), time.Second) || i.IdleTimeout != session.DefaultIdleTimeout {
		e.Errorf("expires at %v, created %v, idle %v", i.ExpiresAt, i.CreatedAt, i.IdleTimeout)
	}
	for _, s := range e.Services {
		c, err := e.check(s, i)
		e.ok("check", err)
		if c.ID != i.ID || c.Number != 1 || c.User != "ada" || !slices.Equal(c.Roles, []session.Role{session.RoleUser}) || c.Rotate || c.AttributesVersion != i.AttributesVersion {
			e.Errorf("checked %+v", c)
		}
		e.wantAttributes("check", c.Attributes, `{"a":1}`)
	}
	second := e.login("ada")
	if second.Number != 2 || second.ID == i.ID || second.Key == i.Key {
		e.Errorf("the second session %+v", second.Session)
	}
	_, err = e.other.Logout(e.Context(), with(i))
	e.ok("log out", err)
	e.dead("after log-out", i)
	e.alive("the other session", second)
	_, err = e.s.Logout(e.Context(), with(i))
	e.ok("log out again", err)
	_, err = e.s.Touch(e.Context(), with(i))
	e.code("touch after log-out", err, session.CodeUnauthenticated)
	_, err = e.s.Rotate(e.Context(), with(i))
	e.code("rotate after log-out", err, session.CodeUnauthenticated)
	_, err = e.s.PatchAttributes(e.Context(), with(i), patchOf("a", "2"), nil)
	e.code("patch after log-out", err, session.CodeUnauthenticated)
	_, err = e.s.Check(e.Context(), session.Call{}, false)
	e.code("check without key", err, session.CodeUnauthenticated)
}

func wrongLogins(e *env) {
	e.user("ada")
	e.newUser(session.NewUser{Name: "bob"})
	e.newUser(session.NewUser{Name: "eve", Password: password("eve"), Disabled: true})
	answers := map[string]bool{}
	for _, l := range []session.Login{
		{User: "ada", Password: "wrong"}, {User: "ada"}, {User: "nobody", Password: "wrong"}, {User: "bob", Password: ""}, {User: "bob", Password: "any"},
		{User: "eve", Password: password("eve")}, {User: "eve", Password: "wrong"},
	} {
		_, err := e.s.Login(e.Context(), session.Call{Address: home}, l)
		e.code("log in as "+l.User, err, session.CodeUnauthenticated)
		answers[err.Error()] = true
	}
	if len(answers) != 1 {
		e.Errorf("the answers tell them apart: %v", answers)
	}
}

func namesAreFolded(e *env) {
	made := e.newUser(session.NewUser{Name: "  Ada Lovelace ", Password: password("ada")})
	if made.Name != "ada lovelace" {
		e.Errorf("made %q", made.Name)
	}
	i, err := e.s.Login(e.Context(), session.Call{Address: home}, session.Login{User: "ADA lovelace\t", Password: password("ada")})
	e.ok("log in", err)
	if i.User != "ada lovelace" {
		e.Errorf("logged in as %q", i.User)
	}
	_, err = e.s.CreateUser(e.Context(), e.admin, session.NewUser{Name: "ADA LOVELACE"})
	e.code("create it again", err, session.CodeExists)
	for _, name := range []string{"straße/ü", "a:b*?[]{}", `"'\`} {
		e.user(name)
		if got := e.login(name); got.User != made.Name && got.User == "" {
			e.Errorf("%q logs in as %q", name, got.User)
		}
	}
}

func vouching(e *env) {
	e.user("app", session.RoleService)
	e.user("ada")
	e.user("root", session.RoleAdmin)
	app, ada := e.login("app"), e.login("ada")
	i, err := e.s.Login(e.Context(), with(app), session.Login{User: "guest", Vouched: true, ClientAddress: away, UserAgent: "phone"})
	e.ok("vouch for somebody unknown", err)
	if i.User != "guest" || i.ClientAddress != away || i.UserAgent != "phone" || !slices.Equal(i.Methods, []session.Method{session.MethodService}) || i.Number != 1 {
		e.Errorf("issued %+v", i.Session)
	}
	i, err = e.s.Login(e.Context(), with(app), session.Login{User: "ada", Vouched: true})
	e.ok("vouch for an account", err)
	if i.ClientAddress.IsValid() || i.Number != 2 {
		e.Errorf("issued %+v: the service's own address is not its user's", i.Session)
	}
	_, err = e.s.Login(e.Context(), with(app), session.Login{User: "root", Vouched: true})
	e.code("vouch for an admin", err, session.CodeForbidden)
	_, err = e.s.Login(e.Context(), with(app), session.Login{User: "app", Vouched: true})
	e.code("vouch for a service", err, session.CodeForbidden)
	_, err = e.s.Login(e.Context(), with(ada), session.Login{User: "bob", Vouched: true})
	e.code("a user vouches", err, session.CodeForbidden)
	_, err = e.s.Login(e.Context(), session.Call{}, session.Login{User: "bob", Vouched: true})
	e.code("nobody vouches", err, session.CodeUnauthenticated)
	_, err = e.s.Login(e.Context(), session.Call{Address: home}, session.Login{User: "ada", Password: password("ada"), ClientAddress: away})
	e.code("a user names its client", err, session.CodeInvalid)
	i, err = e.s.Login(e.Context(), session.Call{Operator: true}, session.Login{User: "ada", Vouched: true})
	e.ok("the operator vouches", err)
	e.alive("by the operator", i)
}

func presenting(e *env) {
	e.user("app", session.RoleService)
	e.user("ada")
	app, ada, i := e.login("app"), e.login("ada"), e.under("guest", "")
	c := with(app)
	c.Subject = &session.Presented{Key: i.Key, Address: away}
	checked, err := e.other.Check(e.Context(), c, false)
	e.ok("check a user's key", err)
	if checked.ID != i.ID {
		e.Errorf("got %v, want %v", checked.ID, i.ID)
	}
	_, err = e.s.PatchAttributes(e.Context(), c, patchOf("cart", "[1]"), nil)
	e.ok("patch", err)
	asUser := with(ada)
	asUser.Subject = c.Subject
	_, err = e.s.Check(e.Context(), asUser, false)
	e.code("a user presents another key", err, session.CodeInvalid)
	_, err = e.s.Logout(e.Context(), asUser)
	e.code("a user logs another key out", err, session.CodeInvalid)
	bad := with(app)
	bad.Subject = &session.Presented{Key: mustKey(e)}
	_, err = e.s.Check(e.Context(), bad, false)
	e.code("an unknown key", err, session.CodeUnauthenticated)
	if field := fieldOf(err); field != "Hydrastore-Session" {
		e.Errorf("the error is about %q", field)
	}
	_, err = e.s.Check(e.Context(), session.Call{Key: mustKey(e), Subject: c.Subject}, false)
	e.code("an unknown service", err, session.CodeUnauthenticated)
	if field := fieldOf(err); field != "" {
		e.Errorf("the error is about %q", field)
	}
	_, err = e.s.Check(e.Context(), session.Call{Operator: true}, false)
	e.code("the operator's own session", err, session.CodeInvalid)
	_, err = e.s.Logout(e.Context(), c)
	e.ok("log the user out", err)
	e.dead("after the service's log-out", i)
	e.alive("the service", app)
}

func choosingPolicies(e *env) {
	e.policy("web", session.PolicyChange{IdleTimeout: ptr(5 * time.Minute)})
	e.policy("api", session.PolicyChange{})
	e.newUser(session.NewUser{Name: "ada", Password: password("ada"), Policies: []string{"web", "default"}})
	e.user("bob")
	e.user("app", session.RoleService)
	login := func(user, policy string) (session.Issued, error) {
		return e.s.Login(e.Context(), session.Call{Address: home}, session.Login{User: user, Password: password(user), Policy: policy})
	}
	i, err := login("ada", "")
	e.ok("the first policy", err)
	if i.Policy != "web" || i.IdleTimeout != 5*time.Minute {
		e.Errorf("issued %+v", i.Session)
	}
	i, err = login("ada", "default")
	e.ok("another one of the user's", err)
	if i.Policy != "default" {
		e.Errorf("issued %+v", i.Session)
	}
	_, err = login("ada", "api")
	e.code("none of the user's", err, session.CodeForbidden)
	_, err = login("bob", "web")
	e.code("not the default", err, session.CodeForbidden)
	_, err = login("bob", "missing")
	e.code("unknown", err, session.CodeInvalid)
	_, err = login("bob", "NOT A NAME")
	e.code("no name", err, session.CodeInvalid)
	_, err = login("app", "api")
	e.ok("a service chooses", err)
	_, err = e.s.CreateUser(e.Context(), e.admin, session.NewUser{Name: "carl", Policies: []string{"missing"}})
	e.code("a user with an unknown policy", err, session.CodeNotFound)
}

func permanentSessions(e *env) {
	e.policy("keys", session.PolicyChange{IdleTimeout: ptr(time.Minute), PermanentAllowed: ptr(true), LimitsChange: session.LimitsChange{MaxSessionsPerUser: ptr(1)}})
	_, err := e.s.Login(e.Context(), e.admin, session.Login{User: "ada", Vouched: true, Permanent: true})
	e.code("where the policy does not allow it", err, session.CodeForbidden)
	i := e.vouched(session.Login{User: "ada", Policy: "keys", Permanent: true})
	if !i.Permanent || !i.ExpiresAt.IsZero() || i.IdleTimeout != 0 {
		e.Errorf("issued %+v", i.Session)
	}
	e.vouched(session.Login{User: "ada", Policy: "keys", Permanent: true})
	e.under("ada", "keys") // limits do not count permanent ones
	list, err := e.s.ListSessions(e.Context(), e.admin, session.Filter{User: "ada", Permanent: true}, session.Page{})
	e.ok("list", err)
	if len(list.Items) != 2 {
		e.Errorf("%d permanent sessions", len(list.Items))
	}
	e.pass(1000 * time.Hour)
	e.admin = with(e.relogin("admin"))
	e.alive("after years", i)
	_, err = e.check(e.s, i)
	e.ok("use it", err)
}

// relogin logs the admin in again, after its session has ended by time.
func (e *env) relogin(string) session.Issued {
	e.Helper()
	i, err := e.s.Login(e.Context(), session.Call{Address: home}, session.Login{User: "admin", Password: AdminPassword})
	e.ok("log in as admin again", err)
	return i
}

func idempotency(e *env) {
	e.user("app", session.RoleService)
	app := with(e.login("app"))
	l := session.Login{User: "ada", Vouched: true, IdempotencyKey: "request 1", Attributes: values("a", "1")}
	first, err := e.s.Login(e.Context(), app, l)
	e.ok("log in", err)
	again, err := e.other.Login(e.Context(), app, l)
	e.ok("log in again", err)
	if again.ID != first.ID || again.Number != first.Number || again.Key == first.Key {
		e.Errorf("first %v #%d, again %v #%d", first.ID, first.Number, again.ID, again.Number)
	}
	e.wantAttributes("again", again.Attributes, `{"a":1}`)
	e.dead("the first key", first)
	e.alive("the second key", again)
	other := l
	other.Attributes = values("a", "2")
	_, err = e.s.Login(e.Context(), app, other)
	e.code("another body", err, session.CodeIdempotencyMismatch)
	other = l
	other.User = "bob"
	_, err = e.s.Login(e.Context(), app, other)
	e.code("another user", err, session.CodeIdempotencyMismatch)
	third, err := e.s.Login(e.Context(), e.admin, l)
	e.ok("the same key from somebody else", err)
	if third.ID == first.ID {
		e.Errorf("it is not the same request")
	}
	_, err = e.s.Logout(e.Context(), with(again))
	e.ok("log out", err)
	fourth, err := e.s.Login(e.Context(), app, l)
	e.ok("after its session has ended", err)
	if fourth.ID == first.ID {
		e.Errorf("the ended session came back")
	}
	e.pass(session.IdempotencyLifetime + time.Minute)
	fifth, err := e.s.Login(e.Context(), app, l)
	e.ok("after the key was forgotten", err)
	if fifth.ID == fourth.ID {
		e.Errorf("it was not forgotten")
	}
	e.alive("the fourth", fourth)
}

func replacing(e *env) {
	e.user("ada")
	e.user("bob")
	first, err := e.s.Login(e.Context(), session.Call{Address: home}, session.Login{User: "ada", Password: password("ada"), Attributes: values("a", "1", "b", "1")})
	e.ok("log in", err)
	sealed, err := e.s.SealAttributes(e.Context(), session.Call{Key: e.admin.Key, Address: home, Subject: &session.Presented{Key: first.Key, Address: home}}, patchOf("s", `"x"`), nil)
	e.ok("seal", err)
	if len(sealed.Sealed) != 0 {
		e.Errorf("an admin sees sealed attributes")
	}
	second, err := e.other.Login(e.Context(), with(first), session.Login{User: "ada", Password: password("ada"), Attributes: values("b", "2")})
	e.ok("log in with a live key", err)
	e.dead("the session before", first)
	e.wantAttributes("carried over", second.Attributes, `{"a":1,"b":2}`)
	e.wantAttributes("carried over, sealed", second.Sealed, `{"s":"x"}`)
	if second.ID == first.ID || second.Number != 2 {
		e.Errorf("the second is %+v", second.Session)
	}
	third, err := e.s.Login(e.Context(), with(second), session.Login{User: "bob", Password: password("bob")})
	e.ok("log in as another user", err)
	e.dead("the other user's session", second)
	e.wantAttributes("of another user", third.Attributes, `{}`)
	_, err = e.s.Login(e.Context(), with(third), session.Login{User: "bob", Password: "wrong"})
	e.code("a wrong log-in", err, session.CodeUnauthenticated)
	e.alive("after a wrong log-in", third)
	_, err = e.s.Login(e.Context(), e.admin, session.Login{User: "bob", Password: password("bob")})
	e.ok("a log-in through an admin", err)
	_, err = e.s.Check(e.Context(), e.admin, true)
	e.ok("the admin's own session", err)
}

func throttle(e *env) {
	e.user("ada")
	from := session.Call{Address: away}
	try := func(n int, c session.Call, p string) error {
		_, err := e.Services[n%len(e.Services)].Login(e.Context(), c, session.Login{User: "ada", Password: p})
		return err
	}
	for i := range 30 {
		e.ok("a right password", try(i, from, password("ada")))
	}
	for i := range 10 {
		e.code("a wrong password", try(i, from, "wrong"), session.CodeUnauthenticated)
	}
	for i := range 4 {
		err := try(i, from, password("ada"))
		e.code("after too many", err, session.CodeThrottled)
		if wait := retryAfter(err); wait <= 0 || wait > time.Minute {
			e.Errorf("retry after %v", wait)
		}
	}
	e.ok("from another address", try(0, session.Call{Address: home}, password("ada")))
	e.pass(time.Minute)
	e.ok("after a while", try(0, from, password("ada")))
	if e.Cluster {
		return // what one leaves to the other is exact in all, but for who comes first
	}
	const back = 3 * time.Second // in which an attempt comes back: 100 in five minutes
	begun := time.Now()
	for i := range 200 {
		_, err := e.s.Login(e.Context(), session.Call{Address: netAddr("198.51.100.7")}, session.Login{User: numberedUser(i), Password: "wrong"})
		if session.CodeOf(err) == session.CodeThrottled {
			took := time.Since(begun)
			if i < 99 || i > 102+int(took/back) {
				e.Errorf("an address had %d attempts in %v", i, took)
			}
			return
		}
	}
	e.Errorf("an address has as many attempts as it likes")
}

func numbersGoOn(e *env) {
	first := e.under("guest", "")
	if first.Number != 1 && !e.Cluster {
		e.Errorf("the first number is %d", first.Number)
	}
	second := e.under("guest", "")
	for _, i := range []session.Issued{first, second} {
		_, err := e.s.Logout(e.Context(), with(i))
		e.ok("log out", err)
	}
	third := e.under("guest", "")
	if second.Number != first.Number+1 || third.Number <= second.Number {
		e.Errorf("the numbers are %d, %d, %d", first.Number, second.Number, third.Number)
	}
	e.user("ada")
	one := e.login("ada")
	_, err := e.s.DeleteUser(e.Context(), e.admin, "ada")
	e.ok("delete", err)
	e.user("ada")
	if two := e.login("ada"); two.Number <= one.Number {
		e.Errorf("after the user was deleted and made again: %d, then %d", one.Number, two.Number)
	}
}

func badRequests(e *env) {
	long := strings.Repeat("x", 2000)
	for what, l := range map[string]session.Login{
		"no user": {}, "a long user": {User: long}, "a long policy": {User: "ada", Policy: long}, "a long agent": {User: "ada", UserAgent: long},
		"a long Idempotency-Key": {User: "ada", IdempotencyKey: long}, "an attribute that is no JSON": {User: "ada", Attributes: values("a", "{")},
		"a reserved attribute":      {User: "ada", Attributes: values("hydrastore.x", "1")},
		"the same in both":          {User: "ada", Attributes: values("a", "1"), Sealed: values("a", "1")},
		"an idle timeout too short": {User: "ada", IdleTimeout: ptr(time.Millisecond)},
		"both timers":               {User: "ada", IdleTimeout: ptr(time.Minute), Permanent: true},
	} {
		l.Vouched = true
		_, err := e.s.Login(e.Context(), e.admin, l)
		if code := session.CodeOf(err); code != session.CodeInvalid && code != session.CodeTooLarge {
			e.Errorf("%s: got %v", what, err)
		}
	}
	_, err := e.s.CreateUser(e.Context(), e.admin, session.NewUser{Name: "ada", Password: "short"})
	e.code("a short password", err, session.CodeInvalid)
	_, err = e.s.CreateUser(e.Context(), e.admin, session.NewUser{Name: "ada", Roles: []session.Role{"king"}})
	e.code("an unknown role", err, session.CodeInvalid)
	_, err = e.s.ListSessions(e.Context(), e.admin, session.Filter{}, session.Page{Cursor: "!"})
	e.code("a bad cursor", err, session.CodeInvalid)
	_, err = e.s.ListSessions(e.Context(), e.admin, session.Filter{}, session.Page{Limit: session.MaxPageSize + 1})
	e.code("a large page", err, session.CodeInvalid)
	_, err = e.s.ListUsers(e.Context(), e.admin, session.Page{Cursor: "!"})
	e.code("a bad cursor of users", err, session.CodeInvalid)
	_, err = e.s.PutPolicy(e.Context(), e.admin, "web", session.PolicyChange{IdleTimeout: ptr(-time.Second)})
	e.code("a negative timeout", err, session.CodeInvalid)
}
