package backend_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/backend/backendtest"
	"github.com/hydrastore/hydrastore/backend/memory"
	"github.com/hydrastore/hydrastore/session"
)

// directory knows one user, ada, whose every password is right.
type directory struct {
	mu     sync.Mutex
	mark   string
	onRead func()
}

func (d *directory) set(mark string, onRead func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mark, d.onRead = mark, onRead
}

func (d *directory) Read(context.Context, session.Call) (session.Meta, error) {
	d.mu.Lock()
	f := d.onRead
	d.mu.Unlock()
	if f != nil {
		f()
	}
	return session.Meta{}, nil
}

func (d *directory) Now() time.Time { return time.Now() }

func (d *directory) account() *backend.DirectoryAccount {
	return &backend.DirectoryAccount{Roles: []session.Role{session.RoleUser}, Policies: []string{session.DefaultPolicyName}, HasPassword: true, Version: 1}
}

func (d *directory) User(string) backend.DirectoryUser {
	d.mu.Lock()
	defer d.mu.Unlock()
	return backend.DirectoryUser{
		Account: d.account(), Sessions: backend.DirectoryMark{Now: d.mark}, Permanent: backend.DirectoryMark{Now: "permanent"},
	}
}

func (d *directory) Policies() backend.DirectoryPolicies {
	p := session.DefaultPolicy()
	p.Version, p.PermanentAllowed = 1, true
	return backend.DirectoryPolicies{Version: 1, Items: []session.Policy{p}}
}

func (d *directory) CheckPassword(context.Context, backend.DirectoryCheck) (backend.DirectoryVerdict, error) {
	none := func(context.Context) {}
	return backend.DirectoryVerdict{Account: d.account(), GiveBack: none, KeepUp: none}, nil
}

// full takes no more writes of one kind after the first ones.
type full struct {
	backend.Store
	mu   sync.Mutex
	kind backend.Kind // 0 = it takes all
	left int
}

func (f *full) after(writes int, kind backend.Kind) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kind, f.left = kind, writes
}

func (f *full) Put(ctx context.Context, name backend.Name, value []byte, was backend.Version, expires time.Time) (backend.Version, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if name.Kind == f.kind {
		if f.left--; f.left < 0 {
			return "", &session.Error{Code: session.CodeOverloaded, Message: "too many writes are waiting; nothing was done"}
		}
	}
	return f.Store.Put(ctx, name, value, was, expires)
}

// TestWhatCannotBeTakenBackIsUnknown: another password comes while one proves something, which is written by then and cannot be taken back. Nobody may be told that nothing was
// done: who then presents the key of before would end the session.
func TestWhatCannotBeTakenBackIsUnknown(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind backend.Kind // whose second write fails
		do   func(ctx context.Context, s *backend.Service, key session.Key) error
	}{
		"re-authentication": {backend.KindSession, func(ctx context.Context, s *backend.Service, key session.Key) error {
			_, err := s.Reauthenticate(ctx, session.Call{Key: key}, session.Proof{Password: "right"})
			return err
		}},
		"permanent session": {backend.KindUser, func(ctx context.Context, s *backend.Service, _ session.Key) error {
			_, err := s.Login(ctx, session.Call{}, session.Login{User: "ada", Password: "right", Permanent: true})
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, store := &directory{mark: "1"}, &full{Store: memory.New(nil)}
			config := backendtest.Config(t)
			config.Directory, config.AdminPassword, config.Policies, config.SweepInterval = d, "", nil, time.Hour
			s := backendtest.Start(t, config, store)
			i, err := s.Login(t.Context(), session.Call{}, session.Login{User: "ada", Password: "right"})
			if err != nil {
				t.Fatal(err)
			}
			store.after(1, c.kind)
			d.set("1", func() { d.set("2", nil) }) // between the write and what judges it once more
			if err := c.do(t.Context(), s, i.Key); session.CodeOf(err) != session.CodeOutcomeUnknown {
				t.Errorf("got %v", err)
			}
		})
	}
}
