package backendtest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

// together runs f for each number at once, over all services in turn. Errors of overload are asked again: nothing was done.
func (e *env) together(n int, f func(i int, s session.Service) error) (errs []error) {
	errs = make([]error, n)
	var work sync.WaitGroup
	for i := range n {
		work.Go(func() {
			for {
				errs[i] = f(i, e.Services[i%len(e.Services)])
				if code := session.CodeOf(errs[i]); code != session.CodeOverloaded && code != session.CodeUnavailable || e.Context().Err() != nil {
					return
				}
				pause(breathing)
			}
		})
	}
	work.Wait()
	return errs
}

func concurrentLimits(e *env) {
	const callers, most = 100, 7
	for _, o := range []session.OnLimit{session.OnLimitRefuse, session.OnLimitOldest} {
		policy := string(o)
		e.policy(policy[:5], perUser(most, o))
		issued := make([]session.Issued, callers)
		errs := e.together(callers, func(i int, s session.Service) (err error) {
			issued[i], err = s.Login(e.Context(), e.admin, session.Login{User: "ada", Vouched: true, Policy: policy[:5]})
			return err
		})
		made, alive := 0, 0
		for i, err := range errs {
			if err == nil {
				made++
				if _, err := e.s.Check(e.Context(), with(issued[i]), true); err == nil {
					alive++
				}
			} else if session.CodeOf(err) != session.CodeSessionLimit {
				e.Errorf("%s: log-in %d: %v", o, i, err)
			}
		}
		if alive != most || o == session.OnLimitRefuse && made != most || o != session.OnLimitRefuse && made != callers {
			e.Errorf("%s: %d log-ins succeeded and %d sessions live; the limit is %d", o, made, alive, most)
		}
		if got := e.ids(e.admin, session.Filter{User: "ada", Policy: policy[:5]}, 0); len(got) != most {
			e.Errorf("%s: the list shows %d sessions", o, len(got))
		}
	}
}

func concurrentSingle(e *env) {
	e.policy("one", session.PolicyChange{LimitsChange: session.LimitsChange{SingleSession: ptr(true)}})
	issued := make([]session.Issued, 40)
	for i, err := range e.together(len(issued), func(i int, s session.Service) (err error) {
		issued[i], err = s.Login(e.Context(), e.admin, session.Login{User: "ada", Vouched: true, Policy: "one"})
		return err
	}) {
		if err != nil {
			e.Errorf("log-in %d: %v", i, err)
		}
	}
	var living []session.Issued
	numbers := map[uint64]bool{}
	for _, i := range issued {
		numbers[i.Number] = true
		if _, err := e.s.Check(e.Context(), with(i), true); err == nil {
			living = append(living, i)
		}
	}
	if len(living) != 1 || len(numbers) != len(issued) {
		e.Fatalf("%d sessions live, with %d numbers", len(living), len(numbers))
	}
	newest := slices.MaxFunc(issued, func(a, b session.Issued) int { return int(a.Number) - int(b.Number) })
	if living[0].ID != newest.ID {
		e.Errorf("number %d lives, not the newest, %d", living[0].Number, newest.Number)
	}
}

// users uses a session in all ways at once, at all services, until the returned function is called.
func (e *env) users(i session.Issued) (stop func()) {
	ctx, cancel := context.WithCancel(e.Context())
	var work sync.WaitGroup
	var uses atomic.Int64
	for n := range 6 {
		s := e.Services[n%len(e.Services)]
		work.Go(func() {
			for round := 0; ctx.Err() == nil; round++ {
				switch n % 3 {
				case 0:
					_, _ = s.Touch(ctx, with(i))
				case 1:
					_, _ = s.PatchAttributes(ctx, e.asAdmin(i), patchOf(fmt.Sprint(n), fmt.Sprint(round)), nil)
				case 2:
					_, _ = s.Check(ctx, with(i), false)
				}
				uses.Add(1)
			}
		})
	}
	eventually(e, "uses under way", func() bool { return uses.Load() > 12 })
	return func() { cancel(); work.Wait() }
}

