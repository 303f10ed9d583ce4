package node_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/session"
	"github.com/hydrastore/hydrastore/session/portable"
)

var byOperator = session.Call{Operator: true}

// exported closes the cluster and returns all that it holds, read at node i.
func (c *trio) exported(i int) (records []json.RawMessage) {
	c.t.Helper()
	c.step(i, session.MoveStep{Kind: session.MoveClose})
	for cursor, more := "", true; more; more = cursor != "" {
		page, err := c.nodes[i].ExportRecords(c.t.Context(), byOperator, cursor)
		if err != nil {
			c.t.Fatal(err)
		}
		records, cursor = append(records, page.Records...), page.NextCursor
	}
	return records
}

func (c *trio) step(i int, s session.MoveStep) session.Moving {
	c.t.Helper()
	m, err := c.nodes[i].Move(c.t.Context(), byOperator, s)
	if err != nil {
		c.t.Fatalf("step %s: %v", s.Kind, err)
	}
	return m
}

func fillingOf(begun session.Moving) session.Filling {
	return session.Filling{Origin: begun.Origin, Number: begun.Number}
}

// filled begins a move at node i and brings everything there.
func (c *trio) filled(i int, records []json.RawMessage) session.MoveStep {
	c.t.Helper()
	begun := c.step(i, session.MoveStep{Kind: session.MoveBegin, Cluster: records[0], Restart: true})
	m, err := c.nodes[i].ImportRecords(c.t.Context(), byOperator, fillingOf(begun), records[1:])
	if err != nil {
		c.t.Fatal(err)
	}
	return session.MoveStep{Kind: session.MoveFinish, Filling: fillingOf(begun), Users: m.Users, Sessions: m.Sessions}
}

// wantClosed holds all nodes to it that they serve nobody, and say which phase it is, since when, and what an operator can do: whoever was not there when it began has nothing else.
func (c *trio) wantClosed(phase session.MovePhase, when string) {
	c.t.Helper()
	says := map[session.MovePhase][]string{
		session.MoveClosed:  {"has been closed since ", "repeat `hydrastore migrate`", "`hydrastore cluster open`"},
		session.MoveFilling: {"has been filled since ", "repeat `hydrastore migrate`, which begins it anew"},
	}[phase]
	for i, n := range c.nodes {
		eventually(c.t, fmt.Sprintf("node %d to be %s %s", i+1, phase, when), func() error {
			status, err := n.ClusterStatus(c.t.Context(), byOperator)
			if err != nil || status.Phase != phase || time.Since(status.PhaseSince).Abs() > time.Hour {
				return fmt.Errorf("its status is %s since %v, %w", status.Phase, status.PhaseSince, err)
			}
			_, err = n.Check(c.t.Context(), with(unknownKey(c.t)), true)
			for what, err := range map[string]error{"a check": err, "ready": n.Ready(false), "ready for local reads": n.Ready(true)} {
				if session.CodeOf(err) != session.CodeUnavailable {
					return fmt.Errorf("%s: got %w", what, err)
				}
				for _, text := range append(says, status.PhaseSince.Format(time.RFC3339)) {
					if !strings.Contains(err.Error(), text) {
						return fmt.Errorf("%s: got %w, want that it says %q", what, err, text)
					}
				}
			}
			return nil
		})
	}
}

