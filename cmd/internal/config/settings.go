package config

import (
	"strings"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

// Setting is one row of the table: a key of the file with everything that is derived from it.
type Setting struct {
	Key     string // as in the file: section.name
	Default string // as one would write it; "" = empty, absent or derived, as Help says
	Help    string // one or two sentences: meaning, unit, and what it costs
	Secret  bool   // never a flag, so that it stays out of the process list, and never in an error

	field func(*Config) any // where it goes: *string, *int, *bool, *time.Duration, *[]string or *[]session.Policy
}

// Env is the setting's name in the environment.
func (s Setting) Env() string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(s.Key, ".", "_"))
}

// Flag is the setting's flag without the dashes; "" for secrets.
func (s Setting) Flag() string {
	if s.Secret {
		return ""
	}
	return strings.ToLower(strings.NewReplacer(".", "-", "_", "-").Replace(s.Key))
}

// Type names what the setting takes.
func (s Setting) Type() string {
	switch s.field(new(Config)).(type) {
	case *int:
		return "number"
	case *bool:
		return "true or false"
	case *time.Duration:
		return "duration"
	case *[]string:
		return "list"
	case *[]session.Policy:
		return "policies"
	}
	return "text"
}

// EnvPrefix begins every variable of Hydrastore.
const EnvPrefix = "HYDRASTORE_"

// Settings returns the table, in the order of the reference page.
func Settings() []Setting {
	groups := [][]Setting{nodeSettings(), apiSettings(), peerSettings(), gossipSettings(), clusterSettings(), authenticatorSettings(), throttleSettings(), otherSettings(), protocolSettings(), seedSettings(), redisSettings(), dynamodbSettings(), callSettings()}
	var all []Setting
	for _, g := range groups {
		all = append(all, g...)
	}
	return all
}

func nodeSettings() []Setting {
	return []Setting{
		{Key: "node.name", Help: "A name for people, in logs and lists. Default: the host's name.",
			field: func(c *Config) any { return &c.Node.Name }},
		{Key: "node.data_dir", Default: "data", Help: "Folder of the log, the snapshots and the node's identity. One node, one folder.",
			field: func(c *Config) any { return &c.Node.DataDir }},
		{Key: "node.log_store", Default: "boltdb", Help: "How the log is kept: `boltdb`, or `wal` (segment files, less fsync, younger code). Chosen once for a data folder.",
			field: func(c *Config) any { return &c.Node.LogStore }},
	}
}

func apiSettings() []Setting {
	return []Setting{
		{Key: "api.listen", Default: "127.0.0.1:8700", Help: "Where HTTP is served.",
			field: func(c *Config) any { return &c.API.Listen }},
		{Key: "api.advertise", Help: "host:port under which clients reach this node's API, shown by `cluster members`. Default: `api.listen`, or the host of `peer.advertise` when that is all addresses.",
			field: func(c *Config) any { return &c.API.Advertise }},
		{Key: "api.socket", Help: "Unix socket for operator commands on this machine, mode 0600. Who can open it is an admin. Default: `operator.sock` in the data folder.",
			field: func(c *Config) any { return &c.API.Socket }},
		{Key: "api.tls.cert_file", Help: "PEM certificate of the API, with its intermediates. Without it session keys travel in the clear: put a TLS load balancer in front.",
			field: func(c *Config) any { return &c.API.TLS.CertFile }},
		{Key: "api.tls.key_file", Help: "PEM private key of that certificate.",
			field: func(c *Config) any { return &c.API.TLS.KeyFile }},
		{Key: "api.trusted_proxies", Help: "Addresses or networks whose `X-Forwarded-For` is believed, such as `10.0.0.0/8`. Default: none.",
			field: func(c *Config) any { return &c.API.trustedProxies }},
		{Key: "api.proxy_protocol", Default: "false", Help: "Connections from `api.trusted_proxies` must begin with a PROXY protocol header, version 2 (HAProxy: `send-proxy-v2`), which names the client. Others may not.",
			field: func(c *Config) any { return &c.API.ProxyProtocol }},
		{Key: "api.drain_delay", Default: "2s", Help: "How long after SIGTERM `/readyz` says no before connections are closed. At least the load balancer's check interval times its `fall`.",
			field: func(c *Config) any { return &c.API.DrainDelay }},
		{Key: "api.max_connections", Default: "16384", Help: "Open HTTP connections. More wait in the kernel's queue.",
			field: func(c *Config) any { return &c.API.MaxConnections }},
		{Key: "api.cookie.name", Help: "Also take session keys from the cookie of this name, to which `__Host-` is put in front. Default: no cookies.",
			field: func(c *Config) any { return &c.API.CookieName }},
	}
}

