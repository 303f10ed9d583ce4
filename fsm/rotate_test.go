package fsm_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// rotating makes a log with a session 1 of a user whose policy has the usual grace.
func rotating(t *testing.T) *log {
	t.Helper()
	l := newLog(t, fsm.Options{})
	l.must(putPolicy(timers("default", 3600_000, 0, 0)))
	l.must(create(vouched(1, "ann")))
	return l
}

// wantOpens looks whether a key opens the session 1.
func (l *log) wantOpens(key int, want bool) {
	l.t.Helper()
	r, ok := l.m.SessionByKey(keyOf(key))
	if ok != want || ok && r.ID != idOf(1) {
		l.t.Fatalf("key %d opens the session: %v, want %v (%+v)", key, ok, want, r)
	}
}

// Many who rotate the same key, in one entry and later, all come to the successor that the first one made.
func TestAKeyHasOneSuccessor(t *testing.T) {
	t.Parallel()
	l := rotating(t)
	var commands []*fsmpb.Command
	for i := range 20 {
		commands = append(commands, rotate(rotation(1, 100+i)))
	}
	results := l.apply(commands...).Batches[0].Results
	l.clock += rotateGrace - 1
	results = append(results, l.must(rotate(rotation(1, 200))))
	for i, r := range results {
		if r.Code != codeOK || i == 0 && len(r.Successors) != 0 {
			t.Fatalf("rotation %d: %v", i, r)
		}
		want := &fsmpb.Successor{Hash: bytesOf(keyOf(100)), Sealed: sealed(1, 100)}
		if i > 0 && (len(r.Successors) != 1 || !proto.Equal(r.Successors[0], want)) {
			t.Fatalf("rotation %d got %v, want %v", i, r.Successors, want)
		}
	}
	l.wantOpens(1, true)
	l.wantOpens(100, true)
	l.wantOpens(101, false)
	if r, _ := l.m.SessionByKey(keyOf(1)); !r.Rotate {
		t.Error("who presents the old key is not told that there is a new one")
	}
	if r, _ := l.m.SessionByKey(keyOf(100)); r.Rotate {
		t.Error("who presents the new key is told to rotate")
	}
}

// A key that was rotated twice leads to the present one, by way of the key between.
func TestAnOldKeyLeadsAllTheWay(t *testing.T) {
	t.Parallel()
	l := rotating(t)
	l.must(rotate(rotation(1, 2)))
	l.must(rotate(rotation(2, 3)))
	got := l.must(rotate(rotation(1, 50))).Successors
	if len(got) != 2 || !bytes.Equal(got[0].Hash, bytesOf(keyOf(2))) || !bytes.Equal(got[0].Sealed, sealed(1, 2)) ||
		!bytes.Equal(got[1].Hash, bytesOf(keyOf(3))) || !bytes.Equal(got[1].Sealed, sealed(2, 3)) {
		t.Fatalf("got %v", got)
	}
}

