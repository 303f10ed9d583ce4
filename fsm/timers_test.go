package fsm_test

import (
	"fmt"
	"testing"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// tickle makes the command that keeps a session alive and is no activity.
func tickle(n int) *fsmpb.Command {
	c := touch(n)
	c.GetTouchSession().Tickle = true
	return c
}

// with gives a policy's command more fields.
func with(c *fsmpb.PutPolicy, more func(*fsmpb.PutPolicy)) *fsmpb.Command {
	more(c)
	return putPolicy(c)
}

// merge changes one policy by some fields.
func merge(name string, more func(*fsmpb.PutPolicy)) *fsmpb.Command {
	return with(&fsmpb.PutPolicy{Name: name, Mode: fsmpb.PutPolicy_MODE_MERGE, Authority: system()}, more)
}

// endsAt lets time pass by one millisecond steps around an instant: the session must live before it and end at it.
func (l *log) endsAt(n int, at int64, cause fsm.Cause) {
	l.t.Helper()
	l.clock = at - 1
	l.apply()
	l.wantLive(n, true)
	if next, ok := l.m.NextDeadlineMS(); !ok || next != at {
		l.t.Fatalf("next deadline %d %v, want %d", next-start, ok, at-start)
	}
	l.clock = at
	ended := l.apply().Ended
	if len(ended) != 1 || ended[0].ID != idOf(n) || ended[0].Cause != cause || ended[0].DeadlineMS != at {
		l.t.Fatalf("ended %+v, want session %d at %d by %v", ended, n, at, cause)
	}
	l.wantLive(n, false)
}

func TestTicklesKeepAliveAndAreNoActivity(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	l.must(with(timers("default", 10_000, 0, 200), func(p *fsmpb.PutPolicy) { p.InactivityMs = ptr(int64(25_000)) }))
	l.must(create(vouched(1, "ann")))
	for range 10 {
		l.clock += 8000
		if st := l.must(tickle(1)).GetSession(); st.LastUseMs != l.clock || st.LastActivityMs != start {
			t.Fatalf("after a tickle: %v", st)
		}
		l.m = restored(t, snapshotOf(t, l.m), fsm.Options{})
	}
	l.endsAt(1, start+25_000+60_000+200, fsm.CauseInactive)
}

func TestAnyActivityInTheLastMinuteIsTheAnswer(t *testing.T) {
	t.Parallel()
	for name, activity := range map[string]*fsmpb.Command{
		"a use":   touch(1),
		"a patch": patch(&fsmpb.PatchAttributes{KeyHash: bytesOf(keyOf(1)), Authority: system()}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLog(t, fsm.Options{})
			l.must(with(timers("default", 0, 0, 0), func(p *fsmpb.PutPolicy) { p.InactivityMs = ptr(int64(5000)) }))
			l.must(create(vouched(1, "ann")))
			l.clock += 64_000
			l.must(tickle(1))
			l.clock += 999
			if st := l.must(activity).GetSession(); st.LastActivityMs != l.clock || st.DeadlineMs != l.clock+65_000 {
				t.Fatalf("after it: %v", st)
			}
			l.endsAt(1, l.clock+65_000, fsm.CauseInactive)
		})
	}
}

func TestNoTickleLeavesEveryTimerAlone(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	l.must(with(timers("default", 10_000, 0, 0), func(p *fsmpb.PutPolicy) { p.NoTickle = ptr(true) }))
	l.must(create(vouched(1, "ann")))
	l.clock += 5000
	if st := l.must(tickle(1)).GetSession(); st.LastUseMs != start || !st.NoTickle {
		t.Fatalf("after a tickle: %v", st)
	}
	l.endsAt(1, start+10_000, fsm.CauseIdle)
}

// An inactivity timeout that is turned on holds for living sessions, from their last use of any kind; turned off, it is forgotten.
func TestAnInactivityTimeoutTurnedOnHoldsAtOnce(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	l.must(putPolicy(timers("default", 300_000, 0, 0)))
	for n := range 3 {
		l.must(create(vouched(n, "ann")))
	}
	l.clock += 100_000
	l.must(tickle(1)) // nothing but use counts yet
	l.must(touch(2))
	on := merge("default", func(p *fsmpb.PutPolicy) { p.InactivityMs = ptr(int64(30_000)) })
	l.must(on)
	l.wantLive(0, false)
	if ended := l.apply().Ended; len(ended) != 1 || ended[0].ID != idOf(0) || ended[0].Cause != fsm.CauseInactive {
		t.Fatalf("ended %+v", ended)
	}
	l.clock += 80_000
	l.must(tickle(1))
	l.must(touch(2))
	l.endsAt(1, start+100_000+90_000, fsm.CauseInactive)
	l.must(merge("default", func(p *fsmpb.PutPolicy) { p.InactivityMs = ptr(int64(0)) }))
	l.endsAt(2, start+180_000+300_000, fsm.CauseIdle)
}

