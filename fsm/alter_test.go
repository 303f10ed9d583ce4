package fsm_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

func idleOf(n int, ms int64) *fsmpb.Command {
	return alter(&fsmpb.AlterSession{KeyHash: bytesOf(keyOf(n)), IdleMs: &ms})
}

// A session's own idle timeout counts from the command that sets it, whichever way it moves the end.
func TestAlteredIdleTimeout(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	l.must(putPolicy(timers("default", 10_000, 0, 0)))
	alive := func(want bool, at int64) {
		t.Helper()
		l.clock = at
		l.apply()
		if _, ok := l.m.SessionByKey(keyOf(1)); ok != want {
			t.Errorf("at %d: alive %v, want %v", at-start, ok, want)
		}
	}
	l.must(create(vouched(1, "ann")))
	l.clock += 9000
	l.must(idleOf(1, 2000)) // nearer
	alive(true, start+10_999)
	l.must(idleOf(1, 9000)) // further
	alive(true, start+19_998)
	alive(false, start+19_999)

	l.must(create(vouched(2, "ann")))
	l.wantCode(idleOf(2, 10_001), fsmpb.Code_CODE_FORBIDDEN)
	l.wantCode(idleOf(2, 0), fsmpb.Code_CODE_FORBIDDEN)
	l.wantCode(idleOf(2, 999), fsmpb.Code_CODE_INVALID)
	l.wantCode(idleOf(2, -1), fsmpb.Code_CODE_INVALID)
	l.wantCode(idleOf(2, session.MaxTimeout.Milliseconds()+1), fsmpb.Code_CODE_INVALID)
	allow := timers("default", 10_000, 0, 0)
	allow.LongerIdleAllowed = ptr(true)
	l.must(putPolicy(allow))
	r := l.must(idleOf(2, 0)).GetSession()
	if r.IdleMs != 0 || r.DeadlineMs != 0 {
		t.Errorf("got idle %d, deadline %d; want a session without end", r.IdleMs, r.DeadlineMs)
	}
	l.clock += 365 * 24 * 3600 * 1000
	l.must(idleOf(2, session.MaxTimeout.Milliseconds()))
	l.must(revokeKey(2))
	l.wantCode(idleOf(2, 5000), fsmpb.Code_CODE_UNAUTHENTICATED)
}

func TestPermanentSessionsHaveNoIdleTimeout(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	allow := timers("default", 10_000, 0, 0)
	allow.PermanentAllowed = ptr(true)
	l.must(putPolicy(allow))
	c := vouched(1, "ann")
	c.Permanent = true
	l.must(create(c))
	l.wantCode(idleOf(1, 5000), fsmpb.Code_CODE_CONFLICT)
	l.must(alter(&fsmpb.AlterSession{KeyHash: bytesOf(keyOf(1)), Changes: []*fsmpb.AttributeChange{{Name: "hydrastore.a", Value: []byte("1")}}}))
}

// Reserved attributes change without the version that applications compare, and nothing else changes by that command.
func TestReservedAttributes(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	c := vouched(1, "ann")
	c.Attributes = []*fsmpb.Attribute{{Name: "cart", Value: []byte("[1]")}}
	version := l.must(create(c)).GetSession().AttributesVersion
	set := func(name, value string) *fsmpb.Command {
		return alter(&fsmpb.AlterSession{KeyHash: bytesOf(keyOf(1)), Changes: []*fsmpb.AttributeChange{{Name: name, Value: []byte(value)}}})
	}
	l.wantCode(set("cart", "2"), fsmpb.Code_CODE_INVALID)
	l.wantCode(set("hydrastorecart", "2"), fsmpb.Code_CODE_INVALID)
	l.wantCode(set("hydrastore.x", string(sealedValue(1, 'a'))), fsmpb.Code_CODE_INVALID)
	r := l.must(set("hydrastore.x", `"y"`)).GetSession()
	if r.AttributesVersion != version || len(r.Attributes) != 2 || string(r.Attributes[1].Value) != `"y"` {
		t.Errorf("got %v, want version %d and two attributes", r, version)
	}
	big := string(bytes.Repeat([]byte("1"), session.MaxAttributeBytes))
	l.wantCode(set("hydrastore.x", big+"1"), fsmpb.Code_CODE_TOO_LARGE)
	for i := range 3 {
		l.must(set(fmt.Sprintf("hydrastore.%d", i), big))
	}
	l.wantCode(set("hydrastore.4", big), fsmpb.Code_CODE_TOO_LARGE) // with the others over what a session has in all
}

