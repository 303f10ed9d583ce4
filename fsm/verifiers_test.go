package fsm_test

import (
	"bytes"
	"testing"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
)

func (l *log) wantVerifier(user string, want []byte) {
	l.t.Helper()
	if u, ok := l.m.User(user); !ok || !bytes.Equal(u.Verifier, want) {
		l.t.Fatalf("verifier of %s is %x (%v), want %x", user, u.Verifier, ok, want)
	}
}

func updateUser(name string, change func(*fsmpb.PutUser)) *fsmpb.Command {
	c := &fsmpb.PutUser{Name: name, Mode: fsmpb.PutUser_MODE_UPDATE, Authority: system()}
	change(c)
	return putUser(c)
}

// A verifier is there only while an admin wants it, and only the present password's.
func TestAVerifierLivesAndDiesWithItsPassword(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	l.must(sealCommand(putSealKey(0)))
	l.must(putUser(account("ann", "one")))
	with := func(hash string, verifier []byte) *fsmpb.Command {
		return updateUser("ann", func(c *fsmpb.PutUser) { c.PasswordHash, c.Md5Verifier = &hash, verifier })
	}
	l.must(with("two", sealedMD5(1, 'x'))) // nobody wants it
	l.wantVerifier("ann", nil)
	l.must(updateUser("ann", func(c *fsmpb.PutUser) { c.Md5Login = ptr(true) }))
	l.wantVerifier("ann", nil)
	l.must(with("three", sealedMD5(1, 'a')))
	l.wantVerifier("ann", sealedMD5(1, 'a'))
	l.wantUses(1, 1)
	l.must(updateUser("ann", func(c *fsmpb.PutUser) { c.Roles = &fsmpb.RoleList{Roles: []fsmpb.Role{service}} }))
	l.wantVerifier("ann", sealedMD5(1, 'a'))
	l.m = restored(t, snapshotOf(t, l.m), fsm.Options{})
	l.wantVerifier("ann", sealedMD5(1, 'a'))
	l.wantUses(1, 1)
	l.must(with("four", nil)) // from a node that could not seal
	l.wantVerifier("ann", nil)
	l.wantUses(1, 0)
	u, _ := l.m.User("ann")
	later := func(version uint64) *fsmpb.Command {
		return upgradePassword(&fsmpb.UpgradePassword{User: "ann", ExpectedVersion: version, Md5Verifier: sealedMD5(1, 'b')})
	}
	l.wantCode(later(u.Version-1), codeConflict)
	l.must(later(u.Version)) // by the next log-in
	l.wantVerifier("ann", sealedMD5(1, 'b'))
	if after, _ := l.m.User("ann"); after.Version != u.Version || after.PasswordHash != "four" || !after.MD5Login {
		t.Errorf("the user is %+v", after)
	}
	l.must(updateUser("ann", func(c *fsmpb.PutUser) { c.Md5Login = ptr(false) }))
	l.wantVerifier("ann", nil)
	u, _ = l.m.User("ann")
	l.must(later(u.Version)) // the log-in began before
	l.wantVerifier("ann", nil)
	l.must(updateUser("ann", func(c *fsmpb.PutUser) {
		c.Md5Login, c.PasswordHash, c.Md5Verifier = ptr(true), ptr("five"), sealedMD5(1, 'c')
	}))
	l.wantUses(1, 1)
	l.must(deleteUser(&fsmpb.DeleteUser{Name: "ann", Authority: system()}))
	l.wantUses(1, 0)
}

func TestVerifiersThatAreRefused(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	l.must(sealCommand(putSealKey(0)))
	l.must(putUser(account("ann", "one")))
	l.must(updateUser("ann", func(c *fsmpb.PutUser) { c.Md5Login = ptr(true) }))
	for name, c := range map[string]struct {
		command *fsmpb.Command
		want    fsmpb.Code
	}{
		"in the clear": {updateUser("ann", func(c *fsmpb.PutUser) {
			c.PasswordHash, c.Md5Verifier = ptr("two"), []byte("5f4dcc3b5aa765d61d8327deb882cf99")
		}), codeInvalid},
		"without password":  {updateUser("ann", func(c *fsmpb.PutUser) { c.Md5Verifier = sealedMD5(1, 'x') }), codeInvalid},
		"unknown key":       {updateUser("ann", func(c *fsmpb.PutUser) { c.PasswordHash, c.Md5Verifier = ptr("two"), sealedMD5(2, 'x') }), codeConflict},
		"upgrade unknown":   {upgradePassword(&fsmpb.UpgradePassword{User: "ann", ExpectedVersion: 13, Md5Verifier: sealedMD5(2, 'x')}), codeConflict},
		"upgrade nothing":   {upgradePassword(&fsmpb.UpgradePassword{User: "ann", ExpectedVersion: 13}), codeInvalid},
		"reseal nobody's":   {replaceSealed(&fsmpb.ReplaceSealed{User: "bob", Changes: []*fsmpb.SealedChange{{New: sealedMD5(1, 'x')}}}), codeNotFound},
		"reseal to nothing": {replaceSealed(&fsmpb.ReplaceSealed{User: "ann", Changes: []*fsmpb.SealedChange{{}}}), codeInvalid},
	} {
		if r := l.do(c.command); r.Code != c.want {
			t.Errorf("%s: got %v, want %v", name, r, c.want)
		}
	}
	l.wantVerifier("ann", nil)
}

