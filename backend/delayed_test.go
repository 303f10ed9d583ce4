package backend_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/backend"
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
