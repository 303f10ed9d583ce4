package backend_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/backend/backendtest"
	"github.com/hydrastore/hydrastore/backend/memory"
	"github.com/hydrastore/hydrastore/session"
)

// mortal is a store whose user dies at a certain write: from then on nothing reaches it.
type mortal struct {
	backend.Store
	left atomic.Int64
}

func (m *mortal) dies() error {
	if m.left.Add(-1) < 0 {
		return &session.Error{Code: session.CodeUnavailable, Message: "dead"}
	}
	return nil
}

func (m *mortal) Put(ctx context.Context, name backend.Name, value []byte, was backend.Version, expires time.Time) (backend.Version, error) {
	if err := m.dies(); err != nil {
		return "", err
	}
	return m.Store.Put(ctx, name, value, was, expires)
}

func (m *mortal) Delete(ctx context.Context, name backend.Name, was backend.Version) error {
	if err := m.dies(); err != nil {
		return err
	}
	return m.Store.Delete(ctx, name, was)
}

// deed is something that takes several writes.
type deed struct {
	name string
	do   func(ctx context.Context, s *backend.Service, first session.Issued) (session.Issued, error)
	// want judges the home after the deed: done tells that it was acknowledged.
	want func(t *testing.T, s *backend.Service, first, made session.Issued, done bool)
}

var operator = session.Call{Operator: true}

func opens(t *testing.T, s *backend.Service, i session.Issued) bool {
	t.Helper()
	if i.Key.IsZero() {
		return false
	}
	_, err := s.Check(t.Context(), session.Call{Key: i.Key}, true)
	if err != nil && session.CodeOf(err) != session.CodeUnauthenticated {
		t.Fatal(err)
	}
	return err == nil
}

func count(t *testing.T, s *backend.Service, user string) int {
	t.Helper()
	list, err := s.ListSessions(t.Context(), operator, session.Filter{User: user}, session.Page{})
	if err != nil {
		t.Fatal(err)
	}
	return len(list.Items)
}

func deeds() []deed {
	vouched := func(l session.Login) func(context.Context, *backend.Service, session.Issued) (session.Issued, error) {
		l.Vouched = true
		return func(ctx context.Context, s *backend.Service, _ session.Issued) (session.Issued, error) {
			return s.Login(ctx, operator, l)
		}
	}
	return []deed{
		{"log in", vouched(session.Login{User: "ada"}), func(t *testing.T, s *backend.Service, first, made session.Issued, done bool) {
			if n := count(t, s, "ada"); done && n != 2 || !done && n != 1 || done != opens(t, s, made) || !opens(t, s, first) {
				t.Errorf("done %v: %d sessions, the new one opens: %v", done, n, opens(t, s, made))
			}
		}},
		{"log in as the only session", vouched(session.Login{User: "ada", Policy: "one"}), func(t *testing.T, s *backend.Service, first, made session.Issued, done bool) {
			list, err := s.ListSessions(t.Context(), operator, session.Filter{User: "ada", Policy: "one"}, session.Page{})
			if err != nil || len(list.Items) != 1 {
				t.Errorf("%d sessions under the policy, %v", len(list.Items), err)
			}
			if done != opens(t, s, made) {
				t.Errorf("done %v: the new one opens: %v", done, opens(t, s, made))
			}
		}},
		{"log in in the place of a session", func(ctx context.Context, s *backend.Service, first session.Issued) (session.Issued, error) {
			if _, err := s.PatchAttributes(ctx, presents(first), session.AttributePatch{"a": []byte("1")}, nil); err != nil {
				return session.Issued{}, err
			}
			return s.Login(ctx, presents(first), session.Login{User: "ada", Vouched: true})
		}, func(t *testing.T, s *backend.Service, first, made session.Issued, done bool) {
			if n := count(t, s, "ada"); n != 1 || done == opens(t, s, first) || done != opens(t, s, made) {
				t.Errorf("done %v: %d sessions, the old one opens: %v, the new one: %v", done, n, opens(t, s, first), opens(t, s, made))
			}
			stays := first
			if done {
				stays = made
			}
			c, err := s.PatchAttributes(t.Context(), presents(stays), session.AttributePatch{"b": []byte("2")}, nil)
			if err != nil || done && string(c.Attributes["a"]) != "1" {
				t.Errorf("done %v: patched, %s, %v", done, c.Attributes, err)
			}
		}},
		{"log in under an Idempotency-Key", vouched(session.Login{User: "ada", IdempotencyKey: "k"}), func(t *testing.T, s *backend.Service, first, made session.Issued, done bool) {
			again, err := s.Login(t.Context(), operator, session.Login{User: "ada", Vouched: true, IdempotencyKey: "k"})
			if err != nil || count(t, s, "ada") != 2 || done && again.ID != made.ID || !opens(t, s, again) {
				t.Errorf("done %v: repeated, %d sessions, %v", done, count(t, s, "ada"), err)
			}
		}},
		{"log out", func(ctx context.Context, s *backend.Service, first session.Issued) (session.Issued, error) {
			_, err := s.Logout(ctx, session.Call{Key: first.Key})
			return session.Issued{}, err
		}, func(t *testing.T, s *backend.Service, first, _ session.Issued, done bool) {
			if done == opens(t, s, first) || done == (count(t, s, "ada") == 1) {
				t.Errorf("done %v: it opens: %v, and %d sessions are listed", done, opens(t, s, first), count(t, s, "ada"))
			}
		}},
		{"rotate", func(ctx context.Context, s *backend.Service, first session.Issued) (session.Issued, error) {
			return s.Rotate(ctx, session.Call{Key: first.Key})
		}, func(t *testing.T, s *backend.Service, first, made session.Issued, done bool) {
			if !opens(t, s, first) || done != opens(t, s, made) {
				t.Errorf("done %v: the old key opens: %v, the new one: %v", done, opens(t, s, first), opens(t, s, made))
			}
			if _, err := s.Rotate(t.Context(), session.Call{Key: first.Key}); err != nil {
				t.Errorf("rotate again: %v", err)
			}
		}},
		{"disable an admin", func(ctx context.Context, s *backend.Service, _ session.Issued) (session.Issued, error) {
			yes := true
			_, err := s.UpdateUser(ctx, operator, "root", session.UserChange{Disabled: &yes})
			return session.Issued{}, err
		}, func(t *testing.T, s *backend.Service, _, _ session.Issued, done bool) {
			root, err := s.GetUser(t.Context(), operator, "root")
			if err != nil || root.Disabled != done {
				t.Errorf("done %v: disabled %v, %v", done, root.Disabled, err)
			}
			if err := s.Sweep(t.Context()); err != nil { // which enlists who should stand among the admins and does not
				t.Fatal(err)
			}
			if _, err := s.DeleteUser(t.Context(), operator, "admin"); (err == nil) == done {
				t.Errorf("done %v: the other admin can be deleted: %v", done, err)
			}
		}},
		{"end all sessions", func(ctx context.Context, s *backend.Service, _ session.Issued) (session.Issued, error) {
			_, err := s.RevokeUserSessions(ctx, operator, "ada", session.UserSessions{})
			return session.Issued{}, err
		}, func(t *testing.T, s *backend.Service, first, _ session.Issued, done bool) {
			if done == opens(t, s, first) {
				t.Errorf("done %v: it opens: %v", done, opens(t, s, first))
			}
		}},
	}
}

