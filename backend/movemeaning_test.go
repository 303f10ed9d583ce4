package backend_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/backend/backendtest"
	"github.com/hydrastore/hydrastore/backend/memory"
	"github.com/hydrastore/hydrastore/session"
)

// moved is a home before and after its move, both under one clock.
type moved struct {
	*testing.T
	clock    *turned
	old, new *backend.Service
	from, to *memory.Store
}

func newMoved(t *testing.T) *moved {
	t.Helper()
	m := &moved{T: t, clock: newTurned()}
	m.from, m.to = memory.New(m.clock.time), memory.New(m.clock.time)
	m.old = m.serve(m.from)
	return m
}

func (m *moved) serve(store backend.Store) *backend.Service {
	c := backendtest.Config(m.T)
	c.SweepInterval = time.Hour // nothing but what the test does
	return backendtest.Start(m.T, c, store)
}

// move moves all. The old service may go on being asked, for nobody else does.
func (m *moved) move() {
	m.Helper()
	move(m.T, backend.MoveStore(m.from), backend.MoveStore(m.to))
	m.new = m.serve(m.to)
}

func (m *moved) ok(what string, err error) {
	m.Helper()
	if err != nil {
		m.Fatalf("%s: %v", what, err)
	}
}

func (m *moved) wantCode(what string, err error, want session.Code) {
	m.Helper()
	if got := session.CodeOf(err); got != want {
		m.Errorf("%s: got %q (%v), want %q", what, got, err, want)
	}
}

func (m *moved) login(l session.Login) session.Issued {
	m.Helper()
	l.Vouched = true
	issued, err := m.old.Login(m.Context(), operator, l)
	m.ok("log in", err)
	return issued
}

func (m *moved) policy(name string, ch session.PolicyChange) {
	m.Helper()
	_, err := m.old.PutPolicy(m.Context(), operator, name, ch)
	m.ok("put policy", err)
}

// TestARotatedKeyMovesWithItsGrace: it leads to its successor until its grace is over, and ends the session after it.
func TestARotatedKeyMovesWithItsGrace(t *testing.T) {
	t.Parallel()
	m := newMoved(t)
	grace := time.Minute
	m.policy("web", session.PolicyChange{RotateGrace: &grace})
	first := m.login(session.Login{User: "ada", Policy: "web", Sealed: session.Attributes{"s": []byte(`"secret"`)}})
	second, err := m.old.Rotate(t.Context(), with(first))
	m.ok("rotate", err)
	m.clock.pass(30 * time.Second)
	m.move()
	again, err := m.new.Rotate(t.Context(), with(first))
	if err != nil || again.Key != second.Key || string(again.Sealed["s"]) != `"secret"` {
		t.Errorf("in its grace the key leads to %v with %s, %v; want %v", again.Key, again.Sealed["s"], err, second.Key)
	}
	got, err := m.new.Check(t.Context(), with(second), false)
	if err != nil || string(got.Sealed["s"]) != `"secret"` {
		t.Errorf("the successor: %s, %v", got.Sealed["s"], err)
	}
	m.clock.pass(31 * time.Second)
	_, err = m.new.Check(t.Context(), with(first), false)
	m.wantCode("the key after its grace", err, session.CodeUnauthenticated)
	_, err = m.new.Check(t.Context(), with(second), false)
	m.wantCode("its successor, after somebody has used a spent key", err, session.CodeUnauthenticated)
	_, err = m.old.Check(t.Context(), with(second), false)
	m.ok("in the old home", err)
}

