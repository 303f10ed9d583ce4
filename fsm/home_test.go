package fsm_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

const (
	atCluster = fsmpb.SessionHome_SESSION_HOME_CLUSTER
	atNode    = fsmpb.SessionHome_SESSION_HOME_NODE
)

func TestSessionHomeChangesOnlyWithoutSessions(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{Events: true})
	l.must(create(vouched(1, "ann")))
	l.wantCode(setHome(atNode), codeConflict)
	l.must(revoke(&fsmpb.RevokeSession{KeyHash: bytesOf(keyOf(1))}))
	applied := l.apply(setHome(atNode))
	first := applied.Batches[0].Results[0].GetVersion()
	if want := (fsm.Home{Node: true, Version: first}); l.m.Home() != want || first == 0 {
		t.Fatalf("home %+v, want %+v", l.m.Home(), want)
	}
	if e := applied.Events; len(e) != 1 || e[0].Kind != fsm.EventSessionHome || e[0].Reason != "node" || e[0].Version != first {
		t.Errorf("events %+v", e)
	}
	if again := l.must(setHome(atNode)).GetVersion(); again != first {
		t.Errorf("set again: version %d, want %d", again, first)
	}
	if r := l.do(create(vouched(2, "ann"))); r.Code != codeConflict || r.Field != "session_home" {
		t.Errorf("a session in the cluster: %v %q", r.Code, r.Field)
	}
	l.wantCode(setHome(3), codeInvalid)
	if second := l.must(setHome(atCluster)).GetVersion(); second <= first || l.m.Home() != (fsm.Home{Version: second}) {
		t.Errorf("home %+v after version %d", l.m.Home(), second)
	}
	l.must(create(vouched(3, "ann")))
}

// TestEndingsFollowTheAccount: what ends a user's sessions ends those at nodes, and nothing else does.
func TestEndingsFollowTheAccount(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	l.must(putUser(account("root", "hash", fsmpb.Role_ROLE_ADMIN)))
	l.must(putUser(account("old", "hash")))
	l.must(setHome(atNode))
	change := func(name string, fill func(c *fsmpb.PutUser)) uint64 {
		t.Helper()
		c := &fsmpb.PutUser{Name: name, Mode: fsmpb.PutUser_MODE_UPDATE, Authority: system()}
		fill(c)
		return l.must(putUser(c)).GetVersion()
	}
	want := func(what, name string, want fsm.Endings) {
		t.Helper()
		for state, m := range map[string]*fsm.Machine{"applied": l.m, "restored": restored(t, snapshotOf(t, l.m), fsm.Options{})} {
			if got := m.UserAtNodes(name).Endings; got != want {
				t.Fatalf("%s, %s: endings of %s are %+v, want %+v", what, state, name, got, want)
			}
		}
	}
	none := fsm.Endings{}
	want("an account from before", "old", none)
	want("nobody", "ann", none)
	without := account("ann", "")
	without.PasswordHash = nil
	l.must(putUser(without))
	want("an account without password", "ann", none)
	first := change("ann", func(c *fsmpb.PutUser) { c.PasswordHash, c.ExceptId = ptr("one"), bytesOf(idOf(1)) })
	e := fsm.Endings{Sessions: fsm.Ending{At: first}, Spared: idOf(1)}
	want("a password", "ann", e)
	change("ann", func(c *fsmpb.PutUser) { c.Roles = &fsmpb.RoleList{Roles: []fsmpb.Role{admin}} })
	l.must(upgradePassword(&fsmpb.UpgradePassword{User: "ann", ExpectedVersion: l.m.PoliciesVersion(), PasswordHash: "the same"}))
	want("roles, and another hash of the password", "ann", e)
	second := change("ann", func(c *fsmpb.PutUser) { c.PasswordHash, c.EndPermanent = ptr("two"), true })
	e = fsm.Endings{Sessions: fsm.Ending{At: second, Before: first}, Permanent: fsm.Ending{At: second}}
	want("another password, and permanent sessions", "ann", e)
	third := change("ann", func(c *fsmpb.PutUser) { c.Disabled, c.ExceptId = ptr(true), bytesOf(idOf(1)) })
	e = fsm.Endings{Sessions: fsm.Ending{At: third, Before: second}, Permanent: fsm.Ending{At: third, Before: second}}
	want("disabled", "ann", e)
	change("ann", func(c *fsmpb.PutUser) { c.Disabled = ptr(false) })
	want("enabled again", "ann", e)
	fourth := l.must(deleteUser(&fsmpb.DeleteUser{Name: "ann", Authority: system()})).GetVersion()
	e = fsm.Endings{Sessions: fsm.Ending{At: fourth, Before: third}, Permanent: fsm.Ending{At: fourth, Before: third}}
	want("deleted", "ann", e)
	if r, ok := l.m.User("ann"); !ok || !r.Shell {
		t.Errorf("what is left of ann: %+v %v, want a shell", r, ok)
	}
	if list := l.m.ListUsers("", 10); len(list) != 2 {
		t.Errorf("listed %d accounts, want 2", len(list))
	}
	l.must(putUser(without))
	want("created again", "ann", e)
	golden(t, "home_snapshot.golden", []byte(hex.Dump(snapshotOf(t, l.m))))
}

