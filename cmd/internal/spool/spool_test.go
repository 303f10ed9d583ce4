package spool_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/cmd/internal/spool"
	"github.com/hydrastore/hydrastore/session"
	"github.com/hydrastore/hydrastore/session/portable"
)

func made(id byte, user string, number uint64, createdMS int64) portable.Record {
	return portable.Record{Session: &portable.Session{
		ID: session.ID{1, id}, Number: number, User: user, Policy: "default", Key: session.KeyHash{id, 1}, CreatedMS: createdMS, LastUseMS: createdMS, LastActivityMS: createdMS,
		Roles: []session.Role{session.RoleUser}, Methods: []session.Method{session.MethodPassword},
		Attributes: session.Attributes{"a": []byte(`"<&>"`)},
	}}
}

// TestSessionsComeInTheOrderOfTheirCreation: whatever order they went in.
func TestSessionsComeInTheOrderOfTheirCreation(t *testing.T) {
	t.Parallel()
	want := []portable.Record{
		made(1, "ada", 1, 100), made(2, "bob", 1, 200), made(3, "ada", 2, 300),
		made(4, "ada", 3, 299), // a policy's earlier lifetime moved the one before it on by a millisecond
		made(5, "eve", 7, 300), made(6, "bob", 2, 400),
	}
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 1))
	for n := range 20 {
		s, err := spool.New()
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range random.Perm(len(want)) {
			if err := s.Add(want[i]); err != nil {
				t.Fatal(err)
			}
		}
		var got []portable.Record
		pages := 0
		err = s.InOrder(1+n%4, func(page []portable.Record) error {
			pages++
			got = append(got, page...)
			return nil
		})
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("seed %d: got %v %v\nwant %v", seed, texts(got), err, texts(want))
		}
		if most := (len(want) + n%4) / (1 + n%4); pages != most {
			t.Errorf("got %d pages of at most %d, want %d", pages, 1+n%4, most)
		}
		stop := errors.New("enough")
		if err := s.InOrder(1, func([]portable.Record) error { return stop }); !errors.Is(err, stop) {
			t.Errorf("got %v", err)
		}
		if err := errors.Join(s.Close(), s.Close()); err != nil {
			t.Error(err)
		}
	}
}

func texts(records []portable.Record) (out []string) {
	for _, r := range records {
		out = append(out, fmt.Sprint(r.Session.User, " ", r.Session.Number))
	}
	return out
}

// TestNothingIsLeftOnDisk: what waits has no name, so that not even a killed process leaves it behind.
func TestNothingIsLeftOnDisk(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	s, err := spool.New()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Add(made(1, "ada", 1, 100)); err != nil {
		t.Fatal(err)
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) > 0 {
		t.Errorf("got %v, %v", names, err)
	}
	t.Setenv("TMPDIR", filepath.Join(dir, "none"))
	if _, err := spool.New(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
