package fsm_test

import (
	"slices"
	"testing"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// setRoles changes a user's roles and returns its version.
func (l *log) setRoles(user string, roles ...fsmpb.Role) uint64 {
	l.t.Helper()
	return l.must(update(&fsmpb.PutUser{Name: user, Roles: &fsmpb.RoleList{Roles: roles}})).GetVersion()
}

// wantRoles looks at a session's roles, and whether it is to be rotated.
func (l *log) wantRoles(key int, rotate bool, want ...session.Role) {
	l.t.Helper()
	r, ok := l.m.SessionByKey(keyOf(key))
	if !ok || !slices.Equal(r.Roles, want) || r.Rotate != rotate {
		l.t.Fatalf("key %d: %v, roles %v, rotate %v; want roles %v, rotate %v", key, ok, r.Roles, r.Rotate, want, rotate)
	}
}

// A gain waits for a rotation, whose old key ends at once; a loss does not wait.
func TestMoreRightsNeedARotation(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	l.must(putPolicy(timers("default", 3600_000, 0, 0)))
	l.must(putUser(account("root", "hash", admin)))
	v := l.must(putUser(account("ann", "hash", plain))).GetVersion()
	l.must(login(1, "ann", v))
	l.setRoles("ann", plain, admin)
	l.wantRoles(1, true, session.RoleUser)
	l.wantCode(revokeUser(&fsmpb.RevokeUserSessions{User: "bob", Authority: authority(1, admin)}), codeForbidden)
	r := l.must(rotate(rotation(1, 2)))
	if !slices.Equal(r.GetSession().Roles, []fsmpb.Role{admin, plain}) || r.GetSession().Rotate {
		t.Fatalf("the rotation answers %v", r)
	}
	l.wantRoles(2, false, session.RoleAdmin, session.RoleUser)
	l.must(revokeUser(&fsmpb.RevokeUserSessions{User: "bob", Authority: authority(2, admin)}))
	if _, ok := l.m.SessionByKey(keyOf(1)); ok {
		t.Fatal("the key from before has come to an admin's session")
	}
	l.setRoles("ann", plain)
	l.wantRoles(2, true, session.RoleUser)
	l.wantCode(revokeUser(&fsmpb.RevokeUserSessions{User: "bob", Authority: authority(2, admin)}), codeForbidden)
	l.must(rotate(rotation(2, 3))) // a loss is no reason to end the old key at once
	l.wantRoles(3, false, session.RoleUser)
	l.wantRoles(2, true, session.RoleUser)
	l.setRoles("ann", admin)
	l.wantRoles(3, true, session.RoleUser)
}

// A gain ends the graces of all earlier keys: they would lead to the session with its new rights.
func TestAGainEndsAllGraces(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	l.must(putPolicy(timers("default", 3600_000, 0, 0)))
	v := l.must(putUser(account("ann", "hash", plain))).GetVersion()
	l.must(login(1, "ann", v))
	l.must(rotate(rotation(1, 2)))
	l.setRoles("ann", service)
	l.must(rotate(rotation(2, 3)))
	l.wantRoles(3, false, session.RoleService)
	for _, key := range []int{1, 2} {
		if _, ok := l.m.SessionByKey(keyOf(key)); ok {
			t.Fatalf("key %d works", key)
		}
	}
	if ended := l.apply(touch(1)).Ended; len(ended) != 1 || ended[0].Cause != fsm.CauseReused {
		t.Fatalf("ended %+v", ended)
	}
}

// Rights include one another: an admin that becomes a service can do what a service can, until it rotates and after.
func TestRolesInForceAreThoseOfBoth(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		before, after []fsmpb.Role
		want          []session.Role
	}{
		{[]fsmpb.Role{admin}, []fsmpb.Role{plain}, []session.Role{"user"}},
		{[]fsmpb.Role{admin}, []fsmpb.Role{service}, []session.Role{"service"}},
		{[]fsmpb.Role{plain}, []fsmpb.Role{admin}, []session.Role{"user"}},
		{[]fsmpb.Role{service}, []fsmpb.Role{admin}, []session.Role{"service"}},
		{[]fsmpb.Role{admin, service, plain}, []fsmpb.Role{service, plain}, []session.Role{"service", "user"}},
		{[]fsmpb.Role{service}, []fsmpb.Role{plain}, []session.Role{"user"}},
	} {
		l := newLog(t, fsm.Options{})
		l.must(putUser(account("root", "hash", admin)))
		v := l.must(putUser(account("ann", "hash", c.before...))).GetVersion()
		l.must(login(1, "ann", v))
		l.setRoles("ann", c.after...)
		l.wantRoles(1, true, c.want...)
	}
}