// TestWhatIsSealedOpensAtEveryNodeAfterAMove: the nodes have a seal key of their own under the id that the old home's had, and one of them cannot open what
// comes. The move does not end before it can.
func TestWhatIsSealedOpensAtEveryNodeAfterAMove(t *testing.T) {
	t.Parallel()
	old := startTrio(t, 1, withSealing(sealingWith(firstSafe)))
	secret := values("token", `"one"`)
	_, user := old.sealedSession(0, secret)
	records := old.exported(0)

	c := startTrio(t, 3, func(i int, config *node.Config) {
		config.Sealing = sealingWith(secondSafe, firstSafe)
		if i == 2 {
			config.Sealing = sealingWith(secondSafe)
		}
		config.RequestTimeout = time.Second
	})
	_, err := c.nodes[2].Move(t.Context(), byOperator, session.MoveStep{Kind: session.MoveBegin, Cluster: records[0], Restart: true})
	if session.CodeOf(err) != session.CodeConflict || !strings.Contains(err.Error(), "safe_password") {
		t.Errorf("begun at a node without the password: %v", err)
	}
	c.awaitReady(0) // nothing was begun
	finish := c.filled(0, records)
	c.wantClosed(session.MoveFilling, "while it is being filled")
	eventually(t, "the node that cannot open what came to be named", func() error {
		_, err := c.nodes[0].Move(t.Context(), byOperator, finish)
		if err == nil {
			t.Fatal("finished though a node cannot open what came")
		}
		if session.CodeOf(err) != session.CodeConflict || !strings.Contains(err.Error(), "node n3 has not derived, or cannot") {
			return err
		}
		return nil
	})
	c.restartWith(2, sealingWith(secondSafe, firstSafe))
	eventually(t, "the move to end", func() error {
		_, err := c.nodes[0].Move(t.Context(), byOperator, finish)
		return err
	})
	for i := range c.nodes {
		c.awaitReady(i)
		c.wantSealed(i, user, secret)
	}
	// The nodes make a new key of their present password, though it had one before the move: the newest seals.
	eventually(t, "the present password to seal", func() error {
		resealed, err := c.nodes[1].Reseal(t.Context(), byOperator, "")
		if err == nil && (resealed.Count != 1 || resealed.Left != 0) {
			err = fmt.Errorf("got %+v", resealed)
		}
		return err
	})
	for i := range c.nodes {
		c.restartWith(i, sealingWith(secondSafe))
		c.awaitReady(i)
		c.wantSealed(i, user, secret)
	}
}

// TestAClosedClusterStaysClosed over restarts of all its nodes, from the log as from a snapshot, whether it is left or being filled.
func TestAClosedClusterStaysClosed(t *testing.T) {
	t.Parallel()
	old := startTrio(t, 3, nil)
	admin, app := old.admin(0), old.service(0)
	issued, err := old.nodes[0].Login(t.Context(), app, session.Login{User: "ada", Vouched: true})
	if err != nil {
		t.Fatal(err)
	}
	records := old.exported(1)
	old.wantClosed(session.MoveClosed, "when it is left")
	if status, err := old.nodes[1].ClusterStatus(t.Context(), admin); err != nil || status.Phase != session.MoveClosed {
		t.Errorf("an admin's key at a closed cluster: %s, %v", status.Phase, err)
	}
	restart := func(c *trio) {
		for i := range c.nodes {
			c.stop(i)
		}
		for i := range c.nodes {
			c.start(i)
		}
	}
	restart(old)
	old.wantClosed(session.MoveClosed, "after a restart")
	again := old.exported(2)
	if len(again) != len(records) || fmt.Sprintf("%s", again) != fmt.Sprintf("%s", records) {
		t.Errorf("exported again:\n%s\nwant\n%s", again, records)
	}

	c := startTrio(t, 3, nil)
	finish := c.filled(0, records)
	restart(c)
	c.wantClosed(session.MoveFilling, "half filled, after a restart")
	if _, err := c.nodes[1].ClusterStatus(t.Context(), with(unknownKey(t))); session.CodeOf(err) != session.CodeUnavailable {
		t.Errorf("a key that may be on its way, at a cluster that is filled: %v", err)
	}
	eventually(t, "the move to end", func() error {
		_, err := c.nodes[1].Move(t.Context(), byOperator, finish)
		return err
	})
	for i, n := range c.nodes {
		c.awaitReady(i)
		if _, err := n.Check(t.Context(), with(issued.Key), false); err != nil {
			t.Errorf("node %d: %v", i+1, err)
		}
	}

	if m := old.step(0, session.MoveStep{Kind: session.MoveReopen}); m.Phase != session.MoveOpen || m.Sessions == 0 {
		t.Errorf("got %+v", m)
	}
	for i, n := range old.nodes {
		old.awaitReady(i)
		if _, err := n.Check(t.Context(), with(issued.Key), false); err != nil {
			t.Errorf("opened again, node %d: %v", i+1, err)
		}
		if status, err := n.ClusterStatus(t.Context(), byOperator); err != nil || status.Phase != session.MoveOpen || !status.PhaseSince.IsZero() {
			t.Errorf("opened again, node %d: %s since %v, %v", i+1, status.Phase, status.PhaseSince, err)
		}
	}
}