// TestUsersMove: accounts, people without one, what they like, and who is an admin.
func TestUsersMove(t *testing.T) {
	t.Parallel()
	m := newMoved(t)
	ctx, yes := t.Context(), true
	m.policy("web", session.PolicyChange{PermanentAllowed: &yes})
	for _, u := range []session.NewUser{
		{Name: "Ada", Password: "ada's password", Roles: []session.Role{session.RoleAdmin, session.RoleService}, Policies: []string{"web", "default"}},
		{Name: "bob", Password: "bob's password", Disabled: true},
		{Name: "carl", Password: "carl's password", MD5Login: true},
	} {
		_, err := m.old.CreateUser(ctx, operator, u)
		m.ok("create user", err)
	}
	for range 3 {
		m.login(session.Login{User: "guest"})
	}
	last := m.login(session.Login{User: "guest"})
	_, err := m.old.PatchPreferences(ctx, with(last), session.AttributePatch{"colour": []byte(`"green"`)})
	m.ok("patch preferences", err)
	key := m.login(session.Login{User: "carl", Policy: "web", Permanent: true, ClientAddress: netip.MustParseAddr("192.0.2.1"), BindAddress: true})
	_, err = m.old.RevokeUserSessions(ctx, operator, "guest", session.UserSessions{Numbers: []uint64{1}})
	m.ok("revoke", err)
	m.move()

	for _, name := range []string{"admin", "ada", "bob", "carl"} {
		before, err := m.old.GetUser(ctx, operator, name)
		m.ok("get user", err)
		after, err := m.new.GetUser(ctx, operator, name)
		if err != nil || !reflect.DeepEqual(after.User, before.User) {
			t.Errorf("got %+v, %v, want %+v", after.User, err, before.User)
		}
	}
	for name, want := range map[string]session.Code{"ada": "", "bob": session.CodeUnauthenticated, "carl": ""} {
		_, err := m.new.Login(ctx, session.Call{}, session.Login{User: name, Password: name + "'s password"})
		m.wantCode("log-in of "+name, err, want)
	}
	preferences, err := m.new.Preferences(ctx, with(last))
	if err != nil || string(preferences.Values["colour"]) != `"green"` {
		t.Errorf("preferences %s, %v", preferences.Values, err)
	}
	next, err := m.new.Login(ctx, operator, session.Login{User: "guest", Vouched: true})
	if err != nil || next.Session.Number != 5 {
		t.Errorf("the next session has the number %d, %v; want 5", next.Session.Number, err)
	}

	no := []session.Role{session.RoleUser}
	_, err = m.new.UpdateUser(ctx, operator, "admin", session.UserChange{Roles: &no})
	m.ok("one of two admins resigns", err)
	_, err = m.new.UpdateUser(ctx, operator, "ada", session.UserChange{Roles: &no})
	m.wantCode("the last one resigns", err, session.CodeConflict)

	m.clock.pass(10 * 365 * 24 * time.Hour)
	_, err = m.new.Check(ctx, session.Call{Key: key.Key, Address: netip.MustParseAddr("192.0.2.1")}, false)
	m.ok("a permanent session after ten years", err)
	_, err = m.new.Check(ctx, session.Call{Key: key.Key, Address: netip.MustParseAddr("192.0.2.2")}, false)
	m.wantCode("elsewhere", err, session.CodeUnauthenticated)
	_, err = m.new.Check(ctx, with(next), false)
	m.wantCode("another one after ten years", err, session.CodeUnauthenticated)
}

// TestVersionsDoNotFall: whoever has seen a version in the old home is told in the new one that it is no more the present one.
func TestVersionsDoNotFall(t *testing.T) {
	t.Parallel()
	m := newMoved(t)
	m.policy("web", session.PolicyChange{})
	seen, err := m.old.GetPolicy(t.Context(), operator, "web")
	m.ok("get policy", err)
	m.login(session.Login{User: "guest"})
	m.move()
	m.clock.pass(-time.Hour) // the new home's clock is behind
	changed, err := m.new.PatchPolicy(t.Context(), operator, "web", session.PolicyChange{})
	if err != nil || changed.Version <= seen.Version {
		t.Errorf("the version %d comes after %d, %v", changed.Version, seen.Version, err)
	}
	user, err := m.new.UpdateUser(t.Context(), operator, "admin", session.UserChange{})
	before, err2 := m.old.GetUser(t.Context(), operator, "admin")
	if err != nil || err2 != nil || user.Version <= before.Version {
		t.Errorf("the user's version %d comes after %d, %v, %v", user.Version, before.Version, err, err2)
	}
}

