package config

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

// expectUnset marks cluster.bootstrap_expect as not given.
const expectUnset = -1

const (
	maxMembers     = 9        // servers of one cluster in the join list and the first group
	maxKeysFile    = 64 << 10 // bytes
	maxGossipKeys  = 16
	maxNameBytes   = 63  // a DNS label
	maxSocketBytes = 100 // sun_path has 104 bytes on the smallest system that we know
)

// complete derives what was left out and checks how settings fit together.
func (l *loader) complete() {
	l.names()
	l.addresses()
	l.clusterMembers()
	l.times()
	l.throttle()
	l.sealing()
	l.keys()
	l.files()
	l.proxies()
	l.logging()
	l.authenticators()
	l.seeds()
	l.storesInUse()
	l.protocols()
	l.seedPolicies()
	l.impliedPolicies()
	l.outsideRaft()
}

func (l *loader) names() {
	c := &l.config
	if c.Node.Name == "" {
		hostname := l.in.Hostname
		if hostname == nil {
			hostname = os.Hostname
		}
		name, err := hostname()
		if err != nil {
			l.problem("node.name", "the host's name cannot be found (%v): set it", err)
			return
		}
		c.Node.Name, _, _ = strings.Cut(name, ".")
	}
	l.checkName("node.name", c.Node.Name)
	l.checkName("cluster.name", c.Cluster.Name)
	if c.API.Socket == "" {
		c.API.Socket = filepath.Join(c.Node.DataDir, "operator.sock")
	}
	if len(c.API.Socket) > maxSocketBytes {
		l.problem("api.socket", "the path of a Unix socket has at most %d bytes, %q has %d: set a shorter one", maxSocketBytes, c.API.Socket, len(c.API.Socket))
	}
	l.oneOf("node.log_store", c.Node.LogStore, "boltdb", "wal")
	if name := strings.TrimPrefix(c.API.CookieName, "__Host-"); c.API.CookieName != "" && !cookieName.MatchString(name) {
		l.problem("api.cookie.name", "a cookie's name has 1 to 64 letters, digits, '-' and '_', this is %s", describe(c.API.CookieName))
	}
}

func (l *loader) checkName(key, name string) {
	letters := func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_' || r == '.')
	}
	if name == "" || len(name) > maxNameBytes || strings.ContainsFunc(name, letters) {
		l.problem(key, "a name has 1 to %d letters, digits, '.', '_' and '-', this is %s", maxNameBytes, describe(name))
	}
}

func (l *loader) oneOf(key, value string, allowed ...string) {
	if slices.Contains(allowed, value) {
		return
	}
	text := "use " + strings.Join(allowed, " or ") + ", this is " + describe(value)
	l.problem(key, "%s", text)
}

func (l *loader) addresses() {
	c := &l.config
	all := []struct {
		key               string
		listen, advertise *string
	}{
		{"peer", &c.Peer.Listen, &c.Peer.Advertise},
		{"gossip", &c.Gossip.Listen, &c.Gossip.Advertise},
		{"api", &c.API.Listen, &c.API.Advertise},
	}
	used := map[string]string{}
	for _, a := range all {
		if !l.checkListen(a.key+".listen", *a.listen) {
			continue
		}
		if other := used[*a.listen]; other != "" && !strings.HasSuffix(*a.listen, ":0") {
			l.problem(a.key+".listen", "%s is already the address of %s", *a.listen, other)
		}
		used[*a.listen] = a.key + ".listen"
		if *a.advertise == "" {
			*a.advertise = l.deriveAdvertise(a.key, *a.listen)
		} else {
			l.checkAddress(a.key+".advertise", *a.advertise)
		}
	}
}

// deriveAdvertise answers the listen address where others can use it, else the host of peer.advertise with its port.
// With port 0 the node advertises what it was given: "".
func (l *loader) deriveAdvertise(key, listen string) string {
	host, port, _ := net.SplitHostPort(listen)
	if port == "0" {
		return ""
	}
	if !isEverywhere(host) {
		return listen
	}
	peerHost, _, err := net.SplitHostPort(l.config.Peer.Advertise)
	if key == "peer" || err != nil {
		l.problem(key+".advertise", "%s.listen is %s, all addresses of this machine: say under which host:port others reach it", key, listen)
		return ""
	}
	return net.JoinHostPort(peerHost, port)
}

func (l *loader) checkListen(key, address string) bool {
	host, port, err := net.SplitHostPort(address)
	if n, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || n > 65535 || strings.ContainsAny(host, " /") {
		l.problem(key, "host:port is needed here, such as 127.0.0.1:8700 or :8700 for all addresses; this is %s", describe(address))
		return false
	}
	return true
}

