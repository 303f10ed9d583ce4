package cli_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/session"
	"github.com/hydrastore/hydrastore/session/portable"
)

// openedOnce is a node whose cluster is opened, once, when all of it has been read, and used.
type openedOnce struct {
	*node.Node
	once *sync.Once
	use  func()
}

func (o openedOnce) ExportRecords(ctx context.Context, c session.Call, cursor string) (session.PortableRecords, error) {
	page, err := o.Node.ExportRecords(ctx, c, cursor)
	if err == nil && page.NextCursor == "" {
		o.once.Do(o.use)
	}
	return page, err
}

// TestAClusterThatIsOpenedWhileItIsMoved: what was read of it is not served by the new home, for a log-out since then would come undone there.
func TestAClusterThatIsOpenedWhileItIsMoved(t *testing.T) {
	t.Parallel()
	for name, closedAgain := range map[string]bool{"and stays open": false, "and is closed again": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x, dir := newTerminal(t), t.TempDir()
			home, n := clusterHome(t, nil)
			var keys []session.Key
			for i := range 3 {
				issued, err := n.Login(t.Context(), operator, session.Login{User: fmt.Sprint("guest-", i), Vouched: true})
				if err != nil {
					t.Fatal(err)
				}
				keys = append(keys, issued.Key)
			}
			use := func() {
				steps := []session.MoveStepKind{session.MoveReopen}
				if closedAgain {
					steps = append(steps, session.MoveClose)
				}
				for _, step := range steps {
					if _, err := n.Move(t.Context(), operator, session.MoveStep{Kind: step}); err != nil {
						t.Error(err)
					}
					if step == session.MoveReopen {
						if _, err := n.Logout(t.Context(), session.Call{Key: keys[0]}); err != nil {
							t.Error(err)
						}
					}
				}
			}
			serveOperator(t, openedOnce{n, &sync.Once{}, use}, filepath.Join(filepath.Dir(home), "other.sock"))
			watched := filepath.Join(dir, "watched.yaml")
			if err := os.WriteFile(watched, fmt.Appendf(nil, "api: {socket: %s}\n", filepath.Join(filepath.Dir(home), "other.sock")), 0o600); err != nil {
				t.Fatal(err)
			}
			target, folder := folderHome(t, dir, "target")
			line := "migrate --from " + watched + " --to " + target
			if out, stderr, code := x.run(line); code == 0 || !strings.Contains(stderr, "was open meanwhile") {
				t.Errorf("got %d %s %s", code, out, stderr)
			}
			if out := x.must(line); !strings.Contains(out, "moved and verified: 2 sessions") {
				t.Errorf("again: %s", out)
			}
			s := serviceIn(t, folder)
			for i, key := range keys {
				want := session.Code("")
				if i == 0 {
					want = session.CodeUnauthenticated
				}
				if _, err := s.Check(t.Context(), session.Call{Key: key}, true); session.CodeOf(err) != want {
					t.Errorf("key %d: %v, want %q", i, err, want)
				}
			}
		})
	}
}

// TestAFailedMoveOpensWhatItHasClosed, where nothing has arrived at the new home. What somebody else has closed stays so, and it says how that ends.
func TestAFailedMoveOpensWhatItHasClosed(t *testing.T) {
	t.Parallel()
	x, dir := newTerminal(t), t.TempDir()
	home, n := clusterHome(t, nil)
	file := filepath.Join(dir, "all.jsonl")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := x.run("migrate --from " + home + " --to " + file); code == 0 || !strings.Contains(stderr, "is there already") || strings.Contains(stderr, "clos") {
		t.Errorf("a file that exists: %d %s, want that nothing is closed for it", code, stderr)
	}
	awaitReady(t, n)
	fails := func(want string) {
		t.Helper()
		_, stderr, code := x.run("migrate --from " + home + " --to " + filepath.Join(dir, "none", "all.jsonl"))
		if code == 0 || !strings.Contains(stderr, "no such file") || !strings.Contains(stderr, "The old home, "+home+", is "+want) {
			t.Errorf("got %d %s, want that it says %q", code, stderr, want)
		}
	}
	fails("open, and serves.")
	awaitReady(t, n)
	if _, err := n.Move(t.Context(), operator, session.MoveStep{Kind: session.MoveClose}); err != nil {
		t.Fatal(err)
	}
	open := "hydrastore cluster open --socket " + filepath.Join(filepath.Dir(home), "operator.sock")
	fails("closed and serves nobody; if it is to serve again, and no other home does: " + open)
	x.must(strings.TrimPrefix(open, "hydrastore "))
	awaitReady(t, n)
	if _, stderr, _ := x.run("migrate --from " + file + " --to " + home); strings.Contains(stderr, "cluster open") {
		t.Errorf("the target is not closed: %s", stderr)
	}
}

