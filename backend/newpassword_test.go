package backend_test

import (
	"fmt"
	"testing"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/session"
)

const (
	oldPassword = "the password before"
	newPassword = "the password after it"
)

// TestAnOldPasswordProvesNothingAfterANewOne: a password is changed, and that is acknowledged, while somebody proves with the earlier one who it is, in a session that
// the change spares.
func TestAnOldPasswordProvesNothingAfterANewOne(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		permanent bool
		at        func(store *meddled, change func())
	}{
		"the user's own session, before the write":   {false, func(store *meddled, change func()) { store.onNext("put", backend.KindSession, change) }},
		"the user's own session, before the key":     {false, func(store *meddled, change func()) { store.onNext("put", backend.KindKey, change) }},
		"the user's own session, after the password": {false, func(store *meddled, change func()) { store.onNth("get", backend.KindUser, 3, change) }},
		"a permanent session, before the write":      {true, func(store *meddled, change func()) { store.onNext("put", backend.KindSession, change) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			allowed := true
			_, err := p.a.PutPolicy(p.Context(), operator, "web", session.PolicyChange{PermanentAllowed: &allowed})
			p.ok("put policy", err)
			_, err = p.a.CreateUser(p.Context(), operator, session.NewUser{Name: "ada", Password: oldPassword, Policies: []string{"web"}})
			p.ok("create user", err)
			i, err := p.a.Login(p.Context(), session.Call{}, session.Login{User: "ada", Password: oldPassword, Permanent: c.permanent})
			p.ok("log in", err)
			p.clock.pass(100)
			old, next := oldPassword, newPassword
			changed := false
			c.at(p.store, func() {
				changed = true
				by, change := with(i), session.UserChange{Password: &next, CurrentPassword: &old}
				if c.permanent {
					by, change.CurrentPassword = operator, nil
				}
				_, err := p.b.UpdateUser(p.Context(), by, "ada", change)
				p.ok("change the password meanwhile", err)
			})
			_, err = p.a.Reauthenticate(p.Context(), with(i), session.Proof{Password: oldPassword})
			p.wantCode("prove with the earlier password", err, session.CodeConflict)
			seen, err := p.b.Check(p.Context(), with(i), true)
			p.ok("the session, under the key that it had", err)
			if !seen.AuthTime.Equal(i.AuthTime) || !changed {
				p.Errorf("proved at %v, logged in at %v; changed %v", seen.AuthTime, i.AuthTime, changed)
			}
			_, err = p.a.Reauthenticate(p.Context(), with(i), session.Proof{Password: newPassword})
			p.ok("prove with the new password", err)
		})
	}
}

// TestARepeatedLogInProvesNothingAfterANewPassword: a log-in is repeated under its Idempotency-Key, and its password is changed, and that is acknowledged, before the
// session that the change spares gets another key.
func TestARepeatedLogInProvesNothingAfterANewPassword(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]struct {
		call string
		kind backend.Kind
		n    int64
	}{
		"before the session is read": {"get", backend.KindSession, 1},
		"before the key":             {"put", backend.KindKey, 1},
		"before the write":           {"put", backend.KindSession, 1},
	} {
		for _, permanent := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, permanent: %v", name, permanent), func(t *testing.T) {
				t.Parallel()
				p := newPair(t)
				allowed := true
				_, err := p.a.PutPolicy(p.Context(), operator, "web", session.PolicyChange{PermanentAllowed: &allowed})
				p.ok("put policy", err)
				_, err = p.a.CreateUser(p.Context(), operator, session.NewUser{Name: "ada", Password: oldPassword, Policies: []string{"web"}})
				p.ok("create user", err)
				l := session.Login{User: "ada", Password: oldPassword, Permanent: permanent, IdempotencyKey: "one request"}
				i, err := p.a.Login(p.Context(), session.Call{}, l)
				p.ok("log in", err)
				old, next := oldPassword, newPassword
				changed := false
				p.store.onNth(at.call, at.kind, at.n, func() {
					changed = true
					_, err := p.b.UpdateUser(p.Context(), with(i), "ada", session.UserChange{Password: &next, CurrentPassword: &old})
					p.ok("change the password meanwhile", err)
				})
				_, err = p.a.Login(p.Context(), session.Call{}, l)
				p.wantCode("repeat with the earlier password", err, session.CodeConflict)
				_, err = p.b.Check(p.Context(), with(i), true)
				p.ok("the session, under the key that it had", err)
				if !changed {
					t.Error("nothing came between")
				}
			})
		}
	}
}
