package cluster

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/hydrastore/hydrastore/cluster/link"
	"github.com/hydrastore/hydrastore/cluster/storage"
)

// Limits that are not settings: changing them needs a reason from a measurement.
const (
	// MaxEntryBytes bounds the data of one proposal. Larger entries hold up
	// heartbeats on the replication stream.
	MaxEntryBytes = 512 << 10
	// MaxTermsBytes bounds what all members must have alike.
	MaxTermsBytes = 256
	// MaxNameBytes bounds a node's name.
	MaxNameBytes = 128
	// MaxBootstrapExpect bounds how many nodes a cluster can be born with.
	MaxBootstrapExpect = 9
	// maxAppendEntries is how many log entries one AppendEntries carries at most.
	maxAppendEntries = 64
	// maxRemovedIDs is how many ids of removed nodes the cluster remembers; the
	// oldest are forgotten first.
	maxRemovedIDs = 1024
)

// Config says how a node takes part in its cluster. Take DefaultConfig and
// change what differs. It is copied by Open and not looked at again.
type Config struct {
	// Dir is the folder that holds identity, log and snapshots of this node.
	// It is made if missing. It must belong to this node alone.
	Dir string

	// Name is the node's name for people; unique in the cluster. Default: the
	// node id.
	Name string

	// ClusterName is the name that certificates carry (node.<ClusterName>) and
	// that birth and join compare, so that nodes of differently named clusters
	// never mix. Default "hydrastore".
	ClusterName string

	// APIAddress is announced to the other members, for clients. It is not
	// listened on here.
	APIAddress string

	// FormatLevel is the highest format level that this node's software
	// supports; announced to the other members.
	FormatLevel uint32

	// Terms is a setting that all members must have alike, in the words of the
	// application, at most MaxTermsBytes; announced to the other members. A node
	// that wants to join with other terms than the leader's is refused, and ends
	// with ErrTerms by Fatal. What it means when members differ, which restart with
	// other terms, is for the application to judge. Default: none.
	Terms string

	// PeerListen is the host:port on which Raft and peer RPC listen. Port 0
	// takes a free one. Default "127.0.0.1:8701".
	PeerListen string

	// PeerAdvertise is the host:port under which the other members reach this
	// node. Default: PeerListen as bound.
	PeerAdvertise string

	// GossipListen is the host:port of gossip (TCP and UDP). Port 0 takes a free
	// one. Default "127.0.0.1:8702".
	GossipListen string

	// GossipAdvertise is the host:port under which gossip reaches this node.
	// Default: GossipListen as bound.
	GossipAdvertise string

	// GossipKeys is the ring of gossip keys (16, 24 or 32 bytes each): the first
	// encrypts, all decrypt. Without TLS the first also proves a peer's right to
	// speak on the peer port. Empty: no encryption.
	GossipKeys [][]byte

	// Join lists peer addresses of other nodes, asked when this node belongs to
	// no cluster yet. Its own address in it does no harm. It may be empty where
	// other nodes list this one, or invite it (Cluster.Join).
	Join []string

	// BootstrapExpect is how many nodes a new cluster is born with, and the
	// number of voters below which no node is removed. The same on all nodes.
	// 1 makes a cluster of this node alone if no address in Join answers for
	// one; 0 never makes a cluster, only joins one. Default 1.
	BootstrapExpect int

	// TLS gives the files of mutual TLS between peers. nil: none.
	TLS *link.TLSFiles

	// InsecurePeers permits peers without TLS and gossip key off loopback.
	InsecurePeers bool

	// ElectionTimeout is how long a follower hears nothing from the leader
	// before it stands for election; the heartbeat and lease timeouts equal it.
	// Lower: faster recovery from a dead leader (500 ms: 1.3 s at the 95th
	// percentile), but elections from longer pauses (garbage collection, disk
	// flushes, an overloaded machine). Default 500 ms.
	ElectionTimeout time.Duration

	// CommitTimeout is how often an idle leader repeats its commit index to its
	// followers. They are told of each commit at once (transport.TellCommit); this
	// is for when that message is lost. Lower: more messages when idle. Default
	// 50 ms.
	CommitTimeout time.Duration

	// EnqueueTimeout bounds how long Propose waits for a place in Raft's queue.
	// Default 1 s.
	EnqueueTimeout time.Duration

	// LogStore chooses the log's store: "boltdb" or "wal". Default "boltdb".
	LogStore string

	// WriteTimeout is how long one write to the log may take before this node
	// stops as failed (Fatal), so that a hung disk does not lead. Default 10 s.
	WriteTimeout time.Duration

	// SnapshotBytes and SnapshotCommands: a snapshot is taken when the log has
	// grown by either since the last one; commands are what AddCommands counts.
	// Lower: shorter start and catch-up, more writing. Defaults 64 MiB and
	// 1,000,000.
	SnapshotBytes    uint64
	SnapshotCommands uint64

	// SnapshotRetain is how many snapshots are kept. Default 2.
	SnapshotRetain int

	// TrailingBytes is how much of the log stays behind a snapshot, so that a
	// follower which was away shortly catches up by log and not by snapshot.
	// Default 32 MiB.
	TrailingBytes uint64

	// PromoteAfter is how long a new node must keep up without a fault before it
	// gets a vote. Default 5 s.
	PromoteAfter time.Duration

	// DeadAfter is how long a member must have been out of reach before it is
	// removed, while quorum stays and at least BootstrapExpect voters remain.
	// Default 72 h; 0: never.
	DeadAfter time.Duration

	// Fatal is called at most once, from any goroutine, when this node cannot go
	// on: the state machine failed, the disk failed or hung, Raft is stuck. The
	// process must end; until it does, nothing is applied and nothing proposed.
	// Required.
	Fatal func(error)

	// Logger receives what operators should know. Default: slog.Default().
	Logger *slog.Logger

	// Faults lets tests cut and delay. nil: none.
	Faults *Faults
}

