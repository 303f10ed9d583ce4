package backend_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/backend/backendtest"
	"github.com/hydrastore/hydrastore/backend/memory"
	"github.com/hydrastore/hydrastore/session"
)

// delayed is a store that holds one write of a kind back, whose caller is told that nobody knows.
type delayed struct {
	backend.Store
	kind backend.Kind

	mu    sync.Mutex
	armed bool
	held  func(ctx context.Context) error
}

func (d *delayed) arm() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.armed = true
}

func (d *delayed) Put(ctx context.Context, name backend.Name, value []byte, was backend.Version, expires time.Time) (backend.Version, error) {
	d.mu.Lock()
	hold := d.armed && name.Kind == d.kind
	if hold {
		d.armed = false
		d.held = func(ctx context.Context) error {
			_, err := d.Store.Put(ctx, name, value, was, expires)
			return err
		}
	}
	d.mu.Unlock()
	if hold {
		return "", errLost
	}
	return d.Store.Put(ctx, name, value, was, expires)
}

// deliver does the write that was held back, if its record is still what it was.
func (d *delayed) deliver(t *testing.T) {
	t.Helper()
	d.mu.Lock()
	held := d.held
	d.mu.Unlock()
	if held == nil {
		t.Fatal("no write was held back")
	}
	if err := held(t.Context()); err != nil && !errors.Is(err, backend.ErrChanged) {
		t.Fatal(err)
	}
}

// TestASessionThatIsMadeLateDoesNotLive: the answer to the write that makes a session's record is lost, and the write comes after the session has ended.
func TestASessionThatIsMadeLateDoesNotLive(t *testing.T) {
	t.Parallel()
	clock := newTurned()
	store := &delayed{Store: memory.New(clock.time), kind: backend.KindSession}
	config := backendtest.Config(t)
	config.SweepInterval = time.Hour
	s := backendtest.Start(t, config, store)
	store.arm()
	i, err := s.Login(t.Context(), operator, session.Login{User: "ada", Vouched: true})
	if err != nil {
		t.Fatalf("log in: %v", err)
	}
	if !opens(t, s, i) {
		t.Error("the session does not live")
	}
	if _, err := s.Logout(t.Context(), with(i)); err != nil {
		t.Fatal(err)
	}
	store.deliver(t)
	if opens(t, s, i) || count(t, s, "ada") != 0 {
		t.Error("a session lives after the log-out")
	}
	clock.pass(time.Hour)
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	page, err := store.Scan(t.Context(), backend.KindSession, "", backend.MaxScan)
	if err != nil || len(page.Records) != 0 {
		t.Errorf("%d records are left, %v", len(page.Records), err)
	}
}

// late is a store whose held write comes just before the next one of its kind.
type late struct{ *delayed }

func (l late) Put(ctx context.Context, name backend.Name, value []byte, was backend.Version, expires time.Time) (backend.Version, error) {
	l.mu.Lock()
	held := l.held
	if name.Kind == l.kind {
		l.held = nil
	}
	l.mu.Unlock()
	if name.Kind == l.kind && held != nil {
		if err := held(ctx); err != nil {
			return "", err
		}
	}
	return l.delayed.Put(ctx, name, value, was, expires)
}

// TestAMovedSessionMayComeLate: the move asks whether what it has sent is there, and it comes after that.
func TestAMovedSessionMayComeLate(t *testing.T) {
	t.Parallel()
	clock := newTurned()
	from := memory.New(clock.time)
	s := backendtest.Start(t, backendtest.Config(t), from)
	if _, err := s.Login(t.Context(), operator, session.Login{User: "ada", Vouched: true}); err != nil {
		t.Fatal(err)
	}
	to := late{&delayed{Store: memory.New(clock.time), kind: backend.KindSession}}
	to.arm()
	if moved := move(t, backend.MoveStore(from), backend.MoveStore(to)); moved.Sessions != 1 {
		t.Errorf("%d sessions were moved, want 1", moved.Sessions)
	}
}
