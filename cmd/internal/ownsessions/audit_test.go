package ownsessions_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/session"
)

// auditLine is a line of the audit trail as its readers see it.
type auditLine struct {
	Time, Event, Node, User, Policy, Method, Cause, Reason, Field, Actor string

	Index, Sequence, Number, Count uint64
	Permanent, System              bool

	SessionID      string `json:"session_id"`
	ClientIP       string `json:"client_ip"`
	UserAgent      string `json:"user_agent"`
	ActorSessionID string `json:"actor_session_id"`
	ActorIP        string `json:"actor_ip"`
}

func withAudit(dir string) func(*node.Config) {
	return func(c *node.Config) {
		c.Audit.File = filepath.Join(dir, strings.ReplaceAll(c.Cluster.PeerListen, ":", "-")+".log")
		c.Cluster.Name = "node of " + c.Cluster.PeerListen
	}
}

// ownLines are those about the member's own sessions, as they stand now. They are numbered without a hole.
func (m *member) ownLines() (all []auditLine) {
	m.t.Helper()
	text, err := os.ReadFile(m.config.Audit.File)
	if err != nil {
		m.t.Fatal(err)
	}
	for raw := range bytes.Lines(text) {
		var l auditLine
		if err := json.Unmarshal(raw, &l); err != nil {
			m.t.Fatalf("line %s: %v", raw, err)
		}
		if l.Sequence == 0 {
			continue
		}
		all = append(all, l)
		if l.Sequence != uint64(len(all)) || l.Node != m.config.Cluster.Name || l.Index != 0 {
			m.t.Errorf("line %d of %s is %s", len(all), m.config.Cluster.Name, raw)
		}
	}
	return all
}

// short says what a line tells, without what differs from run to run.
func (l auditLine) short() string {
	text := []string{l.Event}
	for _, part := range []string{l.User, l.Policy, l.Method, l.Cause, l.Reason, l.Field} {
		if part != "" {
			text = append(text, part)
		}
	}
	if l.Count != 0 {
		text = append(text, fmt.Sprintf("count %d", l.Count))
	}
	if l.System {
		text = append(text, "by system")
	}
	if l.Actor != "" || l.ActorIP != "" {
		text = append(text, "by", strings.TrimSpace(l.Actor+" "+l.ActorIP))
	}
	return strings.Join(text, " ")
}