// TestAMoveBeginsANewHistory: index tokens of before are refused, and the cluster has what its configuration asks for beside what came.
func TestAMoveBeginsANewHistory(t *testing.T) {
	t.Parallel()
	old := startTrio(t, 1, nil)
	records := old.exported(0)
	c := startTrio(t, 1, func(_ int, config *node.Config) {
		config.Policies = append(config.Policies, session.Policy{
			Name: "mine", IdleTimeout: time.Hour, TouchWindow: session.TouchWindowAuto, Attributes: session.AttributesShared, AttributesWrite: session.WriteByService,
			BindAddress: session.BindOff, KeyFormat: session.KeyNative, PolicyLimits: session.PolicyLimits{OnLimit: session.OnLimitRefuse},
		})
	})
	before, err := c.nodes[0].ListPolicies(t.Context(), byOperator)
	if err != nil || len(before.Items) != 2 {
		t.Fatalf("got %+v, %v", before, err)
	}
	c.step(0, c.filled(0, records))
	c.awaitReady(0)
	_, err = c.nodes[0].Check(t.Context(), session.Call{Key: unknownKey(t), MinIndex: before.Index}, true)
	if session.CodeOf(err) != session.CodeHistoryMismatch {
		t.Errorf("a token of before: %v", err)
	}
	eventually(t, "the policy of the configuration", func() error {
		_, err := c.nodes[0].GetPolicy(t.Context(), byOperator, "mine")
		return err
	})
}

// TestBadRecordsAreRefusedWhole: what cannot be is told by its place, and nothing of the page it came in that is in one command is kept.
func TestBadRecordsAreRefusedWhole(t *testing.T) {
	t.Parallel()
	old := startTrio(t, 1, nil)
	app := old.service(0)
	for range 3 {
		if _, err := old.nodes[0].Login(t.Context(), app, session.Login{User: "ada", Vouched: true, Attributes: values("a", "1")}); err != nil {
			t.Fatal(err)
		}
	}
	records := old.exported(0)
	c := startTrio(t, 1, nil)
	begun := c.step(0, session.MoveStep{Kind: session.MoveBegin, Cluster: records[0], Restart: true})
	var users, sessions []json.RawMessage
	for _, r := range records[1:] {
		if strings.HasPrefix(string(r), `{"user":`) {
			users = append(users, r)
		} else {
			sessions = append(sessions, r)
		}
	}
	if _, err := c.nodes[0].ImportRecords(t.Context(), byOperator, fillingOf(begun), users); err != nil {
		t.Fatal(err)
	}
	change := func(old, new string) []json.RawMessage {
		last := len(sessions) - 1
		bad := strings.Replace(string(sessions[last]), old, new, 1)
		if bad == string(sessions[last]) {
			t.Fatalf("%s has no %s", bad, old)
		}
		return append(append([]json.RawMessage(nil), sessions[:last]...), json.RawMessage(bad))
	}
	for name, page := range map[string][]json.RawMessage{
		"no record":             {json.RawMessage(`{"cat":{}}`)},
		"a cluster":             {records[0]},
		"another user":          change(`"user":"ada"`, `"user":"eve"`),
		"another policy":        change(`"policy":"default"`, `"policy":"none"`),
		"a role":                change(`"roles":["user"]`, `"roles":["king"]`),
		"a method":              change(`"methods":["service"]`, `"methods":["magic"]`),
		"a future use":          change(`"last_use_ms":1`, `"last_use_ms":9`),
		"a value":               change(`"a":1`, `"a":null`),
		"a number of before":    {sessions[len(sessions)-1], sessions[len(sessions)-2]},
		"a field of the future": change(`"user":"ada"`, `"user":"ada","shoe_size":42`),
	} {
		before, err := c.nodes[0].Moving(t.Context(), byOperator)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.nodes[0].ImportRecords(t.Context(), byOperator, fillingOf(begun), page)
		after, errAfter := c.nodes[0].Moving(t.Context(), byOperator)
		if session.CodeOf(err) != session.CodeInvalid || errAfter != nil || after.Sessions != before.Sessions {
			t.Errorf("%s: got %v; %d sessions, before %d", name, err, after.Sessions, before.Sessions)
		}
	}
	if _, err := c.nodes[0].ImportRecords(t.Context(), byOperator, session.Filling{Origin: "another", Number: begun.Number}, sessions); session.CodeOf(err) != session.CodeConflict {
		t.Errorf("from another home: %v", err)
	}
	if _, err := c.nodes[0].ImportRecords(t.Context(), byOperator, fillingOf(begun), make([]json.RawMessage, session.MaxImportRecords+1)); session.CodeOf(err) != session.CodeTooLarge {
		t.Errorf("too many: %v", err)
	}
	m, err := c.nodes[0].ImportRecords(t.Context(), byOperator, fillingOf(begun), sessions)
	if err != nil || m.Sessions != len(sessions) {
		t.Fatalf("got %+v, %v", m, err)
	}
	if again, err := c.nodes[0].ImportRecords(t.Context(), byOperator, fillingOf(begun), sessions); err != nil || again.Sessions != len(sessions) {
		t.Errorf("again: got %+v, %v", again, err)
	}
}