// TestDeathAtEveryWrite lets a process die at the first, the second, … write of a deed. Another process finds it either done or not done, never half, and
// done if it was acknowledged.
func TestDeathAtEveryWrite(t *testing.T) {
	t.Parallel()
	for _, d := range deeds() {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			for writes := int64(0); ; writes++ {
				if dieAt(t, d, writes) {
					if writes == 0 {
						t.Error("it needed no write")
					}
					return
				}
			}
		})
	}
}

// dieAt does a deed that ends after so many writes, judges what is left, and tells whether the deed was acknowledged.
func dieAt(t *testing.T, d deed, writes int64) (done bool) {
	t.Helper()
	store := memory.New(nil)
	healthy := backendtest.Start(t, backendtest.Config(t), store)
	one := true
	if _, err := healthy.PutPolicy(t.Context(), operator, "one", session.PolicyChange{LimitsChange: session.LimitsChange{SingleSession: &one}}); err != nil {
		t.Fatal(err)
	}
	if _, err := healthy.CreateUser(t.Context(), operator, session.NewUser{Name: "root", Password: "a long password", Roles: []session.Role{session.RoleAdmin}}); err != nil {
		t.Fatal(err)
	}
	for _, policy := range []string{"one"} {
		if _, err := healthy.Login(t.Context(), operator, session.Login{User: "ada", Vouched: true, Policy: policy}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := healthy.RevokeUserSessions(t.Context(), operator, "ada", session.UserSessions{}); err != nil && d.name != "log in as the only session" {
		t.Fatal(err)
	}
	policy := session.DefaultPolicyName
	if d.name == "log in as the only session" {
		policy = "one"
	}
	first, err := healthy.Login(t.Context(), operator, session.Login{User: "ada", Vouched: true, Policy: policy})
	if err != nil {
		t.Fatal(err)
	}
	dying := &mortal{Store: store}
	dying.left.Store(1 << 40)
	config := backendtest.Config(t)
	config.SweepInterval = time.Hour
	s := backendtest.Start(t, config, dying)
	dying.left.Store(writes)
	made, err := d.do(t.Context(), s, first)
	dying.left.Store(0)
	d.want(t, healthy, first, made, err == nil)
	if t.Failed() {
		t.Fatalf("after %d writes of %q", writes, d.name)
	}
	return err == nil
}

// unreliable is a store that loses answers: a write may have been done or not, and its caller is told that nobody knows.
type unreliable struct {
	backend.Store
	mu     sync.Mutex
	random *rand.Rand
}

var errLost = &session.Error{Code: session.CodeOutcomeUnknown, Message: "lost"}

func (u *unreliable) roll() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.random.IntN(20)
}

func (u *unreliable) Put(ctx context.Context, name backend.Name, value []byte, was backend.Version, expires time.Time) (backend.Version, error) {
	switch u.roll() {
	case 0:
		return "", errLost
	case 1:
		_, _ = u.Store.Put(ctx, name, value, was, expires)
		return "", errLost
	}
	return u.Store.Put(ctx, name, value, was, expires)
}

func (u *unreliable) Delete(ctx context.Context, name backend.Name, was backend.Version) error {
	switch u.roll() {
	case 0:
		return errLost
	case 1:
		_ = u.Store.Delete(ctx, name, was)
		return errLost
	}
	return u.Store.Delete(ctx, name, was)
}

// TestLostAnswers: before a store that loses every tenth answer nothing that was acknowledged is lost, nothing that was ended comes back, and no limit is exceeded.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	store := memory.New(nil)
	healthy := backendtest.Start(t, backendtest.Config(t), store)
	most := 5
	if _, err := healthy.PutPolicy(t.Context(), operator, "few", session.PolicyChange{LimitsChange: session.LimitsChange{MaxSessionsPerUser: &most}}); err != nil {
		t.Fatal(err)
	}
	config := backendtest.Config(t)
	bad := &unreliable{Store: store, random: rand.New(rand.NewPCG(seed, 1))}
	var s *backend.Service
	func() { s = backendtest.Start(t, config, bad) }()
	var work sync.WaitGroup
	for w := range 8 {
		work.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(w)+2))
			user := fmt.Sprint("user-", w%4)
			for range 60 {
				lostRound(t, s, healthy, user, random)
			}
		})
	}
	work.Wait()
	for u := range 4 {
		if n := count(t, healthy, fmt.Sprint("user-", u)); n > most {
			t.Errorf("user %d has %d sessions, the limit is %d", u, n, most)
		}
	}
}

