package fsm_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// login makes the command that logs a user in by password.
func login(n int, user string, version uint64) *fsmpb.Command {
	return create(&fsmpb.CreateSession{KeyHash: bytesOf(keyOf(n)), Id: bytesOf(idOf(n)), User: user, UserVersion: version})
}

func update(c *fsmpb.PutUser) *fsmpb.Command {
	c.Mode, c.Authority = fsmpb.PutUser_MODE_UPDATE, system()
	return putUser(c)
}

func TestALoginNeedsTheRecordThatWasVerified(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	v := l.must(putUser(account("ann", "old"))).GetVersion()
	l.must(login(1, "ann", v))
	l.wantCode(login(2, "ann", v-1), codeConflict)
	l.wantCode(login(2, "nobody", 0), codeConflict)
	l.must(create(vouched(3, "shell")))
	l.wantCode(login(2, "shell", 0), codeConflict)
	w := l.must(update(&fsmpb.PutUser{Name: "ann", Disabled: ptr(true)})).GetVersion()
	l.wantCode(login(2, "ann", v), codeConflict)
	l.wantCode(login(2, "ann", w), codeConflict)
	l.wantCode(create(vouched(2, "ann")), codeForbidden)
}

func TestANewPasswordEndsTheOtherSessions(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	v := l.must(putUser(account("ann", "old"))).GetVersion()
	for i := range 4 {
		l.must(login(i, "ann", v))
	}
	v = l.must(update(&fsmpb.PutUser{Name: "ann", PasswordHash: ptr("new"), ExceptId: bytesOf(idOf(2))})).GetVersion()
	for i := range 4 {
		l.wantLive(i, i == 2)
	}
	u, _ := l.m.User("ann")
	if u.Sessions != 1 || u.PasswordHash != "new" || !u.HasPassword || u.Version != v {
		t.Fatalf("got %+v", u)
	}
	l.must(login(5, "ann", v))
	if r := l.must(revokeUser(&fsmpb.RevokeUserSessions{User: "ann", Authority: authority(2), ExceptId: bytesOf(idOf(5))})); r.GetCount() != 1 {
		t.Fatalf("%d ended, want 1", r.GetCount())
	}
	l.wantLive(2, false) // spared once, not for ever
	l.wantLive(5, true)
	// The same password again, and another's session as the exception.
	l.must(create(vouched(6, "bob")))
	l.must(update(&fsmpb.PutUser{Name: "ann", PasswordHash: ptr("new")}))
	l.wantLive(5, true)
	l.must(update(&fsmpb.PutUser{Name: "ann", PasswordHash: ptr("newer"), ExceptId: bytesOf(idOf(6))}))
	l.wantLive(5, false)
	l.wantLive(6, true)
}

// The key behind a command is judged where the command stands in the log, whatever was true when it was proposed.
func TestAuthorityIsJudgedAtTheCommandsPlace(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	v := l.must(putUser(account("svc", "hash", service))).GetVersion()
	l.must(login(1, "svc", v))
	l.must(create(vouched(2, "ann")))
	by := func(n int, a *fsmpb.Authority) *fsmpb.Command {
		c := vouched(n, "bob")
		c.Authority = a
		return create(c)
	}
	l.must(by(10, authority(1, service, admin)))
	l.wantCode(by(11, authority(2)), codeForbidden) // a plain user vouches for nobody
	l.wantCode(by(11, authority(1, admin)), codeForbidden)
	l.wantCode(by(11, authority(99)), codeUnauthenticated)
	results := l.apply(revokeKey(1), by(12, authority(1, service))).Batches[0].Results
	if results[1].Code != codeUnauthenticated {
		t.Fatalf("got %v", results[1])
	}
	l.wantLive(12, false)
	// An owner's own session, and another's.
	l.must(create(vouched(3, "ann")))
	own := &fsmpb.Authority{KeyHash: bytesOf(keyOf(2)), AnyOf: []fsmpb.Role{admin}, OrOwner: true}
	l.wantCode(revoke(&fsmpb.RevokeSession{Id: bytesOf(idOf(10)), Authority: own}), codeNotFound)
	l.must(revoke(&fsmpb.RevokeSession{Id: bytesOf(idOf(3)), Authority: own}))
	r := l.must(revokeMany(&fsmpb.RevokeSessions{Ids: [][]byte{bytesOf(idOf(10)), bytesOf(idOf(2))}, Authority: own}))
	if r.GetCount() != 1 {
		t.Fatalf("%d ended, want the own one alone", r.GetCount())
	}
	l.wantLive(10, true)
	l.wantCode(revokeUser(&fsmpb.RevokeUserSessions{User: "bob", Authority: own}), codeUnauthenticated) // it has just ended itself
}