// TestAClosedClusterCanLoseAMember: its operator hands leadership over and removes a server that is lost, which nothing of a move hangs on.
func TestAClosedClusterCanLoseAMember(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, nil)
	admin := c.admin(0)
	c.step(0, session.MoveStep{Kind: session.MoveClose})
	if _, err := c.nodes[0].TransferLeadership(t.Context(), admin, ""); session.CodeOf(err) != session.CodeUnavailable {
		t.Errorf("an admin over the API: %v", err)
	}
	if _, err := c.nodes[0].TransferLeadership(t.Context(), byOperator, ""); err != nil {
		t.Errorf("hand leadership over: %v", err)
	}
	status, err := c.nodes[2].ClusterStatus(t.Context(), byOperator)
	if err != nil {
		t.Fatal(err)
	}
	c.stop(2)
	eventually(t, "the lost server to be removed", func() error {
		_, err := c.nodes[0].RemoveMember(t.Context(), byOperator, status.NodeID)
		return err
	})
	if status, err = c.nodes[0].ClusterStatus(t.Context(), byOperator); err != nil || len(status.Members) != 2 {
		t.Errorf("%d servers are left, %v", len(status.Members), err)
	}
}

// TestAnExportIsOfOneClosing: what was read before the cluster was open for a while is not put together with what is read after it.
func TestAnExportIsOfOneClosing(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 1, nil)
	c.step(0, session.MoveStep{Kind: session.MoveClose})
	var cursors []string
	for cursor, more := "", true; more; more = cursor != "" {
		page, err := c.nodes[0].ExportRecords(t.Context(), byOperator, cursor)
		if err != nil {
			t.Fatal(err)
		}
		if cursor = page.NextCursor; cursor != "" {
			cursors = append(cursors, cursor)
		}
	}
	if len(cursors) < 2 {
		t.Fatalf("the cursors are %q", cursors)
	}
	c.step(0, session.MoveStep{Kind: session.MoveReopen})
	c.clocks[0].advance(time.Second)
	eventually(t, "time to go on", func() error {
		c.step(0, session.MoveStep{Kind: session.MoveClose})
		_, err := c.nodes[0].ExportRecords(t.Context(), byOperator, cursors[0])
		if err == nil {
			c.step(0, session.MoveStep{Kind: session.MoveReopen})
			return errors.New("the list goes on")
		}
		return nil
	})
	for _, cursor := range cursors {
		if _, err := c.nodes[0].ExportRecords(t.Context(), byOperator, cursor); session.CodeOf(err) != session.CodeConflict || !strings.Contains(err.Error(), "repeat the move") {
			t.Errorf("%q of another closing: %v", cursor, err)
		}
	}
	if _, err := c.nodes[0].ExportRecords(t.Context(), byOperator, "s:x"); session.CodeOf(err) != session.CodeConflict {
		t.Errorf("no cursor: %v", err)
	}
}