// After its grace a key is refused as an unknown one is, in every command, and each of them ends the session.
func TestAnyUseOfASpentKeyEndsTheSession(t *testing.T) {
	t.Parallel()
	uses := map[string]func(key int) *fsmpb.Command{
		"touch":   touch,
		"log-out": revokeKey,
		"rotate":  func(key int) *fsmpb.Command { return rotate(rotation(key, 50)) },
		"patch": func(key int) *fsmpb.Command {
			return patch(&fsmpb.PatchAttributes{KeyHash: bytesOf(keyOf(key)), Authority: system()})
		},
		"authority": func(key int) *fsmpb.Command {
			return revokeUser(&fsmpb.RevokeUserSessions{User: "ann", Authority: authority(key)})
		},
		"log-in over it": func(key int) *fsmpb.Command {
			c := vouched(60+key, "ann")
			c.Replaces = bytesOf(keyOf(key))
			return create(c)
		},
		"log-in over it that is refused": func(key int) *fsmpb.Command {
			c := vouched(60+key, "ann")
			c.Replaces, c.Policy = bytesOf(keyOf(key)), "there-is-none"
			return create(c)
		},
	}
	for name, use := range uses {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := rotating(t)
			l.must(rotate(rotation(1, 2)))
			l.clock += rotateGrace - 1
			l.apply()
			l.wantOpens(1, true)
			l.clock++
			l.apply()
			l.wantOpens(1, false)
			l.wantOpens(2, true)
			if r, ok := l.m.SessionOfSpentKey(keyOf(1)); !ok || r.ID != idOf(1) {
				t.Fatal("nobody can tell that the key is spent")
			}
			unknown := l.do(use(77))
			applied := l.apply(use(1))
			if name == "log-in over it" {
				unknown, applied.Batches[0].Results[0] = nil, nil // both made a session
			}
			if got := applied.Batches[0].Results[0]; !proto.Equal(got, unknown) {
				t.Fatalf("the answer is %v, to an unknown key %v", got, unknown)
			}
			want := fsm.Ended{ID: idOf(1), Number: 1, User: "ann", Cause: fsm.CauseReused}
			if len(applied.Ended) == 1 {
				want.DeadlineMS = applied.Ended[0].DeadlineMS
			}
			if !slices.Equal(applied.Ended, []fsm.Ended{want}) {
				t.Fatalf("ended %+v, want %+v", applied.Ended, want)
			}
			l.wantOpens(2, false)
			if st := l.m.Stats(); st.EndedReused != 1 || st.RetiredKeys != 0 || st.GraceSessions != 0 {
				t.Fatalf("left: %+v", st)
			}
			l.wantCode(touch(1), codeUnauthenticated)
			l.wantCode(touch(2), codeUnauthenticated)
		})
	}
}

// What was presented under a good key, and is only written after that was rotated and spent, is no use of a spent key: neither of the session's own nor
// of the service's that presented it. It does nothing either.
func TestWhatWasPresentedInTimeIsNoReuse(t *testing.T) {
	t.Parallel()
	l := rotating(t)
	l.must(putUser(account("svc", "$hash", service)))
	l.must(create(&fsmpb.CreateSession{KeyHash: bytesOf(keyOf(5)), Id: bytesOf(idOf(5)), User: "svc", UserVersion: l.index}))
	l.must(rotate(rotation(1, 2)))
	l.must(rotate(rotation(5, 6)))
	l.clock += rotateGrace
	l.apply()
	inTime := func(a *fsmpb.Authority) *fsmpb.Authority {
		a.Judged = true
		return a
	}
	touched := func(key int, by *fsmpb.Authority) *fsmpb.Command {
		return &fsmpb.Command{Kind: &fsmpb.Command_TouchSession{TouchSession: &fsmpb.TouchSession{KeyHash: bytesOf(keyOf(key)), Authority: by, Judged: true}}}
	}
	patched := func(key int, by *fsmpb.Authority) *fsmpb.Command {
		return patch(&fsmpb.PatchAttributes{KeyHash: bytesOf(keyOf(key)), Authority: by, Judged: true, Changes: []*fsmpb.AttributeChange{{Name: "a", Value: []byte("1")}}})
	}
	rotated, proved := rotation(1, 50), rotation(1, 51)
	proved.Reauthentication = &fsmpb.Reauthentication{UserVersion: 2}
	rotated.Judged, proved.Judged = true, true
	for name, use := range map[string]*fsmpb.Command{
		"touch": touched(1, nil), "touch by a service": touched(1, authority(6, service)), "touch by a spent key": touched(2, inTime(authority(5, service))),
		"patch": patched(1, nil), "patch by a service": patched(1, authority(6, service)), "patch by a spent key": patched(2, inTime(authority(5, service))),
		"rotate": rotate(rotated), "rotate by a proof": rotate(proved),
		"alter":       alter(&fsmpb.AlterSession{KeyHash: bytesOf(keyOf(1)), Judged: true}),
		"preferences": patchPreferences(&fsmpb.PatchPreferences{KeyHash: bytesOf(keyOf(1)), Judged: true}),
		"authority":   revokeUser(&fsmpb.RevokeUserSessions{User: "ann", Authority: inTime(authority(5, service))}),
	} {
		if applied := l.apply(use); applied.Batches[0].Results[0].Code != codeUnauthenticated || len(applied.Ended) > 0 {
			t.Errorf("%s: %v, ended %+v", name, applied.Batches[0].Results[0], applied.Ended)
		}
	}
	l.wantOpens(2, true)
	if _, ok := l.m.SessionByKey(keyOf(6)); !ok {
		t.Error("the service's session has ended")
	}
	if r, _ := l.m.SessionByKey(keyOf(2)); r.LastUseMS != start || len(r.Attributes) > 0 {
		t.Errorf("the last use moved by %d ms, attributes %v", r.LastUseMS-start, r.Attributes)
	}
	l.must(touched(2, authority(6, service)))
	l.wantCode(touch(1), codeUnauthenticated)
	l.wantOpens(2, false)
}

