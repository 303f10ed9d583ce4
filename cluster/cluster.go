// Package cluster makes several nodes apply one log in one order: consensus,
// membership, birth and the peer port. It knows nothing of what the log says.
//
// DESIGN.md beside this file tells the flows, the goroutines and locks, the
// protocol of birth, and why a read index is safe.
package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"
	"github.com/hydrastore/hydrastore/cluster/gossip"
	"github.com/hydrastore/hydrastore/cluster/link"
	"github.com/hydrastore/hydrastore/cluster/storage"
	"github.com/hydrastore/hydrastore/cluster/transport"
)

// Cluster is one node's part in one replicated state machine. Its methods may be
// called from any goroutine, unless they say otherwise.
type Cluster struct {
	cfg  Config
	name string
	log  *slog.Logger

	store *storage.Storage
	ident *identityStore
	link  *link.Link

	machine    *machine
	table      *memberTable
	applied    *appliedIndex
	readable   *readable
	leadership *leadershipState
	peers      *peers
	note       *note
	confirmer  *confirmer
	birth      *birth
	pilot      *pilot

	raft      atomic.Pointer[raft.Raft]   // nil before birth
	transport *transport.Transport        // set with raft
	reports   *transport.Notifications    // set with raft
	gossip    atomic.Pointer[gossip.Pool] // nil before birth
	born      chan struct{}               // closed when raft is set

	proposals     gate          // futures that are waited for
	changes       chan struct{} // held by who changes the membership
	transferGuard transferGuard

	ctx        context.Context // ends when the node closes
	cancel     context.CancelFunc
	background sync.WaitGroup // goroutines that end with ctx
	retire     chan struct{}  // closed when the cluster has removed this node
	retireOnce sync.Once
	fatalOnce  sync.Once
	closing    sync.Once
	closed     chan struct{} // closed when Shutdown is done
	closeErr   error         // set before closed closes
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
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	cfg.Faults = cmp.Or(cfg.Faults, new(Faults))
	c := &Cluster{
		cfg:        cfg,
		log:        cfg.Logger,
		table:      newMemberTable(),
		applied:    new(appliedIndex),
		readable:   new(readable),
		leadership: newLeadershipState(),
		peers:      newPeers(),
		note:       &note{log: cfg.Logger},
		born:       make(chan struct{}),
		changes:    make(chan struct{}, 1),
		retire:     make(chan struct{}),
		closed:     make(chan struct{}),
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	if err := c.open(sm); err != nil {
		c.cancel()
		return nil, errors.Join(err, c.closeStores())
	}
	return c, nil
}

func (c *Cluster) open(sm StateMachine) error {
	var err error
	if c.store, err = storage.Open(storage.Config{
		Dir: c.cfg.Dir, LogStore: c.cfg.LogStore, WriteTimeout: c.cfg.WriteTimeout, SnapshotRetain: c.cfg.SnapshotRetain,
		SnapshotBytes: c.cfg.SnapshotBytes, SnapshotCommands: c.cfg.SnapshotCommands, TrailingBytes: c.cfg.TrailingBytes,
		Fatal: c.fatal, Logger: c.log, Faults: c.cfg.Faults.Disk,
	}); err != nil {
		return err
	}
	hasState, err := raft.HasExistingState(c.store.Log(), c.store.Stable(), c.store.Snapshots())
	if err != nil {
		return fmt.Errorf("read the state of Raft: %w", err)
	}
	if c.ident, err = openIdentity(c.cfg.Dir, hasState); err != nil {
		return err
	}
	c.name = cmp.Or(c.cfg.Name, c.NodeID())
	c.log = c.log.With("node", c.NodeID())
	c.note.log = c.log
	if c.link, err = c.openLink(); err != nil {
		return err
	}
	c.machine = &machine{
		before: c.cfg.Faults.Apply,
		sm:     sm, self: c.NodeID(), clusterID: c.ClusterID, table: c.table, applied: c.applied, readable: c.readable,
		established: c.onEstablished, configured: c.onConfigured, committed: c.onCommitted,
		fatal: c.fatal,
	}
	c.confirmer = &confirmer{
		self: c.NodeID(), timeout: c.cfg.ElectionTimeout, peers: map[string]bool{},
		leading: c.Leading, commit: c.readableIndex, voters: c.voters, ask: c.askTerm,
	}
	c.birth = newBirth(c)
	c.pilot = newPilot(c)
	c.register()
	return nil
}

func (c *Cluster) openLink() (*link.Link, error) {
	cfg := link.Config{
		Listen: c.cfg.PeerListen, Advertise: c.cfg.PeerAdvertise, Identity: c.linkIdentity, AllowBeforeBirth: c.allowBeforeBirth,
		TLS: c.cfg.TLS, ClusterName: c.cfg.ClusterName, InsecurePeers: c.cfg.InsecurePeers,
		Logger: c.log, Dial: c.cfg.Faults.Dial, DialTimeout: max(c.cfg.ElectionTimeout, minDialTimeout),
	}
	if len(c.cfg.GossipKeys) > 0 {
		cfg.GossipKeys = func() [][]byte { return c.cfg.GossipKeys }
	}
	return link.Open(cfg)
}

// linkIdentity is what this node says in handshakes.
func (c *Cluster) linkIdentity() link.Identity {
	id := c.ident.get()
	return link.Identity{NodeID: id.NodeID, ClusterID: id.ClusterID}
}

// allowBeforeBirth lets the other nodes of the birth that this one has agreed to
// speak Raft: some of them learn a moment earlier that all have agreed.
func (c *Cluster) allowBeforeBirth(remote link.Identity, p link.Purpose) bool {
	proposal := c.ident.get().Proposal
	return p == link.PurposeRaft && proposal.has(remote.NodeID) && remote.ClusterID == proposal.ClusterID
}

// Handle registers an RPC method that the other members can Call. All methods
// must be registered before Start. Names beginning with "cluster." are taken.
func (c *Cluster) Handle(method string, h link.Handler) {
	c.link.Handle(method, link.PurposeRPC, h)
}

// Start begins to answer peers and to take part: a node that belongs to a
// cluster starts Raft and gossip; another one looks for its fellows in the
// background, until a cluster is born or lets it in (see Born). It returns when
// the background work runs; for a node with data that includes reading the
// snapshot. ctx bounds nothing else. It may be called once.
func (c *Cluster) Start(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	id := c.ident.get()
	if id.Removed {
		c.link.Serve()
		c.note.set("the cluster has removed this node: empty its data folder and start it as a new node")
		return nil
	}
	if id.ClusterID == "" {
		c.link.Serve()
		c.goBackground(c.beBorn)
		return nil
	}
	if err := c.startRaft(); err != nil {
		return err
	}
	c.link.Serve()
	return nil
}

// beBorn searches until this node belongs to a cluster, and starts Raft.
func (c *Cluster) beBorn(ctx context.Context) {
	err := c.birth.run(ctx)
	if ctx.Err() != nil {
		return
	}
	if err == nil {
		c.note.clear()
		c.log.Info("this node belongs to a cluster now", "cluster", c.ClusterID())
		err = c.startRaft()
	}
	if err != nil {
		c.fatal(err)
	}
}

// goBackground runs f on a goroutine that ends with the node.
func (c *Cluster) goBackground(f func(context.Context)) {
	c.background.Go(func() { f(c.ctx) })
}

// fatal ends this node's part: see Config.Fatal. It never waits for Raft.
func (c *Cluster) fatal(err error) {
	c.fatalOnce.Do(func() {
		if c.machine != nil { // else the disk failed while it was opened
			c.machine.stop()
		}
		c.cfg.Fatal(err)
	})
}

// NodeID returns this node's id: random, made once, kept with the data.
func (c *Cluster) NodeID() string { return c.ident.nodeID() }

// Incarnation returns how often this node has been started; it grows by one,
// durably, before anything is sent.
func (c *Cluster) Incarnation() uint64 { return c.ident.get().Incarnation }

// ClusterID returns the id of the cluster this node belongs to; "" before birth.
func (c *Cluster) ClusterID() string { return c.ident.get().ClusterID }

// PeerAddress returns the address under which others reach the peer port.
func (c *Cluster) PeerAddress() string { return c.link.Addr() }

// Born is closed when this node belongs to a cluster and runs Raft.
func (c *Cluster) Born() <-chan struct{} { return c.born }

// Leadership returns the newest leadership that this node has applied, and a
// channel that is closed when it changes: with each established entry, and when
// this node gains or loses Raft leadership. A node that has won an election
// knows no leader until its own established entry is applied; a follower may
// name a leader that is gone.
func (c *Cluster) Leadership() (Leadership, <-chan struct{}) {
	l, changed := c.leadership.get()
	r := c.raft.Load()
	if leads := r != nil && r.State() == raft.Leader; leads != l.Self || (leads && r.CurrentTerm() != l.Epoch) {
		return Leadership{}, changed
	}
	return l, changed
}

// Leading reports whether this node leads in an established epoch right now, by
// its own knowledge: another leader may exist already. ConfirmLeadership excludes
// that.
func (c *Cluster) Leading() (epoch uint64, ok bool) {
	l, _ := c.leadership.get()
	if !l.Self || !c.leads(l.Epoch) {
		return 0, false
	}
	return l.Epoch, true
}

// leads reports whether Raft leads in the term epoch.
func (c *Cluster) leads(epoch uint64) bool {
	r := c.raft.Load()
	return r != nil && r.State() == raft.Leader && r.CurrentTerm() == epoch
}

// ConfirmLeadership returns nil if at some moment after the call began no leader
// of a later epoch had been elected. See ReadIndex.
func (c *Cluster) ConfirmLeadership(ctx context.Context, votes ...Vote) error {
	_, _, err := c.confirmer.confirm(ctx, votes)
	return err
}

// ReadIndex returns an index such that a state machine that has applied it shows
// every write acknowledged anywhere before the call began, and the epoch in which
// that was confirmed. It succeeds on the leader only, and asks the voters for
// their term, in rounds that concurrent calls share.
//
// votes are testimonies that the caller has already: a follower that asks on
// behalf of reads sends its own Term, taken after the last of these reads began,
// and the leader passes it on under the id that the follower proved. Votes of
// nodes that are no voters are ignored. With enough of them no round is needed.
//
// The error is ErrNotLeader if this node does not lead or has learned of a later
// term, or the context's.
func (c *Cluster) ReadIndex(ctx context.Context, votes ...Vote) (index, epoch uint64, err error) {
	return c.confirmer.confirm(ctx, votes)
}

// Term returns Raft's current term, which is durable before this node grants a
// vote in it. 0 before birth. It never blocks.
func (c *Cluster) Term() uint64 {
	if r := c.raft.Load(); r != nil {
		return r.CurrentTerm()
	}
	return 0
}

// WaitApplied waits until the state machine has applied everything up to index,
// which must come from ReadIndex, a Proposal or AppliedIndex of some node: the
// log also holds entries that no state machine ever sees. The error is the
// context's, or ErrClosed.
func (c *Cluster) WaitApplied(ctx context.Context, index uint64) error {
	return c.applied.wait(ctx, index)
}

// AppliedIndex returns the index of the last entry that the state machine has
// applied. Everything up to it is visible when this returns.
func (c *Cluster) AppliedIndex() uint64 { return c.applied.load() }

// CommitIndex returns the last index that this node knows to be committed. It may
// name an entry that the state machine never sees; do not wait for it.
func (c *Cluster) CommitIndex() uint64 {
	if r := c.raft.Load(); r != nil {
		return r.CommitIndex()
	}
	return 0
}

// readableIndex returns the last index known to be committed that a read has to wait for.
func (c *Cluster) readableIndex() uint64 { return c.readable.last(c.CommitIndex()) }

// AddCommands counts commands that the state machine has applied, for
// Config.SnapshotCommands: only the state machine knows how many an entry holds.
func (c *Cluster) AddCommands(n int) { c.store.Trigger().AddCommands(n) }

// Storage returns what the disk has done so far; each call begins a new maximum.
func (c *Cluster) Storage() storage.Stats { return c.store.Stats() }

// Link returns the counters of the peer port.
func (c *Cluster) Link() link.Stats { return c.link.Stats() }
