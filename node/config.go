package node

import (
	"io"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/cluster"
	"github.com/hydrastore/hydrastore/node/audit"
	"github.com/hydrastore/hydrastore/session"
)

// Config of a Node. Start from DefaultConfig; it is copied by New and not changed after.
type Config struct {
	// Cluster holds the node's place in the cluster: folder, addresses, join list, peer security. New fills in its
	// FormatLevel, Terms, Fatal and Logger.
	Cluster cluster.Config

	// Version of the software, shown to operators.
	Version string

	// RequestTimeout bounds every request: how long it waits for a leader, a majority, an index. Longer rides out longer
	// elections; shorter tells callers earlier. Default 5 s.
	RequestTimeout time.Duration
	// MaxStale is how old the data of a local read may be. Longer keeps local reads going through longer losses of the
	// majority, at the cost of accepting keys that were revoked meanwhile. Default 5 s.
	MaxStale time.Duration

	// Limits of queues and batches.
	Limits Limits

	// Policies are the first values of policies that the cluster does not have yet. "default" is always among them.
	Policies []session.Policy
	// AdminPassword is the password of the user "admin", created by the first leader if there is no admin yet; "" = none.
	AdminPassword string

	// Throttle bounds how often passwords may be tried.
	Throttle Throttle

	// SessionsAtNode says that sessions live at the node that made them, kept by somebody above who asks this node for users and policies: the node's
	// own Sessions methods then make none. All nodes must say the same. Default: they live in the log, and every node knows all.
	SessionsAtNode bool

	// Audit is the trail of who did what. Only File, Nodes and QueueLines are its owner's to set. Default: none.
	Audit audit.Config

	// Sealing is what sealed attributes are sealed with.
	Sealing Sealing

	// Hashing are the costs of new password hashes and how many are computed at once.
	Hashing auth.Config

	// Authenticators outside of the cluster judge users that have no password here, in this order. Shutdown closes them. Default: none.
	Authenticators []auth.Authenticator

	// Clock and Random are the machine's by default; tests replace them.
	Clock  Clock
	Random io.Reader

	// Logger receives what operators should know; default slog.Default(). Registerer takes the node's metrics; nil = none.
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	// Fatal is called at most once when the node cannot go on; the process must end. Required.
	Fatal func(error)
}

// Limits bound what a node holds for others. Zero fields take their default.
type Limits struct {
	QueueCommands   int // writes waiting on this node before others are refused; default 65,536
	QueueBytes      int // bytes of those writes; default 256 MiB
	WaitingReads    int // reads waiting for one read index before others are refused; default 65,536
	BatchCommands   int // commands in one batch and in one log entry; default 1,024
	BatchBytes      int // bytes in one batch and in one log entry; default 256 KiB
	BatchesInFlight int // batches of this node on their way at once; default 1: the next fills meanwhile
	EntriesInFlight int // log entries of the leader on their way at once; default 1: more made smaller entries and more flushes
	InboxBatches    int // batches waiting at the leader; default 1,024
	AsyncTouches    int // touches sent without waiting, at once; default 4,096

	LocalAttributeBytes int // bytes of attributes under policies that leave them to nodes; default 64 MiB
}

// DefaultConfig returns the defaults that the fields of Config name.
func DefaultConfig() Config {
	return Config{
		Cluster: cluster.DefaultConfig(), Version: "dev", RequestTimeout: 5 * time.Second, MaxStale: 5 * time.Second,
		Limits: DefaultLimits(), Throttle: auth.DefaultThrottle(), Policies: []session.Policy{session.DefaultPolicy()},
	}
}

// DefaultLimits returns the defaults that the fields of Limits name.
func DefaultLimits() Limits {
	return Limits{
		QueueCommands: 65_536, QueueBytes: 256 << 20, WaitingReads: 65_536, BatchCommands: 1_024, BatchBytes: 256 << 10, BatchesInFlight: 1, EntriesInFlight: 1,
		InboxBatches: 1_024, AsyncTouches: 4_096, LocalAttributeBytes: 64 << 20,
	}
}

func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	for _, f := range []struct{ value, standard *int }{
		{&l.QueueCommands, &d.QueueCommands}, {&l.QueueBytes, &d.QueueBytes}, {&l.WaitingReads, &d.WaitingReads}, {&l.BatchCommands, &d.BatchCommands}, {&l.BatchBytes, &d.BatchBytes},
		{&l.BatchesInFlight, &d.BatchesInFlight}, {&l.EntriesInFlight, &d.EntriesInFlight},
		{&l.InboxBatches, &d.InboxBatches}, {&l.AsyncTouches, &d.AsyncTouches}, {&l.LocalAttributeBytes, &d.LocalAttributeBytes},
	} {
		if *f.value <= 0 {
			*f.value = *f.standard
		}
	}
	return l
}

// Validate tells the first setting that cannot work. The cluster's own settings are judged by cluster.Open.
func (c Config) Validate() error {
	switch {
	case c.Fatal == nil:
		return session.Invalid("fatal", "a handler for fatal errors is needed")
	case c.RequestTimeout < 100*time.Millisecond:
		return session.Invalid("request_timeout", "%v is too short for an election: at least 100ms", c.RequestTimeout)
	case c.Limits.BatchBytes > cluster.MaxEntryBytes/2:
		return session.Invalid("limits.batch_bytes", "%d is more than half of the largest log entry (%d)", c.Limits.BatchBytes, cluster.MaxEntryBytes)
	case c.MaxStale <= 0:
		return session.Invalid("max_stale", "must be positive")
	}
	if err := c.Throttle.Validate(); err != nil {
		return err
	}
	if err := c.Sealing.Validate(); err != nil {
		return err
	}
	for _, p := range c.Policies {
		if err := p.Validate(); err != nil {
			return err
		}
	}
	if err := c.Audit.Validate(); err != nil {
		return session.Invalid("audit", "%v", err)
	}
	if c.AdminPassword != "" {
		return session.ValidatePassword(c.AdminPassword)
	}
	return nil
}