// Neither a limit that refuses a log-in nor an earlier answer to it hides that it presented a spent key.
func TestALogInThatMakesNoSessionPresentsItsKeyAllTheSame(t *testing.T) {
	t.Parallel()
	over := func(n int) *fsmpb.CreateSession {
		c := vouched(n, "bob")
		c.Replaces = bytesOf(keyOf(1))
		return c
	}
	for name, log := range map[string]func(*log) fsmpb.Code{
		"a full limit": func(l *log) fsmpb.Code {
			full := timers("default", 3600_000, 0, 0)
			full.MaxSessionsPerUser = ptr(uint32(1))
			l.must(putPolicy(full))
			l.must(create(vouched(10, "bob")))
			return l.do(create(over(11))).Code
		},
		"a repetition": func(l *log) fsmpb.Code {
			request := func(c *fsmpb.CreateSession) *fsmpb.Command {
				c.Idempotency = &fsmpb.Idempotency{ScopeHash: bytesOf(keyOf(50)), BodyHash: bytesOf(keyOf(51))}
				return create(c)
			}
			l.must(request(vouched(10, "bob")))
			r := l.do(request(over(11)))
			if !r.Repeated {
				t.Errorf("not repeated: %v", r)
			}
			return r.Code
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := rotating(t)
			l.must(rotate(rotation(1, 2)))
			l.clock += rotateGrace
			l.apply()
			l.wantOpens(2, true)
			want := map[string]fsmpb.Code{"a full limit": fsmpb.Code_CODE_SESSION_LIMIT, "a repetition": codeOK}[name]
			if code := log(l); code != want {
				t.Fatalf("the log-in came to %v, want %v", code, want)
			}
			l.wantOpens(2, false)
		})
	}
}

// A session knows its last sixteen keys. An older one is any unknown key.
func TestSixteenKeysAreRemembered(t *testing.T) {
	t.Parallel()
	l := rotating(t)
	for i := 1; i <= session.MaxRetiredKeys+1; i++ {
		l.must(rotate(rotation(i, i+1)))
		l.clock += rotateGrace
	}
	l.apply()
	l.wantCode(touch(1), codeUnauthenticated)
	l.wantOpens(session.MaxRetiredKeys+2, true)
	l.m = restored(t, snapshotOf(t, l.m), fsm.Options{HashSeed: 9})
	l.wantCode(touch(2), codeUnauthenticated)
	l.wantOpens(session.MaxRetiredKeys+2, false)
}

// No key is forgotten while it should work: a session that is rotated all the time has to wait.
func TestNoKeyIsForgottenInItsGrace(t *testing.T) {
	t.Parallel()
	l := rotating(t)
	for i := 1; i <= session.MaxRetiredKeys; i++ {
		l.must(rotate(rotation(i, i+1)))
		l.clock++
	}
	last := session.MaxRetiredKeys + 1
	if r := l.do(rotate(rotation(last, 50))); r.Code != codeConflict || r.Field != "rotate" {
		t.Fatalf("got %v", r)
	}
	l.wantOpens(1, true)
	if got := l.must(rotate(rotation(1, 51))).Successors; len(got) != session.MaxRetiredKeys {
		t.Fatalf("%d successors", len(got))
	}
	l.clock = start + rotateGrace
	l.must(rotate(rotation(last, 50)))
}