func TestTheFirstAdminIsMadeOnce(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	first := account("admin", "hash")
	first.Mode = fsmpb.PutUser_MODE_BOOTSTRAP_ADMIN
	if l.m.HasAdmin() {
		t.Fatal("an admin from nowhere")
	}
	l.must(putUser(first))
	u, ok := l.m.User("admin")
	if !ok || !u.Has(session.RoleAdmin) || !l.m.HasAdmin() {
		t.Fatalf("got %+v", u)
	}
	other := account("other", "hash")
	other.Mode = fsmpb.PutUser_MODE_BOOTSTRAP_ADMIN
	l.wantCode(putUser(other), codeExists)
}

// The last enabled admin stays one, whoever asks for its end, and in whichever way.
func TestTheLastAdminStays(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	l.must(putUser(account("ann", "hash", admin)))
	l.must(putUser(account("off", "hash", admin)))
	l.must(update(&fsmpb.PutUser{Name: "off", Disabled: ptr(true)}))
	ends := []*fsmpb.Command{
		deleteUser(&fsmpb.DeleteUser{Name: "ann", Authority: system()}),
		update(&fsmpb.PutUser{Name: "ann", Disabled: ptr(true)}),
		update(&fsmpb.PutUser{Name: "ann", Roles: &fsmpb.RoleList{Roles: []fsmpb.Role{service}}}),
		update(&fsmpb.PutUser{Name: "ann", Roles: &fsmpb.RoleList{}}),
	}
	for _, end := range ends {
		if r := l.do(end); r.Code != codeConflict || r.Field != "last_admin" {
			t.Fatalf("%v: got %v", end, r)
		}
	}
	l.must(update(&fsmpb.PutUser{Name: "ann", Disabled: ptr(false), Roles: &fsmpb.RoleList{Roles: []fsmpb.Role{plain, admin}}}))
	l.must(deleteUser(&fsmpb.DeleteUser{Name: "off", Authority: system()})) // a disabled one is not missed
	// Two that end each other in one entry: one of them stays.
	l.must(putUser(account("bob", "hash", admin)))
	results := l.apply(deleteUser(&fsmpb.DeleteUser{Name: "ann", Authority: system()}),
		update(&fsmpb.PutUser{Name: "bob", Disabled: ptr(true)})).Batches[0].Results
	if results[0].Code != codeOK || results[1].Code != codeConflict {
		t.Fatalf("got %v", results)
	}
	// After a restore it is still the last one.
	m := restored(t, snapshotOf(t, l.m), fsm.Options{})
	l.m = m
	l.wantCode(update(&fsmpb.PutUser{Name: "bob", Disabled: ptr(true)}), codeConflict)
}

// A log-in that was verified elsewhere is let in only where the cluster has no password and no word against it.
func TestOutsideLogins(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	l.must(putPolicy(timers("night", 1000, 0, 0)))
	outside := func(n int, user string, version uint64, policy string, grants bool) *fsmpb.Command {
		return create(&fsmpb.CreateSession{KeyHash: bytesOf(keyOf(n)), Id: bytesOf(idOf(n)), User: user, UserVersion: version, Policy: policy,
			Outside: &fsmpb.OutsideLogin{GrantsPolicy: grants}})
	}
	withPassword := l.must(putUser(account("own", "hash"))).GetVersion()
	without := l.must(putUser(account("ann", ""))).GetVersion()
	l.must(outside(1, "xan", 0, "", false)) // a shell
	l.must(outside(2, "xan", 0, "night", true))
	l.must(outside(3, "ann", without, "", false))
	for name, c := range map[string]*fsmpb.Command{
		"the cluster's own password is bypassed": outside(9, "own", withPassword, "", false),
		"the account was not looked at":          outside(9, "ann", 0, "", false),
		"the account was another":                outside(9, "ann", without-1, "", false),
		"a shell has no version":                 outside(9, "xan", 5, "", false),
		"there was an account":                   outside(9, "yan", 5, "", false),
	} {
		if r := l.do(c); r.Code != codeConflict {
			t.Errorf("%s: got %v", name, r)
		}
	}
	l.wantCode(outside(9, "xan", 0, "night", false), codeForbidden)
	l.wantCode(outside(9, "xan", 0, "", true), codeInvalid)
	v := l.must(update(&fsmpb.PutUser{Name: "ann", Disabled: ptr(true)})).GetVersion()
	l.wantLive(3, false)
	l.wantCode(outside(9, "ann", v, "", false), codeConflict)
	l.must(putUser(&fsmpb.PutUser{Name: "xan", Mode: fsmpb.PutUser_MODE_CREATE, Disabled: ptr(true), Authority: system()}))
	l.wantLive(1, false)
	l.wantCode(outside(9, "xan", 0, "", false), codeConflict)
}

