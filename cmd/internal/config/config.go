package config

import (
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/hydrastore/hydrastore/api/faircom"
	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/backend/dynamodb"
	"github.com/hydrastore/hydrastore/backend/local"
	"github.com/hydrastore/hydrastore/backend/redis"
	"github.com/hydrastore/hydrastore/session"
)

// Config is everything that a node takes from its operator. Load returns it complete and valid: defaults are filled in,
// addresses to advertise are resolved, keys are decoded. It is a value; nothing changes it afterwards.
type Config struct {
	Node     Node
	API      API
	Peer     Peer
	Gossip   Gossip
	Cluster  Cluster
	Limits   Limits
	Throttle Throttle
	Log      Log
	Audit    Audit
	Policies []session.Policy // first values, in the order of their names

	Authenticator Authenticator
	Protocols     Protocols
	Sealing       Sealing

	// Home is where sessions live: raft, local, redis or dynamodb.
	Home     string
	Local    local.Config    // with tokenizer.type local; the same
	Redis    redis.Config    // with tokenizer.type redis; its Logger is the caller's to set
	DynamoDB dynamodb.Config // with tokenizer.type dynamodb; the same

	// OwnSessions: each node of the cluster keeps the sessions that it made, and knows no others. The seed's word for the opposite is sessionPersistence.
	OwnSessions        bool
	sessionPersistence bool

	seed   seedTimers
	stores stores

	implied []string // names of policies that the operator did not write
}

// seedTimers are first values of policies in the words that people know from elsewhere.
type seedTimers struct {
	sessionDuration          int // minutes
	sessionInactivityTimeout int // minutes
	sessionNoTickle          bool
	maxSessionKeyAge         int // seconds
	idleConnectionTimeout    int // seconds
	enablePermanent          bool
	maxSessions              int
	maxPerAddress            int
	maxPerUser               int
	tokenizerTimeout         int // minutes
	short, long              time.Duration
}

// GivenPolicies are those policies that the operator has written, in the order of their names.
func (c Config) GivenPolicies() []session.Policy {
	return slices.DeleteFunc(slices.Clone(c.Policies), func(p session.Policy) bool { return slices.Contains(c.implied, p.Name) })
}

// Protocols are those beside REST that this node speaks.
type Protocols struct {
	FairCom                bool
	FairComDefaults        faircom.Defaults
	LiveJournal            bool
	LiveJournalMaxUserName int
	NetX                   bool
	NetXPath               string
}

// Node is this server itself.
type Node struct {
	Name     string
	DataDir  string
	LogStore string // boltdb or wal
}

// API is the HTTP side.
type API struct {
	Listen         string
	Advertise      string // host:port, never an unspecified address
	Socket         string // the operator's Unix socket
	TLS            CertFiles
	TrustedProxies []netip.Prefix
	ProxyProtocol  bool // trusted proxies send PROXY protocol headers
	DrainDelay     time.Duration
	MaxConnections int
	CookieName     string // "" = keys are not taken from cookies

	trustedProxies []string
}

// Authenticator is who judges passwords.
type Authenticator struct {
	Hashing     auth.Params            // of new hashes of the cluster's own passwords
	Directories []auth.DirectoryConfig // asked in this order about users that have no password here

	order               []string
	memoryKiB           int
	iterations          int
	openldap, microsoft directory
}

// directory is the settings of one kind of directory, as they were written.
type directory struct {
	servers, allowedGroups, groupPolicies, groupRoles []string
	caFile, userPattern, baseDN, domain               string
	insecure, nestedGroups                            bool
	timeout                                           time.Duration
	maxConnections                                    int
}

// Peer is the port of Raft and peer calls.
type Peer struct {
	Listen        string
	Advertise     string
	TLS           PeerTLS
	InsecurePeers bool
}

// PeerTLS names PEM files for mutual TLS between nodes; all empty = none.
type PeerTLS struct{ CAFile, CertFile, KeyFile string }

// IsZero tells that TLS between peers is off.
func (t PeerTLS) IsZero() bool { return t == PeerTLS{} }

// CertFiles names a server certificate; both empty = none.
type CertFiles struct{ CertFile, KeyFile string }

// IsZero tells that TLS is off.
func (t CertFiles) IsZero() bool { return t == CertFiles{} }

// Gossip is failure detection. Keys are secrets: they are never printed.
type Gossip struct {
	Listen    string
	Advertise string
	Keys      [][]byte // the first encrypts and is proved between peers, all decrypt

	keys     []string
	keysFile string
}

// Cluster is what all nodes of one cluster have in common.
type Cluster struct {
	Name             string
	Join             []string
	BootstrapExpect  int
	DeadAfter        time.Duration
	HeartbeatTimeout time.Duration
}

// Limits bounds waiting.
type Limits struct {
	RequestTimeout time.Duration
	MaxStale       time.Duration
}

// Throttle bounds how often passwords may be tried; see node.Throttle.
type Throttle struct {
	Window     time.Duration
	PerUser    int // 0 = no such limit
	PerAddress int // 0 = no such limit
	PerNode    int
}

// Audit is the trail of who did what.
type Audit struct {
	File  string // "-" = standard output, "" = none
	Nodes string // all or leader
}

// ToFile tells that there is a trail, and that it goes to a file.
func (a Audit) ToFile() bool { return a.File != "" && a.File != "-" }

// Sealing is what sealed attributes are sealed with. The passwords are secrets: they are never printed.
type Sealing struct {
	SafePassword string   // "" = this node seals nothing
	Previous     []string // whose values can still be opened
	Credentials  bool     // seal the attribute "credentials" of sessions under the policy tokenizer
	// Params are the costs of deriving a key; zero = the default. No setting: for passwords that are drawn, which no cost makes better.
	Params auth.Params
}

// Log is where and how much is logged; it goes to standard error.
type Log struct {
	Level    slog.Level
	Format   string // json or text
	Requests bool   // a line for every request, not only for failed ones

	level string
}
