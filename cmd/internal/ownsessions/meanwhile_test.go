package ownsessions_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/cmd/internal/ownsessions"
	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/session"
)

// meddled is a member's store at which something comes first.
type meddled struct {
	ownsessions.Counter
	put atomic.Pointer[func(name backend.Name)]         // called before each write
	get atomic.Pointer[func(ctx context.Context) error] // called before each read; its error is the read's
}

func (m *meddled) Put(ctx context.Context, name backend.Name, value []byte, was backend.Version, expires time.Time) (backend.Version, error) {
	if f := m.put.Load(); f != nil {
		(*f)(name)
	}
	return m.Counter.Put(ctx, name, value, was, expires)
}

func (m *meddled) Get(ctx context.Context, names ...backend.Name) (backend.Snapshot, error) {
	if f := m.get.Load(); f != nil {
		if err := (*f)(ctx); err != nil {
			return backend.Snapshot{}, err
		}
	}
	return m.Counter.Get(ctx, names...)
}

// meddle has something come first at the store of a member that is not started yet.
func (m *member) meddle() *meddled {
	store := &meddled{}
	m.store = func(below ownsessions.Counter) ownsessions.Counter {
		store.Counter = below
		return store
	}
	return store
}

// newMeddled is a cluster of one whose store is meddled with.
func newMeddled(t *testing.T) (*world, *meddled) {
	t.Helper()
	shared := &clock{begun: time.Now()}
	a := newMembers(t, 1, shared)[0]
	store := a.meddle()
	a.start()
	a.awaitReady()
	return &world{t, a, nil, nil, shared}, store
}

// TestADoneChangeIsNotCalledUndone: a user is made and changed in the cluster, whether this node can count its sessions or not.
func TestADoneChangeIsNotCalledUndone(t *testing.T) {
	t.Parallel()
	w, store := newMeddled(t)
	fails := func(context.Context) error { return errors.New("the disk is gone") }
	store.get.Store(&fails)
	_, created := w.a.CreateUser(t.Context(), operator, session.NewUser{Name: "ann", Password: "password of ann"})
	_, changed := w.a.UpdateUser(t.Context(), operator, "ann", session.UserChange{Roles: ptr([]session.Role{session.RoleService})})
	store.get.Store(nil)
	if session.CodeOf(created) != session.CodeOutcomeUnknown || session.CodeOf(changed) != session.CodeOutcomeUnknown {
		t.Errorf("created: %v, changed: %v; want %s of both", created, changed, session.CodeOutcomeUnknown)
	}
	if u, err := w.a.GetUser(t.Context(), operator, "ann"); err != nil || u.Roles[0] != session.RoleService {
		t.Errorf("the user is %+v, %v", u, err)
	}
}

// TestARequestHasOneTimeout: whatever a request asks of the cluster and of the folder, one after the other, it has the request timeout for all of it together.
func TestARequestHasOneTimeout(t *testing.T) {
	t.Parallel()
	w, store := newMeddled(t)
	w.user(w.a, "ann", session.RoleAdmin)
	ann := w.login(w.a, "ann")
	for what, ask := range map[string]func() error{
		"list users":  func() error { _, err := w.a.ListUsers(t.Context(), with(ann), session.Page{}); return err },
		"look at one": func() error { _, err := w.a.GetUser(t.Context(), with(ann), "ann"); return err },
		"make one": func() error {
			_, err := w.a.CreateUser(t.Context(), with(ann), session.NewUser{Name: "bob"})
			return err
		},
		"make a policy": func() error {
			_, err := w.a.PutPolicy(t.Context(), with(ann), "web", session.PolicyChange{})
			return err
		},
		"preferences": func() error { _, err := w.a.Preferences(t.Context(), with(ann)); return err },
		"prefer": func() error {
			_, err := w.a.PatchPreferences(t.Context(), with(ann), session.AttributePatch{"colour": []byte("1")})
			return err
		},
	} {
		var mu sync.Mutex
		ends := map[time.Time]bool{}
		note := func(ctx context.Context) error {
			mu.Lock()
			defer mu.Unlock()
			if end, bounded := ctx.Deadline(); bounded {
				ends[end] = true
			}
			return nil
		}
		store.get.Store(&note)
		err := ask()
		store.get.Store(nil)
		mu.Lock()
		if err != nil || len(ends) != 1 {
			t.Errorf("%s: %v; its reads end at %d times, want one", what, err, len(ends))
		}
		mu.Unlock()
	}
}

// calls is a log that calls a function with each message.
type calls struct {
	slog.Handler
	f func(message string)
}

func (c calls) Enabled(context.Context, slog.Level) bool { return true }
func (c calls) Handle(_ context.Context, r slog.Record) error {
	c.f(r.Message)
	return nil
}
func (c calls) WithAttrs([]slog.Attr) slog.Handler { return c }
func (c calls) WithGroup(string) slog.Handler      { return c }

// TestAnEndedSessionPrefersNothing: a user is deleted, and another one gets its name, between the look at a key and the write that it asks for.
func TestAnEndedSessionPrefersNothing(t *testing.T) {
	t.Parallel()
	var meanwhile atomic.Pointer[func()]
	w := newWorld(t, func(c *node.Config) {
		c.Logger = slog.New(calls{slog.DiscardHandler, func(message string) {
			if f := meanwhile.Load(); f != nil && strings.HasPrefix(message, "a session key was presented at another address") {
				meanwhile.Store(nil)
				(*f)()
			}
		}})
	})
	if _, err := w.a.PatchPolicy(t.Context(), operator, session.DefaultPolicyName, session.PolicyChange{BindAddress: ptr(session.BindLog)}); err != nil {
		t.Fatal(err)
	}
	w.user(w.a, "ann")
	old := w.login(w.a, "ann")
	become := func(change func()) {
		f := func() {
			change()
			if _, err := w.a.GetUser(t.Context(), operator, "ann"); err != nil { // and this node knows it
				t.Error(err)
			}
		}
		meanwhile.Store(&f)
	}
	prefer := func(i session.Issued, colour string) error {
		call := with(i)
		call.Address = call.Address.Next() // which is told to the log once the key was looked at
		_, err := w.a.PatchPreferences(t.Context(), call, session.AttributePatch{"colour": []byte(colour)})
		return err
	}
	become(func() {
		if _, err := w.b.DeleteUser(t.Context(), operator, "ann"); err != nil {
			t.Error(err)
		}
		w.user(w.b, "ann")
	})
	if err := prefer(old, `"green"`); session.CodeOf(err) != session.CodeUnauthenticated || meanwhile.Load() != nil {
		t.Errorf("the deleted user prefers green: %v, want %s; still to come: %v", err, session.CodeUnauthenticated, meanwhile.Load() != nil)
	}
	young := w.login(w.a, "ann")
	if p, err := w.a.Preferences(t.Context(), with(young)); err != nil || len(p.Values) != 0 {
		t.Errorf("the new user prefers %s, %v", p.Values, err)
	} // A change that ends nothing is no reason to refuse.
	become(func() { w.update(w.b, "ann", session.UserChange{Roles: ptr([]session.Role{session.RoleService})}) })
	eventually(t, "told to the log", func() error { // which is told once a second
		if err := prefer(young, `"blue"`); err != nil {
			t.Errorf("the new user prefers blue: %v", err)
		}
		if meanwhile.Load() != nil {
			return errors.New("nothing has come between")
		}
		return nil
	})
}