func logoutStays(e *env) {
	e.policy("web", session.PolicyChange{TouchWindow: ptr(time.Duration(0)), IdleTimeout: ptr(time.Hour)})
	for round := range 5 {
		i := e.under("ada", "web")
		stop := e.users(i)
		_, err := e.Services[round%len(e.Services)].Logout(e.Context(), with(i))
		e.ok("log out", err)
		for range 10 {
			e.dead("after log-out, with uses in flight", i)
		}
		stop()
		e.dead("after all", i)
	}
}

func revocationStays(e *env) {
	e.policy("web", session.PolicyChange{TouchWindow: ptr(time.Duration(0)), IdleTimeout: ptr(time.Hour)})
	for round := range 5 {
		i := e.under("ada", "web")
		stop := e.users(i)
		s := e.Services[round%len(e.Services)]
		var err error
		switch round % 3 {
		case 0:
			_, err = s.RevokeUserSessions(e.Context(), e.admin, "ada", session.UserSessions{})
		case 1:
			_, err = s.RevokeSession(e.Context(), e.admin, i.ID)
		default:
			_, err = s.RevokeSessions(e.Context(), e.admin, session.Filter{Policy: "web"})
		}
		e.ok("revoke", err)
		for range 10 {
			e.dead("after its revocation, with uses in flight", i)
		}
		stop()
		e.dead("after all", i)
	}
}

func concurrentRotation(e *env) {
	e.policy("web", session.PolicyChange{RotateGrace: ptr(time.Minute)})
	for range 3 {
		i := e.under("ada", "web")
		next := make([]session.Issued, 20)
		for n, err := range e.together(len(next), func(n int, s session.Service) (err error) {
			next[n], err = s.Rotate(e.Context(), with(i))
			return err
		}) {
			if err != nil {
				e.Errorf("rotation %d: %v", n, err)
			}
		}
		for n := range next {
			if next[n].Key != next[0].Key {
				e.Errorf("rotation %d has another successor", n)
			}
		}
		e.alive("the successor", next[0])
	}
}

func concurrentPatches(e *env) {
	i := e.vouched(session.Login{User: "ada"})
	const callers = 30
	for n, err := range e.together(callers, func(n int, s session.Service) error {
		_, err := s.PatchAttributes(e.Context(), e.asAdmin(i), patchOf(fmt.Sprint("a", n), fmt.Sprint(n)), nil)
		return err
	}) {
		if err != nil {
			e.Errorf("patch %d: %v", n, err)
		}
	}
	if c := e.alive("patched", i); len(c.Attributes) != callers {
		e.Errorf("of %d patches %d are there", callers, len(c.Attributes))
	}
	won := atomic.Int64{}
	at := e.alive("patched", i).AttributesVersion
	for n, err := range e.together(callers, func(n int, s session.Service) error {
		_, err := s.PatchAttributes(e.Context(), e.asAdmin(i), session.AttributePatch{"one": json.RawMessage(fmt.Sprint(n))}, &at)
		if err == nil {
			won.Add(1)
		}
		return err
	}) {
		if err != nil && session.CodeOf(err) != session.CodeVersionMismatch {
			e.Errorf("patch %d: %v", n, err)
		}
	}
	if won.Load() != 1 {
		e.Errorf("of the patches with one If-Match %d succeeded", won.Load())
	}
}

func concurrentIdempotency(e *env) {
	issued := make([]session.Issued, 20)
	for n, err := range e.together(len(issued), func(n int, s session.Service) (err error) {
		issued[n], err = s.Login(e.Context(), e.admin, session.Login{User: "ada", Vouched: true, IdempotencyKey: "one request"})
		return err
	}) {
		if err != nil {
			e.Errorf("log-in %d: %v", n, err)
		}
	}
	living := 0
	for _, i := range issued {
		if i.ID != issued[0].ID {
			e.Errorf("two sessions: %v and %v", i.ID, issued[0].ID)
		}
		if _, err := e.s.Check(e.Context(), with(i), true); err == nil {
			living++
		}
	}
	if living != 1 {
		e.Errorf("%d keys work", living)
	}
	if got := e.ids(e.admin, session.Filter{User: "ada"}, 0); len(got) != 1 {
		e.Errorf("the list shows %d sessions", len(got))
	}
}