// What a directory's groups give counts for users without account, and anew with each proof.
func TestOutsideRoles(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	roles := func(r ...fsmpb.Role) *fsmpb.RoleList { return &fsmpb.RoleList{Roles: r} }
	outside := func(n int, user string, version uint64, r *fsmpb.RoleList, idem bool) *fsmpb.Command {
		c := &fsmpb.CreateSession{KeyHash: bytesOf(keyOf(n)), Id: bytesOf(idOf(n)), User: user, UserVersion: version, Outside: &fsmpb.OutsideLogin{Roles: r}}
		if idem {
			c.Idempotency = &fsmpb.Idempotency{ScopeHash: bytesOf(keyOf(90)), BodyHash: bytesOf(keyOf(91))}
		}
		return create(c)
	}
	want := func(n int, r ...session.Role) {
		t.Helper()
		if got, ok := l.m.SessionByKey(keyOf(n)); !ok || !slices.Equal(got.Roles, r) {
			t.Fatalf("key %d: got %v %v, want %v", n, ok, got.Roles, r)
		}
	}
	l.must(outside(1, "xan", 0, roles(admin), true))
	want(1, session.RoleAdmin)
	l.must(putUser(&fsmpb.PutUser{Name: "new", Mode: fsmpb.PutUser_MODE_CREATE, Authority: authority(1, admin)}))
	l.must(outside(2, "xan", 0, nil, false))
	want(2, session.RoleUser)
	want(1, session.RoleAdmin) // groups are judged at log-in
	l.wantCode(outside(9, "xan", 0, roles(9), false), codeInvalid)
	// An account decides on its own, and no service comes to a directory's admin by vouching.
	v := l.must(putUser(account("ann", ""))).GetVersion()
	l.must(outside(3, "ann", v, roles(admin), false))
	want(3, session.RoleUser)
	l.must(create(vouched(4, "xan")))
	want(4, session.RoleUser)
	// A new proof brings what the groups say now, a rotation alone what the session has; so does a repeated create.
	again := rotation(1, 5)
	l.must(rotate(again))
	want(5, session.RoleAdmin)
	again = rotation(5, 6)
	again.Reauthentication = &fsmpb.Reauthentication{Outside: true, Roles: roles(service)}
	l.must(rotate(again))
	want(6, session.RoleService)
	if r := l.must(outside(7, "xan", 0, nil, true)); !r.Repeated {
		t.Fatal("the create was not repeated")
	}
	want(7, session.RoleUser)
	again = rotation(7, 8)
	again.Reauthentication = &fsmpb.Reauthentication{UserVersion: v, Roles: roles(admin)}
	l.wantCode(rotate(again), codeInvalid)
}

// Users may change their password, and nothing else.
func TestUsersChangeTheirOwnPassword(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	v := l.must(putUser(account("ann", "hash"))).GetVersion()
	l.must(putUser(account("bob", "hash")))
	l.must(login(1, "ann", v))
	l.must(login(2, "ann", v))
	own := &fsmpb.Authority{KeyHash: bytesOf(keyOf(1)), AnyOf: []fsmpb.Role{admin}, OrOwner: true}
	by := func(c *fsmpb.PutUser) *fsmpb.Command {
		c.Mode, c.Authority = cmp.Or(c.Mode, fsmpb.PutUser_MODE_UPDATE), own
		return putUser(c)
	}
	for _, c := range []*fsmpb.PutUser{
		{Name: "bob", PasswordHash: ptr("mine")}, {Name: "ann", Roles: &fsmpb.RoleList{Roles: []fsmpb.Role{admin}}}, {Name: "ann"},
		{Name: "ann", PasswordHash: ptr("x"), Roles: &fsmpb.RoleList{Roles: []fsmpb.Role{admin}}}, {Name: "ann", PasswordHash: ptr("")},
		{Name: "ann", PasswordHash: ptr("x"), Disabled: ptr(false)}, {Name: "ann", PasswordHash: ptr("x"), Policies: &fsmpb.NameList{}},
		{Name: "ann", PasswordHash: ptr("x"), Mode: fsmpb.PutUser_MODE_CREATE}, {Name: "new", PasswordHash: ptr("x"), Mode: fsmpb.PutUser_MODE_CREATE},
	} {
		l.wantCode(by(c), codeForbidden)
	}
	anyKey := &fsmpb.PutUser{Name: "bob", PasswordHash: ptr("mine"), Mode: fsmpb.PutUser_MODE_UPDATE, Authority: authority(1)}
	l.wantCode(putUser(anyKey), codeForbidden) // an authority of any role is no admin's
	l.must(by(&fsmpb.PutUser{Name: "ann", PasswordHash: ptr("new"), ExceptId: bytesOf(idOf(1))}))
	l.wantLive(1, true)
	l.wantLive(2, false)
}

