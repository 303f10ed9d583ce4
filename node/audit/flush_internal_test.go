package audit

import (
	"bytes"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
)

// badDisk takes every write, and fails as many flushes as it is told.
type badDisk struct {
	bytes.Buffer
	failures int
}

func (d *badDisk) flush(*mark) error {
	if d.failures > 0 {
		d.failures--
		return errors.New("input/output error")
	}
	return nil
}
func (*badDisk) eager() bool   { return false }
func (*badDisk) reopen() error { return nil }
func (*badDisk) close()        {}

// TestAFailedFlushIsAdmitted: what was written since the last good flush may be gone although the next one succeeds, and a line says so, once.
func TestAFailedFlushIsAdmitted(t *testing.T) {
	t.Parallel()
	disk := &badDisk{failures: 3}
	trail := &Trail{config: Config{Mark: filepath.Join(t.TempDir(), "audit.mark"), Node: "n1", Logger: slog.New(slog.DiscardHandler)}, sink: disk}
	trail.stored, trail.mark.Index = 4, 9
	for trail.settle() != nil {
	}
	if err := trail.settle(); err != nil {
		t.Fatal(err)
	}
	want := `"event":"gap","index":9,"position":-1,"reason":"disk","from_index":5,"to_index":9`
	if text := disk.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, want) {
		t.Errorf("got %q, want one line with %s", text, want)
	}
	if m, err := readMark(trail.config.Mark); err != nil || m.Index != 9 || trail.stored != 9 {
		t.Errorf("the mark is %+v, %v; stored %d", m, err, trail.stored)
	}
	disk.Reset()
	disk.failures = 1 // nothing was written since
	for trail.settle() != nil {
	}
	if disk.Len() > 0 {
		t.Errorf("got %q, nothing was in doubt", disk.String())
	}
}
