package backendtest

import (
	"time"

	"github.com/hydrastore/hydrastore/session"
)

// every makes a policy whose sessions record every use.
func (e *env) every(name string, ch session.PolicyChange) {
	e.Helper()
	ch.TouchWindow = ptr(time.Duration(0))
	if ch.AbsoluteLifetime == nil {
		ch.AbsoluteLifetime = ptr(time.Duration(0))
	}
	e.policy(name, ch)
}

func (e *env) use(what string, i session.Issued) session.Checked {
	e.Helper()
	c, err := e.check(e.s, i)
	e.ok(what, err)
	return c
}

func (e *env) tickle(what string, i session.Issued) session.Checked {
	e.Helper()
	c, err := e.s.Touch(e.Context(), with(i))
	e.ok(what, err)
	return c
}

func idleEnds(e *env) {
	e.every("web", session.PolicyChange{IdleTimeout: ptr(10 * time.Minute)})
	used, unused, looked := e.under("ada", "web"), e.under("bob", "web"), e.under("carl", "web")
	e.pass(9*time.Minute + 30*time.Second)
	e.use("a use in time", used)
	e.alive("just before the end", unused)
	e.alive("a look", looked)
	e.pass(time.Minute)
	e.dead("unused", unused)
	e.dead("only looked at", looked)
	c := e.alive("used", used)
	if !near(c.ExpiresAt, c.LastUsedAt.Add(10*time.Minute), time.Second) {
		e.Errorf("used at %v, expires at %v", c.LastUsedAt, c.ExpiresAt)
	}
	_, err := e.s.PatchAttributes(e.Context(), session.Call{Key: e.admin.Key, Address: home, Subject: &session.Presented{Key: unused.Key}}, patchOf("a", "1"), nil)
	e.code("patch a dead session", err, session.CodeUnauthenticated)
	_, err = e.s.GetSession(e.Context(), e.admin, unused.ID)
	e.code("get a dead session", err, session.CodeNotFound)
	e.pass(11 * time.Minute)
	e.dead("in the end", used)
}

func windowCovers(e *env) {
	const idle, window = 64 * time.Minute, 8 * time.Minute
	e.policy("web", session.PolicyChange{IdleTimeout: ptr(idle), TouchWindow: ptr(window), AbsoluteLifetime: ptr(time.Duration(0))})
	i := e.under("ada", "web")
	for range 12 {
		e.pass(3 * time.Minute)
		if c := e.use("a use", i); c.ExpiresAt.Before(c.LastUsedAt.Add(idle - time.Second)) {
			e.Errorf("used at %v, promised until %v", c.LastUsedAt, c.ExpiresAt)
		}
	}
	var last session.Checked
	eventually(e, "what is written without waiting", func() bool {
		last = e.use("the last use", i) // again: nobody waits for such a write, and it may fail
		return last.LastUsedAt.Sub(e.alive("a look", i).LastUsedAt) <= window/2+time.Second
	})
	e.pass(idle - time.Minute)
	e.alive("less than the idle timeout after the last use", i)
	e.pass(window + 2*time.Minute)
	e.dead("more than idle timeout and window after it", i)
}

func absoluteEnds(e *env) {
	e.every("web", session.PolicyChange{IdleTimeout: ptr(10 * time.Minute), AbsoluteLifetime: ptr(30 * time.Minute)})
	i := e.under("ada", "web")
	end := i.CreatedAt.Add(30 * time.Minute)
	for range 3 {
		e.pass(9 * time.Minute)
		if c := e.use("a use", i); c.ExpiresAt.After(end) {
			e.Errorf("expires at %v, after %v", c.ExpiresAt, end)
		}
	}
	rotated, err := e.s.Rotate(e.Context(), with(i))
	e.ok("rotate", err)
	e.policy("web", session.PolicyChange{IdleTimeout: ptr(10 * time.Minute), AbsoluteLifetime: ptr(90 * time.Minute), TouchWindow: ptr(time.Duration(0))})
	e.use("a use after the policy was extended", rotated)
	e.pass(4 * time.Minute)
	e.dead("at its end", rotated)
}

func tickles(e *env) {
	e.every("web", session.PolicyChange{IdleTimeout: ptr(10 * time.Minute), InactivityTimeout: ptr(20 * time.Minute)})
	e.every("quiet", session.PolicyChange{IdleTimeout: ptr(10 * time.Minute), NoTickle: ptr(true)})
	i, quiet := e.under("ada", "web"), e.under("ada", "quiet")
	e.pass(7 * time.Minute)
	e.tickle("a tickle", i)
	e.tickle("a tickle that moves nothing", quiet)
	e.pass(7 * time.Minute)
	e.dead("tickles move no timer", quiet)
	e.tickle("another tickle", i)
	e.pass(5*time.Minute + 30*time.Second)
	if c := e.tickle("before the prompt", i); c.Prompt {
		e.Errorf("the user is asked to stay too early")
	}
	e.pass(time.Minute)
	if c := e.tickle("in the last minute", i); !c.Prompt {
		e.Errorf("the user is not asked to stay")
	}
	c := e.use("an activity", i)
	if c.Prompt {
		e.Errorf("after an activity the user is asked to stay")
	}
	for range 3 {
		e.pass(7 * time.Minute)
		if _, err := e.s.Touch(e.Context(), with(i)); err != nil {
			break
		}
	}
	e.pass(2 * time.Minute)
	e.dead("tickles alone", i)
}