func concurrentAdmins(e *env) {
	const admins = 6
	calls := make([]session.Call, admins)
	for i := range admins {
		e.user(numberedUser(i), session.RoleAdmin)
		calls[i] = with(e.login(numberedUser(i)))
	}
	e.update("leave it to the others", "admin", session.UserChange{Roles: &[]session.Role{session.RoleUser}})
	errs := e.together(admins, func(i int, s session.Service) error {
		_, err := s.UpdateUser(e.Context(), calls[i], numberedUser(i), session.UserChange{Roles: &[]session.Role{session.RoleUser}})
		return err
	})
	stayed := 0
	for i, err := range errs {
		if err != nil {
			e.code("resign", err, session.CodeConflict)
			stayed++
		}
		if _, err := e.s.ListUsers(e.Context(), calls[i], session.Page{}); (err == nil) != (errs[i] != nil) {
			e.Errorf("admin %d: resigned with %v, and lists users with %v", i, errs[i], err)
		}
	}
	if stayed != 1 {
		e.Errorf("%d admins stayed", stayed)
	}
}

// carriedPatches patches a session while log-ins take its place, one after the other. What was acknowledged is in the last one. Attributes in the clear hold up no
// log-in, however often they change; sealed ones may.
func carriedPatches(e *env) {
	carriedAlong(e, carrying{how: "in the clear", patchers: 4, change: func(s session.Service, c session.Call, p session.AttributePatch) error {
		_, err := s.PatchAttributes(e.Context(), c, p, nil)
		return err
	}})
	carriedAlong(e, carrying{how: "sealed", patchers: 1, holdsUp: true, change: func(s session.Service, c session.Call, p session.AttributePatch) error {
		_, err := s.SealAttributes(e.Context(), c, p, nil)
		return err
	}})
}

type carrying struct {
	how      string
	patchers int // each with an attribute of its own
	holdsUp  bool
	change   func(s session.Service, c session.Call, p session.AttributePatch) error
}

func carriedAlong(e *env, w carrying) {
	const logIns, patches = 10, 10
	var present atomic.Pointer[session.Issued]
	first := e.vouched(session.Login{User: "ada"})
	present.Store(&first)
	var made, patched atomic.Int64
	going := func() bool {
		return (made.Load() < logIns || patched.Load() < patches) && e.Context().Err() == nil
	}
	var work sync.WaitGroup
	asked, acknowledged := make([]int, w.patchers), make([]int, w.patchers) // the last value of each
	for n := range w.patchers {
		s, name := e.Services[len(e.Services)-1-n%len(e.Services)], fmt.Sprint("n", n)
		work.Go(func() {
			for going() {
				asked[n] = acknowledged[n] + 1
				switch err := w.change(s, e.asAdmin(*present.Load()), patchOf(name, fmt.Sprint(asked[n]))); session.CodeOf(err) {
				case "":
					acknowledged[n]++
					patched.Add(1)
				case session.CodeUnauthenticated, session.CodeOverloaded, session.CodeUnavailable: // replaced meanwhile, or nothing was done
				default:
					e.Errorf("%s: patch: %v", w.how, err)
				}
			}
		})
	}
	for going() {
		next, err := e.s.Login(e.Context(), e.asAdmin(*present.Load()), session.Login{User: "ada", Vouched: true})
		switch code := session.CodeOf(err); {
		case err == nil:
			present.Store(&next)
			made.Add(1)
		case code == session.CodeOverloaded, code == session.CodeUnavailable, w.holdsUp && code == session.CodeConflict:
		default:
			e.Errorf("%s: log in: %v", w.how, err)
			made.Add(logIns) // so that all ends
		}
		pause(breathing)
	}
	work.Wait()
	c := e.alive("the last of all", *present.Load())
	for n := range w.patchers {
		name, got := fmt.Sprint("n", n), 0
		if value := string(c.Attributes[name]) + string(c.Sealed[name]); value != "" {
			_, err := fmt.Sscan(value, &got)
			e.ok("read the attribute", err)
		}
		if got != acknowledged[n] && got != asked[n] {
			e.Errorf("%s: value %d of %s was acknowledged, %d asked for, and the last of %d sessions has %d", w.how, acknowledged[n], name, asked[n], made.Load(), got)
		}
	}
}