func peerSettings() []Setting {
	return []Setting{
		{Key: "peer.listen", Default: "127.0.0.1:8701", Help: "Where other nodes connect: Raft and calls between nodes (TCP).",
			field: func(c *Config) any { return &c.Peer.Listen }},
		{Key: "peer.advertise", Help: "host:port under which other nodes reach it. Default: `peer.listen`; needed when that is all addresses.",
			field: func(c *Config) any { return &c.Peer.Advertise }},
		{Key: "peer.tls.ca_file", Help: "PEM certificates that sign the nodes' certificates. The three `peer.tls` files together turn on mutual TLS.",
			field: func(c *Config) any { return &c.Peer.TLS.CAFile }},
		{Key: "peer.tls.cert_file", Help: "PEM certificate of this node; a SAN must be `node.` and `cluster.name`.",
			field: func(c *Config) any { return &c.Peer.TLS.CertFile }},
		{Key: "peer.tls.key_file", Help: "PEM private key of that certificate.",
			field: func(c *Config) any { return &c.Peer.TLS.KeyFile }},
		{Key: "peer.insecure_peers", Default: "false", Help: "Allow peers off this machine with neither TLS nor gossip keys: whoever reaches the port can join. Only for closed networks.",
			field: func(c *Config) any { return &c.Peer.InsecurePeers }},
	}
}

func gossipSettings() []Setting {
	return []Setting{
		{Key: "gossip.listen", Default: "127.0.0.1:8702", Help: "Where failure detection listens (UDP and TCP).",
			field: func(c *Config) any { return &c.Gossip.Listen }},
		{Key: "gossip.advertise", Help: "host:port under which others reach it. Default: `gossip.listen`, or the host of `peer.advertise` when that is all addresses.",
			field: func(c *Config) any { return &c.Gossip.Advertise }},
		{Key: "gossip.keys", Secret: true, Help: "Base64 keys of 16, 24 or 32 bytes (`head -c 32 /dev/urandom | base64`). The first encrypts; all decrypt. Without peer TLS it is also what nodes prove to each other.",
			field: func(c *Config) any { return &c.Gossip.keys }},
		{Key: "gossip.keys_file", Help: "File with those keys, one a line, in place of `gossip.keys`.",
			field: func(c *Config) any { return &c.Gossip.keysFile }},
	}
}

func clusterSettings() []Setting {
	return []Setting{
		{Key: "cluster.name", Default: "hydrastore", Help: "Name that the nodes' certificates carry. Equal on all nodes.",
			field: func(c *Config) any { return &c.Cluster.Name }},
		{Key: "cluster.join", Help: "Peer addresses (host:port) of the other nodes, or some of them. This node's own address may be among them.",
			field: func(c *Config) any { return &c.Cluster.Join }},
		{Key: "cluster.bootstrap_expect", Default: "", Help: "How many servers form a new cluster together, once. 0: never form one, only join. Default: 1 without `cluster.join`; with it, it must be said. Equal on all first nodes.",
			field: func(c *Config) any { return &c.Cluster.BootstrapExpect }},
		{Key: "cluster.dead_after", Default: "72h", Help: "A server that has been gone that long is removed while a majority stays. 0: never.",
			field: func(c *Config) any { return &c.Cluster.DeadAfter }},
		{Key: "cluster.heartbeat_timeout", Default: "500ms", Help: "Silence of the leader after which others vote. Lower: faster failover (500ms gives a new leader in 1.3 s at p95, 1s in 2.7 s). Higher: bears slower disks and networks without needless elections. Equal on all nodes.",
			field: func(c *Config) any { return &c.Cluster.HeartbeatTimeout }},
	}
}