// A service that vouches for a user early does not come to what the user is given later, however often it rotates.
func TestAVouchedSessionGainsNothing(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	l.must(create(vouched(1, "ann")))
	v := l.must(putUser(&fsmpb.PutUser{Name: "ann", Mode: fsmpb.PutUser_MODE_CREATE, Roles: &fsmpb.RoleList{Roles: []fsmpb.Role{admin}}, Authority: system()})).GetVersion()
	l.wantRoles(1, false, session.RoleUser)
	l.must(rotate(rotation(1, 2)))
	l.wantRoles(2, false, session.RoleUser)
	vouch := rotation(2, 3)
	vouch.Authority, vouch.Reauthentication = system(), &fsmpb.Reauthentication{Vouched: true}
	l.wantCode(rotate(vouch), codeForbidden) // nobody vouches for an admin
	proved := rotation(2, 3)
	proved.Reauthentication = &fsmpb.Reauthentication{UserVersion: v}
	l.must(rotate(proved))
	l.wantRoles(3, false, session.RoleAdmin)
}

func TestReauthenticationIsARotationThatSaysWhen(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	l.must(putPolicy(timers("default", 3600_000, 0, 0)))
	v := l.must(putUser(account("ann", "hash", plain))).GetVersion()
	made := l.must(login(1, "ann", v)).GetSession()
	if made.AuthMs != start || !slices.Equal(made.Methods, []fsmpb.Method{fsmpb.Method_METHOD_PASSWORD}) {
		t.Fatalf("created %v", made)
	}
	l.clock += 5000
	l.must(rotate(rotation(1, 2)))
	again := func(key, successor int, version uint64) *fsmpb.RotateSession {
		c := rotation(key, successor)
		c.Reauthentication = &fsmpb.Reauthentication{UserVersion: version}
		return c
	}
	l.wantCode(rotate(again(1, 3, v)), codeConflict) // whoever has the successor would lose its key
	l.wantCode(rotate(again(2, 3, v-1)), codeConflict)
	if r, _ := l.m.SessionByKey(keyOf(2)); r.AuthMS != start {
		t.Fatalf("authenticated at %d without a password", r.AuthMS)
	}
	r := l.must(rotate(again(2, 3, v))).GetSession()
	if r.AuthMs != start+5000 || r.CreatedMs != start {
		t.Fatalf("reauthenticated: %v", r)
	}
	vouch := rotation(3, 4)
	vouch.Authority, vouch.Reauthentication = system(), &fsmpb.Reauthentication{Vouched: true}
	l.clock += 100
	r = l.must(rotate(vouch)).GetSession()
	if r.AuthMs != start+5100 || !slices.Equal(r.Methods, []fsmpb.Method{fsmpb.Method_METHOD_PASSWORD, fsmpb.Method_METHOD_SERVICE}) {
		t.Fatalf("vouched for: %v", r)
	}
	l.m = restored(t, snapshotOf(t, l.m), fsm.Options{})
	if r, ok := l.m.SessionByKey(keyOf(4)); !ok || r.AuthMS != start+5100 || len(r.Methods) != 2 {
		t.Fatalf("restored: %+v", r)
	}
	for _, key := range []int{1, 2, 3} {
		if _, ok := l.m.SessionByKey(keyOf(key)); ok {
			t.Fatalf("key %d from before works", key)
		}
	}
}

