package fsm_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// commandEvents says which events each kind of command may report. A kind that reports none has its reason here.
var commandEvents = map[string][]fsm.EventKind{
	"create_session":       {fsm.EventLogin, fsm.EventLoginRepeated, fsm.EventLoginFailed, fsm.EventSessionEnded},
	"rotate_session":       {fsm.EventKeyRotated, fsm.EventReauthenticated},
	"touch_session":        nil, // a use is no change of a session; requests are in the log of requests
	"patch_attributes":     nil, // what an application keeps in a session is its own affair
	"alter_session":        nil, // it begins and ends nothing; how long it lives from now on is in the session
	"patch_preferences":    nil, // what a user keeps for itself is its own affair
	"revoke_session":       {fsm.EventSessionEnded},
	"revoke_sessions":      {fsm.EventSessionEnded},
	"revoke_user_sessions": {fsm.EventUserSessionsRevoked},
	"put_user":             {fsm.EventUserCreated, fsm.EventUserChanged},
	"upgrade_password":     nil, // the user and its password stay what they are
	"delete_user":          {fsm.EventUserDeleted},
	"put_policy":           {fsm.EventPolicyCreated, fsm.EventPolicyChanged},
	"delete_policy":        {fsm.EventPolicyDeleted},
	"put_limits":           {fsm.EventLimitsChanged},
	"set_format_level":     {fsm.EventFormatLevel},
	"set_session_home":     {fsm.EventSessionHome},
	"no_op":                nil, // it does nothing
	"login_failed":         {fsm.EventLoginFailed},
	"put_seal_key":         nil, // how a node keeps values; no user, session or policy changes
	"hold_seal_keys":       nil,
	"replace_sealed":       nil, // the same values, sealed anew
	"take_attempt":         nil, // a try: what came of it, a log-in or a failed one, is reported by another command
	"put_challenge_secret": nil, // what the next log-ins by challenge are signed with
	"use_challenge":        nil, // a step of a log-in, as take_attempt is
	"begin_import":         {fsm.EventImportBegun, fsm.EventPolicyCreated, fsm.EventPolicyChanged, fsm.EventPolicyDeleted, fsm.EventLimitsChanged},
	"import_past":          nil,
	"import_users":         {fsm.EventUserImported},
	"import_sessions":      {fsm.EventSessionImported},
	"finish_import":        {fsm.EventImportFinished},
	"close_cluster":        {fsm.EventClusterClosed},
	"open_cluster":         {fsm.EventClusterOpened},
	"give_back_attempt":    nil, // the log-in it belongs to has failed for another reason than the password
}

// TestEveryCommandHasItsEvents applies the golden history, which holds every command: each reports what the table says, and every one
// that reports anything does so at least once.
func TestEveryCommandHasItsEvents(t *testing.T) {
	t.Parallel()
	kinds := (&fsmpb.Command{}).ProtoReflect().Descriptor().Oneofs().ByName("kind")
	reported := map[string]bool{}
	for _, history := range goldenHistories() {
		l := newLog(t, fsm.Options{Events: true})
		for _, step := range history.steps {
			name := string(step.command.ProtoReflect().WhichOneof(kinds).Name())
			for _, e := range l.apply(step.command).Events {
				reported[name] = true
				if e.Cause != fsm.CauseUser && !slices.Contains(commandEvents[name], e.Kind) {
					t.Errorf("%s reports %s, which the table does not know", name, e.Kind)
				}
			}
			l.clock += 250
		}
	}
	for i := range kinds.Fields().Len() {
		name := string(kinds.Fields().Get(i).Name())
		events, known := commandEvents[name]
		if !known {
			t.Errorf("the command %s is not in the table: let apply report what an audit trail needs, or say here why that is nothing", name)
		}
		// The format level cannot rise beyond what this release supports, and the home of sessions not change while there are some.
		if len(events) > 0 && !reported[name] && name != "set_format_level" && name != "set_session_home" {
			t.Errorf("no golden step of %s reported an event", name)
		}
	}
}

// TestEverySessionsBeginAndEndIsReportedOnce: over random histories the reported log-ins and ends, and nothing else, explain which
// sessions the model has after each entry.
func TestEverySessionsBeginAndEndIsReportedOnce(t *testing.T) {
	t.Parallel()
	for seed := range *modelSeeds {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			h := newHistory(1000 + seed)
			ends := 1 + h.IntN(6)
			l, m := newLog(t, fsm.Options{EndsPerEntry: ends, HashSeed: seed, Events: true}), newModel(ends)
			recorded := map[session.ID]bool{}
			for range 300 {
				l.clock += h.advance()
				h.follow(l.m)
				commands := h.entry()
				applied := l.apply(commands...)
				noteVersions(h, applied)
				m.apply(l.index, l.clock, commands)
				follow(t, recorded, applied)
				compareRecorded(t, recorded, m)
				if h.chance(5) {
					l.m = restored(t, snapshotOf(t, l.m), fsm.Options{EndsPerEntry: ends, HashSeed: h.Uint64(), Events: true})
				}
			}
		})
	}
}

