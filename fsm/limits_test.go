package fsm_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// crowded draws what happens where many log in under limits that change.
func (h *history) crowded() *fsmpb.Command {
	switch n := h.IntN(100); {
	case n < 70:
		return create(h.crowdLogin())
	case n < 85:
		return touch(h.known())
	case n < 92:
		c := &fsmpb.PutPolicy{Name: pick(h, []string{"default", "short"}), Mode: fsmpb.PutPolicy_MODE_MERGE, Authority: system()}
		h.putPolicyLimits(c)
		return putPolicy(c)
	case n < 94:
		c := h.putLimits()
		c.Authority, c.ExpectedVersion = system(), nil
		return putLimits(c)
	case n < 96:
		return revokeUser(&fsmpb.RevokeUserSessions{User: pick(h, historyUsers[:3]), ExceptId: bytesOf(idOf(h.known())), Authority: system()})
	case n < 98:
		return putPolicy(allowing(timers("short", int64(1+h.IntN(3))*1000, 0, 0)))
	}
	return putUser(&fsmpb.PutUser{Name: pick(h, historyUsers[:3]), Mode: fsmpb.PutUser_MODE_UPDATE, Disabled: ptr(h.chance(30)), Authority: system()})
}

// allowing lets permanent sessions be made.
func allowing(c *fsmpb.PutPolicy) *fsmpb.PutPolicy {
	c.PermanentAllowed = ptr(true)
	return c
}

func (h *history) crowdLogin() *fsmpb.CreateSession {
	c := vouched(h.made, pick(h, historyUsers[:3]))
	h.made++
	c.Policy = pick(h, []string{"default", "default", "short"})
	if h.chance(70) {
		a := netip.AddrFrom4([4]byte{10, 0, 0, byte(h.IntN(3))}).As16()
		c.Address = a[:]
	}
	switch h.IntN(10) {
	case 0:
		c.Permanent = true
	case 1, 2:
		c.IdleMs = ptr(int64(1+h.IntN(3)) * 1000)
	}
	return c
}

// census counts living sessions, permanent ones or the others, by reading the machine, one list a limit.
func census(m *fsm.Machine, f session.Filter) (n int) {
	after, done := uint64(0), false
	for !done {
		var items []fsm.Record
		items, after, done = m.ListSessions(f, after, 0, session.MaxPageSize, fsm.MaxScan)
		n += len(items)
	}
	return n
}

// sessionCap is a limit, and what it counts: permanent sessions, and in all.
type sessionCap struct {
	lasting, all, most int
	onLimit            session.OnLimit
}

// capsOf is what a log-in meets, told without the machine's own counting.
func capsOf(m *fsm.Machine, c *fsmpb.CreateSession) map[string]sessionCap {
	p, ok := m.Policy(c.Policy)
	if !ok {
		return nil
	}
	caps := map[string]sessionCap{}
	add := func(field string, most int, f session.Filter) {
		counted := p.PermanentCounted && field != "single_session" && field != "cluster"
		if most == 0 || c.Permanent && !counted {
			return
		}
		of := sessionCap{most: most, onLimit: p.OnLimit}
		switch field {
		case "single_session":
			of.onLimit = session.OnLimitOldest
		case "cluster":
			of.onLimit = m.Limits().OnLimit
		}
		of.all = census(m, f)
		if f.Permanent = true; counted {
			of.lasting = census(m, f)
			of.all += of.lasting
		}
		caps[field] = of
	}
	if p.SingleSession {
		add("single_session", 1, session.Filter{Policy: c.Policy, User: c.User})
	}
	if !p.SingleSession || c.Permanent || p.PermanentCounted {
		add("max_sessions_per_user", p.MaxSessionsPerUser, session.Filter{Policy: c.Policy, User: c.User})
	}
	if a, ok := netip.AddrFromSlice(c.Address); ok {
		add("max_sessions_per_address", p.MaxSessionsPerAddress, session.Filter{Policy: c.Policy, ClientAddress: a.Unmap()})
	}
	add("max_sessions", p.MaxSessions, session.Filter{Policy: c.Policy})
	add("cluster", m.Limits().MaxSessions, session.Filter{})
	return caps
}

