package fsm_test

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

const codeThrottled = fsmpb.Code_CODE_THROTTLED

// try is an attempt with three tries in six seconds for a user from an address, and ten for the address.
func try(address string, user uint32) *fsmpb.Command {
	a := netip.MustParseAddr(address).As16()
	return takeAttempt(&fsmpb.TakeAttempt{
		Address: a[:], UserHash: user,
		PerUser: &fsmpb.AttemptLimit{Attempts: 3, WindowMs: 6000}, PerAddress: &fsmpb.AttemptLimit{Attempts: 10, WindowMs: 10_000},
	})
}

func (l *log) wantThrottled(c *fsmpb.Command, field string, wait int64) {
	l.t.Helper()
	r := l.do(c)
	if r.Code != codeThrottled || r.Field != field || r.GetRetryAfterMs() != wait {
		l.t.Fatalf("got %v, want %s throttled for %d ms", r, field, wait)
	}
}

func TestAttemptsComeBackEvenly(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	for range 3 {
		l.must(try("192.0.2.1", 7))
	}
	l.wantThrottled(try("192.0.2.1", 7), "user", 2000)
	l.clock += 1999
	l.wantThrottled(try("192.0.2.1", 7), "user", 1)
	l.must(try("192.0.2.1", 8)) // another user
	l.must(try("192.0.2.2", 7)) // another address
	l.clock++
	l.must(try("192.0.2.1", 7))
	l.wantThrottled(try("192.0.2.1", 7), "user", 2000)
}

func TestAnAddressIsCountedOverItsUsers(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	for user := range uint32(10) {
		l.must(try("192.0.2.1", user))
	}
	l.wantThrottled(try("192.0.2.1", 11), "address", 1000)
	// A refused attempt counts nothing: the address is free again when it was said.
	l.clock += 1000
	l.must(try("192.0.2.1", 11))
}

func TestARightPasswordGivesItsAttemptBack(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	l.must(putUser(account("ann", "hash")))
	version := l.must(putUser(&fsmpb.PutUser{Name: "ann", Mode: fsmpb.PutUser_MODE_UPDATE, Authority: system()})).GetVersion()
	for n := range 50 {
		c := vouched(n, "ann")
		c.Vouched, c.Authority, c.UserVersion = false, nil, version
		c.Attempt = l.must(try("192.0.2.1", 7)).GetAttempt()
		l.must(create(c))
	}
	// A log-in that fails gives nothing back by itself.
	wrong := vouched(1, "ann") // the key is taken
	wrong.Attempt = l.must(try("192.0.2.1", 7)).GetAttempt()
	l.wantCode(create(wrong), codeConflict)
	l.must(try("192.0.2.1", 7))
	l.must(try("192.0.2.1", 7))
	l.wantCode(try("192.0.2.1", 7), codeThrottled)
	l.must(giveBack(wrong.Attempt))
	l.must(try("192.0.2.1", 7))
}

// What has leaked away cannot be given back: it would be another's.
func TestAnAttemptIsNotGivenBackTwice(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	early := l.must(try("192.0.2.1", 7)).GetAttempt()
	l.clock += 2000
	for range 3 {
		l.must(try("192.0.2.1", 7))
	}
	l.must(giveBack(early))
	l.wantCode(try("192.0.2.1", 7), codeThrottled)
}

func TestIPv6CountsByNetwork(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	for _, a := range []string{"2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff::3"} {
		l.must(try(a, 7))
	}
	l.wantCode(try("2001:db8::4", 7), codeThrottled)
	l.must(try("2001:db8:0:1::1", 7))
	// v4-mapped is v4, so each address counts alone.
	for _, a := range []string{"::ffff:192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2"} {
		l.must(try(a, 7))
	}
	l.wantCode(try("192.0.2.1", 7), codeThrottled)
}

func TestAnUnknownAddressIsCountedByUserAlone(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	limit := &fsmpb.AttemptLimit{Attempts: 1, WindowMs: 1000}
	l.must(takeAttempt(&fsmpb.TakeAttempt{UserHash: 1, PerUser: limit, PerAddress: limit}))
	l.must(takeAttempt(&fsmpb.TakeAttempt{UserHash: 2, PerUser: limit, PerAddress: limit}))
	l.wantThrottled(takeAttempt(&fsmpb.TakeAttempt{UserHash: 1, PerUser: limit, PerAddress: limit}), "user", 1000)
}

