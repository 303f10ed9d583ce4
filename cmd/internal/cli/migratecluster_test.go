package cli_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/api"
	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/backend/backendtest"
	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/session"
	"github.com/hydrastore/hydrastore/session/portable"
)

// clusterHome runs a real cluster of one node with an operator's socket, and returns its configuration for the command line. change may be nil.
func clusterHome(t *testing.T, change func(*node.Config)) (file string, n *node.Node) {
	t.Helper()
	dir, err := os.MkdirTemp("", "hs") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	config := node.DefaultConfig()
	address, err := ports.Address()
	if err != nil {
		t.Fatal(err)
	}
	config.Cluster.Dir, config.Cluster.Name, config.Cluster.PeerListen, config.Cluster.GossipListen = filepath.Join(dir, "raft"), "one", address, "127.0.0.1:0"
	config.Cluster.Join, config.Cluster.BootstrapExpect = []string{address}, 1
	config.Hashing = auth.Config{Params: auth.Params{MemoryKiB: 64, Iterations: 1, Parallelism: 1}}
	config.Sealing = node.Sealing{Password: backendtest.SafePassword, Params: config.Hashing.Params}
	config.Logger = slog.New(slog.DiscardHandler)
	config.Fatal = func(err error) { t.Error(err) }
	if change != nil {
		change(&config)
	}
	if n, err = node.New(config); err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := n.Shutdown(ctx); err != nil {
			t.Log(err)
		}
	})
	serveOperator(t, n, filepath.Join(dir, "operator.sock"))
	awaitReady(t, n)
	file = filepath.Join(dir, "cluster.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, "node: {data_dir: %s}\n", dir), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, n
}

