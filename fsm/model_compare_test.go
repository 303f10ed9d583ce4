package fsm_test

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

var modelSeeds = flag.Uint64("model.seeds", 25, "how many random histories are compared with the model")

// answer is the session part of a result.
func (m *model) answer(s *modelSession, r *fsmpb.Result) {
	st := &fsmpb.SessionState{
		Id: bytes.Clone(s.id[:]), Number: s.number, Seq: s.seq, CreatedMs: s.created, LastUseMs: s.lastUse,
		AbsoluteEndMs: zeroIfNever(s.absoluteEnd), DeadlineMs: zeroIfNever(s.deadline()),
		IdleMs: s.idle(), WindowMs: s.window(), InactivityMs: s.inactivity(), LastActivityMs: s.activity,
		NoTickle: s.policy.noTickle, Permanent: s.permanent, BindAddress: s.binding(), User: s.user.name, Policy: s.policy.name,
		Roles: sortedRoles(s.rolesInForce()), Rotate: s.shouldRotate(), AuthMs: s.auth, Methods: sortedMethods(s.methods), AttributesVersion: s.version, UserAgent: s.agent,
		AttributesWrite: fsmpb.AttributesWriter_ATTRIBUTES_WRITER_SERVICE, AttributesLocal: s.policy.local,
	}
	if s.address != "" {
		st.Address = []byte(s.address)
	}
	if s.policy.bearer {
		st.AttributesWrite = fsmpb.AttributesWriter_ATTRIBUTES_WRITER_BEARER
	}
	for _, name := range slices.Sorted(maps.Keys(s.attributes)) {
		st.Attributes = append(st.Attributes, &fsmpb.Attribute{Name: name, Value: []byte(s.attributes[name])})
	}
	r.Payload = &fsmpb.Result_Session{Session: st}
}

func sortedMethods(methods []fsmpb.Method) (out []fsmpb.Method) {
	for _, m := range []fsmpb.Method{fsmpb.Method_METHOD_DIRECTORY, fsmpb.Method_METHOD_PASSWORD, fsmpb.Method_METHOD_SERVICE} {
		if slices.Contains(methods, m) {
			out = append(out, m)
		}
	}
	return out
}

// sortedRoles orders by name, as the domain does.
func sortedRoles(roles []fsmpb.Role) (out []fsmpb.Role) {
	for _, r := range []fsmpb.Role{admin, service, plain} {
		if slices.Contains(roles, r) {
			out = append(out, r)
		}
	}
	return out
}

// asResult turns what a read says into the form of an answer.
func asResult(r fsm.Record) *fsmpb.SessionState {
	st := &fsmpb.SessionState{
		Id: bytes.Clone(r.ID[:]), Number: r.Number, Seq: r.Seq, CreatedMs: r.CreatedMS, LastUseMs: r.LastUseMS,
		AbsoluteEndMs: r.AbsoluteEndMS, DeadlineMs: r.DeadlineMS, IdleMs: r.IdleMS, WindowMs: r.WindowMS, User: r.User,
		Policy: r.Policy, Rotate: r.Rotate, AuthMs: r.AuthMS, AttributesVersion: r.AttributesVersion, UserAgent: r.UserAgent,
		AttributesWrite: fsmpb.AttributesWriter_ATTRIBUTES_WRITER_SERVICE, AttributesLocal: r.AttributesLocal,
		InactivityMs: r.InactivityMS, LastActivityMs: r.LastActivityMS, NoTickle: r.NoTickle, Permanent: r.Permanent,
		BindAddress: map[session.AddressBinding]fsmpb.AddressBinding{"off": 1, "log": 2, "strict": 3}[r.BindAddress],
	}
	if r.AttributesWrite == session.WriteByBearer {
		st.AttributesWrite = fsmpb.AttributesWriter_ATTRIBUTES_WRITER_BEARER
	}
	if r.Address.IsValid() {
		a := r.Address.As16()
		st.Address = a[:]
	}
	for _, role := range r.Roles {
		st.Roles = append(st.Roles, map[session.Role]fsmpb.Role{"admin": admin, "service": service, "user": plain}[role])
	}
	for _, method := range r.Methods {
		st.Methods = append(st.Methods, map[session.Method]fsmpb.Method{"password": 1, "service": 2, "directory": 3}[method])
	}
	for _, a := range r.Attributes {
		st.Attributes = append(st.Attributes, &fsmpb.Attribute{Name: a.Name, Value: a.Value})
	}
	return st
}

func TestMachineBehavesLikeTheModel(t *testing.T) {
	t.Parallel()
	compareWithModel(t, func(*history) {})
}

func TestMachineBehavesLikeTheModelUnderLimits(t *testing.T) {
	t.Parallel()
	compareWithModel(t, func(h *history) { h.crowd = true })
}

func TestMachineBehavesLikeTheModelAfterAMove(t *testing.T) {
	t.Parallel()
	compareWithModel(t, func(h *history) { h.filled = true })
}