// TestSessionsMeanTheSameAfterAMove: at any time the same sessions live in both homes, whatever happened to their policies before the move and after it.
// Every use is written at once, under policies 0 and 1: what is written beside a request is the same in two homes by chance only. Nobody uses the sessions of
// policy 2, which has a window.
func TestSessionsMeanTheSameAfterAMove(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	for round := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, round))
		m := newMoved(t)
		m.scramble(random, m.old)
		var all, used []session.Issued
		for range 80 {
			m.clock.pass(time.Duration(random.IntN(180)) * time.Second)
			switch n := random.IntN(12); {
			case n < 2:
				m.scramble(random, m.old)
			case n < 6 || len(used) == 0:
				l := session.Login{User: fmt.Sprint("user-", random.IntN(3)), Policy: fmt.Sprint("policy-", random.IntN(3))}
				if l.Permanent = random.IntN(10) == 0; !l.Permanent && random.IntN(4) == 0 {
					own := 30 * time.Second
					l.IdleTimeout = &own
				}
				issued := m.login(l)
				if all = append(all, issued); l.Policy != "policy-2" {
					used = append(used, issued)
				}
			case n < 10:
				_, _ = m.old.Check(t.Context(), with(used[random.IntN(len(used))]), false) // it may have ended
			default:
				_, _ = m.old.Touch(t.Context(), with(used[random.IntN(len(used))]))
			}
		}
		m.move()
		m.compare(seed, round, all)
		for range 40 {
			m.clock.pass(time.Duration(random.IntN(480)) * time.Second)
			if random.IntN(6) == 0 {
				m.scramble(random, m.old, m.new)
			}
			i := used[random.IntN(len(used))]
			_, before := m.old.Check(t.Context(), with(i), false)
			_, after := m.new.Check(t.Context(), with(i), false)
			m.wantCode(fmt.Sprintf("seed %d, round %d: a use", seed, round), after, session.CodeOf(before))
			m.compare(seed, round, all)
		}
	}
}

// scramble gives policies other timers, the same in all homes.
func (m *moved) scramble(random *rand.Rand, homes ...*backend.Service) {
	m.Helper()
	minutes := func(least, most int) *time.Duration {
		d := time.Duration(least+random.IntN(most)) * time.Minute
		return &d
	}
	yes := true
	for i := range 3 {
		ch := session.PolicyChange{
			IdleTimeout: minutes(1, 40), AbsoluteLifetime: minutes(1, 180), InactivityTimeout: minutes(0, 30), NoTickle: new(bool),
			PermanentAllowed: &yes, LongerIdleAllowed: &yes, TouchWindow: new(time.Duration),
		}
		if *ch.NoTickle = random.IntN(4) == 0; i == 2 {
			ch.TouchWindow = nil
		}
		if random.IntN(3) == 0 {
			*ch.AbsoluteLifetime = 0
		}
		for _, s := range homes {
			_, err := s.PutPolicy(m.Context(), operator, fmt.Sprint("policy-", i), ch)
			m.ok("put policy", err)
		}
	}
}

// compare looks at all sessions in both homes.
func (m *moved) compare(seed, round uint64, issued []session.Issued) {
	m.Helper()
	for _, i := range issued {
		before, errBefore := m.old.Check(m.Context(), with(i), true)
		after, errAfter := m.new.Check(m.Context(), with(i), true)
		if session.CodeOf(errBefore) != session.CodeOf(errAfter) {
			m.Fatalf("seed %d, round %d: session %d of %s: %v in the old home, %v in the new one", seed, round, i.Session.Number, i.Session.User, errBefore, errAfter)
		}
		before.Meta, after.Meta = session.Meta{}, session.Meta{}
		if before.Permanent { // that is written beside the request
			before.LastUsedAt, after.LastUsedAt = time.Time{}, time.Time{}
		}
		if !reflect.DeepEqual(before, after) {
			m.Fatalf("seed %d, round %d: session %d of %s is\n%+v\nand was\n%+v", seed, round, i.Session.Number, i.Session.User, after, before)
		}
	}
}
