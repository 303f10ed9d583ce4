package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/cmd/internal/config"
	"github.com/hydrastore/hydrastore/cmd/internal/server"
	"github.com/hydrastore/hydrastore/e2e/freeport"
)

const adminPassword = "correct-horse"

// settings are those of a cluster of one node on free ports.
func settings(t *testing.T) config.Config {
	t.Helper()
	return settingsIn(t, folder(t), nil)
}

// folder is a new data folder.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hs") // a Unix socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func settingsIn(t *testing.T, dir string, more map[string]string) config.Config {
	t.Helper()
	flags := map[string]string{
		"node.data_dir": dir, "node.name": "alone", "api.listen": "127.0.0.1:0", "peer.listen": "127.0.0.1:0", "gossip.listen": "127.0.0.1:0",
		"api.drain_delay": "100ms", "limits.request_timeout": "60s", // passwords cost what they cost, on a machine that does much else
	}
	maps.Copy(flags, more)
	c, err := config.Load(config.Input{Flags: flags})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// fatal fails the test when a node cannot go on.
func fatal(t *testing.T) func(error) {
	return func(err error) { t.Errorf("the node cannot go on: %v", err) }
}

// journal is a log that a test reads.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// eventually asks again until ok or a minute has passed.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	const patience = time.Minute
	every := time.NewTicker(10 * time.Millisecond)
	defer every.Stop()
	deadline := time.After(patience)
	for !ok() {
		select {
		case <-every.C:
		case <-deadline:
			t.Fatalf("%s: not after %v", what, patience)
		}
	}
}

func do(t *testing.T, method, url, body string) (int, map[string]any) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer map[string]any
	if strings.Contains(response.Header.Get("Content-Type"), "json") {
		if err := json.Unmarshal(text, &answer); err != nil {
			t.Fatalf("%s %s: %v in %s", method, url, err, text)
		}
	} else {
		answer = map[string]any{"text": string(text)}
	}
	return response.StatusCode, answer
}

func TestOneNodeServesAndStops(t *testing.T) {
	t.Parallel()
	var log journal
	c := settings(t)
	c.Log.Requests = true
	s, err := server.Start(t.Context(), server.Options{Config: c, AdminPassword: adminPassword, Version: "v1", Logger: server.NewLogger(&log, c.Log), Fatal: fatal(t)})
	if err != nil {
		t.Fatal(err)
	}
	base := "http://" + s.Address()
	eventually(t, "ready", func() bool { return s.Ready() == nil })
	eventually(t, "the first admin's log-in", func() bool {
		status, _ := do(t, "POST", base+"/v1/sessions", `{"user":"admin","password":"`+adminPassword+`"}`)
		return status == http.StatusCreated
	})
	if _, answer := do(t, "GET", base+"/metrics", ""); !strings.Contains(answer["text"].(string), "go_goroutines") || !strings.Contains(answer["text"].(string), "hydrastore_") {
		t.Error("/metrics lacks the process's or the node's figures")
	}
	socket, err := os.Stat(filepath.Join(c.Node.DataDir, "operator.sock"))
	if err != nil || socket.Mode().Perm() != 0o600 {
		t.Errorf("the operator socket: got %v, %v; want mode 0600", socket.Mode(), err)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Errorf("shutdown again: %v", err)
	}
	if conn, err := net.Dial("tcp", s.Address()); err == nil {
		conn.Close()
		t.Error("the API still listens")
	}
	for _, want := range []string{`"name":"alone"`, `"route":"/v1/sessions"`, `"request_id":`, `"term":`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s", want)
		}
	}
	if strings.Contains(log.String(), adminPassword) {
		t.Error("the password is in the log")
	}
}

// TestStopDrainsFirst: the balancer hears no while requests are still served.
func TestStopDrainsFirst(t *testing.T) {
	t.Parallel()
	c := settings(t)
	c.API.DrainDelay = time.Hour // until the test has looked
	s, err := server.Start(t.Context(), server.Options{Config: c, Logger: slog.New(slog.DiscardHandler), Fatal: fatal(t)})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "ready", func() bool { return s.Ready() == nil })
	ctx, goOn := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- s.Shutdown(ctx) }()
	base := "http://" + s.Address()
	eventually(t, "readyz 503", func() bool {
		status, _ := do(t, "GET", base+"/readyz", "")
		return status == http.StatusServiceUnavailable
	})
	if status, _ := do(t, "GET", base+"/livez", ""); status != http.StatusOK {
		t.Errorf("while draining, livez: got %d, want 200", status)
	}
	if status, answer := do(t, "GET", base+"/v1/session", ""); status != http.StatusUnauthorized {
		t.Errorf("while draining, a check: got %d %v, want it served", status, answer)
	}
	goOn()
	if err := <-stopped; err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("shutdown: %v", err)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	t.Parallel()
	var log journal
	c := settings(t)
	c.API.DrainDelay = 0
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- server.Run(ctx, server.Options{Config: c, Logger: server.NewLogger(&log, c.Log)})
	}()
	eventually(t, "started", func() bool { return strings.Contains(log.String(), "node started") })
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("got %v, want an end in good order", err)
	}
	if !strings.Contains(log.String(), `"msg":"stopped"`) {
		t.Error("the log does not tell the end")
	}
}

