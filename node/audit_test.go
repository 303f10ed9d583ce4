package node_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/node/audit"
	"github.com/hydrastore/hydrastore/session"
)

// auditLine is what these tests read of a line.
type auditLine struct {
	Event     string
	Index     uint64
	Position  int
	User      string
	SessionID string `json:"session_id"`
	ClientIP  string `json:"client_ip"`
	Cause     string
	Reason    string
	Count     uint64
	Actor     string
	FromIndex uint64 `json:"from_index"`
	ToIndex   uint64 `json:"to_index"`
}

// audited makes node i keep a trail in a file of its own.
func audited(dir, nodes string) func(int, *node.Config) {
	return func(i int, c *node.Config) {
		c.Audit = audit.Config{File: auditFile(dir, i), Nodes: nodes}
	}
}

func auditFile(dir string, i int) string { return filepath.Join(dir, fmt.Sprintf("audit-%d.log", i)) }

func auditLines(t *testing.T, path string) (lines []auditLine) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for text := range bytes.Lines(text) {
		var l auditLine
		if err := json.Unmarshal(text, &l); err != nil {
			t.Fatalf("%s holds %q: %v", path, text, err)
		}
		lines = append(lines, l)
	}
	return lines
}

// awaitAudit waits until node i's trail holds a line that ok accepts.
func awaitAudit(t *testing.T, path string, what string, ok func(auditLine) bool) {
	t.Helper()
	eventually(t, what, func() error {
		if slices.ContainsFunc(auditLines(t, path), ok) {
			return nil
		}
		return fmt.Errorf("%s does not hold it", path)
	})
}

// TestTheTrailIsTheSameOnEveryNode, byte for byte, over restarts of each; and it tells what was done.
func TestTheTrailIsTheSameOnEveryNode(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := startTrio(t, 3, audited(dir, audit.AllNodes))
	sessions := auditedStory(t, c)
	for i := range c.nodes {
		c.stop(i)
		c.start(i)
		c.awaitReady(i)
	}
	last := c.admin(1)
	checked, err := c.nodes[1].Check(t.Context(), last, true)
	if err != nil {
		t.Fatal(err)
	}
	var want []byte
	for i := range c.nodes {
		awaitAudit(t, auditFile(dir, i), "the last log-in", func(l auditLine) bool { return l.SessionID == checked.Session.ID.String() })
		text, err := os.ReadFile(auditFile(dir, i))
		if err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = text
		}
		if !bytes.Equal(text, want) {
			t.Errorf("node %d's trail is\n%s\nnode 1's\n%s", i+1, text, want)
		}
	}
	told := map[string]bool{}
	for _, l := range auditLines(t, auditFile(dir, 0)) {
		told[strings.Join([]string{l.Event, l.User, l.Cause + l.Reason, l.Actor}, " ")] = true
		if l.Event == "login" && l.ClientIP == "" || l.Event == "gap" {
			t.Errorf("got the line %+v", l)
		}
		delete(sessions, l.SessionID)
	}
	for _, want := range []string{
		"user_created admin  ", "policy_created   ", "login admin  admin", "user_created app  admin", "login ada  app", "session_ended ada logout ada", "session_ended ada revoked admin",
		"login_failed ada wrong_password ", "login_failed  unknown_user ", "login_failed bob user_disabled ", "user_changed bob  admin", "user_sessions_revoked ada  admin",
		"session_ended ada user ", "user_deleted bob  admin", "policy_changed   admin",
	} {
		if !told[want] {
			t.Errorf("no line tells %q; told: %v", want, told)
		}
	}
	if len(sessions) > 0 || strings.Contains(string(want), "misplaced-password") || strings.Contains(string(want), "right-password") {
		t.Errorf("sessions without a line: %v; or a password in\n%s", sessions, want)
	}
}

