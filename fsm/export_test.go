package fsm_test

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// exported is all that a machine gives to a move.
type exported struct {
	cluster  fsm.ExportedCluster
	users    []*fsmpb.MovedUser // in the order of their names
	sessions []fsm.ExportedSession
}

// exportOf reads in pages of n.
func exportOf(t testing.TB, m *fsm.Machine, n int) (e exported) {
	t.Helper()
	e.cluster = m.ExportCluster()
	for cursor, more := "", true; more; more = cursor != "" {
		page, next, err := m.ExportUsers(cursor, n)
		if err != nil || len(page) > n {
			t.Fatalf("%d users, %v", len(page), err)
		}
		e.users, cursor = append(e.users, page...), next
	}
	slices.SortFunc(e.users, func(a, b *fsmpb.MovedUser) int { return cmp.Compare(a.Name, b.Name) })
	for after, done := uint64(0), false; !done; {
		var page []fsm.ExportedSession
		before := after
		if page, after, done = m.ExportSessions(after, n); len(page) > n || !done && after <= before {
			t.Fatalf("%d sessions, from %d to %d", len(page), before, after)
		}
		e.sessions = append(e.sessions, page...)
	}
	return e
}

// moves tells whether a session is moved, as the model sees it.
func (m *model) moves(s *modelSession) bool {
	at := m.clock
	switch m.moving.Phase {
	case fsm.PhaseFilling:
		return true
	case fsm.PhaseClosed:
		at = m.moving.AtMS
	}
	return !s.condemned && !s.user.disabled && at < s.deadline()
}

func compareExports(t *testing.T, h *history, got *fsm.Machine, want *model) {
	t.Helper()
	e := exportOf(t, got, 1+h.IntN(5))
	moved := want.of(want.moves)
	if len(e.sessions) != len(moved) || len(e.users) != len(want.users) {
		t.Fatalf("%d sessions and %d users are exported, want %d and %d", len(e.sessions), len(e.users), len(moved), len(want.users))
	}
	for i, s := range moved {
		x := e.sessions[i]
		w := fsm.ExportedSession{
			MovedSession: x.MovedSession, Seq: s.seq, DeadlineMS: zeroIfNever(s.deadline()), IdleMS: s.idle(), InactivityMS: s.inactivity(), WindowMS: s.window(),
			AbsoluteEndMS: zeroIfNever(s.absoluteEnd), PolicyVersion: s.policy.version,
		}
		if x != w {
			t.Fatalf("exported %+v, want %+v", x, w)
		}
		if m := s.asMoved(x.Retired); !proto.Equal(x.MovedSession, m) {
			t.Fatalf("exported\n%v, want\n%v", x.MovedSession, m)
		}
	}
	for _, u := range e.users {
		if w := want.users[u.Name].asMoved(u.Account.GetCreatedMs()); !proto.Equal(u, w) {
			t.Fatalf("exported\n%v, want\n%v", u, w)
		}
	}
	if c := e.cluster; c.Floor != want.floor || c.Version != want.version || c.LastSeal != want.lastSealKey || len(c.Seals) != len(want.sealKeys) ||
		len(c.Policies) != len(want.policies) || c.Limits.Version != want.version2 {
		t.Fatalf("exported %+v", c)
	}
}

// asMoved is the session in the form in which it is moved. Whether the successor of a key whose grace is over has been forgotten shows in the key alone.
func (s *modelSession) asMoved(retired []*fsmpb.MovedKey) *fsmpb.MovedSession {
	out := &fsmpb.MovedSession{
		KeyHash: s.key[:], Id: s.id[:], User: s.user.name, Policy: s.policy.name, Number: s.number, CreatedMs: s.created, LastUseMs: s.lastUse, LastActivityMs: s.activity,
		AuthMs: s.auth, Permanent: s.permanent, IdleMs: s.own, WindowMs: s.ownWindow, BindAddress: s.bound, Roles: sortedRoles(s.roles), Methods: sortedMethods(s.methods),
		Address: []byte(s.address), UserAgent: s.agent, AttributesVersion: s.version,
	}
	for _, name := range slices.Sorted(maps.Keys(s.attributes)) {
		out.Attributes = append(out.Attributes, &fsmpb.Attribute{Name: name, Value: []byte(s.attributes[name])})
	}
	for i, k := range s.retired {
		moved := &fsmpb.MovedKey{Hash: k.key[:], GraceMs: k.until, Sealed: []byte(k.sealed)}
		if i < len(retired) && retired[i].GraceMs == 0 {
			moved.GraceMs, moved.Sealed = 0, nil
		}
		out.Retired = append(out.Retired, moved)
	}
	return out
}