func TestEndingHolds(t *testing.T) {
	t.Parallel()
	e := fsm.Endings{Sessions: fsm.Ending{At: 9, Before: 7}, Permanent: fsm.Ending{At: 5, Before: 3}, Spared: idOf(1)}
	for _, c := range []struct {
		what      string
		id        session.ID
		permanent bool
		under     uint64
		want      bool
	}{
		{"made since", idOf(2), false, 9, true},
		{"made before", idOf(2), false, 7, false},
		{"made before, and spared", idOf(1), false, 7, true},
		{"spared, but dead before", idOf(1), false, 5, false},
		{"no session", session.ID{}, false, 7, false},
		{"permanent, which nothing has ended since", idOf(2), true, 5, true},
		{"permanent, made before", idOf(2), true, 3, false},
		{"from a future that was never", idOf(2), false, 10, false},
	} {
		if got := e.Holds(c.id, c.permanent, c.under); got != c.want {
			t.Errorf("%s: holds %v, want %v", c.what, got, c.want)
		}
	}
	e.Spared = session.ID{}
	if e.Holds(session.ID{}, false, 7) {
		t.Error("nobody is spared, and no session holds")
	}
}

// TestTooManyForgotten: beyond the bound, a deletion ends the sessions at nodes of every user without record, and no others'.
func TestTooManyForgotten(t *testing.T) {
	t.Parallel()
	const bound, batch = 100_000, 2_000
	l := newLog(t, fsm.Options{})
	l.must(setHome(atNode))
	var commands []*fsmpb.Command
	for i := range bound {
		name := fmt.Sprintf("user-%d", i)
		commands = append(commands, putUser(account(name, "hash")), deleteUser(&fsmpb.DeleteUser{Name: name, Authority: system()}))
		if len(commands) >= batch {
			l.apply(commands...)
			commands, l.entries = nil, nil
		}
	}
	remembered := l.m.UserAtNodes("user-7").Endings
	if l.m.UserAtNodes("stranger").Endings != (fsm.Endings{}) || l.m.Stats().ShellUsers != bound {
		t.Fatalf("endings of a stranger %+v, %d shells", l.m.UserAtNodes("stranger").Endings, l.m.Stats().ShellUsers)
	}
	l.must(putUser(account("last", "hash")))
	gone := l.must(deleteUser(&fsmpb.DeleteUser{Name: "last", Authority: system()})).GetVersion()
	all := fsm.Ending{At: gone}
	if want := (fsm.Endings{Sessions: all, Permanent: all}); l.m.UserAtNodes("stranger").Endings != want || l.m.UserAtNodes("last").Endings != want {
		t.Errorf("endings of a stranger %+v, of the last %+v, want %+v", l.m.UserAtNodes("stranger").Endings, l.m.UserAtNodes("last").Endings, want)
	}
	if l.m.UserAtNodes("user-7").Endings != remembered {
		t.Errorf("endings of an earlier one %+v, want %+v", l.m.UserAtNodes("user-7").Endings, remembered)
	}
	snapshot := snapshotOf(t, l.m)
	if m := restored(t, snapshot, fsm.Options{}); m.UserAtNodes("stranger").Endings != l.m.UserAtNodes("stranger").Endings || !bytes.Equal(snapshotOf(t, m), snapshot) {
		t.Error("the restored state has another floor")
	}
	bare := account("stranger", "")
	bare.PasswordHash = nil
	l.must(putUser(bare))
	if got := l.m.UserAtNodes("stranger").Endings; got.Sessions != all {
		t.Errorf("endings of a new account without password %+v, want those from before it", got)
	}
}

// TestPastOfPolicies: changes of a policy leave what they mean for sessions that nobody sees from here.
func TestPastOfPolicies(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	l.must(setHome(atNode))
	l.must(putPolicy(timers("p", 60_000, 600_000, 0)))
	past := func() fsm.Past {
		for _, p := range l.m.PoliciesWithPast() {
			if p.Name == "p" {
				return p.Past
			}
		}
		t.Fatal("there is no policy p")
		return fsm.Past{}
	}
	if got := past(); got.Uses != (fsm.Lapse{}) || len(got.Lifetimes) != 0 {
		t.Fatalf("a new policy has a past: %+v", got)
	}
	l.clock += 100_000
	l.must(putPolicy(timers("p", 30_000, 300_000, 0)))
	if got := past(); got.Uses != (fsm.Lapse{}) || len(got.Lifetimes) != 0 {
		t.Fatalf("shorter timers leave %+v", got)
	}
	l.clock += 100_000
	l.must(putPolicy(timers("p", 90_000, 900_000, 0)))
	got := past()
	if want := (fsm.Lapse{ThroughMS: l.clock - 30_000, SpanMS: 30_000}); got.Uses != want {
		t.Errorf("uses %+v, want %+v", got.Uses, want)
	}
	if len(got.Lifetimes) != 1 || got.Lifetimes[0] != (fsm.PastLifetime{ThroughMS: l.clock, LifetimeMS: 300_000}) {
		t.Errorf("lifetimes %+v", got.Lifetimes)
	}
	if again := restored(t, snapshotOf(t, l.m), fsm.Options{}).PoliciesWithPast(); len(again) != 1 || again[0].Uses != got.Uses || len(again[0].Lifetimes) != 1 {
		t.Errorf("restored %+v, want %+v", again, got)
	}
}

// TestAUserAtNodesIsOneLook: whoever reads while accounts change sees the endings of just the account that it sees.
func TestAUserAtNodesIsOneLook(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	l.must(setHome(atNode))
	l.must(putUser(account("ann", "hash")))
	var done atomic.Bool
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for !done.Load() {
				u := l.m.UserAtNodes("ann")
				if u.Account.Shell || u.Account.Version != u.Endings.Sessions.At || !u.Home.Node {
					t.Errorf("the account of version %d (a shell: %v) with endings %+v", u.Account.Version, u.Account.Shell, u.Endings)
					return
				}
			}
		})
	}
	for i := range 20_000 {
		l.apply(putUser(&fsmpb.PutUser{Name: "ann", Mode: fsmpb.PutUser_MODE_UPDATE, Authority: system(), PasswordHash: ptr(fmt.Sprint(i))}))
		l.entries = nil
	}
	done.Store(true)
	readers.Wait()
}