// auditedStory does what an audit has to tell, and returns the ids of all sessions.
func auditedStory(t *testing.T, c *trio) map[string]bool {
	t.Helper()
	ctx, sessions := t.Context(), map[string]bool{}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	admin, service := c.admin(0), c.service(1)
	vouch := func() session.Issued {
		issued, err := c.nodes[2].Login(ctx, service, session.Login{User: "ada", Vouched: true, ClientAddress: service.Address})
		must(err)
		sessions[issued.Session.ID.String()] = true
		return issued
	}
	_, err := c.nodes[0].Logout(ctx, with(vouch().Key))
	must(err)
	_, err = c.nodes[1].RevokeSession(ctx, admin, vouch().Session.ID)
	must(err)
	vouch()
	_, err = c.nodes[2].RevokeUserSessions(ctx, admin, "ada", session.UserSessions{})
	must(err)
	for _, name := range []string{"ada", "bob"} {
		_, err = c.nodes[0].CreateUser(ctx, admin, session.NewUser{Name: name, Password: "right-password"})
		must(err)
	}
	disabled := true
	_, err = c.nodes[0].UpdateUser(ctx, admin, "bob", session.UserChange{Disabled: &disabled})
	must(err)
	for name, password := range map[string]string{"ada": "wrong-password", "misplaced-password": "x", "bob": "right-password"} {
		if _, err := c.nodes[1].Login(ctx, from("192.0.2.9"), session.Login{User: name, Password: password}); session.CodeOf(err) != session.CodeUnauthenticated {
			t.Fatalf("log-in of %s: %v", name, err)
		}
	}
	for _, reason := range []string{"wrong_password", "unknown_user", "user_disabled"} { // they are reported without waiting
		path := c.auditPath(0)
		awaitAudit(t, path, reason, func(l auditLine) bool { return l.Reason == reason && l.ClientIP == "192.0.2.9" })
	}
	_, err = c.nodes[0].DeleteUser(ctx, admin, "bob")
	must(err)
	idle := 2 * session.DefaultIdleTimeout
	_, err = c.nodes[2].PatchPolicy(ctx, admin, "default", session.PolicyChange{IdleTimeout: &idle})
	must(err)
	return sessions
}

// auditPath is where node i keeps its trail, as its configuration says.
func (c *trio) auditPath(i int) string {
	var config node.Config
	c.setup(i, &config)
	return config.Audit.File
}

// TestEachLineOnceWhereLeadersWrite: with nodes=leader the nodes' files together hold each log-in once, whoever led, through transfers, the
// loss of leaders and restarts.
func TestEachLineOnceWhereLeadersWrite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := startTrio(t, 3, audited(dir, audit.LeaderOnly))
	want := map[string]bool{}
	for round := range 6 {
		for i := range c.nodes {
			checked, err := c.nodes[i].Check(t.Context(), c.admin(i), true)
			if err != nil {
				t.Fatal(err)
			}
			want[checked.Session.ID.String()] = true
		}
		leader := c.leader()
		if round%2 == 0 {
			c.stop(leader)
			c.login((leader+1)%3, "admin", adminPassword)
			c.start(leader)
			c.awaitReady(leader)
		} else if _, err := c.nodes[leader].TransferLeadership(t.Context(), operator, ""); err != nil {
			t.Logf("transfer: %v", err)
		}
	}
	for i := range c.nodes {
		c.stop(i) // which writes the rest
	}
	seen, files := map[string]int{}, 0
	for i := range c.nodes {
		lines := auditLines(t, auditFile(dir, i))
		if len(lines) > 0 {
			files++
		}
		for _, l := range lines {
			seen[fmt.Sprint(l.Index, "/", l.Position)]++
			delete(want, l.SessionID)
		}
	}
	for place, n := range seen {
		if n != 1 {
			t.Errorf("line %s is there %d times", place, n)
		}
	}
	if len(want) > 0 || files < 2 {
		t.Errorf("log-ins without a line: %v; %d nodes wrote", want, files)
	}
}