// The end of a grace removes the sealed successor from the state, without anything happening to the session.
func TestTheSuccessorIsForgottenWithTheGrace(t *testing.T) {
	t.Parallel()
	l := rotating(t)
	l.must(rotate(rotation(1, 2)))
	if !bytes.Contains(snapshotOf(t, l.m), sealed(1, 2)) {
		t.Fatal("the successor is not there: this test cannot find it")
	}
	if at, ok := l.m.NextDeadlineMS(); !ok || at != start+rotateGrace {
		t.Fatalf("nothing waits for the end of the grace: %d %v", at, ok)
	}
	l.clock += rotateGrace
	l.apply()
	if bytes.Contains(snapshotOf(t, l.m), sealed(1, 2)) {
		t.Fatal("the successor is still there")
	}
	if st := l.m.Stats(); st.GraceSessions != 0 || st.RetiredKeys != 1 {
		t.Fatalf("left: %+v", st)
	}
}

// Thousands of graces that end at once are forgotten in steps; that they are over does not wait for it.
func TestGracesEndInSteps(t *testing.T) {
	t.Parallel()
	const sessions = 1200
	l := rotating(t)
	for i := range sessions {
		l.must(create(vouched(1000+i, "ann")))
	}
	for i := range sessions {
		l.must(rotate(rotation(1000+i, 5000+i)))
	}
	l.clock += rotateGrace
	for _, left := range []int{sessions - 512, sessions - 1024, 0} {
		l.apply()
		if st := l.m.Stats(); st.GraceSessions != left {
			t.Fatalf("%d graces are left, want %d", st.GraceSessions, left)
		}
		for i := range sessions {
			if _, ok := l.m.SessionByKey(keyOf(1000 + i)); ok {
				t.Fatalf("key %d works", i)
			}
		}
	}
}

// A shorter grace holds for earlier keys, too: where a key works, so does the one that it leads to.
func TestNoKeyOutlastsItsSuccessor(t *testing.T) {
	t.Parallel()
	l := rotating(t)
	l.must(rotate(rotation(1, 2)))
	shorter := timers("default", 3600_000, 0, 0)
	shorter.RotateGraceMs = ptr(int64(300))
	l.must(putPolicy(shorter))
	l.must(rotate(rotation(2, 3)))
	l.clock += 299
	l.apply()
	l.wantOpens(1, true)
	l.wantOpens(2, true)
	l.clock++
	l.apply()
	l.wantOpens(1, false)
	l.wantOpens(2, false)
	none := timers("default", 3600_000, 0, 0)
	none.RotateGraceMs = ptr(int64(0))
	l.must(putPolicy(none))
	l.must(rotate(rotation(3, 4)))
	l.wantOpens(3, false)
	l.wantOpens(4, true)
}

// A repeated log-in takes the key of whoever had the first answer, and with it all that leads there.
func TestARepeatedLogInEndsGraces(t *testing.T) {
	t.Parallel()
	l := rotating(t)
	request := func(n int) *fsmpb.Command {
		c := vouched(n, "bob")
		c.Idempotency = &fsmpb.Idempotency{ScopeHash: bytesOf(keyOf(50)), BodyHash: bytesOf(keyOf(51))}
		return create(c)
	}
	l.must(request(10))
	l.must(rotate(rotation(10, 11)))
	if r := l.must(request(12)); !r.Repeated {
		t.Fatalf("got %v", r)
	}
	for key, want := range map[int]bool{10: false, 11: false, 12: true} {
		if _, ok := l.m.SessionByKey(keyOf(key)); ok != want {
			t.Errorf("key %d works: %v, want %v", key, ok, want)
		}
	}
}