func ownIdle(e *env) {
	e.every("web", session.PolicyChange{IdleTimeout: ptr(10 * time.Minute)})
	e.newUser(session.NewUser{Name: "bob", Password: password("bob"), Policies: []string{"web"}})
	_, err := e.s.Login(e.Context(), session.Call{Address: home}, session.Login{User: "bob", Password: password("bob"), IdleTimeout: ptr(time.Hour)})
	e.code("a user asks for longer", err, session.CodeForbidden)
	short, err := e.s.Login(e.Context(), session.Call{Address: home}, session.Login{User: "bob", Password: password("bob"), IdleTimeout: ptr(time.Minute)})
	e.ok("a user asks for shorter", err)
	long := e.vouched(session.Login{User: "ada", Policy: "web", IdleTimeout: ptr(time.Hour)})
	if short.IdleTimeout != time.Minute || long.IdleTimeout != time.Hour {
		e.Errorf("idle timeouts %v and %v", short.IdleTimeout, long.IdleTimeout)
	}
	e.pass(2 * time.Minute)
	e.dead("after its own timeout", short)
	e.pass(50 * time.Minute)
	e.use("within its own timeout", long)
	e.pass(55 * time.Minute)
	e.alive("used", long)
	e.pass(10 * time.Minute)
	e.dead("after its own timeout", long)
}

func policyChange(e *env) {
	e.every("web", session.PolicyChange{IdleTimeout: ptr(10 * time.Minute)})
	idle, used := e.under("ada", "web"), e.under("bob", "web")
	e.pass(6 * time.Minute)
	e.use("a use", used)
	e.every("web", session.PolicyChange{IdleTimeout: ptr(5 * time.Minute)})
	e.dead("a shorter timeout counts at once", idle)
	e.alive("used a moment ago", used)
	e.every("web", session.PolicyChange{IdleTimeout: ptr(time.Hour)})
	e.dead("nothing dead comes back", idle)
	if c := e.use("a use under the longer timeout", used); c.IdleTimeout != time.Hour || !near(c.ExpiresAt, c.LastUsedAt.Add(time.Hour), time.Second) {
		e.Errorf("idle %v, used at %v, expires at %v", c.IdleTimeout, c.LastUsedAt, c.ExpiresAt)
	}
	e.pass(50 * time.Minute)
	e.alive("within the longer timeout", used)
}

func strictBinding(e *env) {
	e.policy("bound", session.PolicyChange{BindAddress: ptr(session.BindStrict)})
	e.policy("noted", session.PolicyChange{BindAddress: ptr(session.BindLog)})
	_, err := e.s.Login(e.Context(), e.admin, session.Login{User: "ada", Vouched: true, Policy: "bound"})
	e.code("without an address", err, session.CodeInvalid)
	bound := e.vouched(session.Login{User: "ada", Policy: "bound", ClientAddress: home})
	noted := e.vouched(session.Login{User: "ada", Policy: "noted", ClientAddress: home})
	elsewhere := session.Call{Key: bound.Key, Address: away}
	for what, call := range map[string]func() error{
		"check":  func() error { _, err := e.s.Check(e.Context(), elsewhere, false); return err },
		"touch":  func() error { _, err := e.s.Touch(e.Context(), elsewhere); return err },
		"rotate": func() error { _, err := e.s.Rotate(e.Context(), elsewhere); return err },
		"patch": func() error {
			_, err := e.s.PatchAttributes(e.Context(), elsewhere, patchOf("a", "1"), nil)
			return err
		},
		"list": func() error {
			_, err := e.s.ListSessions(e.Context(), elsewhere, session.Filter{User: "ada"}, session.Page{})
			return err
		},
		"nowhere": func() error { _, err := e.s.Check(e.Context(), session.Call{Key: bound.Key}, false); return err },
	} {
		e.code(what+" at another address", call(), session.CodeUnauthenticated)
	}
	e.use("at its own address", bound)
	_, err = e.s.Check(e.Context(), session.Call{Key: noted.Key, Address: away}, false)
	e.ok("noted only", err)
	_, err = e.s.Check(e.Context(), session.Call{Key: bound.Key, Address: netAddr("::ffff:192.0.2.1")}, false)
	e.ok("the same address, spelled as IPv6", err)
	_, err = e.s.Logout(e.Context(), elsewhere)
	e.ok("log out at another address", err)
	e.dead("after that", bound)
}

func consistency(e *env) {
	e.every("web", session.PolicyChange{IdleTimeout: ptr(10 * time.Minute)})
	i := e.under("ada", "web")
	local := with(i)
	local.Consistency = session.Local
	eventually(e, "a local read", func() bool {
		c, err := e.s.Check(e.Context(), local, false)
		return err == nil && c.Age >= 0
	})
	tokened := with(i)
	tokened.MinIndex = i.Index
	c, err := e.s.Check(e.Context(), tokened, false)
	e.ok("a min_index read", err)
	if i.Index == "" || c.Age < 0 {
		e.Errorf("issued at %q, read at the age of %v", i.Index, c.Age)
	}
	tokened.MinIndex = "0123abcd-9:1"
	_, err = e.s.Check(e.Context(), tokened, false)
	e.code("an index of another history", err, session.CodeHistoryMismatch)
	tokened.MinIndex = "nonsense"
	_, err = e.s.Check(e.Context(), tokened, false)
	e.code("no index", err, session.CodeInvalid)
	e.pass(9 * time.Minute)
	_, _ = e.s.Check(e.Context(), local, false)
	e.pass(2 * time.Minute)
	e.dead("local reads extend nothing", i)
}