func (u *modelUser) asMoved(created int64) *fsmpb.MovedUser {
	out := &fsmpb.MovedUser{Name: u.name, LastNumber: u.lastNumber}
	for _, name := range slices.Sorted(maps.Keys(u.preferences)) {
		out.Preferences = append(out.Preferences, &fsmpb.Attribute{Name: name, Value: []byte(u.preferences[name])})
	}
	if u.stored {
		out.Account = &fsmpb.MovedAccount{
			PasswordHash: u.password, Md5Verifier: []byte(u.verifier), Md5Login: u.md5, Roles: sortedRoles(u.roles), Policies: u.policies, Disabled: u.disabled,
			CreatedMs: created, Version: u.version,
		}
	}
	return out
}

// begin is the command that begins to fill a cluster with what was exported.
func (e exported) begin(origin string) *fsmpb.BeginImport {
	c := &fsmpb.BeginImport{
		Origin: origin, History: 1, LastSealKey: e.cluster.LastSeal, Floor: e.cluster.Floor, Version: e.cluster.Version,
		Limits: &fsmpb.MovedLimits{MaxSessions: uint32(e.cluster.Limits.MaxSessions), Version: e.cluster.Limits.Version},
	}
	for number, name := range onLimitNames {
		if name == string(e.cluster.Limits.OnLimit) {
			c.Limits.OnLimit = number
		}
	}
	for _, p := range e.cluster.Policies {
		c.Policies = append(c.Policies, &fsmpb.MovedPolicy{Policy: putWhole(p), Version: p.Version})
	}
	for _, k := range e.cluster.Seals {
		c.SealKeys = append(c.SealKeys, &fsmpb.MovedSealKey{
			Id: k.ID, Salt: k.Salt[:], Check: k.Check[:], MemoryKib: k.MemoryKiB, Iterations: k.Iterations, Parallelism: uint32(k.Parallelism)})
	}
	return c
}

// past is the command that says what earlier forms of the policies that were exported still mean.
func (e exported) past(origin string) *fsmpb.ImportPast {
	c := &fsmpb.ImportPast{Origin: origin}
	for _, p := range e.cluster.Past {
		if n := len(c.Policies); n == 0 || c.Policies[n-1].Policy != p.Name {
			c.Policies = append(c.Policies, &fsmpb.MovedPast{Policy: p.Name})
		}
		of := c.Policies[len(c.Policies)-1]
		of.Lifetimes = append(of.Lifetimes, &fsmpb.MovedLifetime{UntilMs: p.UntilMS, LifetimeMs: p.AbsoluteLifetime.Milliseconds()})
	}
	return c
}

// putWhole puts a policy with all its fields.
func putWhole(p session.Policy) *fsmpb.PutPolicy {
	c := timers(p.Name, p.IdleTimeout.Milliseconds(), p.AbsoluteLifetime.Milliseconds(), p.TouchWindow.Milliseconds())
	if c.Authority = nil; p.TouchWindow == session.TouchWindowAuto {
		c.TouchWindowMs = ptr(int64(-1))
	}
	if p.AttributesWrite == session.WriteByBearer {
		c.AttributesWrite = fsmpb.AttributesWriter_ATTRIBUTES_WRITER_BEARER
	}
	c.InactivityMs, c.RotateGraceMs = ptr(p.InactivityTimeout.Milliseconds()), ptr(p.RotateGrace.Milliseconds())
	c.NoTickle, c.PermanentAllowed, c.LongerIdleAllowed, c.AttributesLocal = &p.NoTickle, &p.PermanentAllowed, &p.LongerIdleAllowed, ptr(p.Attributes == session.AttributesLocal)
	c.BindAddress = map[session.AddressBinding]fsmpb.AddressBinding{"off": 1, "log": 2, "strict": 3}[p.BindAddress]
	c.KeyFormat = map[session.KeyFormat]fsmpb.KeyFormat{session.KeyNative: 1, session.KeyHex32: 2, session.KeyHex64: 3, session.KeyAlnum25: 4, session.KeyWS: 5}[p.KeyFormat]
	c.MaxSessionsPerUser, c.MaxSessionsPerAddress, c.MaxSessions = ptr(uint32(p.MaxSessionsPerUser)), ptr(uint32(p.MaxSessionsPerAddress)), ptr(uint32(p.MaxSessions))
	c.SingleSession, c.PermanentCounted = &p.SingleSession, &p.PermanentCounted
	for number, name := range onLimitNames {
		if name == string(p.OnLimit) {
			c.OnLimit = number
		}
	}
	return c
}

