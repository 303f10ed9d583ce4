package cli_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/backend/backendtest"
	"github.com/hydrastore/hydrastore/backend/local"
	"github.com/hydrastore/hydrastore/cmd/internal/cli"
	"github.com/hydrastore/hydrastore/session"
)

// folderHome writes the configuration of a server that keeps its sessions in a folder.
func folderHome(t *testing.T, dir, name string) (config, folder string) {
	t.Helper()
	config, folder = filepath.Join(dir, name+".yaml"), filepath.Join(dir, name)
	text := fmt.Sprintf("tokenizer: {type: local, path: %s}\n", folder)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return config, folder
}

func serviceIn(t *testing.T, folder string) *backend.Service {
	t.Helper()
	store, err := local.Open(local.Config{Path: folder})
	if err != nil {
		t.Fatal(err)
	}
	return backendtest.Start(t, backendtest.Config(t), store)
}

// emptyHome is a folder in which a server was once, and nobody is any more.
func emptyHome(t *testing.T, dir, name string) (config string) {
	t.Helper()
	config, folder := folderHome(t, dir, name)
	leave(t, serviceIn(t, folder))
	return config
}

// furnishedHome is such a folder with all that furnish makes.
func furnishedHome(t *testing.T, dir, name string) (config string, all []known) {
	t.Helper()
	config, folder := folderHome(t, dir, name)
	s := serviceIn(t, folder)
	all = furnish(t, s)
	leave(t, s)
	return config, all
}

func leave(t *testing.T, s *backend.Service) {
	t.Helper()
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestMigrate: sessions go from a folder into a file and from there into another folder, and their keys open them there.
func TestMigrate(t *testing.T) {
	t.Parallel()
	x, dir := newTerminal(t), t.TempDir()
	oldConfig, oldFolder := folderHome(t, dir, "old")
	newConfig, newFolder := folderHome(t, dir, "new")
	file := filepath.Join(dir, "all.jsonl")
	s := serviceIn(t, oldFolder)
	var keys []session.Key
	for i := range 20 {
		issued, err := s.Login(t.Context(), session.Call{Operator: true}, session.Login{User: fmt.Sprint("user-", i%3), Vouched: true})
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, issued.Key)
	}
	if _, stderr, code := x.run("migrate --from " + oldConfig + " --to " + file); code == 0 || !strings.Contains(stderr, "another process uses the folder") {
		t.Errorf("while the server runs: %d %s", code, stderr)
	}
	leave(t, s)
	for _, line := range []string{"migrate --from " + oldConfig + " --to " + file, "migrate --from " + file + " --to " + newConfig, "migrate --from " + oldConfig + " --to " + newConfig} {
		if out := x.must(line); !strings.Contains(out, "moved and verified: 20 sessions, 1 account, checksum ") {
			t.Errorf("%s: got %s", line, out)
		}
	}
	s = serviceIn(t, newFolder)
	for _, key := range keys {
		if _, err := s.Check(t.Context(), session.Call{Key: key}, false); err != nil {
			t.Errorf("in the new home: %v", err)
		}
	}
	for line, want := range map[string]string{
		"migrate --from " + oldConfig:                                           "--from and --to are needed",
		"migrate --from " + oldConfig + " --to " + newConfig + " --drop-target": "--drop-target is for clusters",
		"migrate --from " + oldConfig + " --to /none.yaml":                      "/none.yaml",
	} {
		if _, stderr, code := x.run(line); code == 0 || !strings.Contains(stderr, want) {
			t.Errorf("%s: got %d %s", line, code, stderr)
		}
	}
	if _, stderr, code := x.run("migrate --from " + file + " --to " + file); code != cli.ExitFailure || !strings.Contains(stderr, "is there already") {
		t.Errorf("onto itself: %d %s", code, stderr)
	}
}