// At the limit of counters the one whose last attempt is the oldest goes; one that is in use stays.
func TestCountersAreBounded(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	limit := &fsmpb.AttemptLimit{Attempts: 1, WindowMs: session.MaxAttemptWindow.Milliseconds()}
	at := func(n int) *fsmpb.Command {
		address := []byte{10: 0xff, 11: 0xff, 15: 0}
		binary.BigEndian.PutUint32(address[12:], uint32(n))
		return takeAttempt(&fsmpb.TakeAttempt{Address: address, PerAddress: limit})
	}
	flood := func(from, to int) {
		for from < to {
			var commands []*fsmpb.Command
			for ; len(commands) < 1000 && from < to; from++ {
				commands = append(commands, at(from))
			}
			l.apply(commands...)
		}
	}
	flood(0, session.MaxAttemptCounters)
	l.wantCode(at(0), codeThrottled)
	l.must(at(session.MaxAttemptCounters)) // the first one goes
	if st := l.m.Stats(); st.AttemptCounters != session.MaxAttemptCounters {
		t.Fatalf("%d counters", st.AttemptCounters)
	}
	l.wantCode(at(1), codeThrottled)
	l.must(at(0))
	l.must(at(1)) // dropped for the one before
	m := restored(t, snapshotOf(t, l.m), fsm.Options{HashSeed: 9})
	if st := m.Stats(); st.AttemptCounters != session.MaxAttemptCounters {
		t.Fatalf("restored %d counters", st.AttemptCounters)
	}
	// A day later none of them counts, and they go by themselves.
	l.clock += session.MaxAttemptWindow.Milliseconds()
	for range 60 {
		l.apply()
	}
	if st := l.m.Stats(); st.AttemptCounters != 0 {
		t.Fatalf("%d dry counters are kept", st.AttemptCounters)
	}
}

func TestAttemptWaitForesees(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	address := netip.MustParseAddr("192.0.2.1")
	perUser, perAddress := fsm.AttemptLimit{Attempts: 3, Window: 6 * time.Second}, fsm.AttemptLimit{Attempts: 10, Window: 10 * time.Second}
	foresee := func(clock, want int64) {
		t.Helper()
		if wait, _ := l.m.AttemptWait(address, 7, perUser, perAddress, clock); wait.Milliseconds() != want {
			t.Fatalf("foresees %v, want %d ms", wait, want)
		}
	}
	for range 3 {
		foresee(0, 0)
		l.must(try("192.0.2.1", 7))
	}
	foresee(0, 2000)
	foresee(start+500, 1500)
	foresee(start+2000, 0)
	if wait, _ := l.m.AttemptWait(address, 7, fsm.AttemptLimit{}, fsm.AttemptLimit{}, 0); wait != 0 {
		t.Fatalf("without limits: %v", wait)
	}
}

func TestAttemptsThatArePossible(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	limit := func(attempts uint32, window int64) *fsmpb.TakeAttempt {
		return &fsmpb.TakeAttempt{PerUser: &fsmpb.AttemptLimit{Attempts: attempts, WindowMs: window}}
	}
	for name, c := range map[string]*fsmpb.Command{
		"no attempts":         takeAttempt(limit(0, 1000)),
		"too many":            takeAttempt(limit(session.MaxAttempts+1, session.MaxAttemptWindow.Milliseconds())),
		"no window":           takeAttempt(limit(1, 0)),
		"window too short":    takeAttempt(limit(10, 9)),
		"window too long":     takeAttempt(limit(1, session.MaxAttemptWindow.Milliseconds()+1)),
		"long hash":           takeAttempt(&fsmpb.TakeAttempt{UserHash: 1 << 16}),
		"half an address":     takeAttempt(&fsmpb.TakeAttempt{Address: []byte{1, 2}}),
		"nothing back":        giveBack(nil),
		"back from later":     giveBack(&fsmpb.Attempt{UserRun: 1, UserShareMs: 1}),
		"back too much":       giveBack(&fsmpb.Attempt{UserShareMs: session.MaxAttemptWindow.Milliseconds() + 1}),
		"back less than none": giveBack(&fsmpb.Attempt{UserShareMs: -1}),
	} {
		if r := l.do(c); r.Code != codeInvalid {
			t.Errorf("%s: got %v", name, r)
		}
	}
	l.must(takeAttempt(limit(session.MaxAttempts, session.MaxAttemptWindow.Milliseconds())))
	l.clock += 1000
	l.must(takeAttempt(limit(10, 10)))
}