// TestAuditTrail: what happens to a node's own sessions has its line when it is answered, in the words of the cluster's trail.
func TestAuditTrail(t *testing.T) {
	t.Parallel()
	shared := &clock{begun: time.Now()}
	a := startCluster(t, 1, shared, withAudit(t.TempDir()))[0]
	w := &world{t, a, nil, nil, shared}
	seen := 0
	lines := func(what string, want ...string) []auditLine {
		t.Helper()
		fresh := a.ownLines()[seen:]
		seen += len(fresh)
		var got []string
		for _, l := range fresh {
			got = append(got, l.short())
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got the lines\n\t%s\nwant\n\t%s", what, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
		}
		return fresh
	}
	idle := time.Minute
	for name, ch := range map[string]session.PolicyChange{
		"one":   {LimitsChange: session.LimitsChange{SingleSession: ptr(true)}},
		"few":   {LimitsChange: session.LimitsChange{MaxSessionsPerUser: ptr(1), OnLimit: ptr(session.OnLimitOldest)}},
		"full":  {LimitsChange: session.LimitsChange{MaxSessionsPerUser: ptr(1)}},
		"short": {IdleTimeout: &idle, TouchWindow: ptr(time.Duration(0))},
		"keys":  {PermanentAllowed: ptr(true)},
	} {
		if _, err := a.PutPolicy(t.Context(), operator, name, ch); err != nil {
			t.Fatal(err)
		}
	}
	w.user(a, "bea")
	w.user(a, "ann", session.RoleService)
	w.update(a, "ann", session.UserChange{Policies: ptr([]string{"default", "keys"})})
	lines("before a session")

	ann := w.login(a, "ann")
	first := lines("log in", "login ann default password by ann 192.0.2.1")
	if len(first) == 1 && (first[0].SessionID != ann.ID.String() || first[0].Number != ann.Number || first[0].ClientIP != "192.0.2.1" || first[0].ActorSessionID != ann.ID.String()) {
		t.Errorf("the line of the log-in is %+v", first[0])
	}
	_, _ = a.Login(t.Context(), session.Call{Address: address}, session.Login{User: "bea", Password: "password of bea", Policy: "short"})
	lines("a policy that it may not choose", "login_failed bea short password forbidden policy by bea 192.0.2.1")

	vouch := func(policy, request string) session.Issued {
		t.Helper()
		i, err := a.Login(t.Context(), with(ann), session.Login{User: "zoe", Vouched: true, Policy: policy, ClientAddress: netip.MustParseAddr("198.51.100.7"), UserAgent: "browser", IdempotencyKey: request})
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	logout := func(i session.Issued) {
		t.Helper()
		if _, err := a.Logout(t.Context(), with(i)); err != nil {
			t.Fatal(err)
		}
	}
	vouch("one", "")
	if got := lines("vouch", "login zoe one vouched by ann 192.0.2.1"); len(got) == 1 && (got[0].UserAgent != "browser" || got[0].ClientIP != "198.51.100.7" || got[0].ActorSessionID != ann.ID.String()) {
		t.Errorf("the line is %+v", got[0])
	}
	zoe := vouch("one", "")
	lines("one session a user", "session_ended zoe one replaced by ann 192.0.2.1", "login zoe one vouched by ann 192.0.2.1")
	logout(zoe)
	lines("log out", "session_ended zoe one logout by zoe 192.0.2.1")
	logout(zoe)
	lines("log out again")
	vouch("few", "")
	vouch("few", "")
	lines("evict", "login zoe few vouched by ann 192.0.2.1", "session_ended zoe few evicted by ann 192.0.2.1", "login zoe few vouched by ann 192.0.2.1")
	if _, err := a.RevokeUserSessions(t.Context(), operator, "zoe", session.UserSessions{}); err != nil {
		t.Fatal(err)
	}
	lines("revoke a user's", "user_sessions_revoked zoe count 1 by system", "session_ended zoe few user")
	vouch("full", "r1")
	zoe = vouch("full", "r1")
	lines("repeat", "login zoe full vouched by ann 192.0.2.1", "login_repeated zoe full vouched by ann 192.0.2.1")
	_, _ = a.Login(t.Context(), with(ann), session.Login{User: "zoe", Vouched: true, Policy: "full"})
	lines("a limit", "login_failed zoe full vouched session_limit max_sessions_per_user by ann 192.0.2.1")
	if _, err := a.RevokeSession(t.Context(), operator, zoe.ID); err != nil {
		t.Fatal(err)
	}
	lines("revoke one", "session_ended zoe full revoked by system")
	short := vouch("short", "")
	shared.advance(2 * time.Minute)
	w.bad("its time is over", a, short)
	lines("time", "login zoe short vouched by ann 192.0.2.1", "session_ended zoe short idle")

	rotated, err := a.Rotate(t.Context(), with(ann))
	if err != nil {
		t.Fatal(err)
	}
	lines("rotate", "key_rotated ann default by ann 192.0.2.1")
	proved, err := a.Reauthenticate(t.Context(), with(rotated), session.Proof{Password: "password of ann"})
	if err != nil {
		t.Fatal(err)
	}
	lines("prove anew", "reauthenticated ann default password by ann 192.0.2.1")
	w.bad("a spent key", a, rotated)
	w.bad("whose key was stolen", a, proved)
	if got := lines("a spent key", "session_ended ann default reused_key by 192.0.2.1"); len(got) == 1 && got[0].SessionID != ann.ID.String() {
		t.Errorf("the line is %+v", got[0])
	}
	replaced := w.login(a, "ann")
	if _, err := a.Login(t.Context(), with(replaced), session.Login{User: "ann", Password: "password of ann", Policy: "keys", Permanent: true}); err != nil {
		t.Fatal(err)
	}
	lines("in the place of a session", "login ann default password by ann 192.0.2.1", "session_ended ann default replaced by ann 192.0.2.1", "login ann keys password by ann 192.0.2.1")
	w.login(a, "ann")
	seen++
	w.update(a, "ann", session.UserChange{Password: ptr("another password")})
	lines("another password", "session_ended ann default user")
	if _, err := a.DeleteUser(t.Context(), operator, "ann"); err != nil {
		t.Fatal(err)
	}
	if got := lines("delete", "session_ended ann keys user"); len(got) == 1 && !got[0].Permanent {
		t.Errorf("the line is %+v", got[0])
	}
	a.stop()
	a.start()
	a.awaitReady()
	lines("a restart")
	vouched := w.vouch(a, session.Login{User: "zoe"})
	lines("after a restart", "login zoe default vouched by system")
	if !slices.IsSortedFunc(a.ownLines(), func(x, y auditLine) int { return strings.Compare(x.Time, y.Time) }) {
		t.Error("time goes back")
	}
	text, err := os.ReadFile(a.config.Audit.File)
	if err != nil || bytes.Contains(text, []byte("hs_")) || bytes.Contains(text, []byte(vouched.Key.Reveal())) {
		t.Errorf("the trail holds a key, or cannot be read: %v", err)
	}
}

// TestAuditTrailOfChangesElsewhere: what another node does to an account is in the trail of each node whose sessions it ends, when these are met or swept away, and once.
func TestAuditTrailOfChangesElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withAudit(t.TempDir()))
	w.user(w.a, "ann")
	w.user(w.a, "bob")
	ann, again, bob := w.login(w.a, "ann"), w.login(w.a, "ann"), w.login(w.b, "bob")
	w.update(w.b, "ann", session.UserChange{Disabled: ptr(true)})
	w.bad("disabled elsewhere", w.a, ann)
	w.bad("disabled elsewhere", w.a, again)
	w.a.stop()
	w.update(w.b, "bob", session.UserChange{Disabled: ptr(true)})
	w.a.start()
	w.a.awaitReady()
	eventually(t, "told", func() error {
		w.bad("met once more", w.a, ann)
		if n := len(w.a.ownLines()); n != 4 {
			return fmt.Errorf("%d lines, want 4", n)
		}
		return nil
	})
	ended := map[string]int{}
	for _, l := range w.a.ownLines() {
		if l.Event == "session_ended" && l.Cause == "user" && l.User == "ann" {
			ended[l.SessionID]++
		}
	}
	if ended[ann.ID.String()] != 1 || ended[again.ID.String()] != 1 {
		t.Errorf("the ends that are told: %v", ended)
	}
	if got := w.b.ownLines(); len(got) != 2 || got[1].SessionID != bob.ID.String() || got[1].Cause != "user" {
		t.Errorf("at the node that has done it: %+v", got)
	}
}