// What a log-in does to the living is judged by lists alone: none takes a set of sessions over its limit, none is refused below it, and
// nobody living is evicted where a limit has room.
func TestLogInsKeepLimitsExactly(t *testing.T) {
	t.Parallel()
	busy, refused, evicted, stuck := 0, 0, 0, 0
	for seed := range uint64(40) {
		h := newHistory(seed)
		h.crowd = true
		l := newLog(t, fsm.Options{EndsPerEntry: 1})
		l.must(putPolicy(allowing(timers("default", 10_000, 20_000, 500))))
		l.must(putPolicy(allowing(timers("short", 2_000, 0, 0))))
		for step := range 400 {
			l.clock += h.advance()
			command := h.crowded()
			l.apply() // brings the clock: the living are those of the next entry
			before := census(l.m, session.Filter{})
			c := command.GetCreateSession()
			caps := map[string]sessionCap{}
			if c != nil {
				caps = capsOf(l.m, c)
			}
			applied := l.apply(command)
			r := applied.Batches[0].Results[0]
			if c == nil {
				continue
			}
			ended := 0
			for _, e := range applied.Ended {
				if e.Cause == fsm.CauseEvicted || e.Cause == fsm.CauseReplaced {
					ended++
				}
			}
			name := fmt.Sprintf("seed %d, step %d, %v", seed, step, c)
			switch r.Code {
			case fsmpb.Code_CODE_OK:
				checkLoggedIn(t, name, capsOf(l.m, c), caps, ended)
				made := 1
				if c.Permanent {
					made = 0
				}
				if after := census(l.m, session.Filter{}); after != before+made-ended {
					t.Fatalf("%s: %d live after %d lived and %d were evicted", name, after, before, ended)
				}
				evicted += ended
			case fsmpb.Code_CODE_SESSION_LIMIT:
				cap := caps[r.Field]
				if cap.most == 0 || cap.all < cap.most || ended > 0 {
					t.Fatalf("%s: refused by %q: %+v; evicted %d", name, r.Field, cap, ended)
				}
				if cap.onLimit.Evicts() {
					if stuck++; cap.lasting < cap.most {
						t.Fatalf("%s: refused by %q, which evicts: %+v", name, r.Field, cap)
					}
				}
				refused++
			case fsmpb.Code_CODE_BUSY:
				if ended > 0 || l.m.Stats().Sessions == before {
					t.Fatalf("%s: busy with %d of %d records alive, %d evicted", name, before, l.m.Stats().Sessions, ended)
				}
				busy++
			}
		}
	}
	if busy == 0 || refused == 0 || evicted == 0 || stuck == 0 {
		t.Errorf("the history met busy %d, refused %d, evicted %d, permanent sessions in the way %d times: it proves nothing", busy, refused, evicted, stuck)
	}
}

func checkLoggedIn(t *testing.T, name string, after, before map[string]sessionCap, ended int) {
	t.Helper()
	full := false
	for field, cap := range after {
		most := max(cap.most, before[field].all)
		if cap.all > most {
			t.Fatalf("%s: %q has %+v, %+v before", name, field, cap, before[field])
		}
		full = full || before[field].all >= cap.most
	}
	if ended > 0 && !full {
		t.Fatalf("%s: evicted %d though every limit had room: %v", name, ended, before)
	}
}

// at lets a log-in come from the n-th address.
func at(n int, c *fsmpb.CreateSession) *fsmpb.CreateSession {
	a := netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}).As16()
	c.Address = a[:]
	return c
}

