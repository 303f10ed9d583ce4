package ownsessions_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/session"
)

var (
	operator = session.Call{Operator: true}
	address  = netip.MustParseAddr("192.0.2.1")
)

func with(i session.Issued) session.Call { return session.Call{Key: i.Key, Address: address} }

func ptr[T any](v T) *T { return &v }

// world is three nodes of one cluster, each with its own sessions.
type world struct {
	*testing.T
	a, b, c *member
	clock   *clock
}

func newWorld(t *testing.T, changes ...func(*node.Config)) *world {
	t.Helper()
	shared := &clock{begun: time.Now()}
	all := startCluster(t, 3, shared, changes...)
	return &world{t, all[0], all[1], all[2], shared}
}

func (w *world) user(at *member, name string, roles ...session.Role) {
	w.Helper()
	if _, err := at.CreateUser(w.Context(), operator, session.NewUser{Name: name, Password: "password of " + name, Roles: roles}); err != nil {
		w.Fatalf("create %s: %v", name, err)
	}
}

func (w *world) update(at *member, name string, ch session.UserChange) {
	w.Helper()
	if _, err := at.UpdateUser(w.Context(), operator, name, ch); err != nil {
		w.Fatalf("change %s: %v", name, err)
	}
}

func (w *world) login(at *member, name string) session.Issued {
	w.Helper()
	return w.loginWith(at, name, "password of "+name)
}

func (w *world) loginWith(at *member, name, password string) session.Issued {
	w.Helper()
	issued, err := at.Login(w.Context(), session.Call{Address: address}, session.Login{User: name, Password: password})
	if err != nil {
		w.Fatalf("log %s in: %v", name, err)
	}
	return issued
}

func (w *world) vouch(at *member, l session.Login) session.Issued {
	w.Helper()
	l.Vouched = true
	issued, err := at.Login(w.Context(), operator, l)
	if err != nil {
		w.Fatalf("vouch for %s: %v", l.User, err)
	}
	return issued
}

func (w *world) good(what string, at *member, i session.Issued) session.Checked {
	w.Helper()
	checked, err := at.Check(w.Context(), with(i), false)
	if err != nil {
		w.Errorf("%s: got %v, want a good key", what, err)
	}
	return checked
}

func (w *world) bad(what string, at *member, i session.Issued) {
	w.Helper()
	if _, err := at.Check(w.Context(), with(i), false); session.CodeOf(err) != session.CodeUnauthenticated {
		w.Errorf("%s: got %v, want %s", what, err, session.CodeUnauthenticated)
	}
}