func serveOperator(t *testing.T, n session.Service, socket string) {
	t.Helper()
	config := api.DefaultConfig()
	config.DrainDelay = 0
	config.Logger = slog.New(slog.DiscardHandler)
	server, err := api.New(config, n)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := api.ListenOperator(socket)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.ServeOperator(listener) }()
	t.Cleanup(func() {
		if err := server.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func awaitReady(t *testing.T, n *node.Node) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for n.Ready(false) != nil {
		if time.Now().After(deadline) {
			t.Fatalf("the node is not ready: %v", n.Ready(false))
		}
		time.Sleep(10 * time.Millisecond)
	}
}

var operator = session.Call{Operator: true}

// known is what must be true of a session in whichever home it is.
type known struct {
	session.Checked
	key    session.Key
	sealed string
}

// furnish fills a home with sessions of every kind.
func furnish(t *testing.T, s session.Service) []known {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := s.PutPolicy(t.Context(), operator, "web", session.PolicyChange{PermanentAllowed: ptr(true), LimitsChange: session.LimitsChange{MaxSessionsPerUser: ptr(50)}, IdleTimeout: ptr(time.Hour)})
	must(err)
	_, err = s.CreateUser(t.Context(), operator, session.NewUser{Name: "ada", Password: "long-enough-1", Policies: []string{"web"}})
	must(err)
	_, err = s.CreateUser(t.Context(), operator, session.NewUser{Name: "gone", Password: "long-enough-2", Disabled: true})
	must(err)
	var all []known
	for i := range 30 {
		l := session.Login{User: fmt.Sprint("guest-", i%4), Vouched: true, Policy: "web", Attributes: session.Attributes{"html": json.RawMessage(`"<&>"`), "i": json.RawMessage(fmt.Sprint(i))},
			Sealed: session.Attributes{"token": json.RawMessage(fmt.Sprintf("%q", fmt.Sprint("secret-", i)))}, UserAgent: "browser"}
		switch i % 10 {
		case 3:
			l.Permanent = true
		case 5:
			l.IdleTimeout = ptr(20 * time.Minute)
		}
		issued, err := s.Login(t.Context(), operator, l)
		must(err)
		if i%3 == 1 {
			issued, err = s.Rotate(t.Context(), session.Call{Key: issued.Key})
			must(err)
		}
		all = append(all, known{key: issued.Key, sealed: fmt.Sprint("secret-", i)})
	}
	for i, hours := range []time.Duration{3, 2, 5, 7} { // but for the last they are past, and in force for the sessions that were made before
		_, err = s.PutPolicy(t.Context(), operator, "aged", session.PolicyChange{AbsoluteLifetime: ptr(hours * time.Hour), IdleTimeout: ptr(8 * time.Hour)})
		must(err)
		awaitNextMillisecond() // a home tells by the millisecond under which form a session was made
		issued, err := s.Login(t.Context(), operator, session.Login{User: fmt.Sprint("aged-", i), Vouched: true, Policy: "aged"})
		must(err)
		all = append(all, known{key: issued.Key})
	}
	byPassword, err := s.Login(t.Context(), session.Call{}, session.Login{User: "ada", Password: "long-enough-1"})
	must(err)
	all = append(all, known{key: byPassword.Key})
	for i := range all {
		all[i].Checked, err = s.Check(t.Context(), session.Call{Key: all[i].key}, true)
		must(err)
	}
	return all
}

func awaitNextMillisecond() {
	for now := time.Now().UnixMilli(); time.Now().UnixMilli() == now; {
		runtime.Gosched()
	}
}

func ptr[T any](v T) *T { return &v }

// verifyHome holds a home to what was known of the one before it.
func verifyHome(t *testing.T, where string, s session.Service, all []known) {
	t.Helper()
	for i, k := range all {
		got, err := s.Check(t.Context(), session.Call{Key: k.key}, true)
		if err != nil {
			t.Errorf("%s: key %d: %v", where, i, err)
			continue
		}
		want := k.Checked
		got.Meta, want.Meta, got.At, want.At = session.Meta{}, session.Meta{}, time.Time{}, time.Time{}
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Errorf("%s: session %d:\ngot  %+v\nwant %+v", where, i, got, want)
		}
		if k.sealed != "" && string(got.Sealed["token"]) != `"`+k.sealed+`"` {
			t.Errorf("%s: session %d: sealed %s", where, i, got.Sealed)
		}
	}
	list, err := s.ListSessions(t.Context(), operator, session.Filter{}, session.Page{Limit: 1000})
	permanent, errPermanent := s.ListSessions(t.Context(), operator, session.Filter{Permanent: true}, session.Page{Limit: 1000})
	if got := len(list.Items) + len(permanent.Items); err != nil || errPermanent != nil || got != len(all) {
		t.Errorf("%s: got %d sessions, want %d: %v %v", where, got, len(all), err, errPermanent)
	}
	if _, err := s.Login(t.Context(), session.Call{}, session.Login{User: "gone", Password: "long-enough-2"}); session.CodeOf(err) != session.CodeUnauthenticated {
		t.Errorf("%s: a disabled user logs in: %v", where, err)
	}
}

