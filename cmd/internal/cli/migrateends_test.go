package cli_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hydrastore/hydrastore/client"
	"github.com/hydrastore/hydrastore/cmd/internal/cli"
	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/session"
	"github.com/hydrastore/hydrastore/session/portable"
)

// meddled is a node that stands between a move and its cluster; what is nil does nothing.
type meddled struct {
	*node.Node
	beforeStep func(session.MoveStep) error // in place of the step
	afterStep  func(session.MoveStep) error // in place of the answer, when the step was taken
	onMoving   func() error                 // in place of an answer
	onExport   func()
	onImport   func()
	forge      func(*portable.Record) // changes what is brought
}

func (m *meddled) Move(ctx context.Context, c session.Call, s session.MoveStep) (session.Moving, error) {
	if m.beforeStep != nil {
		if err := m.beforeStep(s); err != nil {
			return session.Moving{}, err
		}
	}
	moving, err := m.Node.Move(context.WithoutCancel(ctx), c, s)
	if m.afterStep != nil && err == nil {
		err = m.afterStep(s)
	}
	return moving, err
}

func (m *meddled) Moving(ctx context.Context, c session.Call) (session.Moving, error) {
	if m.onMoving != nil {
		if err := m.onMoving(); err != nil {
			return session.Moving{}, err
		}
	}
	return m.Node.Moving(ctx, c)
}

func (m *meddled) ExportRecords(ctx context.Context, c session.Call, cursor string) (session.PortableRecords, error) {
	if m.onExport != nil {
		m.onExport()
	}
	return m.Node.ExportRecords(ctx, c, cursor)
}

func (m *meddled) ImportRecords(ctx context.Context, c session.Call, f session.Filling, records []json.RawMessage) (session.Moving, error) {
	if m.onImport != nil {
		m.onImport()
	}
	for i := range records {
		if m.forge == nil {
			break
		}
		r, err := portable.Parse(records[i])
		if err != nil {
			return session.Moving{}, err
		}
		m.forge(&r)
		if records[i], err = r.Encode(); err != nil {
			return session.Moving{}, err
		}
	}
	return m.Node.ImportRecords(ctx, c, f, records)
}

// between lets a move meet a cluster through m.
func between(t *testing.T, home string, m *meddled) (config, socket string) {
	t.Helper()
	dir, err := os.MkdirTemp(filepath.Dir(home), "m")
	if err != nil {
		t.Fatal(err)
	}
	config, socket = filepath.Join(dir, "meddled.yaml"), filepath.Join(dir, "meddled.sock")
	serveOperator(t, m, socket)
	if err := os.WriteFile(config, fmt.Appendf(nil, "api: {socket: %s}\n", socket), 0o600); err != nil {
		t.Fatal(err)
	}
	return config, socket
}

var errUnknown = &session.Error{Code: session.CodeOutcomeUnknown, Message: "it may have been done"}

// TestAClosingWhoseAnswerIsLost may have closed the cluster: the command finds out, or says what may be, and how the cluster comes to serve again.
func TestAClosingWhoseAnswerIsLost(t *testing.T) {
	t.Parallel()
	for name, silent := range map[string]bool{"is closed and serves nobody; ": false, "is closed, or may be, and then serves nobody (it cannot be asked: ": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newTerminal(t)
			home, n := clusterHome(t, nil)
			var lost atomic.Bool
			config, socket := between(t, home, &meddled{
				Node:      n,
				afterStep: func(session.MoveStep) error { lost.Store(true); return errUnknown },
				onMoving: func() error {
					if silent && lost.Load() {
						return &session.Error{Code: session.CodeNoQuorum, Message: "no majority"}
					}
					return nil
				},
			})
			_, stderr, code := x.run("migrate --from " + config + " --to " + filepath.Join(t.TempDir(), "all.jsonl"))
			if code == 0 || !strings.Contains(stderr, "The old home, "+config+", "+name) || strings.Count(stderr, "hydrastore cluster open --socket "+socket) != 2 ||
				!strings.Contains(stderr, "is not written") {
				t.Errorf("got %d %s", code, stderr)
			}
			if n.Ready(false) == nil {
				t.Error("the cluster serves")
			}
		})
	}
}

