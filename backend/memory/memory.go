// Package memory is a backend.Store in memory: for tests, and to show in a page what the contract means.
package memory

import (
	"bytes"
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hydrastore/hydrastore/backend"
)

// Store is a backend.Store in memory. Any number of Services may share one.
type Store struct {
	now func() time.Time

	mu      sync.Mutex
	last    uint64 // version
	records map[backend.Name]record
}

type record struct {
	value   []byte
	version backend.Version
	expires time.Time
}

// New makes an empty Store with that clock; nil = time.Now.
func New(now func() time.Time) *Store {
	if now == nil {
		now = time.Now
	}
	return &Store{now: now, records: map[backend.Name]record{}}
}

// Get implements backend.Store.
func (s *Store) Get(ctx context.Context, names ...backend.Name) (backend.Snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return backend.Snapshot{}, err
	}
	out := backend.Snapshot{Records: make([]backend.Record, len(names)), Now: s.now()}
	for i, name := range names {
		out.Records[i] = s.readLocked(name)
	}
	return out, nil
}

func (s *Store) readLocked(name backend.Name) backend.Record {
	r, ok := s.records[name]
	if !ok {
		return backend.Record{Name: name}
	}
	return backend.Record{Name: name, Version: r.version, Value: bytes.Clone(r.value)}
}

// Put implements backend.Store.
func (s *Store) Put(ctx context.Context, name backend.Name, value []byte, was backend.Version, expires time.Time) (backend.Version, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if s.records[name].version != was {
		return "", backend.ErrChanged
	}
	s.last++
	version := backend.Version(strconv.FormatUint(s.last, 36))
	s.records[name] = record{value: bytes.Clone(value), version: version, expires: expires}
	return version, nil
}

// Delete implements backend.Store.
func (s *Store) Delete(ctx context.Context, name backend.Name, was backend.Version) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if r, ok := s.records[name]; !ok || r.version != was {
		return backend.ErrChanged
	}
	delete(s.records, name)
	return nil
}

// Scan implements backend.Store. A place is the last id before it.
func (s *Store) Scan(ctx context.Context, kind backend.Kind, after string, limit int) (backend.Page, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return backend.Page{}, err
	}
	var names []backend.Name
	for name := range s.records {
		if name.Kind == kind && name.ID > after {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b backend.Name) int { return strings.Compare(a.ID, b.ID) })
	page := backend.Page{Now: s.now()}
	for _, name := range names {
		if len(page.Records) == limit {
			page.Next = page.Records[limit-1].ID
			break
		}
		page.Records = append(page.Records, s.readLocked(name))
	}
	return page, nil
}

// DropExpired drops what the contract allows to drop.
func (s *Store) DropExpired() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	for name, r := range s.records {
		if !r.expires.IsZero() && !r.expires.After(now) {
			delete(s.records, name)
		}
	}
}

// Ready implements backend.Store.
func (s *Store) Ready() error { return nil }

// Features implements backend.Store.
func (s *Store) Features() backend.Features {
	return backend.Features{Name: "memory", Shared: true, Clock: true, Ordered: true}
}

// Close implements backend.Store. The data stay, for other Services may use them.
func (s *Store) Close() error { return nil }