func compareWithModel(t *testing.T, prepare func(*history)) {
	for seed := range *modelSeeds {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			h := newHistory(seed)
			prepare(h)
			ends := 1 + h.IntN(6)
			l, want := newLog(t, fsm.Options{EndsPerEntry: ends, HashSeed: seed}), newModel(ends)
			for range 300 {
				l.clock += h.advance()
				h.follow(l.m)
				commands := h.entry()
				if l.ends = 0; h.chance(20) {
					l.ends = uint32(1 + h.IntN(20))
				}
				want.entryEnds = int(l.ends)
				applied := l.apply(commands...)
				noteVersions(h, applied)
				results, ended := want.apply(l.index, l.clock, commands)
				compareApplied(t, applied, commands, results, ended)
				if h.chance(20) {
					compareReads(t, h, l.m, want)
				}
				if h.chance(5) {
					l.m = restored(t, snapshotOf(t, l.m), fsm.Options{EndsPerEntry: ends, HashSeed: h.Uint64()})
				}
			}
		})
	}
}

func compareApplied(t *testing.T, got *fsm.Applied, commands []*fsmpb.Command, results []*fsmpb.Result, ended []fsm.Ended) {
	t.Helper()
	if !slices.Equal(got.Ended, ended) {
		t.Fatalf("entry %d ended\n%+v, want\n%+v", got.Index, got.Ended, ended)
	}
	for i, want := range results {
		if r := got.Batches[0].Results[i]; !proto.Equal(r, want) {
			t.Fatalf("entry %d, command %d: %v\n got %v\nwant %v", got.Index, i, commands[i], r, want)
		}
	}
}

func compareReads(t *testing.T, h *history, got *fsm.Machine, want *model) {
	t.Helper()
	for n := range h.made {
		s := want.liveByKey(bytesOf(keyOf(n)))
		r, ok := got.SessionByKey(keyOf(n))
		compareSession(t, want, s, r, ok, bytesOf(keyOf(n)))
		spent, ok := got.SessionOfSpentKey(keyOf(n))
		if s := want.spentBy(bytesOf(keyOf(n))); ok != (s != nil) || ok && spent.ID != s.id {
			t.Fatalf("key %d is spent: %v, want %v", n, ok, s != nil)
		}
		s = want.byID(bytesOf(idOf(n)))
		if !want.alive(s) {
			s = nil
		}
		r, ok = got.SessionByID(idOf(n))
		compareSession(t, want, s, r, ok, nil)
	}
	for range 5 {
		compareList(t, h, got, want)
	}
	compareUsers(t, got, want)
	at, ok := got.NextDeadlineMS()
	if wantAt, wantOK := want.nextDeadline(); ok != wantOK || ok && at != wantAt {
		t.Fatalf("next deadline %d %v, want %d %v", at, ok, wantAt, wantOK)
	}
	if l := got.Limits(); l.MaxSessions != want.limits.total || string(l.OnLimit) != onLimitNames[want.limits.onLimit] || l.Version != want.version2 {
		t.Fatalf("limits %+v, want %+v of version %d", l, want.limits, want.version2)
	}
	moving := want.moving
	moving.Accounts, moving.Sessions = want.accounts(), len(want.sessions)
	if got.Moving() != moving || got.History() != want.history {
		t.Fatalf("moving %+v of history %d, want %+v of %d", got.Moving(), got.History(), moving, want.history)
	}
	retired := 0
	for _, s := range want.sessions {
		retired += len(s.retired)
	}
	compareExports(t, h, got, want)
	compareSeals(t, got, want)
	compareChallenges(t, got, want)
	st := got.Stats()
	if st.RetiredKeys != retired {
		t.Fatalf("%d retired keys, want %d", st.RetiredKeys, retired)
	}
	if st.Sessions != len(want.sessions) || st.PendingReaps != len(want.reaps) || st.Users+st.ShellUsers != len(want.users) || st.IdempotencyRecords != len(want.repeats) || st.AttemptCounters != len(want.counters) || st.UsedChallenges != len(want.used) {
		t.Fatalf("stats %+v, want %d sessions, %d reaps, %d users, %d repeats, %d counters", st, len(want.sessions), len(want.reaps), len(want.users), len(want.repeats), len(want.counters))
	}
}

func compareSeals(t *testing.T, got *fsm.Machine, want *model) {
	t.Helper()
	keys, last := got.SealKeys()
	if last != want.lastSealKey || len(keys) != len(want.sealKeys) {
		t.Fatalf("seal keys %+v, last %d; want %v, last %d", keys, last, want.sealKeys, want.lastSealKey)
	}
	for i, k := range keys {
		if k.ID != want.sealKeys[i] || k.Uses != want.sealUses(k.ID) {
			t.Fatalf("seal key %+v, want %d with %d uses", k, want.sealKeys[i], want.sealUses(k.ID))
		}
	}
	if fmt.Sprint(got.SealHolders()) != fmt.Sprint(want.holders) {
		t.Fatalf("holders %v, want %v", got.SealHolders(), want.holders)
	}
}

