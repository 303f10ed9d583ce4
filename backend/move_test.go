package backend_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
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
	"github.com/hydrastore/hydrastore/backend/memory"
	"github.com/hydrastore/hydrastore/session"
	"github.com/hydrastore/hydrastore/session/portable"
)

func silent(*portable.Tally) {}

// fill makes a home with accounts, policies and sessions of every kind, and returns a key for each session that lives, and what must be known of it.
func fill(t *testing.T, store backend.Store, sessions int) map[session.Key]session.Checked {
	t.Helper()
	c := backendtest.Config(t)
	c.SweepInterval = time.Hour // what has ended is there still
	s := backendtest.Start(t, c, store)
	ctx, operator := t.Context(), session.Call{Operator: true}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := s.PutPolicy(ctx, operator, "web", session.PolicyChange{PermanentAllowed: new(bool)})
	must(err)
	living := map[session.Key]session.Checked{}
	for i := range sessions {
		l := session.Login{User: fmt.Sprint("user <", i%50, ">"), Vouched: true, Attributes: session.Attributes{"i": []byte(fmt.Sprint(i)), "html": []byte(`"<&>"`)}, Sealed: session.Attributes{"s": []byte(fmt.Sprint(i))}}
		issued, err := s.Login(ctx, operator, l)
		must(err)
		call := session.Call{Key: issued.Key}
		if i%3 == 0 {
			issued, err = s.Rotate(ctx, call)
			must(err)
			call.Key = issued.Key
		}
		if i%5 == 0 {
			_, err := s.Logout(ctx, call)
			must(err)
			continue
		}
		living[issued.Key], err = s.Check(ctx, call, true)
		must(err)
	}
	must(s.Shutdown(ctx))
	return living
}

