package dev_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/cmd/internal/config"
	"github.com/hydrastore/hydrastore/cmd/internal/dev"
)

func options(t *testing.T, out io.Writer) dev.Options {
	t.Helper()
	base, err := config.Load(config.Input{})
	if err != nil {
		t.Fatal(err)
	}
	unhurried(&base)
	return dev.Options{Base: base, Out: out, Version: "test", Logger: slog.New(slog.DiscardHandler), Once: true}
}

// unhurried is for a busy machine and the race detector: nothing here judges time.
func unhurried(c *config.Config) {
	c.Cluster.HeartbeatTimeout, c.Limits.RequestTimeout = 2*time.Second, 20*time.Second
}

// shortDir is a folder for Unix sockets, whose paths must be short.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestOnce(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	o := options(t, &out)
	o.Base.Audit.File = filepath.Join(t.TempDir(), "audit.log")
	if err := dev.Run(t.Context(), o); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, node := range []string{"node1", "node2", "node3"} { // each has a file of its own
		if text, err := os.ReadFile(o.Base.Audit.File + "." + node); err != nil || !strings.Contains(string(text), `"event":"login"`) {
			t.Errorf("the audit trail of %s: %v; got %s", node, err, text)
		}
	}
	for _, want := range []string{"node3", "the leader is node", "user admin", "log in at node1", "check at node3", "refused, as it should be", "all checks passed"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("got:\n%s\nwant in it: %s", out.String(), want)
		}
	}
	if strings.Contains(out.String(), "FAIL") || strings.Contains(out.String(), "hs_") {
		t.Errorf("a check failed, or a key was shown:\n%s", out.String())
	}
}

// TestOwnSessions: where each node keeps its own, the checks are that one node knows the key and the others do not.
func TestOwnSessions(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "own.yaml")
	if err := os.WriteFile(file, []byte("user: {sessionPersistence: false}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	base, err := config.Load(config.Input{File: file, Dev: true})
	if err != nil {
		t.Fatal(err)
	}
	unhurried(&base)
	var out strings.Builder
	o := options(t, &out)
	o.Base = base
	if err := dev.Run(t.Context(), o); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{"check at node1", "check at node2      401  unknown here: each node keeps its own sessions", "check at node3      401", "all checks passed"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("got:\n%s\nwant in it: %s", out.String(), want)
		}
	}
}

// TestKeptDataAndStay starts in one folder twice, the second time with another password, and stops the second one as Ctrl-C does.
func TestKeptDataAndStay(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	o := options(t, io.Discard)
	o.Data, o.AdminPassword = dir, "first-password"
	if err := dev.Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "node2")); err != nil {
		t.Fatalf("the data are gone: %v", err)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	seen := &watch{until: "Ctrl-C", then: interrupt}
	o.Out, o.Once, o.AdminPassword = seen, false, "second-password"
	if err := dev.Run(ctx, o); err != nil {
		t.Fatalf("%v\n%s", err, seen.text())
	}
	for _, want := range []string{"curl -s", "as in HYDRASTORE_ADMIN_PASSWORD", dir + ", which stays", "stopping"} {
		if !strings.Contains(seen.text(), want) {
			t.Errorf("got:\n%s\nwant in it: %s", seen.text(), want)
		}
	}
	if strings.Contains(seen.text(), "second-password") {
		t.Error("a password from the environment is shown")
	}
}

// TestReadyIsSaidLast: whoever waits for the word "ready" can log the demo user in, at every node.
func TestReadyIsSaidLast(t *testing.T) {
	t.Parallel()
	nodes := regexp.MustCompile(`http://127\.0\.0\.1:[0-9]+`)
	var seen *watch
	asked := 0
	seen = &watch{until: "ready after", then: func() {
		for _, url := range nodes.FindAllString(seen.seen.String(), -1) {
			asked++
			answer, err := http.Post(url+"/v1/sessions", "application/json", strings.NewReader(`{"user":"demo","password":"demo-password"}`))
			if err != nil {
				t.Error(err)
				continue
			}
			answer.Body.Close()
			if answer.StatusCode != http.StatusCreated {
				t.Errorf("log in at %s: got %d, want %d", url, answer.StatusCode, http.StatusCreated)
			}
		}
	}}
	if err := dev.Run(t.Context(), options(t, seen)); err != nil {
		t.Fatalf("%v\n%s", err, seen.text())
	}
	if asked != 3 {
		t.Errorf("asked %d nodes, want 3:\n%s", asked, seen.text())
	}
}

// watch is an output that calls then when a text has come by.
type watch struct {
	mu    sync.Mutex
	seen  strings.Builder
	until string
	then  func()
}

func (w *watch) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen.Write(p)
	if strings.Contains(string(p), w.until) {
		w.then()
	}
	return len(p), nil
}

func (w *watch) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen.String()
}

func TestBusyPortIsExplained(t *testing.T) {
	t.Parallel()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	var out strings.Builder
	o := options(t, &out)
	o.PortBase = busy.Addr().(*net.TCPAddr).Port
	err = dev.Run(t.Context(), o)
	if err == nil {
		t.Fatal("got no error")
	}
	for _, want := range []string{"start node1: " + busy.Addr().String() + " is in use", "api.listen", "--port-base"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
}

func TestInterruptedStartStops(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	seen := &watch{until: "Three nodes", then: interrupt}
	err := dev.Run(ctx, options(t, seen))
	if err == nil || !strings.Contains(err.Error(), "canceled") {
		t.Errorf("got %v, want that it was interrupted", err)
	}
}

func TestFolderThatCannotBe(t *testing.T) {
	t.Parallel()
	o := options(t, io.Discard)
	o.Data = filepath.Join(os.DevNull, "x")
	if err := dev.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "--data") {
		t.Errorf("got %v, want the flag named", err)
	}
}
