package api_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/hydrastore/hydrastore/api"
)

// socketPath is short: a socket's path has at most 107 bytes.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "operator.sock")
}

func TestOperatorSocket(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	path := socketPath(t)
	l, err := api.ListenOperator(path)
	if err != nil {
		t.Fatal(err)
	}
	if found, err := os.Stat(path); err != nil || found.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v, want mode 0600", found.Mode(), err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".s*")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- h.server.ServeOperator(l) }()

	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", path) }}
	r, err := (&http.Client{Transport: transport}).Get("http://operator/v1/cluster")
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close()
	if r.StatusCode != 200 {
		t.Errorf("got %d, want an admin's answer", r.StatusCode)
	}
	if _, err := api.ListenOperator(path); err == nil {
		t.Error("a second process took the socket from the first")
	}
	transport.CloseIdleConnections()
	if err := h.server.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
}

func TestOperatorSocketTakesOverADeadOne(t *testing.T) {
	t.Parallel()
	path := socketPath(t)
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	_ = dead.Close()
	l, err := api.ListenOperator(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestOperatorSocketSparesAFile(t *testing.T) {
	t.Parallel()
	path := socketPath(t)
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := api.ListenOperator(path); err == nil {
		t.Error("the file was taken for a socket")
	}
	if kept, err := os.ReadFile(path); err != nil || string(kept) != "precious" {
		t.Errorf("got %q, %v", kept, err)
	}
}
