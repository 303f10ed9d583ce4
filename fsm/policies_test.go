package fsm_test

import (
	"fmt"
	"testing"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

func TestAShorterPolicyHoldsAtOnce(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	l.must(putPolicy(timers("default", 60_000, 0, 0)))
	l.must(create(vouched(1, "ann")))
	l.clock += 30_000
	l.must(create(vouched(2, "ann")))
	l.must(putPolicy(timers("default", 20_000, 0, 0)))
	l.wantLive(1, false)
	l.wantLive(2, true)
	if r, _ := l.m.SessionByKey(keyOf(2)); r.DeadlineMS != l.clock+20_000 || r.IdleMS != 20_000 {
		t.Fatalf("got %+v", r)
	}
	if ended := l.apply().Ended; len(ended) != 1 || ended[0].ID != idOf(1) {
		t.Fatalf("ended %+v", ended)
	}
}

// What was due when a policy got longer stays dead, though nobody had removed it; the rest lives longer.
func TestALongerPolicyRevivesNothing(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{EndsPerEntry: 1})
	l.must(putPolicy(timers("default", 2000, 0, 0)))
	for i := range 6 {
		l.must(create(vouched(i, "ann")))
	}
	l.clock += 1000
	l.must(create(vouched(10, "ann")))
	l.clock += 1000
	l.must(putPolicy(timers("default", 60_000, 0, 0))) // ends one of six
	for range 2 {
		for i := range 6 {
			l.wantLive(i, false)
			l.wantCode(touch(i), codeUnauthenticated)
		}
		l.m = restored(t, snapshotOf(t, l.m), fsm.Options{EndsPerEntry: 1})
	}
	l.wantLive(10, true)
	if st := l.m.Stats(); st.Sessions != 1 {
		t.Fatalf("the dead were not removed: %+v", st)
	}
	l.clock += 58_999
	l.apply()
	l.wantLive(10, true)
	l.clock++ // used at 1,000: until 61,000
	l.apply()
	l.wantLive(10, false)
}

func TestAbsoluteEndsComeNearerNeverFurther(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	end := func(n int) int64 {
		t.Helper()
		r, ok := l.m.SessionByKey(keyOf(n))
		if !ok {
			t.Fatalf("session %d is gone", n)
		}
		return r.AbsoluteEndMS - r.CreatedMS
	}
	want := func(lifetimes ...int64) {
		t.Helper()
		for n, lifetime := range lifetimes {
			if got := end(n); got != lifetime {
				t.Fatalf("session %d lives %d ms, want %d", n, got, lifetime)
			}
		}
		l.m = restored(t, snapshotOf(t, l.m), fsm.Options{})
	}
	put := func(lifetime int64) { l.must(putPolicy(timers("default", 0, lifetime, 0))) }
	next := 0
	made := func() { l.must(create(vouched(next, "ann"))); next++ }
	put(40_000)
	made()
	want(40_000)
	put(60_000) // all within one millisecond
	want(40_000)
	made()
	want(40_000, 60_000)
	put(50_000)
	want(40_000, 50_000)
	l.clock += 10
	made()
	put(90_000)
	made()
	want(40_000, 50_000, 50_000, 90_000)
	put(45_000)
	want(40_000, 45_000, 45_000, 45_000)
	l.must(putPolicy(timers("default", 3600_000, 0, 0)))
	made()
	want(40_000, 45_000, 45_000, 45_000)
	if r, _ := l.m.SessionByKey(keyOf(4)); r.AbsoluteEndMS != 0 {
		t.Fatalf("got %+v", r)
	}
	l.clock = start + 50_000
	if ended := l.apply().Ended; len(ended) != 4 {
		t.Fatalf("ended %+v", ended)
	}
	l.wantLive(4, true)
}

func TestEarlierLifetimesInForceAreLimited(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	var r *fsmpb.Result
	n := 0
	for ; n < 100; n++ {
		l.must(create(vouched(n, "ann")))
		if r = l.do(putPolicy(timers("default", 0, 50_000_000+int64(n)*1000, 0))); r.Code != codeOK {
			break
		}
	}
	if r.Code != codeConflict || n != 64 {
		t.Fatalf("after %d: %v", n, r)
	}
	if p, _ := l.m.Policy("default"); p.AbsoluteLifetime.Milliseconds() != 50_000_000+63*1000 {
		t.Fatalf("the refused change left %+v", p)
	}
	l.must(putPolicy(timers("default", 0, 50_000_000, 0))) // shorter for all: nothing to remember
	l.must(putPolicy(timers("default", 0, 60_000_000, 0)))
}

