package cluster

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/hashicorp/raft"
	"github.com/hydrastore/hydrastore/cluster/clusterpb"
	"google.golang.org/protobuf/proto"
)

// The first byte of every command in the log says whose it is.
const (
	kindApplication byte = 1
	kindInternal    byte = 2
	kindUpkeep      byte = 3 // the application's too, but no read waits for it
)

// errHalted answers every entry after the state machine failed.
var errHalted = errors.New("the state machine has failed on this node")

// machine stands between Raft and the StateMachine: it takes the cluster's own
// entries out of the stream, hands the rest on, keeps count of the applied index
// (configuration entries included) and adds a section of its own to snapshots.
//
// Raft calls its methods on one goroutine; only halted is read by others.
type machine struct {
	sm        StateMachine
	self      string
	clusterID func() string
	table     *memberTable
	applied   *appliedIndex
	readable  *readable
	// established and configured tell the Cluster what was applied.
	established func(Leadership)
	configured  func(raft.Configuration)
	// committed tells that everything up to an index is committed, before it is
	// applied. nil: nobody asks.
	committed func(index uint64)
	before    func() // of tests; nil: none
	fatal     func(error)

	halted atomic.Bool
	index  uint64 // of the last applied entry
	term   uint64
	leader Leadership
	batch  []Entry // reused; entries wait here for the StateMachine
}

var _ raft.BatchingFSM = (*machine)(nil)

// Apply applies one entry. Raft calls ApplyBatch instead.
func (m *machine) Apply(l *raft.Log) any { return m.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch applies committed entries. Its answers are nil or an error.
//
// Entries up to the applied index are passed over: after a snapshot that is older
// than the present state Raft sends again what came after that snapshot.
func (m *machine) ApplyBatch(logs []*raft.Log) []any {
	if m.before != nil {
		m.before()
	}
	m.readable.scan(logs)
	if m.committed != nil {
		m.committed(logs[len(logs)-1].Index)
	}
	answers := make([]any, len(logs))
	for _, l := range logs {
		if m.halted.Load() {
			break
		}
		if l.Index <= m.index {
			continue
		}
		if err := m.applyOne(l); err != nil {
			m.halt(fmt.Errorf("apply log entry %d: %w", l.Index, err))
			break
		}
		m.index, m.term = l.Index, l.Term
	}
	if err := m.flush(); err != nil {
		m.halt(fmt.Errorf("apply log entries up to %d: %w", m.index, err))
	}
	if m.halted.Load() {
		for i := range answers {
			answers[i] = errHalted
		}
		return answers
	}
	m.applied.advance(max(m.index, m.applied.load()))
	return answers
}

// applyOne applies an entry of the cluster's own, or puts one of the
// application's into the batch.
func (m *machine) applyOne(l *raft.Log) error {
	if l.Type == raft.LogConfiguration {
		m.configured(raft.DecodeConfiguration(l.Data))
		return nil
	}
	if l.Type != raft.LogCommand || len(l.Data) == 0 {
		return nil
	}
	switch l.Data[0] {
	case kindApplication, kindUpkeep:
		m.batch = append(m.batch, Entry{Index: l.Index, Term: l.Term, Data: l.Data[1:]})
		return nil
	case kindInternal:
		if err := m.flush(); err != nil {
			return err
		}
		return m.applyInternal(l)
	default:
		return fmt.Errorf("unknown kind %d: a newer release wrote it", l.Data[0])
	}
}

// flush hands the waiting entries to the StateMachine.
func (m *machine) flush() error {
	if len(m.batch) == 0 || m.halted.Load() {
		return nil
	}
	err := m.sm.Apply(m.batch)
	clear(m.batch)
	m.batch = m.batch[:0]
	return err
}

func (m *machine) applyInternal(l *raft.Log) error {
	var in clusterpb.Internal
	if err := proto.Unmarshal(l.Data[1:], &in); err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	switch e := in.GetEntry().(type) {
	case *clusterpb.Internal_Established:
		m.establish(Leadership{NodeID: e.Established.GetNodeId(), Epoch: l.Term})
	case *clusterpb.Internal_MemberPut:
		m.table.put(e.MemberPut.GetMember())
	case *clusterpb.Internal_MemberRemove:
		m.table.remove(e.MemberRemove.GetId())
	default:
		return errors.New("unknown entry of the cluster: a newer release wrote it")
	}
	return nil
}

// establish records a leader. The StateMachine hears of it before anyone who
// waits for the leadership does.
func (m *machine) establish(l Leadership) {
	l.Self = l.NodeID == m.self
	m.leader = l
	m.sm.Established(l)
	m.established(l)
}

// stop applies nothing from now on.
func (m *machine) stop() { m.halted.Store(true) }

// halt ends this node because the state machine failed.
func (m *machine) halt(err error) {
	m.stop()
	m.fatal(err)
}

// Snapshot fixes the state of both sections.
func (m *machine) Snapshot() (raft.FSMSnapshot, error) {
	if m.halted.Load() {
		return nil, errHalted
	}
	app, err := m.sm.Snapshot()
	if err != nil {
		return nil, fmt.Errorf("snapshot of the state machine: %w", err)
	}
	return &snapshot{header: m.header(), app: app}, nil
}

// Restore takes over a snapshot, unless it is older than the present state: Raft
// may install one whose entries are all applied here (it does not compare), and
// readers must not see the state go back.
func (m *machine) Restore(source io.ReadCloser) error {
	h, err := readHeader(source)
	if err != nil {
		return err
	}
	if err := m.checkHeader(h); err != nil {
		return err
	}
	if m.halted.Load() || (m.index > 0 && h.GetAppliedIndex() <= m.index) {
		_, err := io.Copy(io.Discard, source)
		return err
	}
	if err := m.sm.Restore(source, h.GetAppliedIndex(), h.GetAppliedTerm()); err != nil {
		return fmt.Errorf("restore the state machine: %w", err)
	}
	m.table.restore(h.GetMembers(), h.GetRemovedIds())
	m.index, m.term = h.GetAppliedIndex(), h.GetAppliedTerm()
	if l := h.GetLeadership(); l.GetEpoch() > 0 {
		m.establish(Leadership{NodeID: l.GetNodeId(), Epoch: l.GetEpoch()})
	}
	m.readable.restored(m.index)
	m.applied.advance(max(m.index, m.applied.load()))
	return nil
}
