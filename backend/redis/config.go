package redis

import (
	"cmp"
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

const maxPrefixBytes = 64

// MaxAddresses bounds the addresses of Sentinels or of a cluster's members that are named. Members find each other; not all must be named.
const MaxAddresses = 64

// Permissions is what the ACL of a Redis user must have, in the words of ACL SETUSER, beside ~PREFIX:* for the keys; ClusterPermissions,
// what it must have besides in a cluster.
const (
	Permissions        = "+@connection +eval +evalsha +get +getrange +set +del +exists +zadd +zrem +zrangebylex +zrangebyscore +time +info"
	ClusterPermissions = "+cluster|info +cluster|slots"
)

// WaitPermissions is what it must have besides with Config.WaitReplicas.
const WaitPermissions = "+pexpire +wait"

// MaxWaitReplicas bounds Config.WaitReplicas.
const MaxWaitReplicas = 16

// Config says where Redis is. Exactly one of Address, Sentinel and Cluster is set.
type Config struct {
	Address  string   // host:port of the one server
	Sentinel Sentinel // a server that Sentinels guard
	Cluster  []string // host:port of some members of a cluster

	User     string // "" = Redis's default user
	Password string // "" = none; a secret
	Database int    // 0 in a cluster

	// TLS for all connections, Sentinels' too; nil = none. The name of the server is that of its address.
	TLS *tls.Config

	// WaitReplicas is how many replicas must have a write before it is acknowledged, and what a read shows before it is answered; in a cluster, of
	// each master. More survive more failovers, and cost a journey to the slowest of them in each call; too few that are there mean
	// that nothing is served. Default: 0, a failover may undo what was acknowledged.
	WaitReplicas int
	// Prefix begins every key. Default: "hydrastore". Products that share a server need different ones.
	Prefix string
	// DialTimeout bounds the making of a connection, TLS and log-in included. Default: 1s.
	DialTimeout time.Duration
	// Timeout bounds one command, and with WaitReplicas as long again the wait for them. Longer waits for a slow server, and holds requests that long while a server is silent. Default: 1s.
	Timeout time.Duration
	// MaxConnections to one server. Default: 64.
	MaxConnections int
	// Grace is how long after its expiry a record is kept: clocks of servers that take one another's place may differ by that much before a
	// session is gone early. Default: one minute. Below 0: none.
	Grace time.Duration
	// SweepInterval is how often this process looks for ids of records that Redis has dropped. Default: 10s.
	SweepInterval time.Duration
	// HealthInterval is how often this process asks whether Redis serves. Default: 500ms.
	HealthInterval time.Duration
	// Logger of what operators must know; nil = none.
	Logger *slog.Logger
}

// Sentinel names a guarded server.
type Sentinel struct {
	Master    string // its name at the Sentinels; "" = no Sentinels
	Addresses []string
	User      string // at the Sentinels
	Password  string // at the Sentinels; a secret
}

func (c Config) withDefaults() Config {
	c.Prefix = cmp.Or(c.Prefix, "hydrastore")
	c.DialTimeout = cmp.Or(c.DialTimeout, time.Second)
	c.Timeout = cmp.Or(c.Timeout, time.Second)
	c.MaxConnections = cmp.Or(c.MaxConnections, 64)
	c.Grace = cmp.Or(c.Grace, time.Minute)
	c.SweepInterval = cmp.Or(c.SweepInterval, 10*time.Second)
	c.HealthInterval = cmp.Or(c.HealthInterval, 500*time.Millisecond)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// warn tells operators at each start what they have chosen.
func (c Config) warn() {
	if c.WaitReplicas == 0 && (c.Sentinel.Master != "" || len(c.Cluster) > 0) {
		c.Logger.Warn("a failover of Redis can undo log-ins and log-outs that were acknowledged: set tokenizer.wait_replicas")
	}
	switch {
	case c.TLS == nil && !c.isLocal():
		c.Logger.Warn("sessions travel to Redis in the clear: set tokenizer.options.ssl, unless the network is closed")
	case c.TLS != nil && c.TLS.InsecureSkipVerify:
		c.Logger.Warn("Redis's certificate is NOT VERIFIED (tokenizer.options.ssl_verify: false): whoever is on the way can read and change every session")
	}
}

// isLocal tells that all named servers are this machine.
func (c Config) isLocal() bool {
	for _, address := range slices.Concat([]string{c.Address}, c.Cluster, c.Sentinel.Addresses) {
		host, _, _ := net.SplitHostPort(address)
		ip, err := netip.ParseAddr(host)
		if address != "" && host != "localhost" && (err != nil || !ip.IsLoopback()) {
			return false
		}
	}
	return true
}

// Validate says what does not fit together: a *session.Error with the field as operators know it. It connects to nothing.
func (c Config) Validate() error {
	ways := 0
	for _, set := range []bool{c.Address != "", c.Sentinel.Master != "" || len(c.Sentinel.Addresses) > 0, len(c.Cluster) > 0} {
		if set {
			ways++
		}
	}
	switch {
	case ways != 1:
		return session.Invalid("host", "one of a host, Sentinels and a cluster is needed")
	case c.Sentinel.Master == "" && len(c.Sentinel.Addresses) > 0:
		return session.Invalid("sentinel.master", "the Sentinels need the name of the master that they guard")
	case c.Sentinel.Master != "" && len(c.Sentinel.Addresses) == 0:
		return session.Invalid("sentinel.addresses", "the master's name needs the addresses of the Sentinels that guard it")
	case len(c.Sentinel.Addresses) > MaxAddresses:
		return session.Invalid("sentinel.addresses", "at most %d addresses", MaxAddresses)
	case len(c.Cluster) > MaxAddresses:
		return session.Invalid("cluster", "at most %d addresses; not all members must be named", MaxAddresses)
	case c.Database < 0 || len(c.Cluster) > 0 && c.Database != 0:
		return session.Invalid("database", "a number from 0 is needed here, and 0 in a cluster")
	case c.WaitReplicas < 0 || c.WaitReplicas > MaxWaitReplicas:
		return session.Invalid("wait_replicas", "a number from 0 to %d is needed here, this is %d", MaxWaitReplicas, c.WaitReplicas)
	case c.User != "" && c.Password == "":
		return session.Invalid("user", "a user needs a password")
	case c.Sentinel.User != "" && c.Sentinel.Password == "":
		return session.Invalid("sentinel.user", "a user needs a password")
	case strings.ContainsAny(c.Prefix, "{}*?[]\\ \n\r\t") || len(c.Prefix) > maxPrefixBytes:
		return session.Invalid("prefix", "a prefix has at most %d bytes, no spaces, braces, brackets, asterisks and question marks", maxPrefixBytes)
	}
	return nil
}
