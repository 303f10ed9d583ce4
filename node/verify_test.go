package node_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/session"
)

// office is a directory in memory. Its users' passwords are "office " and their name.
type office struct {
	asked    atomic.Int32
	down     atomic.Bool
	policies []string
	roles    []session.Role
	meet     func(user string) // called in the middle of a good log-in
}

func (o *office) Name() string { return "office" }
func (o *office) Close()       {}

func (o *office) Authenticate(_ context.Context, user, password string) (auth.Grant, error) {
	o.asked.Add(1)
	switch {
	case o.down.Load():
		return auth.Grant{}, errors.New("nobody there")
	case password != "office "+user:
		return auth.Grant{}, auth.ErrRefused
	}
	if o.meet != nil {
		o.meet(user)
	}
	return auth.Grant{Policies: o.policies, Roles: o.roles}, nil
}

func startOffice(t *testing.T, n int, o *office) *trio {
	t.Helper()
	return startTrio(t, n, func(_ int, c *node.Config) { c.Authenticators = []auth.Authenticator{o} })
}

func officeLogin(c *trio, i int, user string) (session.Issued, error) {
	return c.nodes[i].Login(c.t.Context(), from("192.0.2.1"), session.Login{User: user, Password: "office " + user})
}

// TestADirectorysUsersNeedNoAccount, are known at every node, and are no accounts.
func TestADirectorysUsersNeedNoAccount(t *testing.T) {
	t.Parallel()
	o := &office{}
	c := startOffice(t, 3, o)
	admin := c.admin(0)
	if got := o.asked.Load(); got != 0 {
		t.Errorf("the directory was asked %d times about a user of the cluster's own", got)
	}
	for number := range 2 {
		issued, err := officeLogin(c, number, "Zoe")
		if err == nil {
			t.Fatalf("%+v: the office knows no Zoe: its names are folded", issued)
		}
		if issued, err = officeLogin(c, number, "zoe"); err != nil || issued.Number != uint64(number+1) {
			t.Fatalf("got number %d, %v", issued.Number, err)
		}
		checked, err := c.nodes[2].Check(t.Context(), with(issued.Key), false)
		if err != nil || checked.User != "zoe" || len(checked.Roles) != 1 || checked.Roles[0] != session.RoleUser {
			t.Fatalf("got %+v, %v", checked, err)
		}
	}
	if _, err := c.nodes[0].GetUser(t.Context(), admin, "zoe"); session.CodeOf(err) != session.CodeNotFound {
		t.Errorf("got %v: a directory's user is no account", err)
	}
	if _, err := c.nodes[0].Login(t.Context(), from("192.0.2.1"), session.Login{User: "zoe", Password: "x"}); session.CodeOf(err) != session.CodeUnauthenticated {
		t.Errorf("got %v", err)
	}
	o.down.Store(true)
	if _, err := officeLogin(c, 0, "zoe"); session.CodeOf(err) != session.CodeUnavailable {
		t.Errorf("without the directory: got %v", err)
	}
	c.admin(1) // the cluster's own users do not need it
}

// TestGuessesCountWhileADirectoryIsDown: those that another one has refused. Those that nobody could judge do not.
func TestGuessesCountWhileADirectoryIsDown(t *testing.T) {
	t.Parallel()
	up, down := &office{}, &office{}
	down.down.Store(true)
	for _, s := range []struct {
		chain []auth.Authenticator
		want  session.Code
	}{{[]auth.Authenticator{up, down}, session.CodeThrottled}, {[]auth.Authenticator{down}, session.CodeUnavailable}} {
		c := startTrio(t, 1, func(_ int, config *node.Config) {
			config.Authenticators = s.chain
			config.Throttle = node.Throttle{Window: time.Hour, PerUser: 3, PerAddress: 100, PerNode: 16}
		})
		for range 3 {
			c.wantTry(0, "zoe", "a guess", "192.0.2.7", session.CodeUnavailable)
		}
		c.wantTry(0, "zoe", "a guess", "192.0.2.7", s.want)
	}
}