func TestMalformedRotationsDoNothing(t *testing.T) {
	t.Parallel()
	l := rotating(t)
	l.must(create(vouched(2, "bob")))
	l.must(rotate(rotation(2, 3)))
	for name, c := range map[string]struct {
		change func(c *fsmpb.RotateSession)
		want   fsmpb.Code
	}{
		"no successor":        {func(c *fsmpb.RotateSession) { c.SuccessorHash = nil }, codeInvalid},
		"nothing sealed":      {func(c *fsmpb.RotateSession) { c.SealedSuccessor = nil }, codeInvalid},
		"too much sealed":     {func(c *fsmpb.RotateSession) { c.SealedSuccessor = append(c.SealedSuccessor, 0) }, codeInvalid},
		"no key":              {func(c *fsmpb.RotateSession) { c.KeyHash = nil }, codeInvalid},
		"itself":              {func(c *fsmpb.RotateSession) { c.SuccessorHash = bytesOf(keyOf(1)) }, codeConflict},
		"another's key":       {func(c *fsmpb.RotateSession) { c.SuccessorHash = bytesOf(keyOf(3)) }, codeConflict},
		"another's retired":   {func(c *fsmpb.RotateSession) { c.SuccessorHash = bytesOf(keyOf(2)) }, codeConflict},
		"unknown":             {func(c *fsmpb.RotateSession) { c.KeyHash = bytesOf(keyOf(9)) }, codeUnauthenticated},
		"vouched by nobody":   {func(c *fsmpb.RotateSession) { c.Reauthentication = &fsmpb.Reauthentication{Vouched: true} }, codeInvalid},
		"password of no user": {func(c *fsmpb.RotateSession) { c.Reauthentication = &fsmpb.Reauthentication{} }, codeConflict},
		"vouched by the plain": {func(c *fsmpb.RotateSession) {
			c.Reauthentication, c.Authority = &fsmpb.Reauthentication{Vouched: true}, authority(3)
		}, codeForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			m := rotation(1, 40)
			c.change(m)
			before := l.m.Stats()
			l.wantCode(rotate(m), c.want)
			l.wantOpens(1, true)
			if after := l.m.Stats(); after != before {
				t.Fatalf("%+v became %+v", before, after)
			}
		})
	}
}

// Keys that no log can have given to a session are no snapshot's either.
func TestPastsThatAreNotPossibleAreRefused(t *testing.T) {
	t.Parallel()
	l := rotating(t)
	for i := 1; i <= 3; i++ {
		l.must(rotate(rotation(i, i+1)))
	}
	data := snapshotOf(t, l.m)
	key := func(n int) []byte { return bytesOf(keyOf(n)) }
	for name, damage := range map[string][]byte{
		"twice the same retired key": bytes.Replace(data, key(2), key(1), 1),
		"its own key is retired":     bytes.Replace(data, key(2), key(4), 1),
		"an endless grace":           bytes.Replace(data, append(key(3), bytesOfMS(start+rotateGrace)...), append(key(3), bytesOfMS(start+3600_001)...), 1),
		"graces that fall":           bytes.Replace(data, append(key(1), bytesOfMS(start+rotateGrace)...), append(key(1), bytesOfMS(start+rotateGrace+1)...), 1),
	} {
		t.Run(name, func(t *testing.T) {
			if bytes.Equal(damage, data) {
				t.Fatal("nothing is damaged")
			}
			wantRefused(t, l.m, mended(damage))
		})
	}
}

func bytesOfMS(ms int64) []byte {
	out := make([]byte, 8)
	for i := range out {
		out[i] = byte(ms >> (8 * i))
	}
	return out
}

// What a rotation keeps goes with the session.
func TestNothingIsLeftOfRotatedSessions(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	for round := range 3 {
		for i := range 50 {
			l.must(create(vouched(i+1000*round, fmt.Sprintf("user-%d", i))))
			l.must(rotate(rotation(i+1000*round, 100+i+1000*round)))
			l.must(rotate(rotation(100+i+1000*round, 200+i+1000*round)))
		}
		for i := range 50 {
			l.must(revokeKey(200 + i + 1000*round))
		}
	}
	if st := l.m.Stats(); st.Sessions != 0 || st.RetiredKeys != 0 || st.GraceSessions != 0 || st.BlobBytes != 0 || st.ShellUsers != 0 {
		t.Fatalf("left: %+v", st)
	}
}
