package e2e_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/backend/local"
	"github.com/hydrastore/hydrastore/backend/memory"
	"github.com/hydrastore/hydrastore/session"
	"github.com/hydrastore/hydrastore/session/portable"
)

// TestMigrationIsKilledAndRepeated moves sessions from one folder into another, kills the command at random moments, and repeats it. In the end a server
// before the new folder knows every key. HYDRASTORE_E2E_MOVED says how many there are.
func TestMigrationIsKilledAndRepeated(t *testing.T) {
	t.Parallel()
	sessions := count(t, "HYDRASTORE_E2E_MOVED", 5_000)
	s := folderServer(t)
	dir := t.TempDir()
	old := filepath.Join(dir, "old.yaml")
	folder := filepath.Join(dir, "old")
	if err := os.WriteFile(old, fmt.Appendf(nil, "tokenizer: {type: local, path: %s}\n", folder), 0o600); err != nil {
		t.Fatal(err)
	}
	keys := fillFolder(t, folder, sessions)
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 1))
	begun := time.Now()
	kills := 0
	for range 5 {
		p := startProcess(t, dir, "migrate", environment(), s.bin, "migrate", "--from", old, "--to", s.config)
		<-time.After(time.Duration(50+random.IntN(1+sessions/10)) * time.Millisecond)
		if !p.hasExited() {
			kills++
		}
		p.kill()
	}
	p := startProcess(t, dir, "migrate", environment(), s.bin, "migrate", "--from", old, "--to", s.config)
	p.mu.Lock()
	p.told = true // it ends by itself
	p.mu.Unlock()
	<-p.exited
	if want := fmt.Sprintf("moved and verified: %d sessions", sessions); p.cmd.ProcessState.ExitCode() != 0 || !strings.Contains(p.log(), want) {
		t.Fatalf("seed %d, after %d kills: %v\n%s", seed, kills, p.cmd.ProcessState, p.log())
	}
	t.Logf("seed %d: %d sessions moved in %v with %d kills", seed, sessions, time.Since(begun), kills)
	s.start()
	s.awaitReady()
	l := newLine(s.api)
	defer l.close()
	for i := range min(len(keys), 2_000) {
		if _, err := l.expect(http.StatusOK, look(keys[random.IntN(len(keys))])); err != nil {
			t.Fatalf("key %d: %v", i, err)
		}
	}
	s.terminate()
}

// fillFolder makes sessions in a folder and returns their keys.
func fillFolder(t *testing.T, folder string, sessions int) []string {
	t.Helper()
	made := memory.New(nil)
	c := backend.DefaultConfig()
	c.SweepInterval, c.Logger = time.Hour, slog.New(slog.DiscardHandler)
	c.Fatal = func(err error) { t.Error(err) }
	s, err := backend.New(c, made)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	eventually(t, "the service in memory", func() error { return s.Ready(false) })
	keys := make([]string, sessions)
	var work sync.WaitGroup
	for w := range 4 {
		work.Go(func() {
			for i := w; i < sessions; i += 4 {
				issued, err := s.Login(t.Context(), session.Call{Operator: true}, session.Login{User: fmt.Sprint("user-", i/3), Vouched: true})
				if err != nil {
					t.Error(err)
					return
				}
				keys[i] = issued.Key.Reveal()
			}
		})
	}
	work.Wait()
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	store, err := local.Open(local.Config{Path: folder})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := portable.Move(t.Context(), backend.MoveStore(made), backend.MoveStore(store), func(*portable.Tally) {}); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	return keys
}