// wantAll wants every session in a home, as it was.
func wantAll(t *testing.T, store backend.Store, living map[session.Key]session.Checked) {
	t.Helper()
	s := backendtest.Start(t, backendtest.Config(t), store)
	for key, want := range living {
		got, err := s.Check(t.Context(), session.Call{Key: key}, true)
		if err != nil {
			t.Fatalf("session %d of %s: %v", want.Number, want.User, err)
		}
		if got.ID != want.ID || got.Number != want.Number || !got.ExpiresAt.Equal(want.ExpiresAt) || !bytes.Equal(got.Attributes["html"], want.Attributes["html"]) || !bytes.Equal(got.Sealed["s"], want.Sealed["s"]) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	if _, err := s.Login(t.Context(), session.Call{}, session.Login{User: "admin", Password: backendtest.AdminPassword}); err != nil {
		t.Errorf("the admin's log-in: %v", err)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

func openLocal(t *testing.T, dir string) *local.Store {
	t.Helper()
	s, err := local.Open(local.Config{Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// TestMove moves sessions from memory into a file, from there into a folder, and back into another memory: all keys stay valid.
func TestMove(t *testing.T) {
	t.Parallel()
	first, last, folder := memory.New(nil), memory.New(nil), openLocal(t, t.TempDir())
	living := fill(t, first, 200)
	path := filepath.Join(t.TempDir(), "sessions.jsonl")
	move := func(from portable.Source, to portable.Target) *portable.Tally {
		t.Helper()
		tally, err := portable.Move(t.Context(), from, to, silent)
		if err != nil {
			t.Fatal(err)
		}
		return tally
	}
	a := move(backend.MoveStore(first), portable.NewFile(path))
	b := move(portable.NewFile(path), backend.MoveStore(folder))
	c := move(backend.MoveStore(folder), backend.MoveStore(last))
	if a.Sum() != b.Sum() || b.Sum() != c.Sum() || a.Sessions != len(living) || a.Users != 1 {
		t.Errorf("moved %d users, %d sessions, %s; then %s; then %s", a.Users, a.Sessions, a.Sum(), b.Sum(), c.Sum())
	}
	again := move(portable.NewFile(path), backend.MoveStore(last))
	if again.Sum() != a.Sum() {
		t.Errorf("moved again, the sum is %s", again.Sum())
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode is %v, %v", info.Mode().Perm(), err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for key := range living {
		if bytes.Contains(text, []byte(key.Reveal())) {
			t.Fatal("the file holds a key")
		}
	}
	for _, secret := range []string{backendtest.AdminPassword, backendtest.SafePassword} {
		if bytes.Contains(text, []byte(secret)) {
			t.Error("the file holds a password")
		}
	}
	wantAll(t, last, living)
}

// breaking is a store that breaks off after some writes, as a process does that is killed.
type breaking struct {
	backend.Store
	left atomic.Int64
}

var errKilled = errors.New("killed")

func (b *breaking) Put(ctx context.Context, name backend.Name, value []byte, was backend.Version, expires time.Time) (backend.Version, error) {
	if b.left.Add(-1) < 0 {
		return "", errKilled
	}
	return b.Store.Put(ctx, name, value, was, expires)
}

// TestMoveGoesOn breaks a move off again and again, and repeats it: in the end all is there once.
func TestMoveGoesOn(t *testing.T) {
	t.Parallel()
	from, to := memory.New(nil), memory.New(nil)
	living := fill(t, from, 300)
	broken := 0
	for writes := int64(1); ; writes = writes*3/2 + 1 {
		target := &breaking{Store: to}
		target.left.Store(writes)
		_, err := portable.Move(t.Context(), backend.MoveStore(from), backend.MoveStore(target), silent)
		if err == nil {
			break
		}
		if !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
		broken++
	}
	if broken < 5 {
		t.Errorf("broke off %d times", broken)
	}
	wantAll(t, to, living)
}

// silentMakes is a store that does not answer every third write that makes a session's record, and does every sixth.
type silentMakes struct {
	backend.Store
	n atomic.Int64
}

func (s *silentMakes) Put(ctx context.Context, name backend.Name, value []byte, was backend.Version, expires time.Time) (backend.Version, error) {
	if name.Kind == backend.KindSession && was == "" {
		if n := s.n.Add(1); n%3 == 0 {
			if n%6 == 0 {
				_, _ = s.Store.Put(ctx, name, value, was, expires)
			}
			return "", errLost
		}
	}
	return s.Store.Put(ctx, name, value, was, expires)
}

// TestAMoveOutlastsLostAnswers: a store makes a session's record once, and says when nobody knows whether it was made.
func TestAMoveOutlastsLostAnswers(t *testing.T) {
	t.Parallel()
	from, to := memory.New(nil), memory.New(nil)
	living := fill(t, from, 50)
	if _, err := portable.Move(t.Context(), backend.MoveStore(from), backend.MoveStore(&silentMakes{Store: to}), silent); err != nil {
		t.Fatal(err)
	}
	wantAll(t, to, living)
}

func TestMoveIntoAnotherHome(t *testing.T) {
	t.Parallel()
	from, to := memory.New(nil), memory.New(nil)
	fill(t, from, 5)
	living := fill(t, to, 5)
	if _, err := portable.Move(t.Context(), backend.MoveStore(from), backend.MoveStore(to), silent); err == nil || !strings.Contains(err.Error(), "into an empty one") {
		t.Errorf("got %v", err)
	}
	wantAll(t, to, living)
}

// TestMoveOfWhatChanges: a source that has changed since a move was complete is told, and nothing is overwritten.
func TestMoveOfWhatChanges(t *testing.T) {
	t.Parallel()
	from, to := memory.New(nil), memory.New(nil)
	fill(t, from, 20)
	if _, err := portable.Move(t.Context(), backend.MoveStore(from), backend.MoveStore(to), silent); err != nil {
		t.Fatal(err)
	}
	name := backend.Name{Kind: backend.KindUser, ID: "user <1>"}
	got, err := from.Get(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if err := from.Delete(t.Context(), name, got.Records[0].Version); err != nil {
		t.Fatal(err)
	}
	if _, err := portable.Move(t.Context(), backend.MoveStore(from), backend.MoveStore(to), silent); err == nil || !strings.Contains(err.Error(), "changed since") {
		t.Errorf("got %v", err)
	}
}

// TestMoveOverWhatIsInUse: a move that is repeated by mistake, after servers have used what it brought, brings nothing back.
func TestMoveOverWhatIsInUse(t *testing.T) {
	t.Parallel()
	from, to := memory.New(nil), memory.New(nil)
	living := fill(t, from, 20)
	if _, err := portable.Move(t.Context(), backend.MoveStore(from), backend.MoveStore(to), silent); err != nil {
		t.Fatal(err)
	}
	s := backendtest.Start(t, backendtest.Config(t), to)
	ended := session.Key{}
	for ended = range living {
		break
	}
	if _, err := s.RevokeUserSessions(t.Context(), session.Call{Operator: true}, living[ended].User, session.UserSessions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := portable.Move(t.Context(), backend.MoveStore(from), backend.MoveStore(to), silent); err == nil || !strings.Contains(err.Error(), "moved into before") {
		t.Errorf("got %v", err)
	}
	if _, err := s.Check(t.Context(), session.Call{Key: ended}, true); session.CodeOf(err) != session.CodeUnauthenticated {
		t.Errorf("the ended session: %v", err)
	}
}

// TestAHalfMovedHomeServesNobody: its users' lists are not there yet, and servers would take its sessions for what log-ins have left.
func TestAHalfMovedHomeServesNobody(t *testing.T) {
	t.Parallel()
	from, to := memory.New(nil), memory.New(nil)
	living := fill(t, from, 20)
	target := &breaking{Store: to}
	target.left.Store(15)
	if _, err := portable.Move(t.Context(), backend.MoveStore(from), backend.MoveStore(target), silent); !errors.Is(err, errKilled) {
		t.Fatal(err)
	}
	var said lines
	c := backendtest.Config(t)
	c.Logger = slog.New(slog.NewTextHandler(&said, nil))
	s, err := backend.New(c, to)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	for end := time.Now().Add(time.Minute); !said.contain("a move into this home is not complete"); <-time.After(time.Millisecond) {
		if s.Ready(false) == nil || time.Now().After(end) {
			t.Fatal("it serves what is half moved, or does not say why not")
		}
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := portable.Move(t.Context(), backend.MoveStore(to), backend.MoveStore(memory.New(nil)), silent); err == nil || !strings.Contains(err.Error(), "not complete") {
		t.Errorf("from what is half moved: %v", err)
	}
	if _, err := portable.Move(t.Context(), backend.MoveStore(from), backend.MoveStore(to), silent); err != nil {
		t.Fatal(err)
	}
	wantAll(t, to, living)
}

// lines is a log.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) contain(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), text)
}

// dropping is a store that drops at once what may be dropped, as Redis does.
type dropping struct{ *memory.Store }

func (d dropping) Put(ctx context.Context, name backend.Name, value []byte, was backend.Version, expires time.Time) (backend.Version, error) {
	version, err := d.Store.Put(ctx, name, value, was, expires)
	d.DropExpired()
	return version, err
}

// TestMoveOfWhatHasEnded: servers were down for a day, or the file is old.
func TestMoveOfWhatHasEnded(t *testing.T) {
	t.Parallel()
	clock := newTurned()
	from, to := memory.New(clock.time), memory.New(clock.time)
	fill(t, from, 20)
	clock.pass(48 * time.Hour)
	living := fill(t, from, 10)
	moved, err := portable.Move(t.Context(), backend.MoveStore(from), backend.MoveStore(dropping{to}), silent)
	if err != nil {
		t.Fatal(err)
	}
	if moved.Sessions != len(living) || moved.Ended != 16 {
		t.Errorf("moved %d sessions, and %d had ended; want %d and 16", moved.Sessions, moved.Ended, len(living))
	}
	if _, err := portable.Move(t.Context(), backend.MoveStore(from), backend.MoveStore(dropping{to}), silent); err != nil {
		t.Errorf("again: %v", err)
	}
	wantAll(t, to, living)
}

func TestDamagedFiles(t *testing.T) {
	t.Parallel()
	from := memory.New(nil)
	fill(t, from, 10)
	whole := filepath.Join(t.TempDir(), "whole")
	if _, err := portable.Move(t.Context(), backend.MoveStore(from), portable.NewFile(whole), silent); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	lines := strings.SplitAfter(text, "\n")
	for what, c := range map[string]struct{ text, want string }{
		"empty":                 {"", "not whole"},
		"cut off":               {strings.Join(lines[:len(lines)-2], ""), "not whole"},
		"a record missing":      {strings.Join(append(append([]string{}, lines[:3]...), lines[4:]...), ""), "damaged"},
		"a record twice":        {strings.Join(append(append([]string{}, lines[:3]...), lines[2:]...), ""), "damaged"},
		"a byte changed":        {strings.Replace(text, `"created_ms":1`, `"created_ms":2`, 1), "damaged"},
		"no file of ours":       {"{}\n" + text, "no file of sessions"},
		"another format":        {strings.Replace(text, `"format":1`, `"format":7`, 1), "another format, 7"},
		"an unknown kind":       {strings.Replace(text, `{"user":`, `{"king":`, 1), `unknown field "king"`},
		"an unknown field":      {strings.Replace(text, `{"user":{`, `{"user":{"x":1,`, 1), `unknown field "x"`},
		"more after the end":    {text + lines[1], "something follows the last line"},
		"not JSON":              {text[:200] + "\n" + text[200:], "read a record"},
		"users before the rest": {lines[0] + lines[2] + lines[1] + strings.Join(lines[3:], ""), "not in order"},
	} {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		to := memory.New(nil)
		_, err := portable.Move(t.Context(), portable.NewFile(path), backend.MoveStore(to), silent)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", what, err, c.want)
		}
		if page, err := to.Scan(t.Context(), backend.KindCluster, "", 1); err != nil || len(page.Records) > 0 {
			t.Errorf("%s: something was taken", what)
		}
	}
	if _, err := portable.Move(t.Context(), backend.MoveStore(from), portable.NewFile(whole), silent); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("over a file: %v", err)
	}
}

// BenchmarkMove moves 20,000 sessions of 10,000 users from one folder into another.
func BenchmarkMove(b *testing.B) {
	const sessions = 20_000
	made := memory.New(nil)
	bulk(b, made, sessions)
	from := openFolder(b)
	if _, err := portable.Move(b.Context(), backend.MoveStore(made), backend.MoveStore(from), silent); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := portable.Move(b.Context(), backend.MoveStore(from), backend.MoveStore(openFolder(b)), silent); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(sessions*b.N)/b.Elapsed().Seconds(), "sessions/s")
}

func openFolder(b *testing.B) *local.Store {
	b.Helper()
	s, err := local.Open(local.Config{Path: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	return s
}

func bulk(b *testing.B, store backend.Store, sessions int) {
	b.Helper()
	c := backendtest.Config(quiet{b})
	s, err := backend.New(c, store)
	if err != nil {
		b.Fatal(err)
	}
	s.Start()
	for s.Ready(false) != nil {
		<-time.After(time.Millisecond)
	}
	for i := range sessions {
		if _, err := s.Login(b.Context(), session.Call{Operator: true}, session.Login{User: fmt.Sprint("user-", i/2), Vouched: true}); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Shutdown(b.Context()); err != nil {
		b.Fatal(err)
	}
}

type quiet struct{ *testing.B }

// TestMoveOfMuchPast: a store keeps as much of it as a cluster can have.
func TestMoveOfMuchPast(t *testing.T) {
	t.Parallel()
	backendtest.MovePast(t, memory.New(nil))
}

// passing is a target at which time passes when everything has been taken.
type passing struct {
	portable.Target
	pass func()
}

func (p passing) Done(ctx context.Context, t *portable.Tally) error {
	p.pass()
	return p.Target.Done(ctx, t)
}

// TestAMoveThatTakesLongerThanItsSessionsLive is verified all the same: what ended meanwhile is there, for as long as a move may take.
func TestAMoveThatTakesLongerThanItsSessionsLive(t *testing.T) {
	t.Parallel()
	clock := newTurned()
	from, to := memory.New(clock.time), memory.New(clock.time)
	living := fill(t, from, 20)
	pass := func() {
		clock.pass(23 * time.Hour)
		to.DropExpired()
	}
	moved, err := portable.Move(t.Context(), backend.MoveStore(from), passing{backend.MoveStore(dropping{to}), pass}, silent)
	if err != nil || moved.Sessions != len(living) {
		t.Errorf("moved %d sessions of %d, %v", moved.Sessions, len(living), err)
	}
}