// lostRound logs in, rotates and logs out, and judges what was acknowledged before a healthy service.
func lostRound(t *testing.T, s, healthy *backend.Service, user string, random *rand.Rand) {
	i, err := s.Login(t.Context(), operator, session.Login{User: user, Vouched: true, Policy: "few"})
	if err != nil {
		if code := session.CodeOf(err); code == session.CodeSessionLimit {
			_, _ = healthy.RevokeUserSessions(t.Context(), operator, user, session.UserSessions{})
		} else if code != session.CodeOutcomeUnknown && code != session.CodeUnavailable {
			t.Errorf("log in: %v", err)
		}
		return
	}
	key := i.Key
	if next, err := s.Rotate(t.Context(), session.Call{Key: key}); err == nil {
		key = next.Key
	}
	if random.IntN(2) == 0 {
		return
	}
	if _, err := s.Logout(t.Context(), session.Call{Key: key}); err == nil {
		if _, err := healthy.Check(t.Context(), session.Call{Key: key}, true); !errors.Is(err, &session.Error{Code: session.CodeUnauthenticated}) && session.CodeOf(err) != session.CodeUnauthenticated {
			t.Errorf("after log-out: %v", err)
		}
	}
}

// lostDeletes answers no deletion of a session, though it does it.
type lostDeletes struct{ backend.Store }

func (l lostDeletes) Delete(ctx context.Context, name backend.Name, was backend.Version) error {
	err := l.Store.Delete(ctx, name, was)
	if err == nil && name.Kind == backend.KindSession {
		return errLost
	}
	return err
}

// TestABurialDecidesNothing: what is dead by time is dead whether the deletion of its record was answered or not.
func TestABurialDecidesNothing(t *testing.T) {
	t.Parallel()
	clock := newTurned()
	store := memory.New(clock.time)
	config := backendtest.Config(t)
	config.SweepInterval = time.Hour
	s := backendtest.Start(t, config, lostDeletes{store})
	one := 1
	if _, err := s.PatchPolicy(t.Context(), operator, "default", session.PolicyChange{LimitsChange: session.LimitsChange{MaxSessionsPerUser: &one}}); err != nil {
		t.Fatal(err)
	}
	login := func() (session.Issued, error) {
		return s.Login(t.Context(), operator, session.Login{User: "ada", Vouched: true})
	}
	i, err := login()
	if err != nil {
		t.Fatal(err)
	}
	clock.pass(24 * time.Hour)
	if _, err := s.Check(t.Context(), with(i), true); session.CodeOf(err) != session.CodeUnavailable && session.CodeOf(err) != session.CodeUnauthenticated {
		t.Errorf("a check: %v", err)
	}
	_, err = login()
	if err != nil {
		t.Fatal(err)
	}
	clock.pass(24 * time.Hour)
	if _, err := login(); err != nil && session.CodeOf(err) != session.CodeUnavailable {
		t.Errorf("a log-in: %v", err)
	}
}