// TestMigrateThroughClusters: from a folder into a cluster, into a file, into another cluster and into a folder again, everything stays what it was; and a
// cluster serves nobody from the beginning of a move until its end.
func TestMigrateThroughClusters(t *testing.T) {
	t.Parallel()
	x, dir := newTerminal(t), t.TempDir()
	first, all := furnishedHome(t, dir, "first")
	one, oneNode := clusterHome(t, func(c *node.Config) { c.AdminPassword = adminOfCluster })
	move := func(want, line string) {
		t.Helper()
		if out := x.must(line); !strings.Contains(out, want) {
			t.Errorf("%s: got %s", line, out)
		}
	}
	refused := func(want, line string) {
		t.Helper()
		if _, stderr, code := x.run(line); code == 0 || !strings.Contains(stderr, want) {
			t.Errorf("%s: got %d %s, want %q", line, code, stderr, want)
		}
	}
	const moved = "moved and verified: 35 sessions, 3 accounts"
	refused("its users are not as they should be", "migrate --from "+first+" --to "+one) // it has an admin
	move(moved, "migrate --from "+first+" --to "+one+" --drop-target")
	verifyHome(t, "in the first cluster", oneNode, all)
	refused("was moved into the cluster before", "migrate --from "+first+" --to "+one)

	file := filepath.Join(dir, "all.jsonl")
	move(moved, "migrate --from "+one+" --to "+file)
	if _, err := oneNode.Check(t.Context(), session.Call{Key: all[0].key}, false); session.CodeOf(err) != session.CodeUnavailable || !strings.Contains(err.Error(), "closed") {
		t.Errorf("a closed cluster answers %v", err)
	}
	if err := oneNode.Ready(false); session.CodeOf(err) != session.CodeUnavailable {
		t.Errorf("a closed cluster is ready: %v", err)
	}
	refused("the cluster is closed", "migrate --from "+one+" --to "+one+" --drop-target")
	two, twoNode := clusterHome(t, nil)
	move(moved, "migrate --from "+file+" --to "+two)
	verifyHome(t, "in the second cluster", twoNode, all)

	last, folder := folderHome(t, dir, "last")
	move(moved, "migrate --from "+two+" --to "+last)
	verifyHome(t, "in a folder again", serviceIn(t, folder), all)

	socket := "--socket " + filepath.Join(filepath.Dir(one), "operator.sock")
	move("the cluster serves again: 3 users, 35 sessions", "cluster open "+socket)
	verifyHome(t, "in the first cluster, opened again", oneNode, all)
}

const adminOfCluster = "correct-horse-battery"

