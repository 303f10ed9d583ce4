package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// auditLine is what these tests read of a line of the audit trail.
type auditLine struct {
	Event     string
	Index     uint64
	Position  int
	SessionID string `json:"session_id"`
	User      string
}

// withAudit makes every node keep a trail beside its log.
func withAudit(_ int, settings fields) {
	dir, _ := settings["node"].(fields)["data_dir"].(string)
	settings["audit"] = fields{"file": filepath.Join(dir, "audit.log")}
}

func (s *server) auditFile() string { return filepath.Join(s.dir, "audit.log") }

// rotateAudit renames the audit file, as logrotate does, and sends SIGHUP.
func (s *server) rotateAudit(to string) {
	s.t.Helper()
	if err := os.Rename(s.auditFile(), filepath.Join(s.dir, to)); err != nil {
		s.t.Fatal(err)
	}
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, s.name+" to open the audit file again", func() error {
		_, err := os.Stat(s.auditFile())
		return err
	})
}

// auditText is the trail of a node, from its renamed files and the present one.
func (s *server) auditText() []byte {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(s.dir, "audit.log.*")) // in the order of their names
	if err != nil {
		s.t.Fatal(err)
	}
	var text []byte
	for _, name := range append(files, s.auditFile()) {
		part, err := os.ReadFile(name)
		if err != nil {
			s.t.Fatal(err)
		}
		text = append(text, part...)
	}
	return text
}

// TestAuditThroughKillsAndRotation kills each node in turn under load, with the audit files of others rotated meanwhile. Afterwards the
// three trails are the same, byte for byte, and hold each acknowledged session once.
func TestAuditThroughKillsAndRotation(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, withAudit)
	admin := c.admin()
	service := c.service(admin)
	down := newOutages(3)
	l := startLoad(t, loadOptions{service: service, targets: c.apis(), clients: 16, pause: 10 * time.Millisecond, down: down})
	want := map[string]bool{}
	for i, s := range c.nodes {
		l.await(300)
		down.begin(i)
		s.kill()
		c.nodes[(i+1)%3].rotateAudit(fmt.Sprintf("audit.log.%d", i))
		for range 5 {
			a := c.must((i+2)%3, http.StatusCreated, vouch(service, "audited", nil))
			want[a.body.ID] = true
		}
		s.start()
		s.awaitReady()
		down.end(i)
	}
	l.await(100)
	l.report()
	l.verify(c, admin)
	last := c.must(0, http.StatusCreated, vouch(service, "audited", nil)).body.ID
	var first []byte
	for _, s := range c.nodes {
		eventually(t, s.name+" to write the last line", func() error {
			if !bytes.Contains(s.auditText(), []byte(last)) {
				return fmt.Errorf("it is not there")
			}
			return nil
		})
		s.terminate()
		text := s.auditText()
		if first == nil {
			first = text
		}
		if n := min(len(text), len(first)); !bytes.Equal(text[:n], first[:n]) {
			t.Errorf("the trail of %s is another one than that of %s: from line %q", s.name, c.nodes[0].name, differs(text, first))
		}
		checkAudit(t, s.name, text, want)
	}
}

// checkAudit wants whole lines in the order of their places, none twice, and all of these sessions.
func checkAudit(t *testing.T, name string, text []byte, want map[string]bool) {
	t.Helper()
	var before auditLine
	before.Position = -1
	seen := map[string]int{}
	for line := range bytes.Lines(text) {
		var l auditLine
		if err := json.Unmarshal(line, &l); err != nil {
			t.Errorf("%s: line %q: %v", name, line, err)
			continue
		}
		if l.Index < before.Index || l.Index == before.Index && l.Position <= before.Position || l.Event == "gap" {
			t.Errorf("%s: after %+v comes %+v", name, before, l)
		}
		before = l
		if l.Event == "login" {
			seen[l.SessionID]++
		}
	}
	for id := range want {
		if seen[id] != 1 {
			t.Errorf("%s: the log-in of session %s is there %d times", name, id, seen[id])
		}
	}
}

func differs(a, b []byte) string {
	x, y := strings.Split(string(a), "\n"), strings.Split(string(b), "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return x[i]
		}
	}
	return ""
}
