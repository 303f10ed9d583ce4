package cli_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hydrastore/hydrastore/api"
	"github.com/hydrastore/hydrastore/cmd/internal/cli"
)

// TestOperatorSocket: who can open the node's socket needs no log-in.
func TestOperatorSocket(t *testing.T) {
	t.Parallel()
	x := newTerminal(t)
	config := api.DefaultConfig()
	config.DrainDelay = 0
	config.Logger = slog.New(slog.DiscardHandler)
	server, err := api.New(config, x.fake)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "hs") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	listener, err := api.ListenOperator(socket)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.ServeOperator(listener) }()
	t.Cleanup(func() {
		if err := server.Shutdown(t.Context()); err != nil {
			t.Log(err) // the test's context has ended; the listener is closed all the same
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	x.environ = []string{"HYDRASTORE_NEW_PASSWORD=long-enough"}
	x.must("user passwd admin --socket " + socket)
	x.environ = []string{"HYDRASTORE_SOCKET=" + socket}
	if out := x.must("cluster members"); !strings.Contains(out, "leader one") {
		t.Errorf("got %s", out)
	}
	if out := x.must("cluster open"); !strings.Contains(out, "the cluster serves again: 3 users, 4 sessions") {
		t.Errorf("got %s", out)
	}
	if got := x.fake.changes(); got != "update admin password=long-enough; move: open" {
		t.Errorf("asked: %s", got)
	}
	for _, line := range []string{"whoami", "logout", "login ada", "bench check"} {
		if _, stderr, code := x.run(line); code != cli.ExitUsage {
			t.Errorf("%s: got exit code %d, want 2: %s", line, code, stderr)
		}
	}
}
