package ownsessions_test

import (
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/session"
)

// overtaken is a user whose password is changed while what the earlier one proves is being written at w.a.
type overtaken struct {
	*world
	store     *meddled
	name, old string
	key       session.Issued // permanent: the change spares it
}

func (o *overtaken) begin(name string) {
	o.Helper()
	o.name, o.old = name, "password of "+name
	o.user(o.a, name)
	o.update(o.a, name, session.UserChange{Policies: ptr([]string{"keys"})})
	o.key = o.permanent("first")
}

func (o *overtaken) permanent(request string) session.Issued {
	o.Helper()
	i, err := o.tryPermanent(request)
	if err != nil {
		o.Fatal(err)
	}
	return i
}

func (o *overtaken) tryPermanent(request string) (session.Issued, error) {
	return o.a.Login(o.Context(), session.Call{Address: address}, session.Login{User: o.name, Password: o.old, Permanent: true, IdempotencyKey: request})
}

// by lets another password be acknowledged by a node right before the first write of a kind, and does what makes that.
func (o *overtaken) by(at *member, kind backend.Kind, do func() error) error {
	o.Helper()
	var begun atomic.Bool
	meanwhile := func(n backend.Name) {
		if n.Kind == kind && begun.CompareAndSwap(false, true) {
			o.update(at, o.name, session.UserChange{Password: ptr("another password")})
		}
	}
	o.store.put.Store(&meanwhile)
	defer o.store.put.Store(nil)
	err := do()
	if !begun.Load() {
		o.Error("nothing has come between")
	}
	return err
}

// TestANewPasswordOvertakesWhatTheOldOneProves: somebody proves with an earlier password who it is, and while that is being written at one node another node, or the same, acknowledges a new
// password: then nothing was proved, for sessions too that the change spares, and they are as they were.
func TestANewPasswordOvertakesWhatTheOldOneProves(t *testing.T) {
	t.Parallel()
	shared := &clock{begun: time.Now()}
	all := newMembers(t, 3, shared)
	store := all[0].meddle()
	for _, m := range all {
		m.start()
	}
	for _, m := range all {
		m.awaitReady()
	}
	o := &overtaken{world: &world{t, all[0], all[1], all[2], shared}, store: store}
	if _, err := o.a.PutPolicy(t.Context(), operator, "keys", session.PolicyChange{PermanentAllowed: ptr(true)}); err != nil {
		t.Fatal(err)
	}
	var proved session.Issued
	reauthenticate := func() (err error) {
		proved, err = o.a.Reauthenticate(t.Context(), with(o.key), session.Proof{Password: o.old})
		return err
	}
	for _, c := range []struct {
		what string
		at   *member
		kind backend.Kind
		do   func() error
	}{
		{"proved-anew", o.b, backend.KindSession, reauthenticate},
		{"proved-anew-here", o.a, backend.KindSession, reauthenticate},
		{"logged-in", o.b, backend.KindUser, func() error { _, err := o.tryPermanent(""); return err }},
		{"repeated", o.b, backend.KindSession, func() error { _, err := o.tryPermanent("first"); return err }},
	} {
		o.begin(c.what)
		before := o.good(c.what+", before", o.a, o.key)
		shared.advance(time.Minute)
		if err := o.by(c.at, c.kind, c.do); session.CodeOf(err) != session.CodeConflict {
			t.Errorf("%s: %v, want %s", c.what, err, session.CodeConflict)
		}
		after := o.good(c.what+", after", o.a, o.key)
		if !after.AuthTime.Equal(before.AuthTime) || after.Number != before.Number {
			t.Errorf("%s: proved at %v, want %v", c.what, after.AuthTime, before.AuthTime)
		}
		users, err := o.a.GetUser(t.Context(), operator, c.what)
		if err != nil || users.Sessions != 1 {
			t.Errorf("%s: %d sessions, %v; want the first alone", c.what, users.Sessions, err)
		}
		if err := reauthenticate(); session.CodeOf(err) != session.CodeUnauthenticated {
			t.Errorf("%s: prove with the earlier password once more: %v", c.what, err)
		}
		o.old = "another password"
		if err := reauthenticate(); err != nil || proved.AuthTime.Equal(before.AuthTime) {
			t.Errorf("%s: prove with the new password: %v, at %v", c.what, err, proved.AuthTime)
		}
	}
}

// TestOnesOwnNewPasswordOvertakesOnesOldOne: the same, in the session that changes the password and stays for that.
func TestOnesOwnNewPasswordOvertakesOnesOldOne(t *testing.T) {
	t.Parallel()
	w, store := newMeddled(t)
	w.user(w.a, "ann")
	ann, old, next := w.login(w.a, "ann"), "password of ann", "another password"
	elsewhere := with(ann)
	elsewhere.Address = netip.MustParseAddr("198.51.100.1") // from one address a user's passwords are judged one after the other
	var begun atomic.Bool
	meanwhile := func(n backend.Name) {
		if n.Kind != backend.KindSession || !begun.CompareAndSwap(false, true) {
			return
		}
		if _, err := w.a.UpdateUser(t.Context(), elsewhere, "ann", session.UserChange{Password: &next, CurrentPassword: &old}); err != nil {
			t.Errorf("change the password: %v", err)
		}
	}
	store.put.Store(&meanwhile)
	_, err := w.a.Reauthenticate(t.Context(), with(ann), session.Proof{Password: old})
	store.put.Store(nil)
	if session.CodeOf(err) != session.CodeConflict || !begun.Load() {
		t.Errorf("prove with the earlier password: %v, want %s; a change begun: %v", err, session.CodeConflict, begun.Load())
	}
	w.good("the session that changed it", w.a, ann)
	if _, err := w.a.Reauthenticate(t.Context(), with(ann), session.Proof{Password: next}); err != nil {
		t.Errorf("prove with the new password: %v", err)
	}
}

// TestWhatCannotBeJudgedOnceMoreIsTakenBack: the majority is lost while a proof is written. Nobody knows whether the password has changed by then.
func TestWhatCannotBeJudgedOnceMoreIsTakenBack(t *testing.T) {
	t.Parallel()
	shared := &clock{begun: time.Now()}
	all := newMembers(t, 3, shared, func(c *node.Config) { c.RequestTimeout = 10 * time.Second })
	store := all[0].meddle()
	for _, m := range all {
		m.start()
	}
	for _, m := range all {
		m.awaitReady()
	}
	w := &world{t, all[0], all[1], all[2], shared}
	w.user(w.a, "ann")
	ann := w.login(w.a, "ann")
	var begun atomic.Bool
	meanwhile := func(n backend.Name) {
		if n.Kind == backend.KindSession && begun.CompareAndSwap(false, true) {
			w.b.stop()
			w.c.stop()
		}
	}
	store.put.Store(&meanwhile)
	_, err := w.a.Reauthenticate(t.Context(), with(ann), session.Proof{Password: "password of ann"})
	store.put.Store(nil)
	if code := session.CodeOf(err); code != session.CodeNoQuorum && code != session.CodeUnavailable || !begun.Load() {
		t.Errorf("without a majority: %v; lost: %v", err, begun.Load())
	}
	w.b.start()
	w.c.start()
	for _, m := range all {
		m.awaitReady()
	}
	w.good("under its earlier key", w.a, ann)
}
