package backend_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/backend/backendtest"
	"github.com/hydrastore/hydrastore/backend/memory"
	"github.com/hydrastore/hydrastore/session"
)

// meddled is a store at which something comes first: what others do between a request's reads and its write.
type meddled struct {
	backend.Store
	mu     sync.Mutex
	meddle func(call string, name backend.Name) // called until it is taken out
}

func (m *meddled) before(call string, name backend.Name) {
	m.mu.Lock()
	meddle := m.meddle
	m.mu.Unlock()
	if meddle != nil {
		meddle(call, name)
	}
}

// onNext does f once, before the next such call of a record of that kind.
func (m *meddled) onNext(call string, kind backend.Kind, f func()) { m.onNth(call, kind, 1, f) }

// onNth does f once, before the nth such call.
func (m *meddled) onNth(call string, kind backend.Kind, n int64, f func()) {
	var seen atomic.Int64
	m.mu.Lock()
	defer m.mu.Unlock()
	m.meddle = func(c string, name backend.Name) {
		if c == call && name.Kind == kind && seen.Add(1) == n {
			f()
		}
	}
}

func (m *meddled) Get(ctx context.Context, names ...backend.Name) (backend.Snapshot, error) {
	m.before("get", names[0])
	return m.Store.Get(ctx, names...)
}

func (m *meddled) Put(ctx context.Context, name backend.Name, value []byte, was backend.Version, expires time.Time) (backend.Version, error) {
	m.before("put", name)
	return m.Store.Put(ctx, name, value, was, expires)
}

func (m *meddled) Delete(ctx context.Context, name backend.Name, was backend.Version) error {
	m.before("delete", name)
	return m.Store.Delete(ctx, name, was)
}

// turned is a clock that tests turn.
type turned struct {
	mu  sync.Mutex
	now time.Time
}

func newTurned() *turned { return &turned{now: time.Unix(1_800_000_000, 0)} }

func (c *turned) time() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *turned) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// pair is two servers before one store, one of which is meddled with.
type pair struct {
	*testing.T
	clock  *turned
	memory *memory.Store
	store  *meddled
	a, b   *backend.Service // a's store is meddled with
}

func newPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{T: t, clock: newTurned()}
	p.memory = memory.New(p.clock.time)
	p.store = &meddled{Store: p.memory}
	config := backendtest.Config(t)
	config.SweepInterval = time.Hour // nothing but what the test does
	p.a, p.b = backendtest.Start(t, config, p.store), backendtest.Start(t, config, p.memory)
	return p
}

func (p *pair) ok(what string, err error) {
	p.Helper()
	if err != nil {
		p.Fatalf("%s: %v", what, err)
	}
}

// login logs a user in under a policy of its own.
func (p *pair) login(policy session.PolicyChange, l session.Login) session.Issued {
	p.Helper()
	_, err := p.a.PutPolicy(p.Context(), operator, "web", policy)
	p.ok("put policy", err)
	l.User, l.Policy, l.Vouched = "ada", "web", true
	issued, err := p.a.Login(p.Context(), operator, l)
	p.ok("log in", err)
	return issued
}

func (p *pair) wantCode(what string, err error, want session.Code) {
	p.Helper()
	if got := session.CodeOf(err); got != want {
		p.Errorf("%s: got %q (%v), want %q", what, got, err, want)
	}
}

func with(i session.Issued) session.Call { return session.Call{Key: i.Key} }

// TestALogOutThatARotationComesBeforeEndsTheSession: a log-out that is acknowledged has ended the session, also when its key was rotated without
// grace between its read and its write.
func TestALogOutThatARotationComesBeforeEndsTheSession(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	first := p.login(session.PolicyChange{RotateGrace: new(time.Duration)}, session.Login{})
	var second session.Issued
	p.store.onNext("delete", backend.KindSession, func() {
		var err error
		second, err = p.b.Rotate(p.Context(), with(first))
		p.ok("rotate meanwhile", err)
	})
	_, err := p.a.Logout(p.Context(), with(first))
	p.ok("log out", err)
	_, err = p.b.Check(p.Context(), with(second), true)
	p.wantCode("the successor after the log-out", err, session.CodeUnauthenticated)
}