// Preferences belong to the user, whichever session speaks, and go with it.
func TestPreferences(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	prefer := func(key int, name, value string) *fsmpb.Command {
		return patchPreferences(&fsmpb.PatchPreferences{KeyHash: bytesOf(keyOf(key)), Changes: []*fsmpb.AttributeChange{{Name: name, Value: []byte(value)}}})
	}
	want := func(name string, want string) {
		t.Helper()
		var got string
		for _, p := range l.m.Preferences(name) {
			got += p.Name + "=" + string(p.Value) + " "
		}
		if got != want {
			t.Errorf("preferences of %s: got %q, want %q", name, got, want)
		}
	}
	l.must(putUser(account("ann", "$hash", plain)))
	l.must(create(vouched(1, "ann")))
	l.must(create(vouched(2, "ann")))
	l.must(create(vouched(3, "bob")))
	l.must(prefer(1, "colour", `"red"`))
	l.must(prefer(2, "colour", `"green"`))
	l.must(prefer(2, "size", `"9"`))
	l.must(prefer(3, "colour", `"blue"`))
	want("ann", `colour="green" size="9" `)
	want("bob", `colour="blue" `)
	want("nobody", "")
	l.must(revokeKey(1))
	l.must(revokeKey(2))
	l.must(revokeKey(3))
	want("ann", `colour="green" size="9" `) // an account keeps them without a session
	want("bob", "")                         // nobody knows bob any more
	// Who has no session here, for its node keeps its own, speaks as somebody whose password was verified.
	ann, _ := l.m.User("ann")
	of := func(a *fsmpb.Authority, value string) *fsmpb.Command {
		return patchPreferences(&fsmpb.PatchPreferences{Authority: a, Changes: []*fsmpb.AttributeChange{{Name: "size", Value: []byte(value)}}})
	}
	l.must(of(verified("ann", ann.Version), `"9"`))
	l.wantCode(of(verified("ann", ann.Version-1), `"10"`), fsmpb.Code_CODE_UNAUTHENTICATED)
	l.wantCode(of(system(), `"10"`), fsmpb.Code_CODE_FORBIDDEN)
	stranger := &fsmpb.Authority{Verified: &fsmpb.VerifiedUser{User: "bob", Outside: true, Roles: &fsmpb.RoleList{Roles: []fsmpb.Role{admin}}}}
	l.wantCode(of(stranger, `"10"`), fsmpb.Code_CODE_FORBIDDEN)
	l.m = restored(t, snapshotOf(t, l.m), fsm.Options{})
	want("ann", `colour="green" size="9" `)

	l.must(create(vouched(4, "ann")))
	l.wantCode(prefer(4, "x", string(sealedValue(1, 'a'))), fsmpb.Code_CODE_INVALID)
	l.wantCode(prefer(4, "", "1"), fsmpb.Code_CODE_INVALID)
	l.wantCode(prefer(1, "x", "1"), fsmpb.Code_CODE_UNAUTHENTICATED)
	many := &fsmpb.PatchPreferences{KeyHash: bytesOf(keyOf(4))}
	for i := range session.MaxAttributes - 2 {
		many.Changes = append(many.Changes, &fsmpb.AttributeChange{Name: fmt.Sprintf("p%d", i), Value: []byte("1")})
	}
	l.must(patchPreferences(many))
	l.wantCode(prefer(4, "one more", "1"), fsmpb.Code_CODE_TOO_LARGE)
	l.must(deleteUser(&fsmpb.DeleteUser{Name: "ann", Authority: system()}))
	l.must(putUser(account("ann", "$hash", plain)))
	want("ann", "") // another user of the same name inherits nothing
}

// Whatever is preferred, setting it is a tickle: it moves the idle timer and not the one of inactivity.
func TestPreferencesAreTickles(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	p := timers("default", 10_000, 0, 0)
	p.InactivityMs = ptr(int64(15_000))
	l.must(putPolicy(p))
	l.must(create(vouched(1, "ann")))
	r := &fsmpb.SessionState{}
	for range 3 {
		l.clock += 9000
		r = l.must(patchPreferences(&fsmpb.PatchPreferences{KeyHash: bytesOf(keyOf(1)), Changes: []*fsmpb.AttributeChange{{Name: "a", Value: []byte("1")}}})).GetSession()
	}
	if r.LastUseMs != l.clock || r.LastActivityMs != start {
		t.Errorf("got last use %d, activity %d after the log-in; want %d, 0", r.LastUseMs-start, r.LastActivityMs-start, l.clock-start)
	}
}
