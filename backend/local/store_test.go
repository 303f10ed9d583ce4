package local_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/backend/backendtest"
	"github.com/hydrastore/hydrastore/backend/local"
	"github.com/hydrastore/hydrastore/session"
)

// wall is a time of day that tests move.
type wall struct{ passed atomic.Int64 }

func (w *wall) now() time.Time          { return time.Now().Add(time.Duration(w.passed.Load())) }
func (w *wall) advance(d time.Duration) { w.passed.Add(int64(d)) }

func TestStore(t *testing.T) {
	t.Parallel()
	for _, c := range backendtest.StoreCases() {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			var w wall
			dir := t.TempDir()
			var last *local.Store
			c.Run(t, backendtest.StoreHarness{
				Keeps: true,
				Open: func() (backend.Store, error) {
					s, err := local.Open(local.Config{Path: dir, Wall: w.now})
					last = s
					return s, err
				},
				Expired: func(d time.Duration) {
					w.advance(d)
					if err := last.Sweep(); err != nil {
						t.Error(err)
					}
				},
			})
		})
	}
}

func TestService(t *testing.T) {
	t.Parallel()
	for _, c := range backendtest.ServiceCases() {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			var w wall
			c.Run(t, backendtest.ServiceHarness{
				Advance: w.advance,
				Services: backendtest.StartAll(t, func() (backend.Store, error) {
					return local.Open(local.Config{Path: t.TempDir(), Wall: w.now, SweepInterval: 50 * time.Millisecond})
				}),
			})
		})
	}
}

func open(t *testing.T, c local.Config) *local.Store {
	t.Helper()
	s, err := local.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func name(id string) backend.Name { return backend.Name{Kind: backend.KindUser, ID: id} }

func put(t *testing.T, s *local.Store, id, value string) backend.Version {
	t.Helper()
	v, err := s.Put(t.Context(), name(id), []byte(value), "", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestOneServerHasAFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := open(t, local.Config{Path: dir})
	_, err := local.Open(local.Config{Path: dir})
	if err == nil || !strings.Contains(err.Error(), "another process uses the folder "+dir) {
		t.Errorf("got %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, local.Config{Path: dir})
}

func TestOnlyItsUserReadsTheFolder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new")
	put(t, open(t, local.Config{Path: dir}), "ada", "v")
	for path, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, "sessions.db"): 0o600} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: mode %v, %v", path, info.Mode().Perm(), err)
		}
	}
}

// TestDamageIsTold changes one byte of a record on disk, as a bad disk would.
func TestDamageIsTold(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, local.Config{Path: dir})
	put(t, s, "ada", "a value that can be found")
	put(t, s, "bob", "another")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "sessions.db")
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(file, []byte("a value that can be found")); n == 0 {
		t.Fatal("the value is not in the file")
	}
	file = bytes.ReplaceAll(file, []byte("a value that can be found"), []byte("a value that can be fouNd"))
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, local.Config{Path: dir})
	if got, err := s.Get(t.Context(), name("ada")); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := s.Scan(t.Context(), backend.KindUser, "", 10); err == nil {
		t.Error("a scan passes over it")
	}
	if got, err := s.Get(t.Context(), name("bob")); err != nil || string(got.Records[0].Value) != "another" {
		t.Errorf("the other record: %+v, %v", got, err)
	}
}