// TestALateTouchIsNoReuse: a key that was good when it was presented, and is spent when the use is written, was not stolen.
func TestALateTouchIsNoReuse(t *testing.T) {
	t.Parallel()
	idle, window := time.Hour, time.Minute
	for _, late := range []struct {
		what string
		age  time.Duration // of the last recorded use
		at   func(store *meddled, rotate func())
	}{
		{"found beside the request", 45 * time.Second, func(store *meddled, rotate func()) {
			store.onNext("get", backend.KindSession, func() { store.onNext("get", backend.KindKey, rotate) })
		}},
		{"written beside the request", 45 * time.Second, func(store *meddled, rotate func()) { store.onNext("put", backend.KindSession, rotate) }},
		{"written before the answer", 2 * window, func(store *meddled, rotate func()) { store.onNext("put", backend.KindSession, rotate) }},
	} {
		t.Run(late.what, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			first := p.login(session.PolicyChange{RotateGrace: new(time.Duration), IdleTimeout: &idle, TouchWindow: &window}, session.Login{})
			p.clock.pass(late.age)
			rotated := make(chan session.Issued, 1)
			late.at(p.store, func() {
				second, err := p.b.Rotate(p.Context(), with(first))
				if err != nil {
					p.Errorf("rotate meanwhile: %v", err)
				}
				rotated <- second
			})
			if _, err := p.a.Check(p.Context(), with(first), false); err != nil {
				p.wantCode("the check", err, session.CodeUnauthenticated)
			}
			second := <-rotated
			p.ok("stop the server that writes the use", p.a.Shutdown(p.Context()))
			_, err := p.b.Check(p.Context(), with(second), true)
			p.ok("the successor", err)
		})
	}
}

// TestATouchDoesNotBringBackWhatWasSeenDead: the time of a session comes between the read and the write of its touch, and somebody sees that.
func TestATouchDoesNotBringBackWhatWasSeenDead(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	idle := time.Hour
	i := p.login(session.PolicyChange{IdleTimeout: &idle, TouchWindow: new(time.Duration)}, session.Login{})
	p.clock.pass(idle - time.Millisecond)
	p.store.onNext("put", backend.KindSession, func() {
		p.clock.pass(time.Second)
		_, err := p.b.Check(p.Context(), with(i), true)
		p.wantCode("after the deadline", err, session.CodeUnauthenticated)
	})
	_, err := p.a.Touch(p.Context(), with(i))
	p.wantCode("the touch", err, session.CodeUnauthenticated)
	_, err = p.b.Check(p.Context(), with(i), true)
	p.wantCode("after the touch", err, session.CodeUnauthenticated)
}

// TestAKeyLivesAsLongAsTheLongestOfTwoChangesNeeds: one change lets the session live for a month, and another one, which had read it before, for an hour.
func TestAKeyLivesAsLongAsTheLongestOfTwoChangesNeeds(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	idle, month, longer := time.Hour, 30*24*time.Hour, true
	i := p.login(session.PolicyChange{IdleTimeout: &idle, TouchWindow: new(time.Duration), AbsoluteLifetime: new(time.Duration), LongerIdleAllowed: &longer}, session.Login{})
	for range 28 { // until the key's record is due to be kept longer
		p.clock.pass(50 * time.Minute)
		_, err := p.b.Touch(p.Context(), with(i))
		p.ok("touch", err)
	}
	p.clock.pass(50 * time.Minute)
	altered := false
	p.store.onNext("get", backend.KindSession, func() {
		p.store.onNext("get", backend.KindKey, func() {
			_, err := p.b.Alter(p.Context(), with(i), session.Alteration{IdleTimeout: &month})
			p.ok("alter", err)
			altered = true
		})
	})
	_, err := p.a.Touch(p.Context(), with(i))
	p.ok("touch meanwhile", err)
	p.clock.pass(20 * 24 * time.Hour)
	p.memory.DropExpired()
	if _, err = p.b.Check(p.Context(), with(i), true); err != nil || !altered {
		p.Errorf("after 20 of 30 days: %v; altered %v", err, altered)
	}
}

// TestARepetitionWithAnotherBodyIsRefusedToTheEnd: what is known of the request in two places may be forgotten in one of them first.
func TestARepetitionWithAnotherBodyIsRefusedToTheEnd(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.store.onNext("put", backend.KindRequest, func() { p.clock.pass(2 * time.Second) })
	l := session.Login{User: "ada", Vouched: true, IdempotencyKey: "one request"}
	_, err := p.a.Login(p.Context(), operator, l)
	p.ok("log in", err)
	p.clock.pass(session.IdempotencyLifetime - time.Second)
	l.Attributes = session.Attributes{"other": []byte("1")}
	_, err = p.b.Login(p.Context(), operator, l)
	p.wantCode("another body", err, session.CodeOf(session.ErrRequestMismatch()))
}

