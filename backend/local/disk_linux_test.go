package local_test

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/backend/local"
	"github.com/hydrastore/hydrastore/session"
)

// breakDisk lets every write to this process's open file fail from now on.
func breakDisk(t *testing.T, path string) {
	t.Helper()
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		t.Fatal(err)
	}
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	reader, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	for _, entry := range open {
		fd, err := strconv.Atoi(entry.Name())
		if err != nil {
			t.Fatal(err)
		}
		if fd == int(reader.Fd()) {
			continue
		}
		if at, err := os.Readlink("/proc/self/fd/" + entry.Name()); err != nil || at != path {
			continue
		}
		if err := syscall.Dup3(int(reader.Fd()), fd, syscall.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("%s is not open", path)
}

// TestADiskThatFailsUnderASweepIsUsedNoMore: what a failed flush has left is not known, whoever has asked for it.
func TestADiskThatFailsUnderASweepIsUsedNoMore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, local.Config{Path: dir, SweepInterval: time.Hour})
	if _, err := s.Put(t.Context(), name("ada"), []byte("v"), "", time.UnixMilli(1)); err != nil {
		t.Fatal(err)
	}
	breakDisk(t, filepath.Join(dir, "sessions.db"))
	if err := s.Sweep(); err == nil {
		t.Fatal("the sweep has written")
	}
	if err := s.Ready(); session.CodeOf(err) != session.CodeUnavailable {
		t.Errorf("ready: %v", err)
	}
	if _, err := s.Get(t.Context(), name("ada")); session.CodeOf(err) != session.CodeUnavailable {
		t.Errorf("get: %v", err)
	}
}