// TestAClockThatIsAheadIsSaid: whatever of a record is in this cluster's future, the answer says so, how far, and what to do.
func TestAClockThatIsAheadIsSaid(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 1, nil)
	begun := c.step(0, session.MoveStep{Kind: session.MoveBegin, Cluster: clusterWith(t, "ahead", 1), Restart: true})
	now := begun.At.UnixMilli()
	ahead := now + (2 * time.Hour).Milliseconds()
	living := func(change func(*portable.Session)) portable.Record {
		s := &portable.Session{
			ID: session.ID{1}, Number: 1, User: "ada", Policy: session.DefaultPolicyName, Key: unknownKey(t).Hash(), CreatedMS: now, LastUseMS: now, LastActivityMS: now, AuthMS: now,
			Roles: []session.Role{session.RoleUser}, Methods: []session.Method{session.MethodPassword},
		}
		change(s)
		return portable.Record{Session: s}
	}
	bring := func(r portable.Record) error {
		text, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.nodes[0].ImportRecords(t.Context(), byOperator, fillingOf(begun), []json.RawMessage{text})
		return err
	}
	if err := bring(portable.Record{User: &portable.User{Name: "ada", LastNumber: 1}}); err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]portable.Record{
		"an earlier form of a policy": {Past: &portable.Past{Policy: session.DefaultPolicyName, Forms: []portable.PastForm{{UntilMS: ahead, LifetimeMS: 1000}}}},
		"creation":                    living(func(s *portable.Session) { s.CreatedMS = ahead }),
		"use":                         living(func(s *portable.Session) { s.LastUseMS = ahead }),
		"proof":                       living(func(s *portable.Session) { s.AuthMS = ahead }),
		"a rotated key": living(func(s *portable.Session) {
			s.Retired = []portable.RetiredKey{{Hash: unknownKey(t).Hash(), GraceMS: ahead + session.MaxRotateGrace.Milliseconds(), Sealed: make([]byte, session.SealedKeyBytes)}}
		}),
	} {
		err := bring(r)
		if session.CodeOf(err) != session.CodeInvalid || !strings.Contains(err.Error(), "the clock of the old home is ahead of this one, repeat the move when that time has passed") ||
			!strings.Contains(err.Error(), "ahead)") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if err := bring(living(func(*portable.Session) {})); err != nil {
		t.Errorf("of just now: %v", err)
	}
}

// TestAsMuchPastAsAClusterCanHave: all policies that there can be, with names as long as can be, and of each as many earlier lifetimes in force as can be, come
// into a cluster and go from there into another.
func TestAsMuchPastAsAClusterCanHave(t *testing.T) {
	t.Parallel()
	const most = 64 // earlier lifetimes of one policy
	c := &portable.Cluster{ID: "old", Version: 1}
	since := time.Now().Add(-24 * time.Hour).UnixMilli()
	for i := range session.MaxPolicies {
		p := session.DefaultPolicy()
		if i > 0 {
			p.Name = fmt.Sprintf("p.%0*d", session.MaxPolicyNameBytes-2, i)
		}
		c.Policies = append(c.Policies, portable.PolicyOf(p))
		for n := range int64(most) {
			form := portable.PastForm{Version: 1, UntilMS: since + n, IdleMS: p.IdleTimeout.Milliseconds(), WindowMS: p.EffectiveTouchWindow().Milliseconds(), LifetimeMS: 3_600_000 + 1000*n}
			c.Past = append(c.Past, portable.PastPolicy{Policy: p.Name, PastForm: form})
		}
	}
	var records []json.RawMessage
	for _, r := range c.Records() {
		text, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, text)
	}
	first, second := startTrio(t, 1, nil), startTrio(t, 1, nil)
	for i, to := range []*trio{first, second} {
		to.step(0, to.filled(0, records))
		to.awaitReady(0)
		got := to.exported(0)
		for k := range got[1:min(len(got), len(records))] {
			if string(got[k+1]) != string(records[k+1]) && i > 0 {
				t.Fatalf("record %d is\n%s\nwant\n%s", k+1, got[k+1], records[k+1])
			}
		}
		if len(got) != 1+session.MaxPolicies {
			t.Fatalf("%d records, want %d", len(got), 1+session.MaxPolicies)
		}
		records = got
	}
}