// TestKeysOfEndedPermanentSessionsAreSweptAway: their records never expire, and a server may end before it has taken them away.
func TestKeysOfEndedPermanentSessionsAreSweptAway(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	allowed := true
	stays := p.login(session.PolicyChange{PermanentAllowed: &allowed}, session.Login{Permanent: true})
	keys := func() []backend.Record {
		page, err := p.memory.Scan(p.Context(), backend.KindKey, "", backend.MaxScan)
		p.ok("scan", err)
		return page.Records
	}
	one := keys()[0]
	goes, err := p.a.Login(p.Context(), operator, session.Login{User: "bob", Vouched: true, Policy: "web", Permanent: true})
	p.ok("log in", err)
	p.store.onNext("delete", backend.KindSession, func() { // and then it ends
		p.store.onNext("delete", backend.KindKey, func() { <-p.Context().Done() })
	})
	_, err = p.a.Logout(p.Context(), with(goes))
	p.ok("log out", err)
	p.ok("sweep", p.b.Sweep(p.Context()))
	if n := len(keys()); n != 2 {
		p.Fatalf("%d keys are there; the young one should be left", n)
	}
	p.clock.pass(time.Hour)
	p.ok("sweep", p.b.Sweep(p.Context()))
	if left := keys(); len(left) != 1 || left[0].ID != one.ID {
		p.Errorf("%d keys are left", len(left))
	}
	_, err = p.b.Check(p.Context(), with(stays), true)
	p.ok("the other permanent session", err)
}

// TestARepeatedLogInWhoseSessionHasEnded: the server that ended it died before it had taken it out of the user's list.
func TestARepeatedLogInWhoseSessionHasEnded(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	l := session.Login{User: "ada", Vouched: true, IdempotencyKey: "one request"}
	first, err := p.a.Login(p.Context(), operator, l)
	p.ok("log in", err)
	p.store.onNext("delete", backend.KindSession, func() { // and then it ends
		p.store.onNext("get", backend.KindKey, func() { <-p.Context().Done() })
	})
	_, err = p.a.Logout(p.Context(), with(first))
	p.ok("log out", err)
	second, err := p.b.Login(p.Context(), operator, l)
	p.ok("log in again", err)
	if second.ID == first.ID {
		t.Errorf("the ended session has come back")
	}
	_, err = p.b.Check(p.Context(), with(second), true)
	p.ok("check", err)
}

// TestPoliciesThatWereReadEarlierEndNobody: a request has read the policies, stalls, and then finds a session that was used under a longer timeout since.
func TestPoliciesThatWereReadEarlierEndNobody(t *testing.T) {
	t.Parallel()
	one, short, long := 1, time.Minute, time.Hour
	for name, stalls := range map[string]func(p *pair, i session.Issued){
		"a check": func(p *pair, i session.Issued) {
			_, err := p.a.Check(p.Context(), with(i), false)
			p.ok("the check that stalled", err)
		},
		"a look at it": func(p *pair, i session.Issued) {
			_, err := p.a.GetSession(p.Context(), operator, i.ID)
			p.ok("the look that stalled", err)
		},
		"a log-in that makes room": func(p *pair, _ session.Issued) {
			_, err := p.a.Login(p.Context(), operator, session.Login{User: "ada", Policy: "web", Vouched: true})
			p.wantCode("the log-in that stalled", err, session.CodeSessionLimit)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			policy := session.PolicyChange{IdleTimeout: &short, TouchWindow: new(time.Duration), LimitsChange: session.LimitsChange{MaxSessionsPerUser: &one}}
			i := p.login(policy, session.Login{})
			meddled := false
			longer := func() {
				if meddled {
					return
				}
				meddled = true
				_, err := p.b.PatchPolicy(p.Context(), operator, "web", session.PolicyChange{IdleTimeout: &long})
				p.ok("patch policy", err)
				_, err = p.b.Touch(p.Context(), with(i))
				p.ok("touch", err)
				p.clock.pass(2 * short)
			}
			nth := int64(1)
			if name == "a look at it" {
				nth = 2 // the first one finds out whose it is
			}
			p.store.onNth("get", backend.KindSession, nth, longer)
			stalls(p, i)
			if !meddled {
				t.Fatal("nothing came between")
			}
			p.clock.pass(long - 3*short)
			_, err := p.b.Check(p.Context(), with(i), true)
			p.ok("within the promised time", err)
		})
	}
}