// What was due when an inactivity timeout got longer or was turned off stays dead, tickled or not.
func TestALongerInactivityTimeoutRevivesNothing(t *testing.T) {
	t.Parallel()
	for _, longer := range []int64{0, 600_000} {
		t.Run(fmt.Sprint(longer), func(t *testing.T) {
			t.Parallel()
			l := newLog(t, fsm.Options{EndsPerEntry: 1})
			l.must(with(timers("default", 100_000, 0, 0), func(p *fsmpb.PutPolicy) { p.InactivityMs = ptr(int64(10_000)) }))
			for n := range 6 {
				l.must(create(vouched(n, "ann")))
			}
			l.clock += 20_000
			l.must(create(vouched(10, "ann")))
			l.must(tickle(1))
			l.must(tickle(2))
			l.clock += 49_999
			l.must(tickle(3))
			l.clock++
			l.must(merge("default", func(p *fsmpb.PutPolicy) { p.InactivityMs = &longer })) // ends one of six
			for range 2 {
				for n := range 6 {
					l.wantLive(n, false)
					l.wantCode(touch(n), codeUnauthenticated)
				}
				l.m = restored(t, snapshotOf(t, l.m), fsm.Options{EndsPerEntry: 1})
			}
			l.wantLive(10, true)
			if st := l.m.Stats(); st.Sessions != 1 {
				t.Fatalf("the dead were not removed: %+v", st)
			}
		})
	}
}

func TestAStrictPolicyBindsToTheAddress(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	strict := func(p *fsmpb.PutPolicy) { p.BindAddress = fsmpb.AddressBinding_ADDRESS_BINDING_STRICT }
	l.must(with(timers("default", 10_000, 0, 0), strict))
	l.must(putUser(account("root", "hash", fsmpb.Role_ROLE_ADMIN)))
	l.wantCode(create(vouched(1, "ann")), codeInvalid) // there is nothing to bind it to
	from := func(n int, user string, address []byte) *fsmpb.Command {
		c := vouched(n, user)
		c.Address = address
		return create(c)
	}
	l.must(from(1, "ann", goldenAddress(1)))
	root := login(2, "root", 12)
	root.GetCreateSession().Address = goldenAddress(2)
	l.must(root)
	at := func(address []byte) *fsmpb.Command {
		c := touch(1)
		c.GetTouchSession().Address = address
		return c
	}
	l.clock += 5000
	for _, wrong := range [][]byte{goldenAddress(2), nil} {
		if r := l.do(at(wrong)); r.Code != codeUnauthenticated || r.Field != l.do(touch(77)).Field {
			t.Fatalf("at %v: %v, want the answer of an unknown key", wrong, r)
		}
		l.wantCode(patch(&fsmpb.PatchAttributes{KeyHash: bytesOf(keyOf(1)), Address: wrong}), codeUnauthenticated)
	}
	// A service's own key is bound too, also where it only vouches.
	by := vouched(3, "bob")
	by.Address, by.Authority = goldenAddress(3), authority(2, fsmpb.Role_ROLE_ADMIN)
	by.Authority.Address = goldenAddress(9)
	l.wantCode(create(by), codeUnauthenticated)
	if st := l.must(at(goldenAddress(1))).GetSession(); st.LastUseMs != l.clock {
		t.Fatalf("at the right address: %v", st)
	}
	// A log-out is answered as done, so it is done, wherever it comes from.
	if r := l.must(revokeKey(1)); r.GetCount() != 1 {
		t.Fatalf("log-out: %v", r)
	}
	l.endsAt(2, start+10_000, fsm.CauseIdle) // nothing at the wrong address kept it alive
}

