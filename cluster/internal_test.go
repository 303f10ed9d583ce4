package cluster

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/hydrastore/hydrastore/cluster/clusterpb"
	"google.golang.org/protobuf/proto"
)

// scribe is a StateMachine that writes down what it is told.
type scribe struct {
	told   []string
	failAt uint64
}

func (s *scribe) Apply(entries []Entry) error {
	for _, e := range entries {
		if e.Index == s.failAt {
			return errors.New("unknown command")
		}
		s.told = append(s.told, fmt.Sprintf("%d/%d %s", e.Index, e.Term, e.Data))
	}
	return nil
}

func (s *scribe) Established(l Leadership) {
	s.told = append(s.told, fmt.Sprintf("%s leads in %d, self %v", l.NodeID, l.Epoch, l.Self))
}

func (s *scribe) Snapshot() (Snapshot, error) { return text(fmt.Sprint(s.told)), nil }

func (s *scribe) Restore(r io.Reader, index, term uint64) error {
	raw, err := io.ReadAll(r)
	s.told = []string{fmt.Sprintf("restored %d/%d %s", index, term, raw)}
	return err
}

type text string

func (t text) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, string(t))
	return int64(n), err
}

func (text) Release() {}

// sink is a raft.SnapshotSink in memory.
type sink struct {
	bytes.Buffer
	canceled bool
}

func (*sink) ID() string      { return "" }
func (*sink) Close() error    { return nil }
func (s *sink) Cancel() error { s.canceled = true; return nil }

// testMachine returns a machine of node "a" over sm, and what it called fatal.
func testMachine(sm StateMachine) (*machine, *[]error) {
	var fatal []error
	return &machine{
		sm: sm, self: "a", clusterID: func() string { return "c1" }, table: newMemberTable(), applied: new(appliedIndex), readable: new(readable),
		established: func(Leadership) {}, configured: func(raft.Configuration) {},
		fatal: func(err error) { fatal = append(fatal, err) },
	}, &fatal
}

func command(index, term uint64, data string) *raft.Log {
	return &raft.Log{Index: index, Term: term, Type: raft.LogCommand, Data: append([]byte{kindApplication}, data...)}
}

func internalLog(t *testing.T, index, term uint64, in *clusterpb.Internal) *raft.Log {
	t.Helper()
	body, err := proto.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	return &raft.Log{Index: index, Term: term, Type: raft.LogCommand, Data: append([]byte{kindInternal}, body...)}
}

func establishedLog(t *testing.T, index, term uint64, id string) *raft.Log {
	return internalLog(t, index, term, &clusterpb.Internal{Entry: &clusterpb.Internal_Established{Established: &clusterpb.Established{NodeId: id}}})
}

func TestMachineAppliesInOrder(t *testing.T) {
	t.Parallel()
	s := new(scribe)
	m, fatal := testMachine(s)
	m.ApplyBatch([]*raft.Log{
		establishedLog(t, 2, 1, "a"),
		command(3, 1, "x"),
		command(4, 1, "y"),
		establishedLog(t, 6, 2, "b"),
		command(7, 2, "z"),
		{Index: 8, Term: 2, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(raft.Configuration{})},
	})
	want := []string{"a leads in 1, self true", "3/1 x", "4/1 y", "b leads in 2, self false", "7/2 z"}
	if !slices.Equal(s.told, want) {
		t.Errorf("told %q, want %q", s.told, want)
	}
	if got := m.applied.load(); got != 8 {
		t.Errorf("applied index %d, want 8: the configuration entry counts", got)
	}
	if len(*fatal) > 0 {
		t.Errorf("fatal: %v", *fatal)
	}
}

func TestMachineStopsOnFailure(t *testing.T) {
	t.Parallel()
	for name, poison := range map[string]*raft.Log{
		"state machine":    command(4, 1, "y"),
		"unknown kind":     {Index: 4, Term: 1, Type: raft.LogCommand, Data: []byte{99}},
		"unknown internal": {Index: 4, Term: 1, Type: raft.LogCommand, Data: []byte{kindInternal}},
		"broken internal":  {Index: 4, Term: 1, Type: raft.LogCommand, Data: []byte{kindInternal, 0xff}},
	} {
		s := &scribe{failAt: 4}
		m, fatal := testMachine(s)
		m.ApplyBatch([]*raft.Log{command(3, 1, "x")})
		answers := m.ApplyBatch([]*raft.Log{poison})
		if len(*fatal) != 1 || answers[0] == nil {
			t.Errorf("%s: fatal %v, answer %v", name, *fatal, answers[0])
		}
		if answer := m.Apply(command(5, 1, "z")); answer == nil || m.applied.load() != 3 || len(s.told) != 1 {
			t.Errorf("%s: entries are applied after the failure: %v", name, s.told)
		}
		if _, err := m.Snapshot(); err == nil {
			t.Errorf("%s: a snapshot is taken after the failure", name)
		}
	}
}