// TestAnInterruptedMoveSaysWhereBothSidesStand, whatever it was about to do, and what to do next.
func TestAnInterruptedMoveSaysWhereBothSidesStand(t *testing.T) {
	t.Parallel()
	x, dir := newTerminal(t), t.TempDir()
	folder, _ := furnishedHome(t, dir, "folder")
	home, n := clusterHome(t, nil)
	other, _ := folderHome(t, dir, "other")
	interrupted := func(line string, by func(m *meddled, cancel func()), want ...string) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		m := &meddled{Node: n}
		by(m, cancel)
		cluster, socket := between(t, home, m)
		named := strings.NewReplacer("CLUSTER", cluster, "SOCKET", socket)
		var out, errs strings.Builder
		program := cli.Program{Args: strings.Fields(named.Replace(line)), Environ: x.environ, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs}
		code := program.Run(ctx)
		for _, text := range append(want, "hydrastore: migrate: interrupted\n") {
			if code != cli.ExitFailure || !strings.Contains(errs.String(), named.Replace(text)) {
				t.Errorf("%s: got %d, want %q in\n%s", line, code, named.Replace(text), &errs)
			}
		}
	}
	into := "migrate --from " + folder + " --to "
	interrupted(into+"CLUSTER", func(m *meddled, cancel func()) { m.onImport = cancel },
		"The old home, "+folder+", is as it was", "The new home, CLUSTER, is being filled, and serves nobody until a move into it is complete: repeat the command, which begins anew.")
	interrupted(into+"CLUSTER", func(m *meddled, cancel func()) { m.afterStep = func(session.MoveStep) error { cancel(); return nil } },
		"The new home, CLUSTER, is being filled, and serves nobody")
	if out := x.must(into + home); !strings.Contains(out, "moved and verified: 35 sessions") {
		t.Errorf("repeated: %s", out)
	}
	awaitReady(t, n)
	out := "migrate --to " + other + " --from "
	interrupted(out+"CLUSTER", func(m *meddled, cancel func()) { m.onMoving = func() error { cancel(); return nil } },
		"The old home, CLUSTER, was not changed.", "The new home, "+other+", was not changed.")
	awaitReady(t, n)
	interrupted(out+"CLUSTER", func(m *meddled, cancel func()) { m.onExport = cancel },
		"The old home, CLUSTER, is open, and serves.", "The new home, "+other+", was not changed.")
	awaitReady(t, n)
	asked := 0
	interrupted(out+"CLUSTER", func(m *meddled, cancel func()) {
		m.onMoving = func() error {
			if asked++; asked == 2 { // whether it is still closed, when all has arrived
				cancel()
			}
			return nil
		}
	},
		"The old home, CLUSTER, is closed and serves nobody; if it is to serve again, and no other home does: hydrastore cluster open --socket SOCKET.\n", "The new home, "+other+", holds a part")
	if got := x.must(out + home); !strings.Contains(got, "moved and verified: 35 sessions") {
		t.Errorf("repeated: %s", got)
	}
}

// TestAClusterThatCannotBeAsked was not changed by a move from it or into it, and the command knows that.
func TestAClusterThatCannotBeAsked(t *testing.T) {
	t.Parallel()
	x, dir := newTerminal(t), t.TempDir()
	folder := emptyHome(t, dir, "folder")
	none := filepath.Join(dir, "none.yaml")
	if err := os.WriteFile(none, fmt.Appendf(nil, "node: {data_dir: %s}\n", dir), 0o600); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"migrate --from " + folder + " --to " + none: "The new home, " + none + ", was not changed.",
		"migrate --from " + none + " --to " + folder: "The old home, " + none + ", was not changed.",
	} {
		if _, stderr, code := x.run(line); code == 0 || !strings.Contains(stderr, "must run on this machine") || !strings.Contains(stderr, want) {
			t.Errorf("%s: got %d %s", line, code, stderr)
		}
	}
}

// TestAMoveWhoseLastAnswerIsLostIsDone when all of it is in use: nobody is told to repeat it.
func TestAMoveWhoseLastAnswerIsLostIsDone(t *testing.T) {
	t.Parallel()
	x, dir := newTerminal(t), t.TempDir()
	folder, all := furnishedHome(t, dir, "folder")
	home, n := clusterHome(t, nil)
	cluster, _ := between(t, home, &meddled{Node: n, afterStep: func(s session.MoveStep) error {
		if s.Kind == session.MoveFinish {
			return errUnknown
		}
		return nil
	}})
	if out := x.must("migrate --from " + folder + " --to " + cluster); !strings.Contains(out, "moved and verified: 35 sessions, 3 accounts") {
		t.Errorf("got %s", out)
	}
	verifyHome(t, "in the cluster", n, all)
}