// TestTheClusterDecidesOnItsOwnUsers whatever a directory says of users of the same name.
func TestTheClusterDecidesOnItsOwnUsers(t *testing.T) {
	t.Parallel()
	o := &office{}
	c := startOffice(t, 1, o)
	admin := c.admin(0)
	for _, u := range []session.NewUser{
		{Name: "own", Password: "of the cluster"}, {Name: "off", Disabled: true}, {Name: "boss", Roles: []session.Role{session.RoleAdmin}},
	} {
		if _, err := c.nodes[0].CreateUser(t.Context(), admin, u); err != nil {
			t.Fatal(err)
		}
	}
	for user, want := range map[string]session.Code{"admin": session.CodeUnauthenticated, "own": session.CodeUnauthenticated,
		"off": session.CodeUnauthenticated, "boss": "", "else": ""} {
		if _, err := officeLogin(c, 0, user); session.CodeOf(err) != want {
			t.Errorf("%s: got %v, want %q", user, err, want)
		}
	}
	boss, err := officeLogin(c, 0, "boss")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.nodes[0].ListUsers(t.Context(), with(boss.Key), session.Page{}); err != nil {
		t.Errorf("an account without a password has its roles: %v", err)
	}
	disabled := true
	if _, err := c.nodes[0].UpdateUser(t.Context(), admin, "boss", session.UserChange{Disabled: &disabled}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.nodes[0].Check(t.Context(), with(boss.Key), false); session.CodeOf(err) != session.CodeUnauthenticated {
		t.Errorf("disabled, and still in: %v", err)
	}
}

// TestADirectoryLoginRacingWithAnAccount: what the directory said before the account was made or disabled does not count after.
func TestADirectoryLoginRacingWithAnAccount(t *testing.T) {
	t.Parallel()
	var change func(user string)
	o := &office{meet: func(user string) { change(user) }}
	c := startOffice(t, 1, o)
	admin := c.admin(0)
	disabled := true
	create := func(u session.NewUser) {
		if _, err := c.nodes[0].CreateUser(t.Context(), admin, u); err != nil {
			t.Error(err)
		}
	}
	for name, happens := range map[string]func(string){
		"disabled": func(user string) { create(session.NewUser{Name: user, Disabled: true}) },
		"password": func(user string) { create(session.NewUser{Name: user, Password: "of the cluster"}) },
		"made":     func(user string) { create(session.NewUser{Name: user}) },
		"changed": func(user string) {
			create(session.NewUser{Name: user})
			if _, err := c.nodes[0].UpdateUser(t.Context(), admin, user, session.UserChange{Disabled: &disabled}); err != nil {
				t.Error(err)
			}
		},
	} {
		change = happens
		if issued, err := officeLogin(c, 0, name); session.CodeOf(err) != session.CodeConflict {
			t.Errorf("%s meanwhile: got %+v, %v", name, issued.Session, err)
		}
	}
}

func TestGroupsGivePolicies(t *testing.T) {
	t.Parallel()
	o := &office{policies: []string{"night", "day"}}
	c := startTrio(t, 1, func(_ int, config *node.Config) {
		config.Authenticators = []auth.Authenticator{o}
		for _, name := range []string{"night", "day", "other"} {
			p := session.DefaultPolicy()
			p.Name = name
			config.Policies = append(config.Policies, p)
		}
	})
	if _, err := c.nodes[0].CreateUser(t.Context(), c.admin(0), session.NewUser{Name: "ann", Policies: []string{"other"}}); err != nil {
		t.Fatal(err)
	}
	for _, l := range []struct {
		user, asked, want string
		code              session.Code
	}{
		{"zoe", "", "night", ""}, {"zoe", "day", "day", ""}, {"zoe", "default", "default", ""}, {"zoe", "other", "", session.CodeForbidden},
		{"ann", "", "night", ""}, {"ann", "other", "other", ""}, {"ann", "default", "", session.CodeForbidden}, {"zoe", "none", "", session.CodeInvalid},
	} {
		issued, err := c.nodes[0].Login(t.Context(), from("192.0.2.1"), session.Login{User: l.user, Password: "office " + l.user, Policy: l.asked})
		if session.CodeOf(err) != l.code || issued.Policy != l.want {
			t.Errorf("%s under %q: got %q, %v; want %q, %q", l.user, l.asked, issued.Policy, err, l.want, l.code)
		}
	}
}

// TestGroupsGiveRoles: at log-in and at each new proof, and never to an account.
func TestGroupsGiveRoles(t *testing.T) {
	t.Parallel()
	o := &office{roles: []session.Role{session.RoleAdmin}}
	c := startOffice(t, 3, o)
	n := c.nodes[1]
	zoe, err := officeLogin(c, 0, "zoe")
	if err != nil {
		t.Fatal(err)
	}
	call := with(zoe.Key)
	if _, err := n.CreateUser(t.Context(), call, session.NewUser{Name: "ann"}); err != nil {
		t.Fatalf("an admin by its groups: %v", err)
	}
	ann, err := officeLogin(c, 2, "ann")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.ListUsers(t.Context(), with(ann.Key), session.Page{}); session.CodeOf(err) != session.CodeForbidden {
		t.Errorf("an account has its own roles alone: %v", err)
	}
	o.roles = nil
	if _, err := n.ListUsers(t.Context(), call, session.Page{}); err != nil {
		t.Errorf("a living session keeps what it has: %v", err)
	}
	proved, err := n.Reauthenticate(t.Context(), call, session.Proof{Password: "office zoe"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.ListUsers(t.Context(), with(proved.Key), session.Page{}); session.CodeOf(err) != session.CodeForbidden {
		t.Errorf("after a new proof, out of the group: %v", err)
	}
	later, err := officeLogin(c, 2, "zoe")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.ListUsers(t.Context(), with(later.Key), session.Page{}); session.CodeOf(err) != session.CodeForbidden {
		t.Errorf("logged in out of the group: %v", err)
	}
}

// TestHashesAreMadeAnewAtLogin when costs were raised, without ending what the user has.
func TestHashesAreMadeAnewAtLogin(t *testing.T) {
	t.Parallel()
	params := auth.Params{MemoryKiB: 64, Iterations: 1, Parallelism: 1}
	c := startTrio(t, 1, func(_ int, config *node.Config) { config.Hashing = auth.Config{Params: params} })
	first := c.admin(0)
	cheap := c.nodes[0].PasswordHash("admin")
	c.admin(0)
	if got := c.nodes[0].PasswordHash("admin"); got != cheap || !strings.Contains(cheap, "m=64,t=1") {
		t.Fatalf("the hash has changed from %q to %q for nothing", cheap, got)
	}
	c.stop(0)
	params.Iterations = 3
	c.start(0)
	c.awaitReady(0)
	if _, err := c.nodes[0].Login(t.Context(), from("192.0.2.1"), session.Login{User: "admin", Password: "wrong"}); session.CodeOf(err) != session.CodeUnauthenticated {
		t.Fatal(err)
	}
	if got := c.nodes[0].PasswordHash("admin"); got != cheap {
		t.Errorf("a wrong password has replaced the hash")
	}
	c.admin(0)
	eventually(t, "the new hash", func() error {
		if got := c.nodes[0].PasswordHash("admin"); !strings.Contains(got, "m=64,t=3") {
			return errors.New(got)
		}
		return nil
	})
	c.admin(0)
	if _, err := c.nodes[0].Check(t.Context(), first, false); err != nil {
		t.Errorf("the sessions from before: %v", err)
	}
}

func TestUsersChangeTheirOwnPassword(t *testing.T) {
	t.Parallel()
	o := &office{}
	c := startOffice(t, 1, o)
	n, admin := c.nodes[0], c.admin(0)
	if _, err := n.CreateUser(t.Context(), admin, session.NewUser{Name: "ann", Password: "the first one"}); err != nil {
		t.Fatal(err)
	}
	mine, elsewhere := c.login(0, "ann", "the first one"), c.login(0, "ann", "the first one")
	guest, err := officeLogin(c, 0, "zoe")
	if err != nil {
		t.Fatal(err)
	}
	text := func(s string) *string { return &s }
	disabled := false
	for name, try := range map[string]struct {
		call   session.Call
		user   string
		change session.UserChange
		want   session.Code
		field  string
	}{
		"without the present one":  {mine, "ann", session.UserChange{Password: text("the second one")}, session.CodeInvalid, "current_password"},
		"with a wrong present one": {mine, "ann", session.UserChange{Password: text("the second one"), CurrentPassword: text("x")}, session.CodeForbidden, "current_password"},
		"a weak one":               {mine, "ann", session.UserChange{Password: text("2"), CurrentPassword: text("the first one")}, session.CodeInvalid, "password"},
		"another's":                {mine, "admin", session.UserChange{Password: text("the second one"), CurrentPassword: text("the first one")}, session.CodeForbidden, ""},
		"more than the password":   {mine, "ann", session.UserChange{Password: text("the second one"), CurrentPassword: text("the first one"), Disabled: &disabled}, session.CodeForbidden, ""},
		"no password":              {mine, "ann", session.UserChange{CurrentPassword: text("the first one")}, session.CodeForbidden, ""},
		"a directory's user":       {with(guest.Key), "zoe", session.UserChange{Password: text("the second one"), CurrentPassword: text("office zoe")}, session.CodeForbidden, "password"},
		"an admin's own":           {admin, "admin", session.UserChange{Password: text("the second one")}, session.CodeInvalid, "current_password"},
		"an admin with one more":   {admin, "ann", session.UserChange{Password: text("the second one"), CurrentPassword: text(adminPassword)}, session.CodeInvalid, "current_password"},
	} {
		_, err := n.UpdateUser(t.Context(), try.call, try.user, try.change)
		var e *session.Error
		if !errors.As(err, &e) || e.Code != try.want || e.Field != try.field {
			t.Errorf("%s: got %v, want %s about %q", name, err, try.want, try.field)
		}
	}
	if _, err := n.UpdateUser(t.Context(), mine, "ANN ", session.UserChange{Password: text("the second one"), CurrentPassword: text("the first one")}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Check(t.Context(), mine, false); err != nil {
		t.Errorf("the session that changed it: %v", err)
	}
	if _, err := n.Check(t.Context(), elsewhere, false); session.CodeOf(err) != session.CodeUnauthenticated {
		t.Errorf("the other sessions: %v", err)
	}
	c.login(0, "ann", "the second one")
}

// TestAnAdminStays though admins end each other at the same time at different nodes.
func TestAnAdminStays(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, nil)
	admins := []session.Call{c.admin(0)}
	for _, name := range []string{"bea", "cat"} {
		if _, err := c.nodes[0].CreateUser(t.Context(), admins[0], session.NewUser{Name: name, Password: adminPassword, Roles: []session.Role{session.RoleAdmin}}); err != nil {
			t.Fatal(err)
		}
		admins = append(admins, c.login(0, name, adminPassword))
	}
	plain := []session.Role{session.RoleUser}
	names := []string{"admin", "bea", "cat"}
	var all sync.WaitGroup
	for i, call := range admins {
		for j, victim := range names {
			all.Go(func() {
				var err error
				if (i+j)%2 == 0 {
					_, err = c.nodes[i].DeleteUser(t.Context(), call, victim)
				} else {
					_, err = c.nodes[i].UpdateUser(t.Context(), call, victim, session.UserChange{Roles: &plain})
				}
				switch session.CodeOf(err) {
				case "", session.CodeConflict, session.CodeUnauthenticated, session.CodeForbidden, session.CodeNotFound:
				default:
					t.Errorf("%s against %s: %v", names[i], victim, err)
				}
			})
		}
	}
	all.Wait()
	users, err := c.nodes[1].ListUsers(t.Context(), session.Call{Operator: true, Address: netip.Addr{}}, session.Page{})
	if err != nil {
		t.Fatal(err)
	}
	left := 0
	for _, u := range users.Items {
		if u.Has(session.RoleAdmin) && !u.Disabled {
			left++
		}
	}
	if left == 0 {
		t.Errorf("nobody is left to administer: %+v", users.Items)
	}
}
