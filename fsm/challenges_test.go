package fsm_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// hourStart begins the hour of the tests' clock, 800 seconds before it.
const hourStart = start - start%3_600_000

func hash16(n int) []byte { return bytesOf(idOf(n)) }

// challengeFrom is a challenge that was issued at an instant.
func challengeFrom(n int, issued int64) *fsmpb.Command {
	return useChallenge(&fsmpb.UseChallenge{Hash: hash16(n), HourMs: issued - issued%3_600_000, EndMs: issued + 60_000})
}

func (l *log) wantField(c *fsmpb.Command, code fsmpb.Code, field string) {
	l.t.Helper()
	if r := l.do(c); r.Code != code || r.Field != field {
		l.t.Fatalf("%v: got %v %q, want %v %q", c, r.Code, r.Field, code, field)
	}
}

// A challenge is good up to the 59th second, in which whoever checks it finds it, and once; the second in which it is refused for its age
// uses nothing up.
func TestAChallengeIsUsedOnceAndInTime(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	issued := start
	l.wantField(challengeFrom(1, issued), codeUnauthenticated, fsm.ChallengeUsed) // nobody can have signed it
	l.must(putSecret(&fsmpb.PutChallengeSecret{HourMs: hourStart, Secret: []byte("sealed")}))
	l.must(challengeFrom(1, issued))
	l.wantField(challengeFrom(1, issued), codeUnauthenticated, fsm.ChallengeUsed)
	l.clock = issued + 59_999
	l.must(challengeFrom(2, issued))
	l.m = restored(t, snapshotOf(t, l.m), fsm.Options{})
	l.wantField(challengeFrom(1, issued), codeUnauthenticated, fsm.ChallengeUsed)
	l.wantField(challengeFrom(2, issued), codeUnauthenticated, fsm.ChallengeUsed)
	l.clock = issued + 60_000
	l.wantField(challengeFrom(3, issued), codeUnauthenticated, fsm.ChallengeExpired)
	l.wantField(challengeFrom(1, issued), codeUnauthenticated, fsm.ChallengeExpired)
	if n := l.m.Stats().UsedChallenges; n != 0 {
		t.Errorf("%d uses of challenges that are over are remembered", n)
	}
}

// The time line of LiveJournal's own example: issued in second 1073116031, good up to 1073116090, too old in 1073116091.
func TestTheExamplesTimeLine(t *testing.T) {
	t.Parallel()
	const hour, issued = int64(1073113200), int64(1073116031)
	l := newLog(t, fsm.Options{})
	use := func(n int) *fsmpb.Command {
		return useChallenge(&fsmpb.UseChallenge{Hash: hash16(n), HourMs: hour * 1000, EndMs: (issued + 60) * 1000})
	}
	l.clock = issued * 1000
	l.must(putSecret(&fsmpb.PutChallengeSecret{HourMs: hour * 1000, Secret: []byte("sealed")}))
	for n, second := range []int64{1073116031, 1073116061, 1073116090} {
		l.clock = second * 1000
		l.must(use(n))
		l.clock += 999
		l.wantField(use(n), codeUnauthenticated, fsm.ChallengeUsed)
	}
	l.clock = 1073116091 * 1000
	l.wantField(use(3), codeUnauthenticated, fsm.ChallengeExpired)
}

// A secret stays, unless one comes that is sealed with another key: then nobody may be left who can open the first.
func TestASecretUnderAnotherSealKeyTakesThePlace(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	sealedWith := func(id uint32, text string) []byte {
		return append(fsm.SealHeader(id), text+strings.Repeat(".", 40)...)
	}
	for i, step := range []struct {
		secret []byte
		stays  []byte
	}{
		{sealedWith(1, "a"), sealedWith(1, "a")}, {sealedWith(1, "b"), sealedWith(1, "a")}, {[]byte("not sealed"), sealedWith(1, "a")},
		{sealedWith(2, "c"), sealedWith(2, "c")}, {sealedWith(2, "d"), sealedWith(2, "c")},
	} {
		taken := bytes.Equal(step.secret, step.stays)
		if r := l.must(putSecret(&fsmpb.PutChallengeSecret{HourMs: hourStart, Secret: step.secret})); (r.GetCount() == 1) != taken {
			t.Errorf("step %d: got %v, want it taken: %v", i, r, taken)
		}
		if i == 3 {
			l.m = restored(t, snapshotOf(t, l.m), fsm.Options{})
		}
		if got, _ := l.m.ChallengeSecret(hourStart); !bytes.Equal(got, step.stays) {
			t.Errorf("step %d: the secret is %q, want %q", i, got, step.stays)
		}
	}
}