// TestMoveIntoAClusterIsRepeated: one that breaks off leaves a cluster that serves nobody, and the next one brings all of it.
func TestMoveIntoAClusterIsRepeated(t *testing.T) {
	t.Parallel()
	x, dir := newTerminal(t), t.TempDir()
	config, all := furnishedHome(t, dir, "first")
	file := filepath.Join(dir, "all.jsonl")
	x.must("migrate --from " + config + " --to " + file)
	cluster, n := clusterHome(t, nil)
	var lines []json.RawMessage
	err := portable.NewFile(file).Each(t.Context(), func(r portable.Record) error {
		text, err := r.Encode()
		lines = append(lines, text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	begun, err := n.Move(t.Context(), operator, session.MoveStep{Kind: session.MoveBegin, Cluster: lines[0]})
	if err != nil || begun.Phase != session.MoveFilling || begun.At.IsZero() {
		t.Fatalf("got %+v, %v", begun, err)
	}
	half, err := n.ImportRecords(t.Context(), operator, session.Filling{Origin: begun.Origin, Number: begun.Number}, lines[1:len(lines)/2])
	if err != nil || half.Users+half.Sessions == 0 {
		t.Fatalf("got %+v, %v", half, err)
	}
	for _, call := range []func() error{
		func() error { return n.Ready(false) },
		func() error { return n.Ready(true) },
		func() error { _, err := n.Check(t.Context(), session.Call{Key: all[0].key}, false); return err },
		func() error {
			_, err := n.Check(t.Context(), session.Call{Key: all[0].key, Consistency: session.Local}, false)
			return err
		},
		func() error {
			_, err := n.Login(t.Context(), operator, session.Login{User: "guest-1", Vouched: true})
			return err
		},
		func() error {
			_, err := n.Login(t.Context(), session.Call{}, session.Login{User: "ada", Password: "long-enough-1"})
			return err
		},
		func() error { _, err := n.Logout(t.Context(), session.Call{Key: all[0].key}); return err },
		func() error { _, err := n.ListUsers(t.Context(), operator, session.Page{}); return err },
		func() error {
			_, err := n.PutPolicy(t.Context(), operator, "other", session.PolicyChange{})
			return err
		},
		func() error { _, err := n.DeleteUser(t.Context(), operator, "ada"); return err },
	} {
		if err := call(); session.CodeOf(err) != session.CodeUnavailable || !strings.Contains(err.Error(), "has been filled since ") {
			t.Errorf("while it is being filled: got %v", err)
		}
	}
	if _, err := n.Move(t.Context(), operator, session.MoveStep{Kind: session.MoveFinish, Filling: session.Filling{Origin: begun.Origin, Number: begun.Number}, Users: half.Users, Sessions: 99}); session.CodeOf(err) != session.CodeConflict {
		t.Errorf("finished with other numbers: %v", err)
	}
	if _, err := n.Move(t.Context(), operator, session.MoveStep{Kind: session.MoveReopen}); session.CodeOf(err) != session.CodeConflict {
		t.Errorf("half filled and opened: %v", err)
	}
	if out := x.must("migrate --from " + config + " --to " + cluster); !strings.Contains(out, "moved and verified: 35 sessions, 3 accounts") {
		t.Errorf("got %s", out)
	}
	verifyHome(t, "in the cluster", n, all)
}

// TestMovesThatCannotBe end before anything is changed, and say what to do.
func TestMovesThatCannotBe(t *testing.T) {
	t.Parallel()
	x, dir := newTerminal(t), t.TempDir()
	refused := func(want, line string) {
		t.Helper()
		_, stderr, code := x.run(line)
		if code == 0 || !strings.Contains(stderr, want) {
			t.Errorf("%s: got %d %s, want %q", line, code, stderr, want)
		}
	}
	folderConfig, _ := furnishedHome(t, dir, "folder")
	other, n := clusterHome(t, func(c *node.Config) { c.Sealing.Password = "another-safe-password" })
	refused("what is sealed there opens with no password of this node", "migrate --from "+folderConfig+" --to "+other)
	if m, err := n.Moving(t.Context(), operator); err != nil || m.Phase != session.MoveOpen || n.Ready(false) != nil {
		t.Errorf("after a refused move: %+v, %v, %v", m, err, n.Ready(false))
	}
	none := filepath.Join(dir, "none.yaml")
	if err := os.WriteFile(none, fmt.Appendf(nil, "node: {data_dir: %s}\n", dir), 0o600); err != nil {
		t.Fatal(err)
	}
	refused("must run on this machine, with its socket at "+filepath.Join(dir, "operator.sock"), "migrate --from "+folderConfig+" --to "+none)

	// What the cluster can do and a folder, or another cluster that has users, cannot is refused before anything is written; the cluster serves again.
	limited, l := clusterHome(t, nil)
	if _, err := l.PutPolicy(t.Context(), operator, "narrow", session.PolicyChange{LimitsChange: session.LimitsChange{MaxSessionsPerAddress: ptr(3)}}); err != nil {
		t.Fatal(err)
	}
	target, targetFolder := folderHome(t, dir, "target")
	refused("max_sessions_per_address", "migrate --from "+limited+" --to "+target)
	awaitReady(t, l)
	refused("The old home, "+limited+", is open, and serves.", "migrate --from "+limited+" --to "+other)
	awaitReady(t, l)
	fresh := serviceIn(t, targetFolder)
	if list, err := fresh.ListUsers(t.Context(), operator, session.Page{}); err != nil || len(list.Items) != 1 {
		t.Errorf("in the target: %+v, %v", list, err)
	}
}

// TestNobodyButTheOperatorMoves: not even an admin over the API.
func TestNobodyButTheOperatorMoves(t *testing.T) {
	t.Parallel()
	_, n := clusterHome(t, func(c *node.Config) { c.AdminPassword = adminOfCluster })
	issued, err := n.Login(t.Context(), session.Call{}, session.Login{User: "admin", Password: adminOfCluster})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		key  session.Key
		want session.Code
	}{{issued.Key, session.CodeForbidden}, {session.Key{}, session.CodeUnauthenticated}} {
		call := session.Call{Key: c.key}
		_, moving := n.Moving(t.Context(), call)
		_, step := n.Move(t.Context(), call, session.MoveStep{Kind: session.MoveClose})
		_, export := n.ExportRecords(t.Context(), call, "")
		_, imported := n.ImportRecords(t.Context(), call, session.Filling{Origin: "x"}, nil)
		for _, err := range []error{moving, step, export, imported} {
			if session.CodeOf(err) != c.want {
				t.Errorf("got %v, want %s", err, c.want)
			}
		}
	}
	if err := n.Ready(false); err != nil {
		t.Error(err)
	}
}