// A repeated log-in hands out a new key of the session made first. At another address that key would open nothing, and the first one
// would have died for it.
func TestALogInIsNotRepeatedAtAWrongAddress(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	l.must(with(timers("default", 10_000, 0, 0), func(p *fsmpb.PutPolicy) { p.BindAddress = fsmpb.AddressBinding_ADDRESS_BINDING_STRICT }))
	at := func(n int, address []byte) *fsmpb.Command {
		c := vouched(n, "ann")
		c.Address, c.Idempotency = address, &fsmpb.Idempotency{ScopeHash: bytesOf(keyOf(100)), BodyHash: bytesOf(keyOf(101))}
		return create(c)
	}
	l.must(at(1, goldenAddress(1)))
	l.clock += 5000
	if r := l.do(at(2, goldenAddress(2))); r.Code != fsmpb.Code_CODE_IDEMPOTENCY_MISMATCH || r.Field != "client_ip" {
		t.Fatalf("at another address: %v", r)
	}
	l.wantLive(1, true)
	l.wantLive(2, false)
	if r, _ := l.m.SessionByKey(keyOf(1)); r.LastUseMS != start {
		t.Fatalf("a log-in at a wrong address was a use: %+v", r)
	}
	if r := l.must(at(3, goldenAddress(1))); !r.Repeated {
		t.Fatalf("at the right address: %v", r)
	}
	if _, ok := l.m.SessionByKey(keyOf(1)); ok {
		t.Fatal("the first key opens the session still")
	}
}

// A living session follows its policy, but one whose address nobody told is bound to nothing.
func TestBindingFollowsThePolicy(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	known := vouched(1, "ann")
	known.Address = goldenAddress(1)
	l.must(create(known))
	l.must(create(vouched(2, "ann")))
	for _, c := range []struct {
		binding fsmpb.AddressBinding
		want    fsmpb.Code
	}{
		{fsmpb.AddressBinding_ADDRESS_BINDING_LOG, codeOK}, {fsmpb.AddressBinding_ADDRESS_BINDING_STRICT, codeUnauthenticated},
		{fsmpb.AddressBinding_ADDRESS_BINDING_OFF, codeOK},
	} {
		l.must(merge("default", func(p *fsmpb.PutPolicy) { p.BindAddress = c.binding }))
		l.wantCode(touch(1), c.want)
		l.wantCode(touch(2), codeOK)
	}
}

func TestPermanentSessionsSurviveAllButTheirEnd(t *testing.T) {
	t.Parallel()
	all := session.Filter{Permanent: true}
	for name, c := range map[string]struct {
		end  *fsmpb.Command
		left bool
	}{
		"another password":   {putUser(&fsmpb.PutUser{Name: "ann", Mode: fsmpb.PutUser_MODE_UPDATE, PasswordHash: ptr("new"), Authority: system()}), true},
		"password, asked to": {putUser(&fsmpb.PutUser{Name: "ann", Mode: fsmpb.PutUser_MODE_UPDATE, PasswordHash: ptr("new"), EndPermanent: true, Authority: system()}), false},
		"the others revoked": {revokeUser(&fsmpb.RevokeUserSessions{User: "ann", Authority: system()}), true},
		"revoked":            {revokeUser(&fsmpb.RevokeUserSessions{User: "ann", Permanent: true, Authority: system()}), false},
		"disabled":           {putUser(&fsmpb.PutUser{Name: "ann", Mode: fsmpb.PutUser_MODE_UPDATE, Disabled: ptr(true), Authority: system()}), false},
		"deleted":            {deleteUser(&fsmpb.DeleteUser{Name: "ann", Authority: system()}), false},
		"shorter timers":     {putPolicy(timers("default", 1000, 1000, 0)), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLog(t, fsm.Options{EndsPerEntry: 2})
			l.must(with(timers("default", 5000, 9000, 0), func(p *fsmpb.PutPolicy) {
				p.PermanentAllowed, p.InactivityMs = ptr(true), ptr(int64(5000))
			}))
			l.must(putUser(account("ann", "old")))
			for n := range 4 {
				p := vouched(n, "ann")
				p.Permanent = true
				if st := l.must(create(p)).GetSession(); !st.Permanent || st.DeadlineMs != 0 || st.IdleMs != 0 || st.AbsoluteEndMs != 0 {
					t.Fatalf("created %v", st)
				}
				l.must(create(vouched(10+n, "ann")))
			}
			l.must(c.end)
			l.clock += 1_000_000_000 // long after every timer
			for range 8 {
				l.apply()
			}
			want := 0
			if c.left {
				want = 4
			}
			for n := range 4 {
				l.wantLive(n, c.left)
				l.wantLive(10+n, false)
			}
			if got, _, _ := l.m.ListSessions(all, 0, 0, 10, 100); len(got) != want {
				t.Fatalf("%d are listed, want %d", len(got), want)
			}
			if st := l.m.Stats(); st.Sessions != want || st.PendingReaps != 0 {
				t.Fatalf("left: %+v", st)
			}
		})
	}
}

