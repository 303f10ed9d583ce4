package node

import (
	"io"
	"time"

	"github.com/hydrastore/hydrastore/cluster"
	"github.com/hydrastore/hydrastore/fsm"
)

// machine joins the replicated state to the cluster, and tells the waiting batches of this node what became of them. Its
// methods run on the one goroutine of cluster.StateMachine.
type machine struct {
	node *Node
	fsm  *fsm.Machine
}

func (m *machine) Apply(entries []cluster.Entry) error {
	for _, e := range entries {
		started := time.Now()
		applied, err := m.fsm.Apply(e.Index, e.Term, e.Data)
		if err != nil {
			return err
		}
		m.node.metrics.applySeconds.Observe(time.Since(started).Seconds())
		m.announce(e, applied)
		if applied.Emptied {
			m.node.local.keep(m.node.alive)
		}
		if m.node.audit != nil {
			m.node.audit.Entry(applied.Index, applied.ClockMS, applied.Events)
		}
	}
	return nil
}

// awaits tells whether a batch has somebody who waits for its results here: its origin, or the leader that proposed it.
func (n *Node) awaits(term uint64, origin string, incarnation uint64) bool {
	return n.inbox.serves(term) || origin == n.cluster.NodeID() && incarnation == n.cluster.Incarnation()
}

func (m *machine) announce(e cluster.Entry, applied *fsm.Applied) {
	for _, ended := range applied.Ended {
		m.node.metrics.ended(ended.Cause.String())
	}
	if applied.Ignored {
		return // meant for another epoch: its batches are sent again by their origins
	}
	commands := 0
	defer func() { m.node.cluster.AddCommands(commands) }()
	self, incarnation := m.node.cluster.NodeID(), m.node.cluster.Incarnation()
	for _, b := range applied.Batches {
		commands += len(b.Results)
		m.node.inbox.applied(e.Term, b.Origin, b.Incarnation, b.Number, e.Index, b.Results)
		if b.Origin == self && b.Incarnation == incarnation {
			m.node.tracker.applied(b.Number, e.Index, b.Results)
		}
	}
}

func (m *machine) Established(l cluster.Leadership) {
	m.node.tracker.established(l.Epoch)
	if m.node.audit != nil {
		m.node.audit.Lead(l.Self)
	}
}

func (m *machine) Snapshot() (cluster.Snapshot, error) { return m.snapshot(), nil }

func (m *machine) Restore(r io.Reader, _, _ uint64) error {
	m.node.tracker.restored()
	if err := m.fsm.Restore(r); err != nil {
		return err
	}
	m.node.local.keep(m.node.alive)
	if m.node.audit != nil {
		m.node.audit.Restored(m.fsm.Index(), m.fsm.ClockMS())
	}
	return nil
}
