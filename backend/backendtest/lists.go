package backendtest

import (
	"fmt"
	"slices"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

// ids goes through a list and returns the ids in its order. No id may come twice.
func (e *env) ids(c session.Call, f session.Filter, limit int) (out []session.ID) {
	e.Helper()
	for cursor := ""; ; {
		list, err := e.other.ListSessions(e.Context(), c, f, session.Page{Limit: limit, Cursor: cursor})
		e.ok("list", err)
		if limit > 0 && len(list.Items) > limit {
			e.Errorf("a page of %d has %d items", limit, len(list.Items))
		}
		for _, s := range list.Items {
			if slices.Contains(out, s.ID) {
				e.Errorf("%v comes twice", s.ID)
			}
			out = append(out, s.ID)
		}
		if cursor = list.NextCursor; cursor == "" {
			return out
		}
	}
}

func (e *env) wantIDs(what string, got []session.ID, want ...session.Issued) {
	e.Helper()
	missing := 0
	for _, i := range want {
		if !slices.Contains(got, i.ID) {
			missing++
		}
	}
	if missing > 0 || len(got) != len(want) {
		e.Errorf("%s: %d sessions, of %d that should be there %d are missing", what, len(got), len(want), missing)
	}
}

func listFilters(e *env) {
	e.policy("web", session.PolicyChange{PermanentAllowed: ptr(true), IdleTimeout: ptr(3 * time.Hour), TouchWindow: ptr(time.Duration(0))})
	e.user("ada")
	ada := e.login("ada")
	far := e.vouched(session.Login{User: "bob", ClientAddress: away, Policy: "web"})
	near := e.vouched(session.Login{User: "bob", ClientAddress: home, Policy: "web"})
	permanent := e.vouched(session.Login{User: "bob", Policy: "web", Permanent: true})
	admin := session.Issued{}
	c, err := e.s.Check(e.Context(), e.admin, true)
	e.ok("check", err)
	admin.ID = c.ID
	e.wantIDs("all", e.ids(e.admin, session.Filter{}, 0), ada, far, near, admin)
	e.wantIDs("permanent", e.ids(e.admin, session.Filter{Permanent: true}, 0), permanent)
	e.wantIDs("of a user", e.ids(e.admin, session.Filter{User: "BOB"}, 0), far, near)
	e.wantIDs("of an address", e.ids(e.admin, session.Filter{ClientAddress: away}, 0), far)
	e.wantIDs("of a policy", e.ids(e.admin, session.Filter{Policy: "web"}, 0), far, near)
	e.wantIDs("of all together", e.ids(e.admin, session.Filter{User: "bob", Policy: "web", ClientAddress: home}, 0), near)
	e.wantIDs("of nobody", e.ids(e.admin, session.Filter{User: "nobody"}, 0))
	e.wantIDs("of no policy", e.ids(e.admin, session.Filter{Policy: "missing"}, 0))
	e.wantIDs("a user's own", e.ids(with(ada), session.Filter{User: "ada"}, 0), ada)
	_, err = e.s.ListSessions(e.Context(), with(ada), session.Filter{}, session.Page{})
	e.code("a user lists all", err, session.CodeForbidden)
	_, err = e.s.ListSessions(e.Context(), with(ada), session.Filter{User: "bob"}, session.Page{})
	e.code("a user lists another's", err, session.CodeForbidden)
	e.pass(time.Hour)
	e.admin = with(e.relogin("admin"))
	e.use("a use", near)
	e.wantIDs("idle for long", e.ids(e.admin, session.Filter{Policy: "web", IdleLongerThan: 30 * time.Minute}, 0), far)
}

func listPages(e *env) {
	var all []session.Issued
	for i := range 23 {
		all = append(all, e.vouched(session.Login{User: numberedUser(i % 3), Policy: ""}))
	}
	c, err := e.s.Check(e.Context(), e.admin, true)
	e.ok("check", err)
	everybody := append(slices.Clone(all), session.Issued{Session: c.Session})
	for _, limit := range []int{1, 5, 24, 100} {
		e.wantIDs(fmt.Sprintf("pages of %d", limit), e.ids(e.admin, session.Filter{}, limit), everybody...)
	}
	var first []session.Issued
	for i := 0; i < len(all); i += 3 {
		first = append(first, all[i])
	}
	for _, limit := range []int{1, 3, 8, 100} {
		got := e.ids(e.admin, session.Filter{User: numberedUser(0)}, limit)
		e.wantIDs(fmt.Sprintf("of a user, pages of %d", limit), got, first...)
		for i := range first {
			if got[i] != first[i].ID {
				e.Errorf("a user's sessions are not in the order of their creation")
			}
		}
	}
}

func revokeByFilter(e *env) {
	e.policy("web", session.PolicyChange{})
	e.user("ada")
	own := e.login("ada")
	var web, rest []session.Issued
	for i := range 30 {
		web = append(web, e.under(numberedUser(i%7), "web"))
		rest = append(rest, e.under(numberedUser(i%7), ""))
	}
	_, err := e.s.RevokeSessions(e.Context(), with(own), session.Filter{Policy: "web"})
	e.code("a user revokes others'", err, session.CodeForbidden)
	done, err := e.other.RevokeSessions(e.Context(), e.admin, session.Filter{Policy: "web"})
	e.ok("revoke", err)
	if done.Count != len(web) {
		e.Errorf("revoked %d of %d", done.Count, len(web))
	}
	for i := range web {
		e.dead("revoked", web[i])
		e.alive("not revoked", rest[i])
	}
	e.login("ada")
	done, err = e.s.RevokeSessions(e.Context(), with(own), session.Filter{User: "ada"})
	e.ok("a user revokes its own", err)
	if done.Count != 2 {
		e.Errorf("revoked %d", done.Count)
	}
	e.dead("its own session too", own)
	done, err = e.s.RevokeSessions(e.Context(), e.admin, session.Filter{})
	e.ok("revoke all", err)
	if done.Count != len(rest)+1 {
		e.Errorf("revoked %d of %d", done.Count, len(rest)+1)
	}
	_, err = e.s.Check(e.Context(), e.admin, true)
	e.code("the admin's own session", err, session.CodeUnauthenticated)
}

func revokeUser(e *env) {
	e.policy("keys", session.PolicyChange{PermanentAllowed: ptr(true)})
	e.user("ada")
	e.user("bob")
	own, second, bob := e.login("ada"), e.login("ada"), e.login("bob")
	permanent := e.vouched(session.Login{User: "ada", Policy: "keys", Permanent: true})
	_, err := e.s.RevokeUserSessions(e.Context(), with(bob), "ada", session.UserSessions{})
	e.code("another user", err, session.CodeForbidden)
	_, err = e.s.RevokeUserSessions(e.Context(), with(bob), "bob", session.UserSessions{ExceptCurrent: true})
	e.ok("all but the only one", err)
	_, err = e.s.RevokeUserSessions(e.Context(), e.admin, "ada", session.UserSessions{ExceptCurrent: true})
	e.code("except a session that is none of the user's", err, session.CodeInvalid)
	done, err := e.other.RevokeUserSessions(e.Context(), with(own), "ADA", session.UserSessions{ExceptCurrent: true})
	e.ok("all but the own", err)
	if done.Count != 1 {
		e.Errorf("revoked %d", done.Count)
	}
	e.dead("the other one", second)
	e.alive("the own", own)
	e.alive("the permanent one", permanent)
	done, err = e.s.RevokeUserSessions(e.Context(), e.admin, "ada", session.UserSessions{Permanent: true})
	e.ok("the permanent ones", err)
	if done.Count != 1 {
		e.Errorf("revoked %d", done.Count)
	}
	e.dead("permanent", permanent)
	e.alive("not permanent", own)
	done, err = e.s.RevokeUserSessions(e.Context(), e.admin, "ada", session.UserSessions{})
	e.ok("all", err)
	if done.Count != 1 {
		e.Errorf("revoked %d", done.Count)
	}
	e.dead("in the end", own)
	done, err = e.s.RevokeUserSessions(e.Context(), e.admin, "nobody", session.UserSessions{})
	e.ok("of nobody", err)
	if done.Count != 0 {
		e.Errorf("revoked %d", done.Count)
	}
	e.alive("of another user", bob)
}

func othersSessions(e *env) {
	e.user("ada")
	e.user("bob")
	ada, second, bob := e.login("ada"), e.login("ada"), e.login("bob")
	_, err := e.s.GetSession(e.Context(), with(bob), ada.ID)
	e.code("get another's", err, session.CodeNotFound)
	_, err = e.s.RevokeSession(e.Context(), with(bob), ada.ID)
	e.code("revoke another's", err, session.CodeNotFound)
	e.alive("after that", ada)
	c, err := e.other.GetSession(e.Context(), with(ada), second.ID)
	e.ok("get the own", err)
	if c.ID != second.ID || c.Number != second.Number || c.User != "ada" {
		e.Errorf("got %+v", c.Session)
	}
	_, err = e.other.GetSession(e.Context(), e.admin, bob.ID)
	e.ok("the admin gets it", err)
	_, err = e.s.RevokeSession(e.Context(), with(ada), second.ID)
	e.ok("revoke the own", err)
	e.dead("revoked", second)
	_, err = e.s.RevokeSession(e.Context(), e.admin, second.ID)
	e.code("revoke it again", err, session.CodeNotFound)
	_, err = e.s.RevokeSession(e.Context(), e.admin, session.ID{1})
	e.code("revoke what never was", err, session.CodeNotFound)
	_, err = e.s.RevokeSession(e.Context(), e.admin, bob.ID)
	e.ok("the admin revokes", err)
	e.dead("revoked by the admin", bob)
}