// follow keeps account of the sessions that events tell of.
func follow(t *testing.T, recorded map[session.ID]bool, applied *fsm.Applied) {
	t.Helper()
	var byItself []fsm.Cause
	for _, e := range applied.Events {
		switch e.Kind {
		case fsm.EventImportBegun:
			clear(recorded)
		case fsm.EventLogin, fsm.EventSessionImported:
			if recorded[e.Session] {
				t.Fatalf("entry %d: the beginning of %v is reported twice", applied.Index, e.Session)
			}
			recorded[e.Session] = true
		case fsm.EventSessionEnded:
			if !recorded[e.Session] {
				t.Fatalf("entry %d: %v ended, which had not begun", applied.Index, e.Session)
			}
			delete(recorded, e.Session)
			if e.Cause != fsm.CauseLogout && e.Cause != fsm.CauseRevoked {
				byItself = append(byItself, e.Cause)
			}
		}
	}
	var ended []fsm.Cause
	for _, e := range applied.Ended {
		ended = append(ended, e.Cause)
	}
	if !slices.Equal(byItself, ended) {
		t.Fatalf("entry %d: ended %+v, reported %v", applied.Index, applied.Ended, byItself)
	}
}

func compareRecorded(t *testing.T, got map[session.ID]bool, m *model) {
	t.Helper()
	if len(got) != len(m.sessions) {
		t.Fatalf("entry %d: events leave %d sessions, the model has %d", m.index, len(got), len(m.sessions))
	}
	for _, s := range m.sessions {
		if !got[s.id] {
			t.Fatalf("entry %d: no event tells of %v", m.index, s.id)
		}
	}
}

// TestEventsChangeNothing: with and without events a history gives the same answers and bytes, and with them the same ones from any
// snapshot on.
func TestEventsChangeNothing(t *testing.T) {
	t.Parallel()
	for seed := range uint64(5) {
		h := newHistory(2000 + seed)
		silent, telling := newLog(t, fsm.Options{HashSeed: 1}), newLog(t, fsm.Options{HashSeed: 2, Events: true})
		replayed := newLog(t, fsm.Options{HashSeed: 3, Events: true})
		for range 150 {
			by := h.advance()
			commands := h.entry()
			for _, l := range []*log{silent, telling, replayed} {
				l.clock += by
			}
			a, b, c := silent.apply(commands...), telling.apply(commands...), replayed.apply(commands...)
			noteVersions(h, a)
			if a.Events != nil {
				t.Fatalf("events %v, nobody asked", a.Events)
			}
			if !reflect.DeepEqual(b.Events, c.Events) {
				t.Fatalf("seed %d, entry %d: events\n%+v, after a restore\n%+v", seed, b.Index, b.Events, c.Events)
			}
			b.Events = nil
			if fmt.Sprintf("%+v", a.Ended) != fmt.Sprintf("%+v", b.Ended) || len(a.Batches) != len(b.Batches) {
				t.Fatalf("seed %d, entry %d: other answers with events", seed, a.Index)
			}
			if h.chance(20) {
				replayed.m = restored(t, snapshotOf(t, replayed.m), fsm.Options{HashSeed: h.Uint64(), Events: true})
			}
		}
		if string(snapshotOf(t, silent.m)) != string(snapshotOf(t, telling.m)) {
			t.Fatalf("seed %d: another state with events", seed)
		}
	}
}

// eventText is an event as a line that a test can read.
func eventText(e fsm.Event) string {
	text := []string{string(e.Kind)}
	add := func(name string, value any) {
		if v := reflect.ValueOf(value); !v.IsZero() {
			text = append(text, fmt.Sprintf("%s=%v", name, value))
		}
	}
	for i := range 10 {
		if e.Session == idOf(i) {
			add("session", i)
		}
	}
	for i := range 10 {
		if e.Actor.Session == idOf(i) {
			add("by", i)
		}
	}
	add("user", e.User)
	add("number", e.Number)
	add("policy", e.Policy)
	add("method", e.Method)
	if e.Kind == fsm.EventSessionEnded {
		add("cause", e.Cause)
	}
	add("reason", e.Reason)
	add("field", e.Field)
	add("count", e.Count)
	add("password", e.PasswordChanged)
	add("system", e.Actor.System)
	add("users", e.Users)
	add("origin", e.Origin)
	add("actor", e.Actor.User)
	if e.Address.IsValid() {
		add("from", e.Address)
	}
	if e.Actor.Address.IsValid() {
		add("actor-from", e.Actor.Address)
	}
	return strings.Join(text, " ")
}