// checkAddress wants something that another machine can dial.
func (l *loader) checkAddress(key, address string) {
	host, port, err := net.SplitHostPort(address)
	n, bad := strconv.ParseUint(port, 10, 16)
	if err != nil || bad != nil || n == 0 || isEverywhere(host) || strings.ContainsAny(host, " /") {
		l.problem(key, "the host:port that others dial is needed here, such as node1.example:8701; this is %s", describe(address))
	}
}

// isEverywhere tells hosts that mean all addresses: good to listen on, nothing to dial.
func isEverywhere(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.IsUnspecified()
}

func (l *loader) clusterMembers() {
	c := &l.config.Cluster
	for _, address := range c.Join {
		l.checkAddress("cluster.join", address)
	}
	switch {
	case len(c.Join) > maxMembers:
		l.problem("cluster.join", "at most %d addresses, these are %d", maxMembers, len(c.Join))
	case c.BootstrapExpect == expectUnset && len(c.Join) == 0:
		c.BootstrapExpect = 1
	case c.BootstrapExpect == expectUnset:
		l.sources["cluster.bootstrap_expect"] = l.sources["cluster.join"]
		l.problem("cluster.bootstrap_expect", "with cluster.join it must be said: the number of servers that form a new cluster together (usually 3), or 0 to join one that exists")
	case c.BootstrapExpect < 0 || c.BootstrapExpect > maxMembers:
		l.problem("cluster.bootstrap_expect", "a number from 0 to %d is needed here, this is %d", maxMembers, c.BootstrapExpect)
	case c.BootstrapExpect == 0 && len(c.Join) == 0:
		l.problem("cluster.bootstrap_expect", "0 means to join a cluster that exists: cluster.join must name one of its nodes")
	case c.BootstrapExpect > 1 && len(c.Join) == 0:
		l.problem("cluster.join", "cluster.bootstrap_expect is %d: name the peer addresses of the other nodes", c.BootstrapExpect)
	}
}

func (l *loader) times() {
	c := &l.config
	l.between("api.drain_delay", c.API.DrainDelay, 0, 5*time.Minute)
	if c.Cluster.DeadAfter != 0 {
		l.between("cluster.dead_after", c.Cluster.DeadAfter, time.Minute, 10*365*24*time.Hour)
	}
	l.between("cluster.heartbeat_timeout", c.Cluster.HeartbeatTimeout, 50*time.Millisecond, 30*time.Second)
	l.between("limits.request_timeout", c.Limits.RequestTimeout, 100*time.Millisecond, time.Minute)
	l.between("limits.max_stale", c.Limits.MaxStale, 100*time.Millisecond, 24*time.Hour)
	if n := c.API.MaxConnections; n < 1 || n > 1_000_000 {
		l.problem("api.max_connections", "a number from 1 to 1000000 is needed here, this is %d", n)
	}
}

func (l *loader) throttle() {
	t := &l.config.Throttle
	l.between("throttle.window", t.Window, time.Second, session.MaxAttemptWindow)
	for _, n := range []struct {
		key          string
		value, least int
	}{{"throttle.per_user", t.PerUser, 0}, {"throttle.per_address", t.PerAddress, 0}, {"throttle.per_node", t.PerNode, 1}} {
		switch {
		case n.value < n.least || n.value > session.MaxAttempts:
			l.problem(n.key, "a number from %d to %d is needed here, this is %d", n.least, session.MaxAttempts, n.value)
		case n.least == 0 && int64(n.value) > t.Window.Milliseconds():
			l.problem(n.key, "%d attempts need a throttle.window of at least %v, a millisecond for each", n.value, time.Duration(n.value)*time.Millisecond)
		}
	}
}

func (l *loader) sealing() {
	s := l.config.Sealing
	check := func(key, password string) {
		var e *session.Error
		if errors.As(session.ValidateSafePassword(password), &e) {
			l.problem(key, "%s", e.Message)
		}
	}
	if _, given := l.sources["tokenizer.safe_password"]; given {
		check("tokenizer.safe_password", s.SafePassword)
	}
	for _, password := range s.Previous {
		check("tokenizer.safe_password_previous", password)
	}
	if len(s.Previous) >= session.MaxSealKeys {
		l.problem("tokenizer.safe_password_previous", "at most %d, these are %d", session.MaxSealKeys-1, len(s.Previous))
	}
}

func (l *loader) between(key string, d, least, most time.Duration) {
	if d < least || d > most {
		l.problem(key, "a duration from %v to %v is needed here, this is %v", least, most, d)
	}
}