// What a log-in that leaves its user one session ends makes room at its address, too: however many those are, each counted once.
func TestASingleSessionMakesRoomAtItsAddress(t *testing.T) {
	t.Parallel()
	const here, there = 1, 2
	over := func(n, key int) *fsmpb.CreateSession {
		c := at(here, vouched(n, "ann"))
		c.Replaces = bytesOf(keyOf(key))
		return c
	}
	for name, c := range map[string]struct {
		before []*fsmpb.CreateSession
		login  *fsmpb.CreateSession
		want   fsmpb.Code
		lives  int
	}{
		"all of them there": {
			[]*fsmpb.CreateSession{at(here, vouched(1, "ann")), at(here, vouched(2, "ann")), at(here, vouched(3, "ann"))}, at(here, vouched(9, "ann")), codeOK, 1},
		"some of them there": {
			[]*fsmpb.CreateSession{at(here, vouched(1, "ann")), at(there, vouched(2, "ann")), at(here, vouched(3, "bob")), at(here, vouched(4, "cid"))},
			at(here, vouched(9, "ann")), codeOK, 3},
		"none of them there": {
			[]*fsmpb.CreateSession{at(there, vouched(1, "ann")), at(there, vouched(2, "ann")), at(here, vouched(3, "bob")), at(here, vouched(4, "cid")), at(here, vouched(5, "dan"))},
			at(here, vouched(9, "ann")), fsmpb.Code_CODE_SESSION_LIMIT, 5},
		"the one that it replaces counts once": {
			[]*fsmpb.CreateSession{at(here, vouched(1, "ann")), at(there, vouched(2, "ann")), at(here, vouched(3, "bob")), at(here, vouched(4, "cid")), at(here, vouched(5, "dan"))},
			over(9, 1), fsmpb.Code_CODE_SESSION_LIMIT, 5},
		"the one that it replaces, and another": {
			[]*fsmpb.CreateSession{at(here, vouched(1, "ann")), at(here, vouched(2, "ann")), at(here, vouched(3, "bob")), at(here, vouched(4, "cid"))},
			over(9, 1), codeOK, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLog(t, fsm.Options{})
			l.must(putPolicy(timers("default", 3600_000, 0, 0)))
			for _, c := range c.before {
				l.must(create(c))
			}
			l.must(putPolicy(&fsmpb.PutPolicy{
				Name: "default", Mode: fsmpb.PutPolicy_MODE_MERGE, SingleSession: ptr(true), MaxSessionsPerAddress: ptr(uint32(3)), Authority: system()}))
			if r := l.do(create(c.login)); r.Code != c.want {
				t.Errorf("the log-in came to %v %q, want %v", r.Code, r.Field, c.want)
			}
			if n := census(l.m, session.Filter{}); n != c.lives {
				t.Errorf("%d sessions live, want %d", n, c.lives)
			}
		})
	}
}

// TestPermanentSessionsCountWhereThePolicySaysSo, and are never evicted: where they alone fill a limit, nobody else comes in, and they themselves are
// refused at it.
func TestPermanentSessionsCountWhereThePolicySaysSo(t *testing.T) {
	t.Parallel()
	login := func(n int, user string, permanent bool) *fsmpb.Command {
		c := vouched(n, user)
		c.Policy, c.Permanent, c.Address = "keys", permanent, goldenAddress(1)
		return create(c)
	}
	for _, onLimit := range []fsmpb.OnLimit{refuse, oldest, idle} {
		for field, limit := range map[string]func(c *fsmpb.PutPolicy){
			"max_sessions_per_user":    func(c *fsmpb.PutPolicy) { c.MaxSessionsPerUser = ptr(uint32(2)) },
			"max_sessions_per_address": func(c *fsmpb.PutPolicy) { c.MaxSessionsPerAddress = ptr(uint32(2)) },
			"max_sessions":             func(c *fsmpb.PutPolicy) { c.MaxSessions = ptr(uint32(2)) },
		} {
			l := newLog(t, fsm.Options{EndsPerEntry: 1})
			policy := allowing(timers("keys", 60_000, 0, 0))
			limit(policy)
			policy.OnLimit, policy.PermanentCounted = onLimit, ptr(true)
			l.must(putPolicy(policy))
			refused := func(step string, c *fsmpb.Command) {
				t.Helper()
				if r := l.do(c); r.Code != fsmpb.Code_CODE_SESSION_LIMIT || r.Field != field {
					t.Fatalf("%s, %s, %s: %v", onLimitNames[onLimit], field, step, r)
				}
				l.m = restored(t, snapshotOf(t, l.m), fsm.Options{EndsPerEntry: 1})
			}
			l.must(login(1, "ann", true))
			l.must(login(2, "ann", false))
			if onLimit == refuse {
				refused("one of two is permanent", login(3, "ann", false))
				refused("the same, a permanent one", login(3, "ann", true))
				l.must(revokeKey(2))
			} else {
				l.must(login(3, "ann", false)) // evicts the other one that may go
				l.wantLive(2, false)
			}
			l.must(login(4, "ann", true))
			l.wantLive(3, false)
			refused("two permanent ones", login(5, "ann", false))
			refused("two permanent ones, a third", login(5, "ann", true))
			l.wantLive(1, true)
			l.wantLive(4, true)
			l.must(merge("keys", func(c *fsmpb.PutPolicy) { c.PermanentCounted = ptr(false) }))
			l.must(login(6, "ann", true))
			l.must(login(7, "ann", false))
			l.must(merge("keys", func(c *fsmpb.PutPolicy) { c.PermanentCounted = ptr(true) }))
			refused("more than the limit", login(8, "ann", false))
			// Those that a change of their user has killed count no more, though they are not removed yet.
			l.must(revokeUser(&fsmpb.RevokeUserSessions{User: "ann", Permanent: true, Authority: system()}))
			l.must(login(9, "ann", false))
		}
	}
}
