package local_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/backend/local"
)

// TestCount: the number of records is that of those which are there, whatever came and went, and after the folder is opened again.
func TestCount(t *testing.T) {
	t.Parallel()
	var w wall
	dir := t.TempDir()
	open := func() *local.Store {
		t.Helper()
		s, err := local.Open(local.Config{Path: dir, Wall: w.now})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	want := func(s *local.Store, n int) {
		t.Helper()
		if got := s.Count(backend.KindSession); got != n {
			t.Errorf("got %d sessions, want %d", got, n)
		}
	}
	s := open()
	var versions []backend.Version
	for i := range 5 {
		expires := time.Time{}
		if i == 4 {
			expires = w.now().Add(time.Minute)
		}
		v, err := s.Put(t.Context(), backend.Name{Kind: backend.KindSession, ID: fmt.Sprint(i)}, []byte("{}"), "", expires)
		if err != nil {
			t.Fatal(err)
		}
		versions = append(versions, v)
	}
	want(s, 5)
	name := backend.Name{Kind: backend.KindSession, ID: "0"}
	if _, err := s.Put(t.Context(), name, []byte("{}"), "", time.Time{}); err == nil {
		t.Error("made twice")
	}
	again, err := s.Put(t.Context(), name, []byte("{}"), versions[0], time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), backend.Name{Kind: backend.KindUser, ID: "ann"}, []byte("{}"), "", time.Time{}); err != nil {
		t.Fatal(err)
	}
	want(s, 5)
	if err := s.Delete(t.Context(), name, again); err != nil {
		t.Fatal(err)
	}
	want(s, 4)
	w.advance(time.Hour)
	if err := s.Sweep(); err != nil {
		t.Fatal(err)
	}
	want(s, 3)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open()
	want(s, 3)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