func (l *loader) keys() {
	c := &l.config.Gossip
	key, texts := "gossip.keys", c.keys
	if c.keysFile != "" {
		if len(texts) > 0 {
			l.problem("gossip.keys_file", "gossip.keys is set too: use one of them")
			return
		}
		text, err := readBounded(c.keysFile, maxKeysFile)
		if err != nil {
			l.problem("gossip.keys_file", "%s %v", c.keysFile, err)
			return
		}
		key, texts = "gossip.keys_file", strings.Fields(string(text))
		if len(texts) == 0 {
			l.problem(key, "%s holds no key", c.keysFile)
		}
	}
	if len(texts) > maxGossipKeys {
		l.problem(key, "at most %d keys, these are %d", maxGossipKeys, len(texts))
		return
	}
	for i, text := range texts {
		raw, err := base64.StdEncoding.DecodeString(text)
		if n := len(raw); err != nil || n != 16 && n != 24 && n != 32 {
			l.problem(key, "key %d is not the base64 of 16, 24 or 32 bytes; make one with: head -c 32 /dev/urandom | base64", i+1)
			continue
		}
		c.Keys = append(c.Keys, raw)
	}
}

// files checks which files belong together and that they are what they should be, before a node half starts.
func (l *loader) files() {
	api, peer := l.config.API.TLS, l.config.Peer.TLS
	switch {
	case api.IsZero():
	case api.CertFile == "" || api.KeyFile == "":
		l.problem("api.tls.cert_file", "api.tls needs both cert_file and key_file")
	default:
		l.checkPair("api.tls.cert_file", api.CertFile, api.KeyFile)
	}
	switch {
	case peer.IsZero():
	case peer.CAFile == "" || peer.CertFile == "" || peer.KeyFile == "":
		l.problem("peer.tls.ca_file", "peer.tls needs all of ca_file, cert_file and key_file")
	default:
		l.checkPair("peer.tls.cert_file", peer.CertFile, peer.KeyFile)
		text, err := readBounded(peer.CAFile, MaxFileBytes)
		if err != nil {
			l.problem("peer.tls.ca_file", "%s %v", peer.CAFile, err)
		} else if !x509.NewCertPool().AppendCertsFromPEM(text) {
			l.problem("peer.tls.ca_file", "%s holds no PEM certificate", peer.CAFile)
		}
	}
	if info, err := os.Stat(l.config.Node.DataDir); err == nil && !info.IsDir() {
		l.problem("node.data_dir", "%s is not a folder", l.config.Node.DataDir)
	}
	if l.config.Home == HomeRaft {
		l.peerProof()
	}
}

func (l *loader) checkPair(key, cert, private string) {
	if _, err := tls.LoadX509KeyPair(cert, private); err != nil {
		l.problem(key, "%s and %s cannot be used: %v", cert, private, err)
	}
}

// peerProof refuses to let strangers join by default.
func (l *loader) peerProof() {
	c := &l.config
	host, _, _ := net.SplitHostPort(c.Peer.Listen)
	if c.Peer.TLS.IsZero() && len(c.Gossip.keys) == 0 && c.Gossip.keysFile == "" && !c.Peer.InsecurePeers && !isLoopback(host) {
		l.problem("peer.listen", "%s is not only this machine, and nothing proves who a peer is: set peer.tls, or gossip.keys, or peer.insecure_peers: true for a closed network", c.Peer.Listen)
	}
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func (l *loader) proxies() {
	if l.config.API.ProxyProtocol && len(l.config.API.trustedProxies) == 0 {
		l.problem("api.proxy_protocol", "true needs api.trusted_proxies: headers of nobody else are taken")
	}
	for _, text := range l.config.API.trustedProxies {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			ip, bad := netip.ParseAddr(text)
			if bad != nil {
				l.problem("api.trusted_proxies", "an address or a network is needed here, such as 10.0.0.5 or 10.0.0.0/8; this is %s", describe(text))
				continue
			}
			prefix = netip.PrefixFrom(ip, ip.BitLen())
		}
		l.config.API.TrustedProxies = append(l.config.API.TrustedProxies, prefix.Masked())
	}
}

func (l *loader) logging() {
	l.oneOf("log.level", l.config.Log.level, "debug", "info", "warn", "error")
	l.oneOf("audit.nodes", l.config.Audit.Nodes, "all", "leader")
	if _, set := l.sources["audit.nodes"]; set && l.config.Audit.File == "" {
		l.problem("audit.nodes", "has no effect without audit.file: set that too, or remove this")
	}
	l.oneOf("log.format", l.config.Log.Format, "json", "text")
	_ = l.config.Log.Level.UnmarshalText([]byte(l.config.Log.level)) // what it would refuse is a problem already
}

// seeds refuses the values of the seeds' words that this version does not do.
func (l *loader) seeds() {
	l.oneOf("tokenizer.type", l.config.Home, HomeRaft, HomeLocal, HomeRedis, HomeDynamoDB)
	l.config.OwnSessions = !l.config.sessionPersistence
	if l.config.OwnSessions && l.config.Home != HomeRaft {
		l.problem(keyPersistence, "false lets each node of a cluster keep its own sessions, and there is no cluster while tokenizer.type is %s: remove it", describe(l.config.Home))
	}
}