func TestPoliciesAreCreatedMergedAndDeleted(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	if got := l.m.Policies(); len(got) != 0 {
		t.Fatalf("policies from nowhere: %+v", got)
	}
	if r := l.must(create(vouched(1, "ann"))).GetSession(); r.IdleMs != session.DefaultIdleTimeout.Milliseconds() {
		t.Fatalf("before a policy is stored: %v", r)
	}
	web := timers("web", 60_000, 0, -1)
	web.Mode = fsmpb.PutPolicy_MODE_CREATE
	v := l.must(putPolicy(web)).GetVersion()
	l.wantCode(putPolicy(web), codeExists)
	first := timers("default", 60_000, 0, -1)
	first.Mode = fsmpb.PutPolicy_MODE_CREATE
	l.must(putPolicy(first)) // nobody had stored it
	l.wantCode(putPolicy(first), codeExists)
	merge := &fsmpb.PutPolicy{Name: "web", Mode: fsmpb.PutPolicy_MODE_MERGE, AbsoluteMs: ptr(int64(7000_000)), ExpectedVersion: &v, Authority: system()}
	l.must(putPolicy(merge))
	l.wantCode(putPolicy(merge), codeVersion)
	p, _ := l.m.Policy("web")
	if p.IdleTimeout.Milliseconds() != 60_000 || p.AbsoluteLifetime.Milliseconds() != 7000_000 || p.TouchWindow != session.TouchWindowAuto {
		t.Fatalf("merged: %+v", p)
	}
	c := vouched(2, "ann")
	c.Policy = "web"
	l.must(create(c))
	gone := deletePolicy(&fsmpb.DeletePolicy{Name: "web", Authority: system()})
	l.wantCode(gone, codeConflict)
	l.must(revokeKey(2))
	l.must(putUser(&fsmpb.PutUser{Name: "bob", Mode: fsmpb.PutUser_MODE_CREATE, Policies: &fsmpb.NameList{Names: []string{"web"}}, Authority: system()}))
	l.wantCode(gone, codeConflict)
	l.must(deleteUser(&fsmpb.DeleteUser{Name: "bob", Authority: system()}))
	l.must(gone)
	if got := l.m.Policies(); len(got) != 1 || got[0].Name != "default" {
		t.Fatalf("left: %+v", got)
	}
}

func TestPoliciesAreLimited(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	for i := range session.MaxPolicies - 1 {
		l.must(putPolicy(timers(fmt.Sprintf("p%d", i), 1000, 0, 0)))
	}
	l.wantCode(putPolicy(timers("one-more", 1000, 0, 0)), codeTooLarge)
	c := vouched(1, "ann")
	c.Policy = "p254"
	l.must(create(c))
	m := restored(t, snapshotOf(t, l.m), fsm.Options{})
	if r, ok := m.SessionByKey(keyOf(1)); !ok || r.Policy != "p254" {
		t.Fatalf("restored %+v", r)
	}
}

// A user logs in under its own policies, services and admins choose.
func TestWhoMayChooseAPolicy(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	l.must(putPolicy(timers("web", 60_000, 0, 0)))
	l.must(putPolicy(timers("app", 60_000, 0, 0)))
	ann := account("ann", "hash")
	ann.Policies = &fsmpb.NameList{Names: []string{"web", "default"}}
	v := l.must(putUser(ann)).GetVersion()
	w := l.must(putUser(account("bob", "hash"))).GetVersion()
	as := func(n int, user string, version uint64, policy string) *fsmpb.Command {
		c := login(n, user, version)
		c.GetCreateSession().Policy = policy
		return c
	}
	for n, c := range []struct {
		command *fsmpb.Command
		want    string
	}{
		{as(0, "ann", v, ""), "web"}, {as(1, "ann", v, "default"), "default"}, {as(2, "ann", v, "app"), ""},
		{as(3, "bob", w, ""), "default"}, {as(4, "bob", w, "default"), "default"}, {as(5, "bob", w, "web"), ""},
	} {
		if c.want == "" {
			l.wantCode(c.command, codeForbidden)
			continue
		}
		if got := l.must(c.command).GetSession().Policy; got != c.want {
			t.Fatalf("%d: policy %q, want %q", n, got, c.want)
		}
	}
	chosen := vouched(9, "bob")
	chosen.Policy = "app"
	l.must(create(chosen))
}