func TestSnapshotCarriesMembersAndLeadership(t *testing.T) {
	t.Parallel()
	m, _ := testMachine(new(scribe))
	put := func(index uint64, id string) *raft.Log {
		return internalLog(t, index, 1, &clusterpb.Internal{Entry: &clusterpb.Internal_MemberPut{MemberPut: &clusterpb.MemberPut{Member: &clusterpb.Member{Id: id, Name: "name of " + id}}}})
	}
	gone := internalLog(t, 6, 1, &clusterpb.Internal{Entry: &clusterpb.Internal_MemberRemove{MemberRemove: &clusterpb.MemberRemove{Id: "b"}}})
	m.ApplyBatch([]*raft.Log{establishedLog(t, 2, 1, "a"), put(3, "b"), put(4, "a"), command(5, 1, "x"), gone, put(7, "b")})
	first, second := takeSnapshot(t, m), takeSnapshot(t, m)
	if !bytes.Equal(first, second) {
		t.Error("two snapshots of one state differ")
	}

	s := new(scribe)
	n, _ := testMachine(s)
	n.self = "z"
	if err := n.Restore(io.NopCloser(bytes.NewReader(first))); err != nil {
		t.Fatal(err)
	}
	if got, want := n.applied.load(), uint64(7); got != want {
		t.Errorf("applied index %d, want %d", got, want)
	}
	if n.table.get("a").GetName() != "name of a" || n.table.get("b") != nil || !n.table.isRemoved("b") {
		t.Errorf("member table %v, removed %v", n.table.all(), n.table.removedIDs())
	}
	if want := "a leads in 1, self false"; len(s.told) != 2 || s.told[1] != want {
		t.Errorf("told %q, want a restore and then %q", s.told, want)
	}
	n.ApplyBatch([]*raft.Log{command(7, 1, "again"), command(8, 1, "new")})
	if want := "8/1 new"; len(s.told) != 3 || s.told[2] != want {
		t.Errorf("after the restore: %q, want only %q", s.told[2:], want)
	}
}