// TestAFailedMoveLeavesClosedWhatAnotherHasMoved: two moves out of one cluster, of which the first fails when the second is done. Two homes would serve the same sessions.
func TestAFailedMoveLeavesClosedWhatAnotherHasMoved(t *testing.T) {
	t.Parallel()
	x, second, dir := newTerminal(t), newTerminal(t), t.TempDir()
	home, n := clusterHome(t, nil)
	if _, err := n.Login(t.Context(), operator, session.Login{User: "guest", Vouched: true}); err != nil {
		t.Fatal(err)
	}
	gone, socket := filepath.Join(dir, "gone"), filepath.Join(filepath.Dir(home), "other.sock")
	if err := os.Mkdir(gone, 0o700); err != nil {
		t.Fatal(err)
	}
	target, _ := folderHome(t, dir, "target")
	serveOperator(t, openedOnce{n, &sync.Once{}, func() {
		if out := second.must("migrate --from " + home + " --to " + target); !strings.Contains(out, "moved and verified: 1 session") {
			t.Errorf("the second move: %s", out)
		}
		if err := os.RemoveAll(gone); err != nil {
			t.Error(err)
		}
	}}, socket)
	first := filepath.Join(dir, "first.yaml")
	if err := os.WriteFile(first, fmt.Appendf(nil, "api: {socket: %s}\n", socket), 0o600); err != nil {
		t.Fatal(err)
	}
	_, stderr, code := x.run("migrate --from " + first + " --to " + filepath.Join(gone, "all.jsonl"))
	if code == 0 || !strings.Contains(stderr, "no such file") || !strings.Contains(stderr, "is closed and serves nobody") {
		t.Errorf("the first move: %d %s", code, stderr)
	}
	if now, err := n.Moving(t.Context(), operator); err != nil || now.Phase != session.MoveClosed {
		t.Errorf("the cluster is %s, %v, and so is the new home", now.Phase, err)
	}
}

// TestAClusterTellsWhyItServesNobody: the command that moves was killed, and nobody saw its screen. Whoever asks a node hears what the cluster is, since when, and both ways out.
func TestAClusterTellsWhyItServesNobody(t *testing.T) {
	t.Parallel()
	x, dir := newTerminal(t), t.TempDir()
	home, n := clusterHome(t, nil)
	socket := " --socket " + filepath.Join(filepath.Dir(home), "operator.sock")
	wantSaid := func(line string, texts ...string) {
		t.Helper()
		stdout, stderr, _ := x.run(line + socket)
		for _, text := range texts {
			if !strings.Contains(stdout+stderr, text) {
				t.Errorf("%s: got %s%s, want %q", line, stdout, stderr, text)
			}
		}
	}
	if out := x.must("cluster members" + socket); strings.Contains(out, "since") {
		t.Errorf("an open cluster: %s", out)
	}
	wantSaid("cluster members -o json", `"phase": "open"`, `"phase_since": null`)

	moving, err := n.Move(t.Context(), operator, session.MoveStep{Kind: session.MoveClose})
	if err != nil {
		t.Fatal(err)
	}
	day := moving.At.Format(time.DateOnly)
	wantSaid("cluster members", "CLOSED since "+day, "moved to another home, or were", "repeat hydrastore migrate", "hydrastore cluster open --socket PATH")
	wantSaid("cluster status", "CLOSED since "+day)
	wantSaid("cluster members -o json", `"phase": "closed"`, `"phase_since": "`+day)
	for _, line := range []string{"health", "health --local"} {
		wantSaid(line, "has been closed since "+day, "repeat `hydrastore migrate`", "`hydrastore cluster open`")
	}
	x.must("cluster open" + socket)
	awaitReady(t, n)

	folder := emptyHome(t, dir, "folder")
	file := filepath.Join(dir, "all.jsonl")
	x.must("migrate --from " + folder + " --to " + file)
	if moving, err = n.Move(t.Context(), operator, session.MoveStep{Kind: session.MoveBegin, Cluster: recordsOf(t, file)[0]}); err != nil {
		t.Fatal(err)
	}
	day = moving.At.Format(time.DateOnly)
	wantSaid("cluster members", "FILLED since "+day, "repeat hydrastore migrate, which begins it anew", "empty data folders")
	wantSaid("cluster members -o json", `"phase": "filling"`, `"phase_since": "`+day)
	wantSaid("health", "has been filled since "+day, "repeat `hydrastore migrate`")
	wantSaid("cluster open", "serves when all of them are there: repeat that move")
}