// A log-in in place of a session takes over its attributes, if it is the same user's; the session ends either way.
func TestALogInTakesThePlaceOfASession(t *testing.T) {
	t.Parallel()
	attributes := func(pairs ...string) (out []*fsmpb.Attribute) {
		for i := 0; i < len(pairs); i += 2 {
			out = append(out, &fsmpb.Attribute{Name: pairs[i], Value: []byte(pairs[i+1])})
		}
		return out
	}
	for name, c := range map[string]struct {
		user string
		want []*fsmpb.Attribute
	}{
		"the same user": {"ann", attributes("cart", "[1]", "lang", `"fr"`)},
		"another user":  {"bob", attributes("lang", `"fr"`)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLog(t, fsm.Options{})
			first := vouched(1, "ann")
			first.Attributes = attributes("cart", "[1]", "lang", `"de"`)
			l.must(create(first))
			second := vouched(2, c.user)
			second.Replaces, second.Attributes = bytesOf(keyOf(1)), attributes("lang", `"fr"`)
			applied := l.apply(create(second))
			got := applied.Batches[0].Results[0].GetSession()
			if len(got.GetAttributes()) != len(c.want) {
				t.Fatalf("got %v", got)
			}
			for i, a := range c.want {
				if got.Attributes[i].Name != a.Name || string(got.Attributes[i].Value) != string(a.Value) {
					t.Fatalf("got %v, want %v", got.Attributes, c.want)
				}
			}
			if len(applied.Ended) != 1 || applied.Ended[0].Cause != fsm.CauseReplaced || applied.Ended[0].User != "ann" {
				t.Fatalf("ended %+v", applied.Ended)
			}
			l.wantLive(1, false)
			l.wantLive(2, true)
			if st := l.m.Stats(); st.Sessions != 1 || st.ShellUsers != 1 || st.EndedReplaced != 1 {
				t.Fatalf("left: %+v", st)
			}
		})
	}
}

// A log-in that fails ends nothing.
func TestALogInThatFailsLeavesTheSession(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	l.must(create(vouched(1, "ann")))
	credentials := fsm.Attribute{Name: session.CredentialsAttribute, Value: []byte("1")}
	for _, change := range []func(c *fsmpb.CreateSession){
		func(c *fsmpb.CreateSession) { c.Policy = "missing" },
		func(c *fsmpb.CreateSession) { c.Authority = authority(1) },
		func(c *fsmpb.CreateSession) { c.KeyHash = bytesOf(keyOf(1)) },
		func(c *fsmpb.CreateSession) { c.Replaces = c.Replaces[1:] },
		func(c *fsmpb.CreateSession) { c.CarriesDigest = carriedDigest(credentials) },
		func(c *fsmpb.CreateSession) { c.CarriesDigest = carriedDigest()[1:] },
	} {
		c := vouched(2, "ann")
		c.Replaces = bytesOf(keyOf(1))
		change(c)
		if r := l.do(create(c)); r.Code == codeOK {
			t.Fatalf("got %v", r)
		}
		l.wantLive(1, true)
	}
}

// TestALogInThatTookAlongOlderAttributesComesAgain: a patch of the credentials came between the node's look and the log-in, which would undo it. Of what
// apply takes along itself, it takes what is there.
func TestALogInThatTookAlongOlderAttributesComesAgain(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	l.must(create(vouched(1, "ann")))
	change := func(name, value string) {
		t.Helper()
		l.must(patch(&fsmpb.PatchAttributes{KeyHash: bytesOf(keyOf(1)), Authority: system(),
			Changes: []*fsmpb.AttributeChange{{Name: name, Value: []byte(value)}}}))
	}
	change("cart", "1")
	change(session.CredentialsAttribute, "1")
	c := vouched(2, "ann")
	c.Replaces, c.CarriesDigest = bytesOf(keyOf(1)), carriedDigest()
	r := l.do(create(c))
	if !fsm.TookAlongOlder(r) || fsm.OnOtherTerms(r) {
		t.Fatalf("got %v", r)
	}
	l.wantLive(1, true)
	other := vouched(3, "bob") // takes nothing along from another user
	other.CarriesDigest = c.CarriesDigest
	l.must(create(other))
	c.CarriesDigest = carriedDigest(fsm.Attribute{Name: session.CredentialsAttribute, Value: []byte("1")})
	change("cart", "2")
	after := l.must(create(c)).GetSession().GetAttributes()
	if len(after) != 2 || string(after[0].Value) != "2" || string(after[1].Value) != "1" {
		t.Fatalf("got %v", after)
	}
	l.wantLive(1, false)
}