func compareChallenges(t *testing.T, got *fsm.Machine, want *model) {
	t.Helper()
	for hour := range historyHours {
		at := historyHour(int64(hour))
		secret, known := got.ChallengeSecret(at)
		i := slices.IndexFunc(want.secrets, func(s modelSecret) bool { return s.hour == at })
		if known != (i >= 0) || known && string(secret) != want.secrets[i].secret {
			t.Fatalf("secret of %d: %q %v, want %v", at, secret, known, want.secrets)
		}
	}
}

func compareSession(t *testing.T, m *model, s *modelSession, r fsm.Record, ok bool, key []byte) {
	t.Helper()
	if ok != (s != nil) {
		t.Fatalf("session is there: %v, want %v (%+v)", ok, s != nil, s)
	}
	if s == nil {
		return
	}
	var want fsmpb.Result
	m.answer(s, &want)
	if key != nil {
		m.hint(key, s, &want)
	}
	if !proto.Equal(asResult(r), want.GetSession()) {
		t.Fatalf("read\n%v, want\n%v", asResult(r), want.GetSession())
	}
}

func compareList(t *testing.T, h *history, got *fsm.Machine, m *model) {
	t.Helper()
	f := h.filter()
	var want []uint64
	for _, s := range m.sessions {
		a := f.ClientAddress.As16
		if m.alive(s) && s.permanent == f.Permanent && (f.User == "" || s.user.name == f.User) && (f.Policy == "" || s.policy.name == f.Policy) &&
			(!f.ClientAddress.IsValid() || s.address == string(bytesOf16(a()))) &&
			(f.IdleLongerThan == 0 || m.clock-s.lastUse > f.IdleLongerThan.Milliseconds()) {
			want = append(want, s.seq)
		}
	}
	var seqs []uint64
	after := uint64(0)
	for rounds := 0; ; rounds++ {
		items, next, done := got.ListSessions(f, after, 0, 1+h.IntN(4), 2+h.IntN(6))
		for _, r := range items {
			seqs = append(seqs, r.Seq)
		}
		if done {
			break
		}
		// A cursor may name a session that has ended since: any number serves.
		if next < after || rounds > 2000 {
			t.Fatalf("list does not move on from %d", after)
		}
		after = next
	}
	if !slices.Equal(seqs, want) {
		t.Fatalf("list %+v\n got %v\nwant %v", f, seqs, want)
	}
	compareFromAnywhere(t, h, got, f, want)
}

// compareFromAnywhere begins a list behind a number whose session may be gone or not of the list.
func compareFromAnywhere(t *testing.T, h *history, got *fsm.Machine, f session.Filter, want []uint64) {
	t.Helper()
	last := got.LastSeq()
	after, most := h.Uint64N(last+1), h.Uint64N(last+1)+1
	want = slices.DeleteFunc(slices.Clone(want), func(seq uint64) bool { return seq <= after || seq > most })
	var seqs []uint64
	for at, done := after, false; !done; {
		var items []fsm.Record
		items, at, done = got.ListSessions(f, at, most, 1+h.IntN(4), 2+h.IntN(6))
		for _, r := range items {
			seqs = append(seqs, r.Seq)
		}
	}
	if !slices.Equal(seqs, want) {
		t.Fatalf("list %+v from %d to %d\n got %v\nwant %v", f, after, most, seqs, want)
	}
}

func bytesOf16(a [16]byte) []byte { return a[:] }

func compareUsers(t *testing.T, got *fsm.Machine, m *model) {
	t.Helper()
	if got.Home() != m.home {
		t.Fatalf("home %+v, want %+v", got.Home(), m.home)
	}
	if e := got.UserAtNodes("nobody").Endings; e != (fsm.Endings{}) {
		t.Fatalf("endings of nobody: %+v", e)
	}
	var accounts []string
	for _, name := range slices.Sorted(maps.Keys(m.users)) {
		u := m.users[name]
		living := len(m.of(func(s *modelSession) bool { return s.user == u && !s.condemned }))
		r, ok := got.User(name)
		if !ok || r.Shell == u.stored || r.Disabled != u.disabled || r.PasswordHash != u.password || r.MD5Login != u.md5 || string(r.Verifier) != u.verifier || r.Version != u.version ||
			r.Sessions != living || !slices.Equal(r.Policies, u.policies) || len(r.Roles) != len(sortedRoles(u.roles)) {
			t.Fatalf("user %q: %+v, want %+v with %d sessions", name, r, u, living)
		}
		if e := got.UserAtNodes(name).Endings; e != u.endings {
			t.Fatalf("endings of %q: %+v, want %+v", name, e, u.endings)
		}
		preferences := map[string]string{}
		for _, p := range got.Preferences(name) {
			preferences[p.Name] = string(p.Value)
		}
		if !maps.Equal(preferences, u.preferences) {
			t.Fatalf("preferences of %q: %v, want %v", name, preferences, u.preferences)
		}
		if u.stored {
			accounts = append(accounts, name)
		}
	}
	var listed []string
	for after := ""; ; {
		page := got.ListUsers(after, 2)
		for _, u := range page {
			listed = append(listed, u.Name)
		}
		if len(page) == 0 {
			break
		}
		after = page[len(page)-1].Name
	}
	if !slices.Equal(listed, accounts) {
		t.Fatalf("accounts %v, want %v", listed, accounts)
	}
}
