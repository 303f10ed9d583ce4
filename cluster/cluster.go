// Package cluster makes several nodes apply one log in one order: consensus,
// membership, birth and the peer port. It knows nothing of what the log says.
//
// DESIGN.md beside this file tells the flows, the goroutines and locks, the
// protocol of birth, and why a read index is safe.
package cluster

import (
	"context"

	"github.com/hydrastore/hydrastore/cluster/link"
)

// Cluster is one node's part in one replicated state machine. Its methods may be
// called from any goroutine, unless they say otherwise.
type Cluster struct {
	cfg Config
	sm  StateMachine
}

// Vote is a voter's testimony of its Raft term. See ReadIndex.
type Vote struct {
	NodeID string
	Term   uint64
}

// Open readies a node: it checks cfg, opens the data folder with the node's
// identity, log and snapshots, and listens on the peer port. Nothing is sent or
// answered before Start. The caller must Shutdown what Open returned.
func Open(cfg Config, sm StateMachine) (*Cluster, error) {
	if err := cfg.Validate(); err != nil {
		return nil, codeError(CodeInvalid, err, "cluster configuration")
	}
	return &Cluster{cfg: cfg, sm: sm}, nil
}

// Handle registers an RPC method that the other members can Call. All methods
// must be registered before Start. Names beginning with "cluster." are taken.
func (c *Cluster) Handle(method string, h link.Handler) {}

// Start begins to answer peers and to take part: a node that belongs to a
// cluster starts Raft and gossip; another one looks for its fellows in the
// background, until a cluster is born or lets it in (see Born). It returns when
// the background work runs. ctx bounds Start alone.
func (c *Cluster) Start(ctx context.Context) error { return nil }

// NodeID returns this node's id: random, made once, kept with the data.
func (c *Cluster) NodeID() string { return "" }

// Incarnation returns how often this node has been started; it grows by one,
// durably, before anything is sent.
func (c *Cluster) Incarnation() uint64 { return 0 }

// ClusterID returns the id of the cluster this node belongs to; "" before birth.
func (c *Cluster) ClusterID() string { return "" }

// PeerAddress returns the address under which others reach the peer port.
func (c *Cluster) PeerAddress() string { return "" }

// Born is closed when this node belongs to a cluster and runs Raft.
func (c *Cluster) Born() <-chan struct{} { return nil }

// Propose hands data to the log, if this node leads. It blocks only while Raft's
// queue is full, at most Config.EnqueueTimeout. Proposals of one goroutine enter
// the log in the order of the calls. data must not be changed afterwards and is
// at most MaxEntryBytes long.
func (c *Cluster) Propose(data []byte) *Proposal { return failedProposal(ErrNotBorn) }

// Leadership returns the newest leadership that this node has applied, and a
// channel that is closed when it changes: with each established entry, and when
// this node gains or loses Raft leadership. A node that has won an election
// knows no leader until its own established entry is applied.
func (c *Cluster) Leadership() (Leadership, <-chan struct{}) { return Leadership{}, nil }

// Leading reports whether this node leads in an established epoch right now, by
// its own knowledge: another leader may exist already. ConfirmLeadership excludes
// that.
func (c *Cluster) Leading() (epoch uint64, ok bool) { return 0, false }

// ConfirmLeadership returns nil if at some moment after the call began no leader
// of a later epoch had been elected. See ReadIndex.
func (c *Cluster) ConfirmLeadership(ctx context.Context, votes ...Vote) error { return ErrNotLeader }

// ReadIndex returns an index such that a state machine that has applied it shows
// every write acknowledged anywhere before the call began, and the epoch in which
// that was confirmed. It succeeds on the leader only, and asks the voters for
// their term, in rounds that concurrent calls share.
//
// votes are testimonies that the caller has already: a follower that asks on
// behalf of reads sends its own Term, taken after the last of these reads began.
// Votes of nodes that are no voters are ignored. With enough of them no round is
// needed.
//
// The error is ErrNotLeader if this node does not lead or has learned of a later
// term, or the context's.
func (c *Cluster) ReadIndex(ctx context.Context, votes ...Vote) (index, epoch uint64, err error) {
	return 0, 0, ErrNotLeader
}

// Term returns Raft's current term, which is durable before this node grants a
// vote in it. 0 before birth. It never blocks.
func (c *Cluster) Term() uint64 { return 0 }

// WaitApplied waits until the state machine has applied everything up to index,
// which must come from ReadIndex, a Proposal or AppliedIndex of some node: the
// log also holds entries that no state machine ever sees.
func (c *Cluster) WaitApplied(ctx context.Context, index uint64) error { return ErrNotBorn }

// AppliedIndex returns the index of the last entry that the state machine has
// applied. Everything up to it is visible when this returns.
func (c *Cluster) AppliedIndex() uint64 { return 0 }

// CommitIndex returns the last index that this node knows to be committed. It may
// name an entry that the state machine never sees; do not wait for it.
func (c *Cluster) CommitIndex() uint64 { return 0 }

// Call calls method at the member with the given id, which proves in the
// handshake that it is that member. The answer's errors are link's: CallError
// with the handler's code, ErrUnreachable, ErrUnknownOutcome; ErrUnknownNode if
// there is no such member.
func (c *Cluster) Call(ctx context.Context, nodeID, method string, payload []byte) ([]byte, error) {
	return nil, ErrUnknownNode
}

// Members returns the members in the order of Raft's configuration.
func (c *Cluster) Members() []Member { return nil }

// Status returns this node's view of itself and the cluster.
func (c *Cluster) Status() Status { return Status{} }

// Join asks the unborn or joining node at a peer address to look for a cluster at
// this node now, so that it need not have this node in its join list. At any node.
func (c *Cluster) Join(ctx context.Context, peerAddress string) error { return ErrNotBorn }

// RemoveMember removes a member for good, at any node: the leader does it. It is
// refused (ErrQuorum) when the remaining live voters would be no quorum or the
// voters fewer than bootstrap_expect, unless the member is dead already and the
// live voters are a quorum with and without it.
func (c *Cluster) RemoveMember(ctx context.Context, id string) error { return ErrNotBorn }

// TransferLeadership makes the voter with the given id leader, or with "" the
// voter that is most up to date, at any node. It returns when the leader has
// handed over.
func (c *Cluster) TransferLeadership(ctx context.Context, id string) error { return ErrNotBorn }

// Shutdown ends this node's part gracefully: it transfers leadership when
// leading, leaves gossip, stops Raft, closes the peer port and the stores. ctx
// bounds the graceful part; the rest always happens. Later calls wait for the
// first and return its result.
func (c *Cluster) Shutdown(ctx context.Context) error { return nil }
