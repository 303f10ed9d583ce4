package backendtest

import (
	"time"

	"github.com/hydrastore/hydrastore/session"
)

func perUser(n int, o session.OnLimit) session.PolicyChange {
	return session.PolicyChange{IdleTimeout: ptr(10 * time.Minute), TouchWindow: ptr(time.Duration(0)),
		LimitsChange: session.LimitsChange{MaxSessionsPerUser: &n, OnLimit: &o}}
}

func limitRefuses(e *env) {
	e.policy("two", perUser(2, session.OnLimitRefuse))
	first, second := e.under("ada", "two"), e.under("ada", "two")
	_, err := e.other.Login(e.Context(), e.admin, session.Login{User: "ada", Vouched: true, Policy: "two"})
	e.code("a third", err, session.CodeSessionLimit)
	if fieldOf(err) != "max_sessions_per_user" {
		e.Errorf("the error is about %q", fieldOf(err))
	}
	e.under("bob", "two")
	e.under("ada", "")
	_, err = e.s.Logout(e.Context(), with(first))
	e.ok("log out", err)
	third := e.under("ada", "two")
	e.pass(6 * time.Minute)
	e.use("a use", second)
	e.pass(6 * time.Minute)
	e.dead("ended by time", third)
	fourth := e.under("ada", "two")
	e.alive("used", second)
	_, err = e.s.Login(e.Context(), e.admin, session.Login{User: "ada", Vouched: true, Policy: "two"})
	e.code("a third again", err, session.CodeSessionLimit)
	e.alive("the latest", fourth)
}

func limitEvicts(e *env) {
	e.policy("oldest", perUser(2, session.OnLimitOldest))
	e.policy("idle", perUser(2, session.OnLimitIdle))
	a, b := e.under("ada", "oldest"), e.under("ada", "oldest")
	e.use("a use", a)
	c := e.under("ada", "oldest")
	e.dead("the oldest", a)
	e.alive("the second", b)
	e.alive("the new one", c)
	a, b = e.under("bob", "idle"), e.under("bob", "idle")
	if e.Advance != nil {
		e.Advance(time.Second)
	}
	e.use("a use", a)
	c = e.under("bob", "idle")
	e.alive("used last", a)
	e.dead("unused for longest", b)
	e.alive("the new one", c)
	e.policy("oldest", perUser(1, session.OnLimitOldest))
	d := e.under("ada", "oldest")
	e.wantIDs("under a lowered limit", e.ids(e.admin, session.Filter{User: "ada", Policy: "oldest"}, 0), d)
}

func singleSession(e *env) {
	e.policy("one", session.PolicyChange{PermanentAllowed: ptr(true), LimitsChange: session.LimitsChange{SingleSession: ptr(true)}})
	permanent := e.vouched(session.Login{User: "ada", Policy: "one", Permanent: true})
	other := e.under("ada", "")
	first := e.under("ada", "one")
	second := e.under("ADA", "one")
	e.dead("the session before", first)
	e.alive("the latest", second)
	e.alive("under another policy", other)
	e.alive("permanent", permanent)
	bob := e.under("bob", "one")
	e.alive("of another user", second)
	e.alive("the other user's", bob)
}

func permanentCounted(e *env) {
	ch := perUser(2, session.OnLimitOldest)
	ch.PermanentAllowed, ch.PermanentCounted = ptr(true), ptr(true)
	e.policy("keys", ch)
	permanent := func() (session.Issued, error) {
		return e.other.Login(e.Context(), e.admin, session.Login{User: "ada", Vouched: true, Policy: "keys", Permanent: true})
	}
	first, err := permanent()
	e.ok("a permanent session", err)
	mortal := e.under("ada", "keys")
	second, err := permanent()
	e.ok("a second one", err)
	e.dead("what could be evicted", mortal)
	_, err = permanent()
	e.code("where only permanent ones are left", err, session.CodeSessionLimit)
	_, err = e.s.Login(e.Context(), e.admin, session.Login{User: "ada", Vouched: true, Policy: "keys"})
	e.code("one that is not permanent", err, session.CodeSessionLimit)
	e.alive("the first", first)
	e.alive("the second", second)
	_, err = e.s.Logout(e.Context(), with(first))
	e.ok("log out", err)
	e.under("ada", "keys")
}