// DefaultConfig returns the defaults that the fields of Config name.
func DefaultConfig() Config {
	return Config{
		ClusterName:      "hydrastore",
		PeerListen:       "127.0.0.1:8701",
		GossipListen:     "127.0.0.1:8702",
		BootstrapExpect:  1,
		ElectionTimeout:  500 * time.Millisecond,
		CommitTimeout:    50 * time.Millisecond,
		EnqueueTimeout:   time.Second,
		LogStore:         storage.LogStoreBoltDB,
		WriteTimeout:     10 * time.Second,
		SnapshotBytes:    64 << 20,
		SnapshotCommands: 1_000_000,
		SnapshotRetain:   2,
		TrailingBytes:    32 << 20,
		PromoteAfter:     5 * time.Second,
		DeadAfter:        72 * time.Hour,
	}
}

// Validate reports every setting that cannot work, in one error that joins a
// sentence for each.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Dir == "" {
		bad("data folder: must be set")
	}
	if c.Fatal == nil {
		bad("fatal handler: must be set")
	}
	if len(c.Name) > MaxNameBytes {
		bad("node name: %d bytes, at most %d", len(c.Name), MaxNameBytes)
	}
	if len(c.Terms) > MaxTermsBytes {
		bad("terms: %d bytes, at most %d", len(c.Terms), MaxTermsBytes)
	}
	if c.ClusterName == "" || len(c.ClusterName) > MaxNameBytes {
		bad("cluster name: must have 1 to %d bytes", MaxNameBytes)
	}
	if c.BootstrapExpect < 0 || c.BootstrapExpect > MaxBootstrapExpect {
		bad("bootstrap_expect: %d, must be 0 to %d", c.BootstrapExpect, MaxBootstrapExpect)
	}
	if c.LogStore != storage.LogStoreBoltDB && c.LogStore != storage.LogStoreWAL {
		bad("log store %q: must be %s or %s", c.LogStore, storage.LogStoreBoltDB, storage.LogStoreWAL)
	}
	for i, key := range c.GossipKeys {
		if n := len(key); n != 16 && n != 24 && n != 32 {
			bad("gossip key %d: %d bytes, must be 16, 24 or 32", i+1, n)
		}
	}
	c.validateAddresses(bad)
	c.validateTimes(bad)
	return errors.Join(errs...)
}

func (c Config) validateAddresses(bad func(string, ...any)) {
	for _, a := range []struct {
		what, addr string
		optional   bool
	}{
		{"peer listen address", c.PeerListen, false},
		{"peer advertised address", c.PeerAdvertise, true},
		{"gossip listen address", c.GossipListen, false},
		{"gossip advertised address", c.GossipAdvertise, true},
		{"announced API address", c.APIAddress, true},
	} {
		if a.addr == "" && a.optional {
			continue
		}
		if _, _, err := net.SplitHostPort(a.addr); err != nil {
			bad("%s %q: must be host:port", a.what, a.addr)
		}
	}
	for _, addr := range c.Join {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			bad("join address %q: must be host:port", addr)
		}
	}
}

func (c Config) validateTimes(bad func(string, ...any)) {
	for _, d := range []struct {
		what       string
		value, min time.Duration
	}{
		{"election timeout", c.ElectionTimeout, 20 * time.Millisecond},
		{"commit timeout", c.CommitTimeout, time.Millisecond},
		{"enqueue timeout", c.EnqueueTimeout, time.Millisecond},
		{"write timeout", c.WriteTimeout, 100 * time.Millisecond},
		{"promotion stabilization time", c.PromoteAfter, 0},
		{"dead_after", c.DeadAfter, 0},
	} {
		if d.value < d.min {
			bad("%s: %v, at least %v", d.what, d.value, d.min)
		}
	}
	if c.SnapshotBytes == 0 || c.SnapshotCommands == 0 {
		bad("snapshot thresholds: must be positive")
	}
	if c.SnapshotRetain < 1 {
		bad("snapshots kept: %d, at least 1", c.SnapshotRetain)
	}
}
