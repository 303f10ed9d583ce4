// Package node is one node's life: it batches commands, forwards them to the leader, waits for their outcome, reads, keeps
// time, expires, and implements session.Service for every protocol in front.
package node

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/cluster"
	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/node/audit"
	"github.com/hydrastore/hydrastore/session"
)

// Node is one member of the cluster. Its methods are safe for concurrent use.
type Node struct {
	config  Config
	log     *slog.Logger
	metrics *metrics
	hasher  *auth.Hasher
	chain   *auth.Chain
	turns   *auth.Turns // of password checks
	remote  *auth.Turns // of those that directories make

	fsm        *fsm.Machine
	cluster    *cluster.Cluster
	time       *timekeeper
	freshness  *freshness
	tracker    *tracker
	outbox     *outbox
	inbox      *inbox
	leader     *leader
	reads      *readGate
	peers      *peers
	touches    *touches
	reuses     *reuses
	sealing    *sealing
	local      *localAttributes
	audit      *audit.Trail   // nil = none is kept
	failures   *loginFailures // nil likewise
	mismatches mismatches

	historyName atomic.Pointer[historyName]
	ownSessions atomic.Pointer[func() int]                                          // how many its keeper has; nil = they live in the log
	mayKeepOwn  atomic.Pointer[func([]session.Policy, session.ClusterLimits) error] // what its keeper says of policies and limits; nil = nothing

	draining atomic.Bool
	stopped  chan struct{} // closed when waiting is over for everybody
	stopOnce sync.Once
	cancel   context.CancelFunc
	work     sync.WaitGroup
}

var _ session.Service = (*Node)(nil)

// New opens the node's data folder and peer port. Nothing is sent or answered before Start.
func New(c Config) (*Node, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("node configuration: %w", err)
	}
	c = c.filled()
	var seed [8]byte
	if _, err := rand.Read(seed[:]); err != nil {
		return nil, fmt.Errorf("draw hash seed: %w", err)
	}
	hasher, err := auth.NewHasher(c.Hashing)
	if err != nil {
		return nil, fmt.Errorf("prepare password hashing: %w", err)
	}
	n := &Node{
		config: c, log: c.Logger, hasher: hasher, stopped: make(chan struct{}),
		time:    newTimekeeper(c.Clock),
		tracker: newTracker(), inbox: newInbox(c.Limits), peers: newPeers(),
	}
	n.local = newLocalAttributes(c.Limits.LocalAttributeBytes)
	n.fsm = fsm.New(fsm.Options{
		HashSeed: binary.NativeEndian.Uint64(seed[:]), Events: c.Audit.File != "", Awaited: n.awaits, Removed: n.local.drop,
	})
	n.turns, n.remote = c.Throttle.NewTurns(hasher)
	n.metrics = newMetrics()
	n.chain = auth.NewChain(hasher, c.Authenticators, n.authenticated)
	n.outbox = newOutbox(c.Limits, n.metrics, (&courier{node: n, tracker: n.tracker}).deliver, n.whyClosed)
	n.reads = newReadGate(n)
	n.touches = newTouches(n, c.Limits.AsyncTouches)
	n.mismatches.node = n
	n.reuses = newReuses(n, c.Limits.AsyncTouches)
	n.leader = newLeader(n)
	n.sealing = newSealing(n)
	if n.cluster, err = cluster.Open(c.Cluster, &machine{node: n, fsm: n.fsm}); err != nil {
		return nil, fmt.Errorf("open cluster: %w", err)
	}
	n.log = n.log.With(slog.String("node", n.cluster.NodeID()))
	n.freshness = newFreshness(c.Clock, n.cluster.AppliedIndex)
	n.handleCalls()
	if err := n.openAudit(); err != nil {
		return nil, errors.Join(err, n.cluster.Shutdown(context.Background()))
	}
	if n.audit != nil {
		n.failures = newLoginFailures(n)
	}
	if c.Registerer != nil {
		if err := n.registerMetrics(c.Registerer); err != nil {
			return nil, errors.Join(fmt.Errorf("register metrics: %w", err), n.cluster.Shutdown(context.Background()), n.closeAudit(context.Background()))
		}
	}
	return n, nil
}

// filled completes c with what absent fields mean.
func (c Config) filled() Config {
	if c.Clock == nil {
		c.Clock = SystemClock()
	}
	if c.Random == nil {
		c.Random = rand.Reader
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.Limits = c.Limits.withDefaults()
	if c.Sealing.Params == (auth.Params{}) {
		c.Sealing.Params = auth.DefaultSealParams()
	}
	if !hasPolicy(c.Policies, session.DefaultPolicyName) {
		c.Policies = append([]session.Policy{session.DefaultPolicy()}, c.Policies...)
	}
	c.Cluster.FormatLevel = fsm.SupportedFormatLevel
	c.Cluster.Terms = homeTerms(c.SessionsAtNode)
	c.Cluster.Fatal = c.Fatal
	c.Cluster.Logger = c.Logger
	return c
}

func hasPolicy(policies []session.Policy, name string) bool {
	for _, p := range policies {
		if p.Name == name {
			return true
		}
	}
	return false
}

// Start begins to take part in the cluster. It returns when the work in the background runs; Ready tells when requests are
// served. ctx bounds Start alone.
func (n *Node) Start(ctx context.Context) error {
	if err := n.cluster.Start(ctx); err != nil {
		return fmt.Errorf("start cluster: %w", err)
	}
	running, cancel := context.WithCancel(context.Background())
	n.cancel = cancel
	n.work.Go(func() { n.leader.run(running) })
	n.work.Go(func() { n.sealing.run(running) })
	n.work.Go(func() { n.watchHome(running) })
	return nil
}

// NodeID returns the node's id: random, made once, kept with its data.
func (n *Node) NodeID() string { return n.cluster.NodeID() }

// PeerAddress returns the address of the peer port, for the join lists of others.
func (n *Node) PeerAddress() string { return n.cluster.PeerAddress() }

// Term returns Raft's current term, for logs; 0 before birth.
func (n *Node) Term() uint64 { return n.cluster.Term() }

// Drain makes Ready fail, so that load balancers turn away, while requests are still served.
func (n *Node) Drain() { n.draining.Store(true) }

// Shutdown ends the node gracefully: it refuses new writes, sees those under way through, hands leadership over and
// closes everything. ctx bounds the graceful part; the rest always happens.
func (n *Node) Shutdown(ctx context.Context) error {
	n.Drain()
	n.failures.reportRest(ctx)
	if !n.outbox.close(ctx) {
		n.log.Warn("stopping with writes under way: their outcome stays unknown to their callers")
	}
	// The leader's own loops go on until leadership has been handed over: other nodes' batches may be in the inbox.
	err := n.cluster.Shutdown(ctx)
	n.stopOnce.Do(func() { close(n.stopped) })
	if n.cancel != nil {
		n.cancel()
	}
	n.work.Wait()
	n.chain.Close()
	return errors.Join(err, n.closeAudit(ctx))
}