// TestWhatEventsTell is a script: commands, and what they report.
func TestWhatEventsTell(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{Events: true})
	byPassword := func(n int, version uint64) *fsmpb.Command {
		return create(&fsmpb.CreateSession{KeyHash: bytesOf(keyOf(n)), Id: bytesOf(idOf(n)), User: "ann", UserVersion: version, Address: goldenAddress(byte(n))})
	}
	byService := vouched(3, "bob")
	byService.Authority, byService.Address = authority(2, service), goldenAddress(7)
	byService.Authority.Address = goldenAddress(2)
	byAnn := &fsmpb.Authority{KeyHash: bytesOf(keyOf(1)), AnyOf: []fsmpb.Role{admin}, OrOwner: true, Address: goldenAddress(9)}
	repeat := func(n int) *fsmpb.Command {
		c := vouched(n, "bob")
		c.Idempotency = &fsmpb.Idempotency{ScopeHash: bytesOf(keyOf(50)), BodyHash: bytesOf(keyOf(51))}
		return create(c)
	}
	update := func(name string, change func(*fsmpb.PutUser)) *fsmpb.Command {
		c := &fsmpb.PutUser{Name: name, Mode: fsmpb.PutUser_MODE_UPDATE, Authority: byAnn}
		change(c)
		return putUser(c)
	}
	proved := rotation(20, 22)
	proved.Reauthentication, proved.Authority = &fsmpb.Reauthentication{Vouched: true}, system()
	over := vouched(30, "eve")
	over.Replaces = bytesOf(keyOf(9))
	byPasswordOfRoot := verified("root", 30, admin)
	byPasswordOfRoot.Address = goldenAddress(4)
	logOut := revoke(&fsmpb.RevokeSession{KeyHash: bytesOf(keyOf(4)), Address: goldenAddress(8)})
	for i, step := range []struct {
		command *fsmpb.Command
		want    string
	}{
		{putUser(account("ann", "$hash", admin)), "user_created user=ann password=true system=true"},
		{putUser(account("svc", "$hash", service)), "user_created user=svc password=true system=true"},
		{byPassword(1, 11), "login session=1 by=1 user=ann number=1 policy=default method=password actor=ann from=192.0.2.1 actor-from=192.0.2.1"},
		{byPassword(5, 10), "login_failed user=ann method=password reason=conflict field=user from=192.0.2.5"},
		{create(&fsmpb.CreateSession{KeyHash: bytesOf(keyOf(2)), Id: bytesOf(idOf(2)), User: "svc", UserVersion: 12}),
			"login session=2 by=2 user=svc number=1 policy=default method=password actor=svc"},
		{create(byService), "login session=3 by=2 user=bob number=1 policy=default method=vouched actor=svc from=192.0.2.7 actor-from=192.0.2.2"},
		{repeat(4), "login session=4 user=bob number=2 policy=default method=vouched system=true"},
		{repeat(6), "login_repeated session=4 user=bob number=2 policy=default method=vouched system=true"},
		{revoke(&fsmpb.RevokeSession{KeyHash: bytesOf(keyOf(6)), Address: goldenAddress(8)}),
			"session_ended session=4 by=4 user=bob number=2 policy=default cause=logout actor=bob actor-from=192.0.2.8"},
		{logOut, ""},
		{touch(1), ""},
		{revoke(&fsmpb.RevokeSession{Id: bytesOf(idOf(3)), Authority: byAnn}),
			"session_ended session=3 by=1 user=bob number=1 policy=default cause=revoked actor=ann from=192.0.2.7 actor-from=192.0.2.9"},
		{putPolicy(timers("web", 60_000, 0, 0)), "policy_created policy=web system=true"},
		{putPolicy(timers("web", 90_000, 0, 0)), "policy_changed policy=web system=true"},
		{deletePolicy(&fsmpb.DeletePolicy{Name: "web", Authority: byAnn}), "policy_deleted by=1 policy=web actor=ann actor-from=192.0.2.9"},
		{update("svc", func(c *fsmpb.PutUser) { c.PasswordHash = ptr("$other") }), "user_changed by=1 user=svc password=true actor=ann actor-from=192.0.2.9"},
		{&fsmpb.Command{Kind: &fsmpb.Command_NoOp{NoOp: &fsmpb.NoOp{}}}, "session_ended session=2 user=svc number=1 policy=default cause=user"},
		{revokeUser(&fsmpb.RevokeUserSessions{User: "ann", ExceptId: bytesOf(idOf(1)), Authority: byAnn}),
			"user_sessions_revoked session=1 by=1 user=ann actor=ann actor-from=192.0.2.9"},
		{create(&fsmpb.CreateSession{KeyHash: bytesOf(keyOf(8)), Id: bytesOf(idOf(8)), User: "cid", Outside: &fsmpb.OutsideLogin{}}),
			"login session=8 by=8 user=cid number=3 policy=default method=directory actor=cid"},
		{putUser(account("root", "$hash", admin)), "user_created user=root password=true system=true"},
		{update("ann", func(c *fsmpb.PutUser) { c.Disabled = ptr(true) }), "user_changed by=1 user=ann actor=ann actor-from=192.0.2.9"},
		{update("svc", func(c *fsmpb.PutUser) { c.Disabled = ptr(true) }),
			"session_ended session=1 user=ann number=1 policy=default cause=user from=192.0.2.1"},
		{create(&fsmpb.CreateSession{User: "ann", Policy: strings.Repeat("x", 500)}), "login_failed method=password reason=invalid_request"},
		{deleteUser(&fsmpb.DeleteUser{Name: "svc", Authority: system()}), "user_deleted user=svc system=true"},
		{loginFailed(&fsmpb.LoginFailed{User: "ann", Address: goldenAddress(3), Reason: fsmpb.LoginFailed_REASON_PASSWORD}),
			"login_failed user=ann method=password reason=wrong_password from=192.0.2.3"},
		{loginFailed(&fsmpb.LoginFailed{Reason: fsmpb.LoginFailed_REASON_UNREPORTED, Count: 7}), "login_failed method=password reason=unreported count=7"},
		{loginFailed(&fsmpb.LoginFailed{Reason: 99}), ""},
		{create(vouched(7, "eve")), "login session=7 user=eve number=3 policy=default method=vouched system=true"},
		{rotate(rotation(7, 20)), "key_rotated session=7 by=7 user=eve number=3 policy=default actor=eve"},
		{rotate(rotation(7, 21)), ""},
		{rotate(proved), "reauthenticated session=7 user=eve number=3 policy=default method=vouched system=true"},
		{&fsmpb.Command{Kind: &fsmpb.Command_TouchSession{TouchSession: &fsmpb.TouchSession{KeyHash: bytesOf(keyOf(7)), Address: goldenAddress(66)}}},
			"session_ended session=7 user=eve number=3 policy=default cause=reused_key actor-from=192.0.2.66"},
		{create(vouched(9, "eve")), "login session=9 user=eve number=4 policy=default method=vouched system=true"},
		{create(over), "session_ended session=9 user=eve number=4 policy=default cause=replaced system=true\n" +
			"login user=eve number=5 policy=default method=vouched system=true"},
		{putUser(&fsmpb.PutUser{Name: "eve", Mode: fsmpb.PutUser_MODE_CREATE, Authority: byPasswordOfRoot}), "user_created user=eve actor=root actor-from=192.0.2.4"},
		{create(&fsmpb.CreateSession{User: "ann"}), "login_failed user=ann method=password reason=invalid_request"},
	} {
		var got []string
		for _, e := range l.apply(step.command).Events {
			got = append(got, eventText(e))
		}
		if text := strings.Join(got, "\n"); text != step.want {
			t.Errorf("step %d: got\n%s\nwant\n%s", i, text, step.want)
		}
	}
}