func throttleSettings() []Setting {
	return []Setting{
		{Key: "throttle.window", Default: "5m", Help: "Time over which attempts to log in with a password come back, evenly. Wrong passwords are counted at all nodes together; right ones are not. Longer is harder on guessers, and on people who have forgotten theirs.",
			field: func(c *Config) any { return &c.Throttle.Window }},
		{Key: "throttle.per_user", Default: "10", Help: "Wrong passwords in a window for one user from one address (IPv6: one /64); then 429 until the next attempt has come back (here: 30 s). 0: no such limit.",
			field: func(c *Config) any { return &c.Throttle.PerUser }},
		{Key: "throttle.per_address", Default: "100", Help: "Wrong passwords in a window from one address, whichever the users. Higher where many people share an address, or an application logs its users in without naming `client_ip`. 0: no such limit.",
			field: func(c *Config) any { return &c.Throttle.PerAddress }},
		{Key: "throttle.per_node", Default: "256", Help: "Password checks that wait for a processor at this node before others are refused with 503. Addresses take turns, so that one that floods does not keep others waiting.",
			field: func(c *Config) any { return &c.Throttle.PerNode }},
	}
}

func otherSettings() []Setting {
	return []Setting{
		{Key: "limits.request_timeout", Default: "5s", Help: "How long a request may wait, a change of leader included, before it answers 503 or 504.",
			field: func(c *Config) any { return &c.Limits.RequestTimeout }},
		{Key: "limits.max_stale", Default: "5s", Help: "How old the data of a read with `consistency=local` may be.",
			field: func(c *Config) any { return &c.Limits.MaxStale }},
		{Key: "log.level", Default: "info", Help: "`debug`, `info`, `warn` or `error`.",
			field: func(c *Config) any { return &c.Log.level }},
		{Key: "log.format", Default: "json", Help: "`json` or `text`, on standard error.",
			field: func(c *Config) any { return &c.Log.Format }},
		{Key: "log.requests", Default: "true", Help: "One line for every request. `false`: only for those that fail, which costs less under load.",
			field: func(c *Config) any { return &c.Log.Requests }},
		{Key: "audit.file", Help: "Write the audit trail to this file, one JSON object a line; `-` is standard output. Opened again on SIGHUP. Default: no trail. See [audit](audit.md).",
			field: func(c *Config) any { return &c.Audit.File }},
		{Key: "audit.nodes", Default: "all", Help: "`all`: every node with an `audit.file` writes every line. `leader`: each line is written once, by the node that led when the change was made.",
			field: func(c *Config) any { return &c.Audit.Nodes }},
		{Key: "policies", Help: "First values of policies, by name; in a variable or flag as one YAML or JSON text. Afterwards they are replicated and changed with `hydrastore policy set`. See below.",
			field: func(c *Config) any { return &c.Policies }},
	}
}

func protocolSettings() []Setting {
	return []Setting{
		{Key: "protocols.faircom", Help: "`true`: speak the session actions of FairCom's JSON Admin API at `POST /api`, under the policy `faircom`, whose first values are its preset's. See [protocols](protocols/README.md). Default: `false`; in `dev` `true`.",
			field: func(c *Config) any { return &c.Protocols.FairCom }},
		{Key: "protocols.livejournal", Help: "`true`: speak LiveJournal's protocol at `POST /interface/flat` and `POST /interface/xmlrpc`, under the policies `livejournal-short` and `livejournal-long`, whose first values are their presets'. See [protocols](protocols/README.md). Default: `false`; in `dev` `true`.",
			field: func(c *Config) any { return &c.Protocols.LiveJournal }},
		{Key: "protocols.netx", Help: "`true`: speak NetX's JSON-RPC for session keys at `protocols.netx_path`, under the policy `netx`, whose first values are its preset's. Default: `false`; in `dev` `true`.",
			field: func(c *Config) any { return &c.Protocols.NetX }},
		{Key: "protocols.netx_path", Default: "/x7/json", Help: "Where that is: the path that NetX's clients are set up for.",
			field: func(c *Config) any { return &c.Protocols.NetXPath }},
	}
}