// fill moves what was exported into a cluster, as far as its being whole.
func fill(l *log, e exported, origin string) {
	l.t.Helper()
	l.must(beginImport(e.begin(origin)))
	l.must(importPast(e.past(origin)))
	for users := range slices.Chunk(e.users, 3) {
		l.must(importUsers(&fsmpb.ImportUsers{Origin: origin, Users: users}))
	}
	for some := range slices.Chunk(e.sessions, 7) {
		c := &fsmpb.ImportSessions{Origin: origin}
		for _, s := range some {
			c.Sessions = append(c.Sessions, s.MovedSession)
		}
		l.must(importSessions(c))
		l.clock += 100 // which changes nothing
	}
}

// wantSameExport compares what two clusters would be moved as. Sequence numbers are each cluster's own.
func wantSameExport(t *testing.T, got, want exported) {
	t.Helper()
	for _, c := range []*fsm.ExportedCluster{&got.cluster, &want.cluster} {
		for i := range c.Seals {
			c.Seals[i].Uses = 0 // those of what is dead are not moved
		}
	}
	if !reflect.DeepEqual(got.cluster, want.cluster) {
		t.Fatalf("the cluster is exported as\n%+v, want\n%+v", got.cluster, want.cluster)
	}
	if !slices.EqualFunc(got.users, want.users, func(a, b *fsmpb.MovedUser) bool { return proto.Equal(a, b) }) {
		t.Fatalf("users are exported as\n%v, want\n%v", got.users, want.users)
	}
	if len(got.sessions) != len(want.sessions) {
		t.Fatalf("%d sessions are exported, want %d", len(got.sessions), len(want.sessions))
	}
	for i, w := range want.sessions {
		g := got.sessions[i]
		if !proto.Equal(g.MovedSession, w.MovedSession) {
			t.Fatalf("a session is exported as\n%v, want\n%v", g.MovedSession, w.MovedSession)
		}
		if g.MovedSession, g.Seq = w.MovedSession, w.Seq; g != w {
			t.Fatalf("a session is exported as %+v, want %+v", g, w)
		}
	}
}

// What a random history has made is moved into a fresh cluster, which then is exported the same, and goes on like the model of the first one, less what is not
// moved: see model.movedTo.
func TestAMovedClusterGoesOnAsBefore(t *testing.T) {
	t.Parallel()
	for seed := range *modelSeeds {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			h := newHistory(5000 + seed)
			h.crowd = seed%3 == 0
			ends := 1 + h.IntN(6)
			o := fsm.Options{EndsPerEntry: ends, HashSeed: seed}
			first, before := newLog(t, o), newModel(ends)
			goOn(t, h, first, before, 200)
			now := first.m.Moving()
			for _, c := range []*fsmpb.Command{finishFilling(now.Filling, now.Origin, uint64(now.Accounts), uint64(now.Sessions)), openCluster(), setHome(atCluster), closeCluster()} {
				first.do(c)
				before.apply(first.index, first.clock, []*fsmpb.Command{c})
			}
			if now = first.m.Moving(); now.Phase != fsm.PhaseClosed {
				t.Fatalf("not closed: %+v", now)
			}
			want := exportOf(t, first.m, 5)
			first.clock += int64(h.IntN(20_000))
			first.apply()
			before.apply(first.index, first.clock, nil)
			wantSameExport(t, exportOf(t, first.m, 3), want)

			second := newLog(t, o)
			second.clock = first.m.ClockMS()
			fill(second, want, "first")
			wantSameExport(t, exportOf(t, second.m, 4), want)
			second.m = restored(t, snapshotOf(t, second.m), o)
			wantSameExport(t, exportOf(t, second.m, 4), want)
			now = second.m.Moving()
			second.must(finishImport("first", uint64(now.Accounts), uint64(now.Sessions)))
			after := before.movedTo(first.m.Moving().AtMS)
			after.clock, after.history, after.moving = second.m.ClockMS(), firstFilling+1, fsm.Moving{Origin: "first", SealLast: want.cluster.LastSeal}
			after.index = second.index
			for n := 0; second.m.Stats().ShellUsers > shellsOf(after); n++ {
				if second.apply(); n > len(want.users) {
					t.Fatal("users without account and session stay")
				}
				after.apply(second.index, second.clock, nil)
			}
			compareReads(t, h, second.m, after)
			goOn(t, h, second, after, 150)
		})
	}
}

func shellsOf(m *model) int { return len(m.users) - m.accounts() }

// goOn applies some entries of a history to a machine and its model and compares them.
func goOn(t *testing.T, h *history, l *log, want *model, entries int) {
	t.Helper()
	for range entries {
		l.clock += h.advance()
		h.follow(l.m)
		commands := h.entry()
		applied := l.apply(commands...)
		noteVersions(h, applied)
		results, ended := want.apply(l.index, l.clock, commands)
		compareApplied(t, applied, commands, results, ended)
		if h.chance(20) {
			compareReads(t, h, l.m, want)
		}
	}
}