func takeSnapshot(t *testing.T, m *machine) []byte {
	t.Helper()
	snap, err := m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Release()
	var out sink
	if err := snap.Persist(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestOldSnapshotDoesNotTurnBackTime: Raft installs a snapshot without a look at
// what is applied already.
func TestOldSnapshotDoesNotTurnBackTime(t *testing.T) {
	t.Parallel()
	s := new(scribe)
	m, _ := testMachine(s)
	m.ApplyBatch([]*raft.Log{command(2, 1, "x")})
	old := takeSnapshot(t, m)
	m.ApplyBatch([]*raft.Log{command(3, 1, "y")})
	if err := m.Restore(io.NopCloser(bytes.NewReader(old))); err != nil {
		t.Fatal(err)
	}
	m.ApplyBatch([]*raft.Log{command(3, 1, "y"), command(4, 1, "z")})
	if want := []string{"2/1 x", "3/1 y", "4/1 z"}; !slices.Equal(s.told, want) {
		t.Errorf("told %q, want %q", s.told, want)
	}
}

func TestRestoreRefusesWhatIsNotItsOwn(t *testing.T) {
	t.Parallel()
	m, _ := testMachine(new(scribe))
	m.ApplyBatch([]*raft.Log{command(2, 1, "x")})
	good := takeSnapshot(t, m)
	newer := new(bytes.Buffer)
	if err := writeHeader(newer, &clusterpb.SnapshotHeader{Version: snapshotVersion + 1, ClusterId: "c1"}); err != nil {
		t.Fatal(err)
	}
	huge := binary.BigEndian.AppendUint32([]byte(snapshotMagic), maxHeaderBytes+1)
	for name, raw := range map[string][]byte{
		"empty": nil, "no magic": []byte("HELLO, I AM NO SNAPSHOT"), "cut": good[:14], "huge": huge, "newer": newer.Bytes(),
	} {
		n, _ := testMachine(new(scribe))
		if err := n.Restore(io.NopCloser(bytes.NewReader(raw))); err == nil {
			t.Errorf("%s: restored", name)
		}
	}
	foreign, _ := testMachine(new(scribe))
	foreign.clusterID = func() string { return "c2" }
	if err := foreign.Restore(io.NopCloser(bytes.NewReader(good))); err == nil {
		t.Error("a snapshot of another cluster was restored")
	}
}

type brokenApp struct{}

func (brokenApp) WriteTo(io.Writer) (int64, error) { return 0, errors.New("broken") }
func (brokenApp) Release()                         {}

func TestFailedSnapshotIsCanceled(t *testing.T) {
	t.Parallel()
	var out sink
	if err := (&snapshot{header: new(clusterpb.SnapshotHeader), app: brokenApp{}}).Persist(&out); err == nil || !out.canceled {
		t.Errorf("persist: %v, canceled %v", err, out.canceled)
	}
}

func TestAppliedIndexWakesWaiters(t *testing.T) {
	t.Parallel()
	var a appliedIndex
	results := make(chan error, 3)
	for _, index := range []uint64{5, 7, 9} {
		go func() { results <- a.wait(t.Context(), index) }()
	}
	for waiting := 0; waiting < 3; { // all must wait before the index moves
		a.mu.Lock()
		waiting = len(a.waiters)
		a.mu.Unlock()
	}
	a.advance(7)
	for range 2 {
		if err := <-results; err != nil {
			t.Errorf("wait: %v", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.wait(ctx, 8); !errors.Is(err, context.Canceled) {
		t.Errorf("wait with an ended context: %v", err)
	}
	if err := a.wait(ctx, 7); err != nil {
		t.Errorf("wait for what is applied: %v", err)
	}
	a.close()
	if err := <-results; !errors.Is(err, ErrClosed) {
		t.Errorf("wait across close: %v", err)
	}
	if err := a.wait(t.Context(), 8); !errors.Is(err, ErrClosed) {
		t.Errorf("wait after close: %v", err)
	}
	if len(a.waiters) != 0 {
		t.Errorf("%d waiters are left", len(a.waiters))
	}
}

// TestTransferGuard: one refusal is a transfer under way; refusals that last are
// hashicorp/raft#696.
func TestTransferGuard(t *testing.T) {
	t.Parallel()
	var g transferGuard
	limit, at := time.Second, time.Now()
	for _, step := range []struct {
		after   time.Duration
		refused bool
		stuck   bool
	}{
		{0, true, false}, {limit, true, false}, {limit + 1, true, true},
		{2 * limit, false, false}, {3 * limit, true, false}, {3*limit + limit/2, true, false},
		{10 * limit, true, false}, {11 * limit, true, false}, {11*limit + 1, true, true},
	} {
		if got := g.observe(step.refused, at.Add(step.after), limit); got != step.stuck {
			t.Errorf("after %v, refused %v: stuck %v, want %v", step.after, step.refused, got, step.stuck)
		}
	}
}

// outcome is a raft.ApplyFuture that has ended.
type outcome struct {
	err      error
	index    uint64
	response any
}

func (o outcome) Error() error  { return o.err }
func (o outcome) Index() uint64 { return o.index }
func (o outcome) Response() any { return o.response }

func TestProposalOutcomes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		outcome
		want error
	}{
		"applied":            {outcome{index: 7}, nil},
		"not applied":        {outcome{index: 7, response: errHalted}, ErrOutcomeUnknown},
		"not leader":         {outcome{err: raft.ErrNotLeader}, ErrNotLeader},
		"queue full":         {outcome{err: raft.ErrEnqueueTimeout}, ErrNotLeader},
		"transfer":           {outcome{err: raft.ErrLeadershipTransferInProgress}, ErrNotLeader},
		"shutdown before":    {outcome{err: raft.ErrRaftShutdown}, ErrNotLeader},
		"shutdown meanwhile": {outcome{err: raft.ErrRaftShutdown, index: 7}, ErrOutcomeUnknown},
		"leadership lost":    {outcome{err: raft.ErrLeadershipLost, index: 7}, ErrOutcomeUnknown},
		"disk failed":        {outcome{err: io.ErrShortWrite, index: 7}, ErrOutcomeUnknown},
	} {
		if got := proposalError(c.outcome); !errors.Is(got, c.want) || (got == nil) != (c.want == nil) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestIdentitySurvivesAndIsRefusedWhenDamaged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, err := openIdentity(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.update(func(id *identity) { id.ClusterID = "c1"; id.Seeded = true }); err != nil {
		t.Fatal(err)
	}
	second, err := openIdentity(dir, true)
	if err != nil {
		t.Fatal(err)
	}
	a, b := first.get(), second.get()
	if b.NodeID != a.NodeID || b.ClusterID != "c1" || b.Incarnation != a.Incarnation+1 {
		t.Errorf("read %+v after writing %+v", b, a)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*.tmp"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	for name, raw := range map[string]string{
		"damaged": "{", "newer": `{"version":2,"node_id":"x"}`, "nobody": `{"version":1}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, identityFile), []byte(raw), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := openIdentity(dir, true); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
}

func TestMemberTableForgetsOldestRemoved(t *testing.T) {
	t.Parallel()
	table := newMemberTable()
	for i := range maxRemovedIDs + 1 {
		table.remove(fmt.Sprint(i))
	}
	if table.isRemoved("0") || !table.isRemoved("1") || !table.isRemoved(fmt.Sprint(maxRemovedIDs)) {
		t.Error("not exactly the oldest removed id was forgotten")
	}
}