// TestARepeatedMoveBringsWhatTheSourceHasNow: the first try into a cluster broke off, and the old home was in use since: it ended a session, changed another
// one and made a third. Nobody has to say that what came first is to be forgotten.
func TestARepeatedMoveBringsWhatTheSourceHasNow(t *testing.T) {
	t.Parallel()
	x, dir := newTerminal(t), t.TempDir()
	config, folder := folderHome(t, dir, "first")
	var keys []session.Key
	inUse := func(use func(s *backend.Service)) {
		t.Helper()
		s := serviceIn(t, folder)
		use(s)
		leave(t, s)
	}
	login := func(s *backend.Service, user string) {
		t.Helper()
		issued, err := s.Login(t.Context(), operator, session.Login{User: user, Vouched: true})
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, issued.Key)
	}
	inUse(func(s *backend.Service) {
		login(s, "leaves")
		login(s, "changes")
	})
	cluster, n := clusterHome(t, nil)
	file := filepath.Join(dir, "all.jsonl")
	x.must("migrate --from " + config + " --to " + file)
	all := recordsOf(t, file)
	begun, err := n.Move(t.Context(), operator, session.MoveStep{Kind: session.MoveBegin, Cluster: all[0]})
	if err != nil {
		t.Fatal(err)
	}
	first := session.Filling{Origin: begun.Origin, Number: begun.Number}
	if _, err = n.ImportRecords(t.Context(), operator, first, all[1:]); err != nil {
		t.Fatal(err)
	}
	inUse(func(s *backend.Service) {
		if _, err := s.Logout(t.Context(), session.Call{Key: keys[0]}); err != nil {
			t.Error(err)
		}
		if _, err := s.PatchAttributes(t.Context(), session.Call{Operator: true, Subject: &session.Presented{Key: keys[1]}}, session.AttributePatch{"cart": json.RawMessage("1")}, nil); err != nil {
			t.Error(err)
		}
		login(s, "comes")
	})
	if out := x.must("migrate --from " + config + " --to " + cluster); !strings.Contains(out, "moved and verified: 2 sessions") {
		t.Errorf("repeated: %s", out)
	}
	awaitReady(t, n)
	for i, want := range []session.Code{session.CodeUnauthenticated, "", ""} {
		if _, err := n.Check(t.Context(), session.Call{Key: keys[i]}, true); session.CodeOf(err) != want {
			t.Errorf("key %d: %v, want %q", i, err, want)
		}
	}
	if _, err := n.ImportRecords(t.Context(), operator, first, all[1:]); session.CodeOf(err) != session.CodeConflict {
		t.Errorf("the first try goes on: %v", err)
	}
}

// recordsOf reads a file's records, as a node takes them.
func recordsOf(t *testing.T, file string) (lines []json.RawMessage) {
	t.Helper()
	err := portable.NewFile(file).Each(t.Context(), func(r portable.Record) error {
		text, err := r.Encode()
		lines = append(lines, text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}