// Two uses in one entry, as from two nodes at the same moment.
func TestOfTwoUsesInOneEntryOneIsGood(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	l.must(putSecret(&fsmpb.PutChallengeSecret{HourMs: hourStart, Secret: []byte("sealed")}))
	results := l.apply(challengeFrom(1, start), challengeFrom(1, start)).Batches[0].Results
	if results[0].Code != codeOK || results[1].Code != codeUnauthenticated {
		t.Fatalf("got %v and %v", results[0].Code, results[1].Code)
	}
}

// The first secret of an hour stays, serves the challenges of its last minute, and goes by itself when they are over.
func TestSecretsOfHours(t *testing.T) {
	t.Parallel()
	const hour = int64(3_600_000)
	l := newLog(t, fsm.Options{})
	put := func(at int64, secret string) *fsmpb.Command {
		return putSecret(&fsmpb.PutChallengeSecret{HourMs: at, Secret: []byte(secret)})
	}
	for name, c := range map[string]*fsmpb.Command{
		"no hour": put(hourStart+1, "x"), "before time": put(-hour, "x"), "empty": put(hourStart, ""),
		"long": put(hourStart, string(make([]byte, fsm.MaxChallengeSecretBytes+1))),
	} {
		if r := l.do(c); r.Code != codeInvalid {
			t.Errorf("%s: got %v", name, r)
		}
	}
	l.wantCode(put(hourStart+hour, "x"), codeConflict)
	l.wantCode(put(hourStart-hour, "x"), codeConflict)
	if r := l.must(put(hourStart, "one")); r.GetCount() != 1 {
		t.Fatalf("got %v", r)
	}
	if r := l.must(put(hourStart, "other")); r.GetCount() != 0 {
		t.Fatalf("got %v", r)
	}
	if secret, ok := l.m.ChallengeSecret(hourStart); !ok || string(secret) != "one" {
		t.Fatalf("secret %q %v", secret, ok)
	}
	if at, ok := l.m.NextDeadlineMS(); !ok || at != hourStart+hour+60_000 {
		t.Fatalf("next deadline %d %v", at, ok)
	}
	l.clock = hourStart + hour + 58_999
	l.must(put(hourStart+hour, "two"))
	l.must(challengeFrom(1, hourStart+hour-1000)) // of the hour before
	l.clock = hourStart + hour + 60_000
	l.apply()
	if _, ok := l.m.ChallengeSecret(hourStart); ok {
		t.Error("the secret of the hour before is still there")
	}
	if secret, ok := l.m.ChallengeSecret(hourStart + hour); !ok || string(secret) != "two" {
		t.Errorf("secret %q %v", secret, ok)
	}
}

func TestMalformedUsesOfChallenges(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	l.must(putSecret(&fsmpb.PutChallengeSecret{HourMs: hourStart, Secret: []byte("sealed")}))
	for name, c := range map[string]*fsmpb.UseChallenge{
		"short hash": {Hash: hash16(1)[1:], HourMs: hourStart, EndMs: start + 1},
		"no hour":    {Hash: hash16(1), HourMs: hourStart + 1, EndMs: start + 1},
		"no end":     {Hash: hash16(1), HourMs: hourStart},
		"for ever":   {Hash: hash16(1), HourMs: hourStart, EndMs: hourStart + 3_660_001},
	} {
		if r := l.do(useChallenge(c)); r.Code != codeInvalid {
			t.Errorf("%s: got %v", name, r)
		}
	}
}

// What cannot be remembered is not good: a flood makes log-ins by challenge fail, and never lets one be used twice.
func TestUsedChallengesAreBounded(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	l.must(putSecret(&fsmpb.PutChallengeSecret{HourMs: hourStart, Secret: []byte("sealed")}))
	numbered := func(n int) *fsmpb.Command {
		return useChallenge(&fsmpb.UseChallenge{Hash: append(binary.BigEndian.AppendUint64(nil, uint64(n)), make([]byte, 8)...), HourMs: hourStart, EndMs: start + 60_000})
	}
	const part = 2000
	for n := 0; n < session.MaxUsedChallenges; n += part {
		commands := make([]*fsmpb.Command, part)
		for i := range commands {
			commands[i] = numbered(n + i)
		}
		for _, r := range l.apply(commands...).Batches[0].Results {
			if r.Code != codeOK {
				t.Fatalf("after %d: %v", n, r)
			}
		}
	}
	l.wantCode(numbered(session.MaxUsedChallenges), codeTooLarge)
	l.wantField(numbered(0), codeUnauthenticated, fsm.ChallengeUsed)
	l.m = restored(t, snapshotOf(t, l.m), fsm.Options{})
	l.wantCode(numbered(session.MaxUsedChallenges), codeTooLarge)
	l.clock += 60_000
	later := useChallenge(&fsmpb.UseChallenge{Hash: hash16(7), HourMs: hourStart, EndMs: start + 120_000})
	l.must(later)
	for range session.MaxUsedChallenges/2048 + 2 {
		l.apply()
	}
	if n := l.m.Stats().UsedChallenges; n != 1 {
		t.Errorf("%d uses are remembered, want 1", n)
	}
}
