package server_test

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/cmd/internal/config"
	"github.com/hydrastore/hydrastore/cmd/internal/server"
)

// seedFile is the seed's block for local tokens, as it stands there but for the folder.
const seedFile = `tokenizer:
  type: local
  timeout: 20 # minutes
  safe_password: abc123456abcdef
  path: `

// localSettings are what the seed's words alone give, on a free port and in a folder of the test.
func localSettings(t *testing.T, dir string) config.Config {
	t.Helper()
	file := filepath.Join(dir, "settings.yml")
	if err := os.WriteFile(file, []byte(seedFile+filepath.Join(dir, "tokens")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(config.Input{File: file, Flags: map[string]string{
		"node.data_dir": dir, "node.name": "alone", "api.listen": "127.0.0.1:0", "api.drain_delay": "0s", "limits.request_timeout": "60s",
	}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func startLocal(t *testing.T, c config.Config) *server.Server {
	t.Helper()
	s, err := server.Start(t.Context(), server.Options{Config: c, AdminPassword: adminPassword, Version: "v1", Logger: slog.New(slog.DiscardHandler), Fatal: fatal(t)})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "ready", func() bool { return s.Ready() == nil })
	return s
}

func stop(t *testing.T, s *server.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Errorf("stop: %v", err)
	}
}

func bearer(t *testing.T, method, url, key string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+key)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var text strings.Builder
	if err := response.Write(&text); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, text.String()
}

// TestSessionsInAFolder: the seed's settings start a server that keeps its sessions over restarts, without peers.
func TestSessionsInAFolder(t *testing.T) {
	t.Parallel()
	c := localSettings(t, folder(t))
	if c.Home != config.HomeLocal || len(c.GivenPolicies()) != 1 || c.GivenPolicies()[0].IdleTimeout != 20*time.Minute {
		t.Fatalf("home %q, policies %+v", c.Home, c.GivenPolicies())
	}
	s := startLocal(t, c)
	base := "http://" + s.Address()
	status, issued := do(t, "POST", base+"/v1/sessions", `{"user":"admin","password":"`+adminPassword+`","policy":"tokenizer","attributes":{"credentials":"scott/tiger"}}`)
	if status != http.StatusCreated {
		t.Fatalf("log in: %d %v", status, issued)
	}
	key, _ := issued["key"].(string)
	if status, _ := do(t, "GET", base+"/readyz", ""); status != http.StatusOK {
		t.Errorf("readyz: %d", status)
	}
	if _, text := do(t, "GET", base+"/metrics", ""); !strings.Contains(text["text"].(string), `hydrastore_password_attempts_total{outcome="right"} 1`) {
		t.Errorf("metrics: %v", text)
	}
	if status, answer := bearer(t, "GET", base+"/v1/cluster", key); status != http.StatusConflict || !strings.Contains(answer, "keeps its sessions in local") {
		t.Errorf("cluster: %d %s", status, answer)
	}
	_, err := server.Start(t.Context(), server.Options{Config: c, Logger: slog.New(slog.DiscardHandler), Fatal: fatal(t)})
	if err == nil || !strings.Contains(err.Error(), "another process uses the folder") {
		t.Errorf("a second server: %v", err)
	}
	stop(t, s)
	s = startLocal(t, c)
	base = "http://" + s.Address()
	if status, answer := bearer(t, "GET", base+"/v1/session", key); status != http.StatusOK || !strings.Contains(answer, `"attributes":{},"sealed_attributes":{"credentials":"scott/tiger"}`) {
		t.Errorf("after a restart: %d %s", status, answer)
	}
	if status, answer := bearer(t, "DELETE", base+"/v1/session", key); status != http.StatusNoContent {
		t.Errorf("log out: %d %s", status, answer)
	}
	stop(t, s)
	s = startLocal(t, c)
	if status, answer := bearer(t, "GET", "http://"+s.Address()+"/v1/session", key); status != http.StatusUnauthorized {
		t.Errorf("after log-out and a restart: %d %s", status, answer)
	}
	stop(t, s)
}

// TestSealCredentials: the setting reaches a node and a server before a store.
func TestSealCredentials(t *testing.T) {
	t.Parallel()
	inCluster := settingsIn(t, folder(t), map[string]string{"tokenizer.timeout": "20"})
	own := settingsIn(t, folder(t), map[string]string{"tokenizer.timeout": "20", "user.sessionPersistence": "false"})
	for name, c := range map[string]config.Config{"raft": inCluster, "local": localSettings(t, folder(t)), "a node's own": own} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.Sealing.SafePassword = ""
			for _, seal := range []bool{true, false} {
				c.Sealing.Credentials = seal
				s := startLocal(t, c)
				status, answer := do(t, "POST", "http://"+s.Address()+"/v1/sessions", `{"user":"admin","password":"`+adminPassword+`","policy":"tokenizer","attributes":{"credentials":"scott/tiger"}}`)
				if refused := status == http.StatusConflict && answer["field"] == "attributes"; refused != seal || !refused && status != http.StatusCreated {
					t.Errorf("seal %v: %d %v", seal, status, answer)
				}
				stop(t, s)
			}
		})
	}
}

// TestAnotherSafePassword: a server whose safe password does not fit what is sealed there does not serve.
func TestAnotherSafePassword(t *testing.T) {
	t.Parallel()
	c := localSettings(t, folder(t))
	stop(t, startLocal(t, c))
	c.Sealing.SafePassword = "quite another one"
	failed := make(chan error, 1)
	s, err := server.Start(t.Context(), server.Options{Config: c, Logger: slog.New(slog.DiscardHandler), Fatal: func(err error) { failed <- err }})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-failed; !strings.Contains(err.Error(), "tokenizer.safe_password is not the one") {
		t.Errorf("got %v", err)
	}
	stop(t, s)
}