// TestAClusterThatLosesWhatIsPastIsNotVerified: it is filled with another earlier lifetime of a policy than was moved, and serves nobody.
func TestAClusterThatLosesWhatIsPastIsNotVerified(t *testing.T) {
	t.Parallel()
	x, dir := newTerminal(t), t.TempDir()
	folder, all := furnishedHome(t, dir, "folder")
	home, n := clusterHome(t, nil)
	for what, change := range map[string]func(p *portable.Past){
		"one form less":    func(p *portable.Past) { p.Forms = p.Forms[:len(p.Forms)-1] },
		"another lifetime": func(p *portable.Past) { p.Forms[0].LifetimeMS++ },
		"another instant":  func(p *portable.Past) { p.Forms[0].UntilMS-- },
	} {
		forged := false
		cluster, _ := between(t, home, &meddled{Node: n, forge: func(r *portable.Record) {
			if r.Past != nil {
				forged = true
				change(r.Past)
			}
		}})
		_, stderr, code := x.run("migrate --from " + folder + " --to " + cluster)
		if code == 0 || !forged || !strings.Contains(stderr, "verify: ") || n.Ready(false) == nil {
			t.Errorf("%s: forged %v, got %d %s", what, forged, code, stderr)
		}
	}
	if out := x.must("migrate --from " + folder + " --to " + home); !strings.Contains(out, "moved and verified: 35 sessions") {
		t.Errorf("got %s", out)
	}
	verifyHome(t, "in the cluster", n, all)
}

// TestAMoveWaitsForSealKeys: while nodes derive them, which takes its time, the command says what it waits for, and goes on when they have. It gives nodes that time.
func TestAMoveWaitsForSealKeys(t *testing.T) {
	t.Parallel()
	x, dir := newTerminal(t), t.TempDir()
	folder, all := furnishedHome(t, dir, "folder")
	home, n := clusterHome(t, nil)
	steps := map[session.MoveStepKind]*struct {
		deriving session.Code
		refusals int32 // the client asks some times by itself what is unavailable
		asked    atomic.Int32
	}{
		session.MoveBegin:  {deriving: session.CodeUnavailable, refusals: client.DefaultRounds},
		session.MoveFinish: {deriving: session.CodeConflict, refusals: 1},
	}
	cluster, _ := between(t, home, &meddled{Node: n, beforeStep: func(s session.MoveStep) error {
		step := steps[s.Kind]
		if step.asked.Add(1) > step.refusals {
			return nil
		}
		return &session.Error{Code: step.deriving, Field: session.SealsField, Message: "deriving for " + string(s.Kind)}
	}})
	stdout, stderr, code := x.run("migrate --from " + folder + " --to " + cluster)
	if code != cli.ExitOK || !strings.Contains(stdout, "moved and verified: 35 sessions") {
		t.Errorf("got %d %s%s", code, stdout, stderr)
	}
	for kind, step := range steps {
		if got := step.asked.Load(); got != step.refusals+1 || !strings.Contains(stderr, "waiting: deriving for "+string(kind)+"\n") {
			t.Errorf("%s was asked for %d times: %s", kind, got, stderr)
		}
	}
	verifyHome(t, "in the cluster", n, all)
}

// TestAMoveWaitsForSealKeysAlone: a step that is refused for anything else ends it.
func TestAMoveWaitsForSealKeysAlone(t *testing.T) {
	t.Parallel()
	x, dir := newTerminal(t), t.TempDir()
	folder := emptyHome(t, dir, "folder")
	home, n := clusterHome(t, nil)
	for _, refused := range []struct {
		step  session.MoveStepKind
		asked int32
		err   *session.Error
	}{
		{session.MoveBegin, 1, &session.Error{Code: session.CodeConflict, Field: session.SealsField, Message: "no password opens it"}},
		{session.MoveBegin, client.DefaultRounds, &session.Error{Code: session.CodeUnavailable, Message: "this node is starting"}},
		{session.MoveFinish, 1, &session.Error{Code: session.CodeConflict, Field: "sessions", Message: "some are missing"}},
		{session.MoveFinish, 1, &session.Error{Code: session.CodeConflict, Message: "some are missing"}},
	} {
		var asked atomic.Int32
		cluster, _ := between(t, home, &meddled{Node: n, beforeStep: func(s session.MoveStep) error {
			if s.Kind != refused.step || asked.Add(1) > refused.asked {
				return nil
			}
			return refused.err
		}})
		_, stderr, code := x.run("migrate --from " + folder + " --to " + cluster)
		if code == cli.ExitOK || asked.Load() != refused.asked || !strings.Contains(stderr, refused.err.Message) || strings.Contains(stderr, "waiting") || strings.Contains(stderr, "must run on this machine") {
			t.Errorf("%s, %s for %q: asked %d times, %d %s", refused.step, refused.err.Code, refused.err.Field, asked.Load(), code, stderr)
		}
	}
}
