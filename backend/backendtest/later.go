package backendtest

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/hydrastore/hydrastore/backend"
)

// Later is a store whose clock is ahead by the time that has passed, for homes whose real clock nobody can turn. It drops what it would have dropped.
func Later(s backend.Store, passed *atomic.Int64) backend.Store { return later{s, passed} }

type later struct {
	backend.Store
	passed *atomic.Int64 // time.Duration
}

func (l later) now(t time.Time) time.Time { return t.Add(time.Duration(l.passed.Load())) }

// Get implements backend.Store.
func (l later) Get(ctx context.Context, names ...backend.Name) (backend.Snapshot, error) {
	s, err := l.Store.Get(ctx, names...)
	s.Now = l.now(s.Now)
	return s, err
}

// Put implements backend.Store.
func (l later) Put(ctx context.Context, name backend.Name, value []byte, was backend.Version, expires time.Time) (backend.Version, error) {
	if !expires.IsZero() {
		expires = expires.Add(-time.Duration(l.passed.Load()))
	}
	return l.Store.Put(ctx, name, value, was, expires)
}

// Scan implements backend.Store.
func (l later) Scan(ctx context.Context, kind backend.Kind, after string, limit int) (backend.Page, error) {
	p, err := l.Store.Scan(ctx, kind, after, limit)
	p.Now = l.now(p.Now)
	return p, err
}