func seedSettings() []Setting {
	return []Setting{
		{Key: "tokenizer.type", Default: "raft", Help: "Where sessions live: `raft`, the cluster's own log; `local`, a folder of this one server; `redis`; `dynamodb`. See [backends.md](backends.md).",
			field: func(c *Config) any { return &c.Home }},
		{Key: "tokenizer.path", Help: "Local: the folder, which one server has at a time. Default: `sessions` in the data folder.",
			field: func(c *Config) any { return &c.Local.Path }},
		{Key: "tokenizer.timeout", Help: "First idle timeout of the policy `tokenizer`, in minutes. Its preset has 20.",
			field: func(c *Config) any { return &c.seed.tokenizerTimeout }},
		{Key: "tokenizer.safe_password", Secret: true, Help: "Password from which the key of sealed attributes is derived; at least 12 bytes, the same on all nodes. Kept nowhere: who loses it loses what is sealed. Default: none, and nothing can be sealed.",
			field: func(c *Config) any { return &c.Sealing.SafePassword }},
		{Key: "tokenizer.safe_password_previous", Secret: true, Help: "Earlier ones, with which values can still be read until `hydrastore cluster reseal` has sealed them anew.",
			field: func(c *Config) any { return &c.Sealing.Previous }},
		{Key: "tokenizer.seal_credentials", Default: "true", Help: "`true`: the attribute `credentials` of a session under the policy `tokenizer`, of a user with a password here, is kept sealed whoever writes it, and refused while there is no `tokenizer.safe_password`. `false`: it is an attribute like any other. The same on all nodes. See [QueryCommander](protocols/querycommander.md).",
			field: func(c *Config) any { return &c.Sealing.Credentials }},
		{Key: keyPersistence, Default: "true", Help: "`true`: every node knows every key. `false`: each node keeps the sessions that it made in its own folder, `own-sessions` in the data folder, and knows no others; users, policies and the count of wrong passwords stay the cluster's. The same on all nodes. See [backends.md](backends.md#each-node-its-own).",
			field: func(c *Config) any { return &c.sessionPersistence }},
		{Key: "user.sessionDuration", Help: "First idle timeout of the policy `netx`, in minutes. Its preset has 30.",
			field: func(c *Config) any { return &c.seed.sessionDuration }},
		{Key: "user.sessionInactivityTimeout", Help: "First inactivity timeout of the policy `netx`, in minutes. 0: none. Its preset has 60.",
			field: func(c *Config) any { return &c.seed.sessionInactivityTimeout }},
		{Key: "user.sessionNoTickle", Help: "`true`: under the policy `netx` touches move no timer.",
			field: func(c *Config) any { return &c.seed.sessionNoTickle }},
		{Key: "userdata.maxsessionkeyage", Help: "First idle timeout of the policy `flowtraq`, in seconds. 0: such keys are not issued, there is no such policy.",
			field: func(c *Config) any { return &c.seed.maxSessionKeyAge }},
		{Key: "jsonActionApiDefaults.idleConnectionTimeoutSeconds", Help: "First idle timeout of the policy `faircom`, in seconds. Its preset has 3600.",
			field: func(c *Config) any { return &c.seed.idleConnectionTimeout }},
		{Key: "jsonActionApiDefaults.enablePermanentJsonApiSessions", Help: "`true`: the policy `faircom` allows permanent sessions.",
			field: func(c *Config) any { return &c.seed.enablePermanent }},
		{Key: "jsonActionApiDefaults.maxJsonApiSessions", Help: "First `max_sessions` of the policy `faircom`. 0: no limit. Its preset has 1024.",
			field: func(c *Config) any { return &c.seed.maxSessions }},
		{Key: "jsonActionApiDefaults.maxJsonApiSessionsPerIpAddress", Help: "First `max_sessions_per_address` of the policy `faircom`. 0: no limit. Its preset has 50.",
			field: func(c *Config) any { return &c.seed.maxPerAddress }},
		{Key: "jsonActionApiDefaults.maxJsonApiSessionsPerUsername", Help: "First `max_sessions_per_user` of the policy `faircom`. 0: no limit. Its preset has 50.",
			field: func(c *Config) any { return &c.seed.maxPerUser }},
		{Key: "jsonActionApiDefaults.defaultApi", Default: "hub", Help: "What sessions of FairCom's API show as `defaultApi` when nobody has said otherwise. Like the following: shown, and without effect here.",
			field: func(c *Config) any { return &c.Protocols.FairComDefaults.API }},
		{Key: "jsonActionApiDefaults.defaultBinaryFormat", Default: "hex", Help: "The same for `defaultBinaryFormat`.",
			field: func(c *Config) any { return &c.Protocols.FairComDefaults.BinaryFormat }},
		{Key: "jsonActionApiDefaults.defaultDatabaseName", Default: "faircom", Help: "The same for `defaultDatabaseName`.",
			field: func(c *Config) any { return &c.Protocols.FairComDefaults.DatabaseName }},
		{Key: "jsonActionApiDefaults.defaultDebug", Default: "max", Help: "The same for `defaultDebug`.",
			field: func(c *Config) any { return &c.Protocols.FairComDefaults.Debug }},
		{Key: "jsonActionApiDefaults.defaultOwnerName", Default: "admin", Help: "The same for `defaultOwnerName`.",
			field: func(c *Config) any { return &c.Protocols.FairComDefaults.OwnerName }},
		{Key: "jsonActionApiDefaults.defaultResponseOptions.binaryFormat", Default: "hex", Help: "The same for `defaultResponseOptions`.",
			field: func(c *Config) any { return &c.Protocols.FairComDefaults.ResponseOptions.BinaryFormat }},
		{Key: "jsonActionApiDefaults.defaultResponseOptions.dataFormat", Default: "objects", Help: "The same.",
			field: func(c *Config) any { return &c.Protocols.FairComDefaults.ResponseOptions.DataFormat }},
		{Key: "jsonActionApiDefaults.defaultResponseOptions.numberFormat", Default: "number", Help: "The same.",
			field: func(c *Config) any { return &c.Protocols.FairComDefaults.ResponseOptions.NumberFormat }},
		{Key: "jsonActionApiDefaults.idleCursorTimeoutSeconds", Default: "600", Help: "The same for `idleCursorTimeoutSeconds`.",
			field: func(c *Config) any { return &c.Protocols.FairComDefaults.IdleCursorTimeoutSeconds }},
		{Key: "jsonActionApiDefaults.defaultRetentionPolicy", Default: "autoPurge", Help: "The same for `defaultRetentionPolicy`.",
			field: func(c *Config) any { return &c.Protocols.FairComDefaults.RetentionPolicy }},
		{Key: "jsonActionApiDefaults.defaultRetentionUnit", Default: "week", Help: "The same for `defaultRetentionUnit`.",
			field: func(c *Config) any { return &c.Protocols.FairComDefaults.RetentionUnit }},
		{Key: "jsonActionApiDefaults.defaultRetentionPeriod", Default: "4", Help: "The same for `defaultRetentionPeriod`.",
			field: func(c *Config) any { return &c.Protocols.FairComDefaults.RetentionPeriod }},
		{Key: "livejournal.short", Help: "First idle timeout of the policy `livejournal-short`. Its preset has 24h.",
			field: func(c *Config) any { return &c.seed.short }},
		{Key: "livejournal.long", Help: "First idle timeout of the policy `livejournal-long`. Its preset has 720h.",
			field: func(c *Config) any { return &c.seed.long }},
		{Key: "livejournal.maxUserName", Default: "15", Help: "The longest user name that LiveJournal's protocol takes, in bytes. Old clients may not take longer ones.",
			field: func(c *Config) any { return &c.Protocols.LiveJournalMaxUserName }},
	}
}