// wantEachOnce is the claim of the whole: every session begins and ends at most once in the trail, and those that live have begun and not ended. On a slow disk a line
// may come after the answer.
func (m *member) wantEachOnce() {
	m.t.Helper()
	if m.config.Audit.File != "" {
		eventually(m.t, "told once each", m.eachOnce)
	}
}

func (m *member) eachOnce() error {
	begun, ended := map[string]int{}, map[string]int{}
	for _, l := range m.ownLines() {
		switch {
		case l.Event == "login":
			begun[l.SessionID]++
		case l.Event == "session_ended" && l.Cause == "":
			return fmt.Errorf("an end without a cause: %+v", l)
		case l.Event == "session_ended":
			ended[l.SessionID]++
		}
	}
	for id := range ended {
		if begun[id] == 0 { // among simultaneous log-ins the line of an end may be written first
			return fmt.Errorf("%s ends and has not begun", id)
		}
	}
	for id := range begun {
		if begun[id] != 1 || ended[id] > 1 {
			return fmt.Errorf("%s begins %d times and ends %d times", id, begun[id], ended[id])
		}
	}
	for page := (session.Page{}); ; {
		list, err := m.ListSessions(m.t.Context(), operator, session.Filter{}, page)
		if err != nil {
			return err
		}
		for _, living := range list.Items {
			if id := living.ID.String(); begun[id] != 1 || ended[id] != 0 {
				return fmt.Errorf("%s lives; it has begun %d times and ended %d times", id, begun[id], ended[id])
			}
		}
		if page.Cursor = list.NextCursor; page.Cursor == "" {
			return nil
		}
	}
}