// Another hash of the same password changes nothing else, and comes too late for a changed user.
func TestUpgradedPasswordsEndNothing(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	v := l.must(putUser(account("ann", "cheap"))).GetVersion()
	l.must(login(1, "ann", v))
	upgrade := func(user string, version uint64, hash string) *fsmpb.Command {
		return upgradePassword(&fsmpb.UpgradePassword{User: user, ExpectedVersion: version, PasswordHash: hash})
	}
	l.must(upgrade("ann", v, "dear"))
	l.must(login(2, "ann", v)) // verified before it
	l.wantLive(1, true)
	if u, _ := l.m.User("ann"); u.PasswordHash != "dear" || u.Version != v {
		t.Fatalf("got %q at %d", u.PasswordHash, u.Version)
	}
	l.must(update(&fsmpb.PutUser{Name: "ann", PasswordHash: ptr("changed")}))
	l.wantCode(upgrade("ann", v, "dear"), codeConflict)
	none := l.must(putUser(account("none", ""))).GetVersion()
	l.wantCode(upgrade("none", none, "dear"), codeConflict)
	l.wantCode(upgrade("nobody", 0, "dear"), codeConflict)
	l.wantCode(upgrade("ann", v, ""), codeInvalid)
	l.wantCode(upgrade("ann", v, strings.Repeat("x", fsm.MaxPasswordHashBytes+1)), codeTooLarge)
	if u, _ := l.m.User("ann"); u.PasswordHash != "changed" {
		t.Fatalf("got %q", u.PasswordHash)
	}
}

// Two changes in one entry have two versions, so that a reader of the first cannot overwrite the second unseen.
func TestVersionsDifferWithinAnEntry(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	l.must(putUser(account("ann", "hash")))
	l.must(create(vouched(1, "bob")))
	set := func(value string, version *uint64) *fsmpb.Command {
		return patch(&fsmpb.PatchAttributes{KeyHash: bytesOf(keyOf(1)), Authority: system(), IfVersion: version,
			Changes: []*fsmpb.AttributeChange{{Name: "a", Value: []byte(value)}}})
	}
	results := l.apply(set("1", nil), set("2", nil), update(&fsmpb.PutUser{Name: "ann", PasswordHash: ptr("b")}),
		update(&fsmpb.PutUser{Name: "ann", PasswordHash: ptr("c")})).Batches[0].Results
	one, two := results[0].GetSession().AttributesVersion, results[1].GetSession().AttributesVersion
	if one == two || results[2].GetVersion() == results[3].GetVersion() {
		t.Fatalf("got %v", results)
	}
	l.wantCode(set("3", &one), codeVersion)
	l.must(set("3", &two))
}

// Ending a user's sessions costs one entry nothing, however many they are; their removal follows in steps.
func TestAUsersSessionsAreRemovedInSteps(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{EndsPerEntry: 10})
	for i := range 95 {
		l.must(create(vouched(i, []string{"ann", "bob"}[i%2])))
	}
	if n := l.must(revokeUser(&fsmpb.RevokeUserSessions{User: "ann", ExceptId: bytesOf(idOf(0)), Authority: system()})).GetCount(); n != 47 {
		t.Fatalf("%d ended", n)
	}
	if st := l.m.Stats(); st.Sessions != 95 || st.PendingReaps != 1 {
		t.Fatalf("after the command: %+v", st)
	}
	for i := range 95 {
		l.wantLive(i, i%2 == 1 || i == 0)
	}
	removed := 0
	for range 5 {
		if at, ok := l.m.NextDeadlineMS(); !ok || at != l.clock {
			t.Fatalf("nothing seems to wait: %d %v", at, ok)
		}
		ended := l.apply().Ended
		removed += len(ended)
		if len(ended) > 10 || ended[0].Cause != fsm.CauseUser || ended[0].User != "ann" {
			t.Fatalf("ended %+v", ended)
		}
	}
	if st := l.m.Stats(); removed != 47 || st.Sessions != 48 || st.PendingReaps != 0 || st.EndedUser != 47 {
		t.Fatalf("%d removed: %+v", removed, st)
	}
}

func TestAccountsAreListedByName(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	for i := range 50 {
		l.must(putUser(account(fmt.Sprintf("u%02d", (i*37)%50), "hash")))
		l.must(create(vouched(i, fmt.Sprintf("shell%d", i))))
	}
	page := l.m.ListUsers("u10", 3)
	if len(page) != 3 || page[0].Name != "u11" || page[2].Name != "u13" {
		t.Fatalf("got %+v", page)
	}
	if st := l.m.Stats(); st.Users != 50 || st.ShellUsers != 50 || len(l.m.ListUsers("", 1000)) != 50 {
		t.Fatalf("got %+v", st)
	}
}