// TestEventsHoldNoSecret: neither the hash of a key nor that of a password is in any event.
func TestEventsHoldNoSecret(t *testing.T) {
	t.Parallel()
	all := ""
	for _, history := range goldenHistories() {
		l := newLog(t, fsm.Options{Events: true})
		for _, step := range history.steps {
			for _, e := range l.apply(step.command).Events {
				text, err := json.Marshal(e)
				if err != nil {
					t.Fatal(err)
				}
				all += string(text) + fmt.Sprintf("%+v", e)
			}
			l.clock += 250
		}
	}
	for n := range 20 {
		for _, form := range []string{fmt.Sprintf("%x", keyOf(n)), strings.Trim(fmt.Sprint([32]byte(keyOf(n))), "[]")} {
			if strings.Contains(all, form) {
				t.Errorf("an event holds the hash of key %d", n)
			}
		}
	}
	if strings.Contains(all, "argon2id") || !strings.Contains(all, "192.0.2.3") {
		t.Error("an event holds a password's hash, or the search finds nothing")
	}
}

// TestAddressesOfEvents: the unknown address is not shown as one of zeros.
func TestAddressesOfEvents(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{Events: true})
	none := vouched(1, "ann")
	none.Address = make([]byte, 16)
	six := vouched(2, "ann")
	v6 := netip.MustParseAddr("2001:db8::1").As16()
	six.Address = v6[:]
	events := l.apply(create(none), create(six)).Events
	if events[0].Address.IsValid() || events[1].Address != netip.MustParseAddr("2001:db8::1") {
		t.Errorf("got %v and %v", events[0].Address, events[1].Address)
	}
}