// TestRunEndsWhenTheNodeCannotGoOn takes the gossip port after the start has looked at it, which the node finds out later.
func TestRunEndsWhenTheNodeCannotGoOn(t *testing.T) {
	t.Parallel()
	var log journal
	c := settings(t)
	c.Cluster.BootstrapExpect = 2 // so that gossip waits for a second node
	first, second := c, settings(t)
	second.Cluster.BootstrapExpect = 2
	free := freeAddresses(t, 3)
	first.Peer.Listen, first.Peer.Advertise = free[0], free[0]
	second.Peer.Listen, second.Peer.Advertise = free[1], free[1]
	first.Gossip.Listen, first.Gossip.Advertise = free[2], free[2]
	first.Cluster.Join, second.Cluster.Join = free[:2], free[:2]
	told := make(chan error, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- server.Run(t.Context(), server.Options{Config: first, Logger: server.NewLogger(&log, c.Log), Fatal: func(err error) { told <- err }})
	}()
	eventually(t, "started", func() bool { return strings.Contains(log.String(), "node started") })
	taken, err := net.Listen("tcp", free[2])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	s, err := server.Start(t.Context(), server.Options{Config: second, Logger: slog.New(slog.DiscardHandler), Fatal: fatal(t)})
	if err != nil {
		t.Fatal(err)
	}
	err = <-ended
	if cause := <-told; !errors.Is(err, cause) || !strings.Contains(err.Error(), "the node cannot go on") || !strings.Contains(err.Error(), free[2]) {
		t.Errorf("got %v, told %v; want that the node cannot go on and why", err, cause)
	}
	if !strings.Contains(log.String(), "its data are safe on disk") {
		t.Error("the log does not tell the end")
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Logf("the other node, alone: %v", err)
	}
}

// ports deals out the ports of this package's tests.
var ports = freeport.New()

func freeAddresses(t *testing.T, n int) []string {
	t.Helper()
	var all []string
	for range n {
		address, err := ports.Address()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, address)
	}
	return all
}

func TestMistakesAtTheStart(t *testing.T) {
	t.Parallel()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { busy.Close() })
	address := busy.Addr().String()
	cases := map[string]struct {
		change func(*config.Config)
		want   []string
	}{
		"busy API port":           {func(c *config.Config) { c.API.Listen = address }, []string{address + " is in use", "api.listen"}},
		"busy peer port":          {func(c *config.Config) { c.Peer.Listen, c.Peer.Advertise = address, address }, []string{address + " is in use", "peer.listen"}},
		"busy gossip port":        {func(c *config.Config) { c.Gossip.Listen, c.Gossip.Advertise = address, address }, []string{address + " is in use", "gossip.listen"}},
		"not our address":         {func(c *config.Config) { c.API.Listen = "192.0.2.1:8700" }, []string{"192.0.2.1:8700 is no address of this machine", "api.listen"}},
		"audit file in no folder": {func(c *config.Config) { c.Audit.File = filepath.Join(c.Node.DataDir, "no", "audit.log") }, []string{"audit.file", "no such file"}},
		"folder that cannot be":   {func(c *config.Config) { c.Node.DataDir = filepath.Join(os.DevNull, "x") }, []string{os.DevNull}},
		"socket path is a file":   {func(c *config.Config) { c.API.Socket = os.DevNull }, []string{"api.socket"}},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := settings(t)
			test.change(&c)
			s, err := server.Start(t.Context(), server.Options{Config: c, Logger: slog.New(slog.DiscardHandler), Fatal: fatal(t)})
			if err == nil {
				t.Fatal("got no error", s.Shutdown(t.Context()))
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %q in it", err, want)
				}
			}
			// Nothing is left open: the same folder can be used at once.
			again := settings(t)
			again.Node.DataDir = c.Node.DataDir
			if name == "folder that cannot be" {
				return
			}
			s, err = server.Start(t.Context(), server.Options{Config: again, Logger: slog.New(slog.DiscardHandler), Fatal: fatal(t)})
			if err != nil {
				t.Fatalf("the second start: %v", err)
			}
			if err := s.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}
