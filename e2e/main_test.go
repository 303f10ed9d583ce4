package e2e_test

import (
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/backend/redis"
)

// patience bounds waits for what a good run has within seconds; a busy machine needs more.
const patience = 60 * time.Second

// buildDir is TestMain's folder for the binary; it goes when all tests have ended.
var buildDir string

func TestMain(m *testing.M) {
	redis.LogTo(slog.New(slog.DiscardHandler)) // of those who start servers of it
	var err error
	if buildDir, err = os.MkdirTemp("", "hydrastore-e2e-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(buildDir)
	os.Exit(code)
}

// binary is the path of the hydrastore under test, built when the first test asks.
var binary = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("HYDRASTORE_E2E_BINARY"); path != "" {
		return filepath.Abs(path)
	}
	path := filepath.Join(buildDir, "hydrastore")
	args := []string{"build", "-o", path}
	if raceBinary() {
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, "./cmd/hydrastore")...)
	build.Dir = ".."
	if text, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build hydrastore: %w\n%s", err, text)
	}
	return path, nil
})

func mustBinary(t *testing.T) string {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// raceBinary tells that the processes run under the race detector, several times slower.
func raceBinary() bool { return os.Getenv("HYDRASTORE_E2E_RACE") == "1" }

// need returns the path of a program that scripts/ci-deps installs.
func need(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err == nil {
		return path
	}
	text := program + " is not installed, so this test cannot run: scripts/ci-deps installs it"
	if os.Getenv("HYDRASTORE_E2E") == "require" {
		t.Fatal(text)
	}
	t.Skip(text)
	return ""
}

// count is a positive number from the environment.
func count(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s: a positive number is needed, this is %q", name, text)
	}
	return n
}

// eventually asks until there is no error, at most for patience.
func eventually(t *testing.T, what string, ask func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for pause := 2 * time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		err := ask()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s: %v", patience, what, err)
		}
		time.Sleep(pause)
	}
}