// TestASnapshotLeavesOneGapLine: a node that was given a snapshot instead of the log says which lines it does not have, and its own snapshots
// leave none.
func TestASnapshotLeavesOneGapLine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := startTrio(t, 3, func(i int, config *node.Config) {
		audited(dir, audit.AllNodes)(i, config)
		config.Cluster.SnapshotCommands, config.Cluster.TrailingBytes = 20, 1
	})
	service := c.service(0)
	away := (c.leader() + 1) % 3
	c.stop(away)
	up := (away + 1) % 3
	var last session.Issued
	makeSome := func() {
		t.Helper()
		for range 60 {
			issued, err := c.nodes[up].Login(t.Context(), service, session.Login{User: "ada", Vouched: true})
			if err != nil {
				t.Fatal(err)
			}
			last = issued
		}
	}
	for range 2 { // the log is shortened after a snapshot, and before the next one
		status, err := c.nodes[up].ClusterStatus(t.Context(), operator)
		if err != nil {
			t.Fatal(err)
		}
		makeSome()
		for i := range c.nodes {
			if i != away {
				awaitSnapshot(t, c.dirs[i], status.Applied)
			}
		}
	}
	makeSome()
	c.start(away)
	c.awaitReady(away)
	makeSome()
	for i := range c.nodes {
		awaitAudit(t, auditFile(dir, i), "the last log-in", func(l auditLine) bool { return l.SessionID == last.Session.ID.String() })
		c.stop(i)
		c.start(i)
	}
	whole := auditLines(t, auditFile(dir, up))
	whole = slices.DeleteFunc(whole, func(l auditLine) bool { return l.Event == "gap" })
	for i := range c.nodes {
		lines, gaps := auditLines(t, auditFile(dir, i)), 0
		var explained []auditLine
		for _, l := range lines {
			if l.Event != "gap" {
				explained = append(explained, l)
				continue
			}
			gaps++
			for _, w := range whole {
				if l.FromIndex <= w.Index && w.Index <= l.ToIndex {
					explained = append(explained, w)
				}
			}
		}
		if wantGaps := map[bool]int{true: 1}[i == away]; gaps != wantGaps {
			t.Errorf("node %d has %d gaps, want %d", i+1, gaps, wantGaps)
		}
		if n := min(len(explained), len(whole)); !slices.Equal(explained[:n], whole[:n]) || n < 180 {
			t.Errorf("node %d: lines and gaps together are not the whole trail: %d lines, %d of the whole", i+1, len(explained), len(whole))
		}
	}
}

// awaitSnapshot waits until the data folder holds a snapshot of an index behind after.
func awaitSnapshot(t *testing.T, dir string, after uint64) {
	t.Helper()
	eventually(t, "a snapshot", func() error {
		found, err := filepath.Glob(filepath.Join(dir, "snapshots", "*"))
		for _, name := range found {
			var term, index uint64
			if n, _ := fmt.Sscanf(filepath.Base(name), "%d-%d-", &term, &index); n == 2 && index > after && filepath.Ext(name) != ".tmp" {
				return nil
			}
		}
		return fmt.Errorf("none behind %d among %v, %v", after, found, err)
	})
}

// TestAFloodOfWrongPasswordsDoesNotFillTheLog: each is told, most of them only in a sum.
func TestAFloodOfWrongPasswordsDoesNotFillTheLog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := startTrio(t, 1, audited(dir, audit.AllNodes))
	c.freeze() // each second allows some lines more
	const attempts = 400
	for range attempts {
		if _, err := c.nodes[0].Login(t.Context(), from("192.0.2.9"), session.Login{User: "admin", Password: "wrong-password"}); err == nil {
			t.Fatal("logged in")
		}
	}
	c.stop(0) // in good order: what was only counted is told
	lines, told := 0, uint64(0)
	for _, l := range auditLines(t, auditFile(dir, 0)) {
		if l.Event == "login_failed" {
			lines++
			told += max(1, l.Count)
		}
	}
	if told != attempts || lines >= attempts/2 {
		t.Errorf("%d attempts made %d lines, which tell %d", attempts, lines, told)
	}
}