// Users may change their password, and with it their verifier; whether there is one is not theirs to say.
func TestUsersDoNotAllowThemselvesMD5(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	l.must(putUser(account("ann", "one")))
	u, _ := l.m.User("ann")
	own := verified("ann", u.Version)
	own.OrOwner = true
	change := &fsmpb.PutUser{Name: "ann", Mode: fsmpb.PutUser_MODE_UPDATE, PasswordHash: ptr("two"), Md5Login: ptr(true), Authority: own}
	l.wantCode(putUser(change), codeForbidden)
	change.Md5Login = nil
	l.must(putUser(change))
}

// A command that is made on the strength of a password is judged by the record that the password was verified against.
func TestVerifiedUsersAreJudgedAgain(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	l.must(putUser(account("ann", "one")))
	l.must(putUser(account("bob", "one")))
	u, _ := l.m.User("ann")
	l.must(create(vouched(1, "ann")))
	l.must(create(vouched(2, "bob")))
	l.must(create(vouched(3, "carl")))
	own := func(user string, version uint64) *fsmpb.Authority {
		a := verified(user, version)
		a.OrOwner, a.AnyOf = true, []fsmpb.Role{admin}
		return a
	}
	revokeOf := func(user string, a *fsmpb.Authority) *fsmpb.Command {
		return revokeUser(&fsmpb.RevokeUserSessions{User: user, Authority: a})
	}
	both := func(a *fsmpb.Authority) *fsmpb.Command {
		return revokeMany(&fsmpb.RevokeSessions{Ids: [][]byte{hash16(1), hash16(2)}, Authority: a})
	}
	outside := own("carl", 0)
	outside.Verified.Outside = true
	twice := own("ann", u.Version)
	twice.KeyHash = bytesOf(keyOf(1))
	l.wantCode(revokeOf("ann", own("ann", u.Version-1)), codeUnauthenticated)
	l.wantCode(revokeOf("ann", own("nobody", 0)), codeUnauthenticated)
	l.wantCode(revokeOf("bob", own("ann", u.Version)), codeForbidden)
	l.wantCode(revokeOf("ann", twice), codeInvalid)
	l.wantCode(revokeOf("ann", outside), codeForbidden)
	if r := l.must(both(own("ann", u.Version))); r.GetCount() != 1 {
		t.Fatalf("ended %d", r.GetCount())
	}
	if r := l.must(revokeOf("carl", outside)); r.GetCount() != 1 {
		t.Fatalf("ended %d of carl's", r.GetCount())
	}
	l.must(create(vouched(4, "ann")))
	l.must(updateUser("ann", func(c *fsmpb.PutUser) { c.Disabled = ptr(true) }))
	u, _ = l.m.User("ann")
	l.wantCode(revokeOf("ann", own("ann", u.Version)), codeUnauthenticated)
}

// A session may ask for what its policy does not: then its key opens nothing elsewhere.
func TestASessionBoundToItsAddress(t *testing.T) {
	t.Parallel()
	l := newLog(t, fsm.Options{})
	bound := vouched(1, "ann")
	bound.BindAddress = true
	l.wantCode(create(bound), codeInvalid)
	bound.Address = goldenAddress(1)
	if s := l.must(create(bound)).GetSession(); s.BindAddress != fsmpb.AddressBinding_ADDRESS_BINDING_STRICT {
		t.Errorf("the answer says %v", s.BindAddress)
	}
	l.m = restored(t, snapshotOf(t, l.m), fsm.Options{})
	at := func(n byte) *fsmpb.Command {
		return &fsmpb.Command{Kind: &fsmpb.Command_TouchSession{TouchSession: &fsmpb.TouchSession{KeyHash: bytesOf(keyOf(1)), Address: goldenAddress(n)}}}
	}
	l.wantCode(at(2), codeUnauthenticated)
	l.must(at(1))
}