// TestTimeGoesOn: neither a step of the time of day while the server runs nor one between two runs takes the clock back.
func TestTimeGoesOn(t *testing.T) {
	t.Parallel()
	var w wall
	dir := t.TempDir()
	s := open(t, local.Config{Path: dir, Wall: w.now})
	put(t, s, "ada", "v")
	before, err := s.Get(t.Context(), name("ada"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	w.advance(-time.Hour)
	s = open(t, local.Config{Path: dir, Wall: w.now})
	after, err := s.Get(t.Context(), name("ada"))
	if err != nil || after.Now.Before(before.Now.Add(-time.Second)) || after.Now.Sub(before.Now) > time.Minute {
		t.Errorf("it was %v and is %v, %v", before.Now, after.Now, err)
	}
	w.advance(-time.Hour)
	again, err := s.Get(t.Context(), name("ada"))
	if err != nil || again.Now.Before(after.Now) {
		t.Errorf("it was %v and is %v, %v", after.Now, again.Now, err)
	}
}

// TestATimeIsKept: what somebody else says of the time is there after a restart as it was at the last write, and nothing where nobody has said anything.
func TestATimeIsKept(t *testing.T) {
	t.Parallel()
	dir, told := t.TempDir(), time.UnixMilli(1_700_000_000_000)
	s := open(t, local.Config{Path: dir})
	put(t, s, "before", "v")
	if kept := s.KeepTime(func() time.Time { return told }); !kept.IsZero() {
		t.Errorf("kept at first: %v", kept)
	}
	put(t, s, "ada", "v")
	told = told.Add(time.Hour) // no write comes after this
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, local.Config{Path: dir})
	if kept, want := s.KeepTime(time.Now), told.Add(-time.Hour); !kept.Equal(want) {
		t.Errorf("kept %v, want %v", kept, want)
	}
}

func TestAClosedStoreAnswersNothing(t *testing.T) {
	t.Parallel()
	s := open(t, local.Config{Path: t.TempDir()})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, getErr := s.Get(t.Context(), name("ada"))
	_, putErr := s.Put(t.Context(), name("ada"), []byte("v"), "", time.Time{})
	for what, err := range map[string]error{"get": getErr, "put": putErr, "ready": s.Ready()} {
		if session.CodeOf(err) != session.CodeUnavailable {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestWritesThatAreGivenUp give up at any moment of their transaction. For the race detector.
func TestWritesThatAreGivenUp(t *testing.T) {
	t.Parallel()
	s := open(t, local.Config{Path: t.TempDir()})
	given := 0
	for i := range 500 {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			time.AfterFunc(time.Duration(i%100)*20*time.Microsecond, cancel)
		}()
		version, err := s.Put(ctx, name(fmt.Sprint(i)), []byte("v"), "", time.Time{})
		if err != nil {
			given++
		}
		if (version == "") != (err != nil) {
			t.Errorf("write %d: version %q with %v", i, version, err)
		}
		<-done
		cancel()
	}
	if given == 0 {
		t.Error("no write was given up")
	}
}

// TestAWriteDuringCloseIsAnswered: whoever comes when the last transaction is over waits for none.
func TestAWriteDuringCloseIsAnswered(t *testing.T) {
	t.Parallel()
	for round := range 30 {
		s := open(t, local.Config{Path: t.TempDir()})
		var work sync.WaitGroup
		for i := range 8 {
			work.Go(func() {
				for n := 0; ; n++ {
					if _, err := s.Put(context.Background(), name(fmt.Sprint(i, " ", n)), []byte("v"), "", time.Time{}); err != nil {
						return
					}
				}
			})
		}
		<-time.After(time.Duration(round) * 200 * time.Microsecond)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		answered := make(chan struct{})
		go func() { work.Wait(); close(answered) }()
		select {
		case <-answered:
		case <-time.After(10 * time.Second):
			t.Fatal("a write waits for ever")
		}
	}
}

func TestAFileThatIsNoDatabase(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "sessions.db"), bytes.Repeat([]byte("x"), 1<<16), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := local.Open(local.Config{Path: dir}); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("got %v", err)
	}
}

// BenchmarkPut measures how far writes share a flush.
func BenchmarkPut(b *testing.B) {
	for _, writers := range []int{1, 64, 256} {
		b.Run(fmt.Sprint(writers), func(b *testing.B) {
			s, err := local.Open(local.Config{Path: b.TempDir()})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			var next atomic.Int64
			var work sync.WaitGroup
			b.ResetTimer()
			for range writers {
				work.Go(func() {
					for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
						if _, err := s.Put(context.Background(), name(fmt.Sprint(n)), []byte("a value of some length, as they are"), "", time.Time{}); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			work.Wait()
		})
	}
}

func TestMove(t *testing.T) {
	t.Parallel()
	s, err := local.Open(local.Config{Path: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	backendtest.MoveThrough(t, s)
}

func TestMoveOfMuchPast(t *testing.T) {
	t.Parallel()
	s, err := local.Open(local.Config{Path: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	backendtest.MovePast(t, s) // the service in it closes the store
}