func TestPermanentSessionsNeedTheirPolicysLeave(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	c := vouched(1, "ann")
	c.Permanent = true
	if r := l.do(create(c)); r.Code != codeForbidden || r.Field != "permanent" {
		t.Fatalf("got %v", r)
	}
	l.must(with(timers("keys", 5000, 0, 0), func(p *fsmpb.PutPolicy) { p.PermanentAllowed = ptr(true) }))
	c.Policy = "keys"
	l.must(create(c))
	l.wantCode(deletePolicy(&fsmpb.DeletePolicy{Name: "keys", Authority: system()}), codeConflict)
	if items, _, _ := l.m.ListSessions(session.Filter{}, 0, 0, 10, 100); len(items) != 0 {
		t.Fatalf("listed among the others: %+v", items)
	}
	if at, ok := l.m.NextDeadlineMS(); ok {
		t.Fatalf("something ends at %d", at)
	}
	// What is taken back later does not reach those that are there.
	l.must(merge("keys", func(p *fsmpb.PutPolicy) { p.PermanentAllowed = ptr(false) }))
	l.wantLive(1, true)
	l.must(revokeKey(1))
	l.must(deletePolicy(&fsmpb.DeletePolicy{Name: "keys", Authority: system()}))
}

func TestASessionsOwnIdleTimeout(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	l.must(putPolicy(timers("default", 10_000, 0, 500)))
	ann := l.must(putUser(account("ann", "hash"))).GetVersion()
	root := l.must(putUser(account("root", "hash", fsmpb.Role_ROLE_SERVICE))).GetVersion()
	own := func(c *fsmpb.Command, idle int64) *fsmpb.Command { c.GetCreateSession().IdleMs = &idle; return c }
	for name, c := range map[string]struct {
		command *fsmpb.Command
		want    fsmpb.Code
	}{
		"longer, by a user":     {own(login(20, "ann", ann), 10_001), codeForbidden},
		"none, by a user":       {own(login(20, "ann", ann), 0), codeForbidden},
		"below the least":       {own(login(20, "ann", ann), 999), codeInvalid},
		"below nothing":         {own(login(20, "ann", ann), -1), codeInvalid},
		"beyond the most":       {own(login(20, "root", root), session.MaxTimeout.Milliseconds()+1), codeInvalid},
		"beyond all numbers":    {own(login(20, "root", root), 1<<62), codeInvalid},
		"permanent, with timer": {own(create(func() *fsmpb.CreateSession { c := vouched(20, "ann"); c.Permanent = true; return c }()), 5000), codeInvalid},
	} {
		if r := l.do(c.command); r.Code != c.want {
			t.Errorf("%s: got %v %q, want %v", name, r.Code, r.Field, c.want)
		}
	}
	l.must(own(login(1, "ann", ann), 3000))
	l.must(own(login(2, "root", root), 40_000))
	l.must(own(create(vouched(3, "ann")), 0))
	l.must(create(vouched(4, "ann")))
	l.must(putPolicy(timers("default", 20_000, 0, 0))) // moves the others only
	l.endsAt(1, start+3000+500, fsm.CauseIdle)
	l.endsAt(4, start+20_000, fsm.CauseIdle)
	l.must(touch(2))
	if r, _ := l.m.SessionByKey(keyOf(2)); r.IdleMS != 40_000 || r.DeadlineMS != l.clock+40_500 {
		t.Fatalf("got %+v", r)
	}
	l.m = restored(t, snapshotOf(t, l.m), fsm.Options{})
	l.endsAt(2, l.clock+40_500, fsm.CauseIdle)
	l.clock += 1_000_000_000
	l.apply()
	l.wantLive(3, true)
	l.must(putPolicy(timers("default", 20_000, 5000, 0))) // the absolute lifetime is everybody's
	l.wantLive(3, false)
}
