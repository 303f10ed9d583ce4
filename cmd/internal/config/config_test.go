package config_test

import (
	"encoding/base64"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/hydrastore/hydrastore/cmd/internal/config"
	"github.com/hydrastore/hydrastore/session"
)

func hostname() (string, error) { return "box7.example.net", nil }

// load reads settings from a file with the given text, when there is one.
func load(t *testing.T, yaml string, environ []string, flags map[string]string) (config.Config, error) {
	t.Helper()
	in := config.Input{Environ: environ, Flags: flags, Hostname: hostname}
	if yaml != "" {
		in.File = filepath.Join(t.TempDir(), "hydrastore.yaml")
		if err := os.WriteFile(in.File, []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return config.Load(in)
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	c, err := load(t, "", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	checks := []struct {
		what      string
		got, want any
	}{
		{"node.name is the host's first label", c.Node.Name, "box7"},
		{"node.data_dir", c.Node.DataDir, "data"},
		{"node.log_store", c.Node.LogStore, "boltdb"},
		{"api.listen", c.API.Listen, "127.0.0.1:8700"},
		{"api.advertise", c.API.Advertise, "127.0.0.1:8700"},
		{"api.socket", c.API.Socket, filepath.Join("data", "operator.sock")},
		{"api.drain_delay", c.API.DrainDelay, 2 * time.Second},
		{"api.max_connections", c.API.MaxConnections, 16384},
		{"api.cookie.name", c.API.CookieName, ""},
		{"peer.advertise", c.Peer.Advertise, "127.0.0.1:8701"},
		{"peer.insecure_peers", c.Peer.InsecurePeers, false},
		{"gossip.advertise", c.Gossip.Advertise, "127.0.0.1:8702"},
		{"cluster.name", c.Cluster.Name, "hydrastore"},
		{"cluster.bootstrap_expect", c.Cluster.BootstrapExpect, 1},
		{"cluster.dead_after", c.Cluster.DeadAfter, 72 * time.Hour},
		{"cluster.heartbeat_timeout", c.Cluster.HeartbeatTimeout, 500 * time.Millisecond},
		{"limits.request_timeout", c.Limits.RequestTimeout, 5 * time.Second},
		{"limits.max_stale", c.Limits.MaxStale, 5 * time.Second},
		{"throttle.window", c.Throttle.Window, 5 * time.Minute},
		{"throttle.per_user", c.Throttle.PerUser, 10},
		{"throttle.per_address", c.Throttle.PerAddress, 100},
		{"throttle.per_node", c.Throttle.PerNode, 256},
		{"log.level", c.Log.Level, slog.LevelInfo},
		{"log.format", c.Log.Format, "json"},
		{"audit.file", c.Audit.File, ""},
		{"audit.nodes", c.Audit.Nodes, "all"},
		{"number of policies", len(c.Policies), 1},
		{"the policy default", c.Policies[0], session.DefaultPolicy()},
	}
	for _, check := range checks {
		if check.got != check.want {
			t.Errorf("%s: got %v, want %v", check.what, check.got, check.want)
		}
	}
}

func TestWholeFile(t *testing.T) {
	t.Parallel()
	key := base64.StdEncoding.EncodeToString(make([]byte, 32))
	c, err := load(t, `
node: {name: n1, data_dir: /var/lib/hydrastore, log_store: wal}
api:
  listen: :8700
  trusted_proxies: [10.0.0.9, 10.1.2.3/8]
  drain_delay: 10s
  cookie: {name: __Host-session}
peer: {listen: "0.0.0.0:8701", advertise: "n1.example:8701"}
gossip:
  listen: "[::]:8702"
  keys: [`+key+`]
cluster: {name: prod, join: [n2.example:8701, n3.example:8701], bootstrap_expect: 3}
log: {level: warn, format: text}
tokenizer: {type: raft, safe_password: a good safe password, safe_password_previous: [an earlier password], seal_credentials: false}
user: {sessionPersistence: true}
policies:
  web: {idle_timeout_s: 900, absolute_lifetime_s: 28800, touch_window_s: 0, attributes: local, attributes_write: bearer, inactivity_timeout_s: 600, no_tickle: true, bind_address: strict, permanent_allowed: true, longer_idle_allowed: true, rotate_grace_s: 2.5, key_format: hex64,
        max_sessions_per_user: 5, max_sessions_per_address: 50, max_sessions: 1024, on_limit: evict_idle, single_session: true, permanent_counted: true}
  short: {idle_timeout_s: 1.5, touch_window_s: -1, bind_address: off}
`, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.API.Advertise != "n1.example:8700" || c.Gossip.Advertise != "n1.example:8702" {
		t.Errorf("advertised: API %q, gossip %q; want the host of peer.advertise", c.API.Advertise, c.Gossip.Advertise)
	}
	if got, want := c.API.TrustedProxies, []netip.Prefix{netip.MustParsePrefix("10.0.0.9/32"), netip.MustParsePrefix("10.0.0.0/8")}; len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("trusted proxies: got %v, want %v", got, want)
	}
	if len(c.Gossip.Keys) != 1 || len(c.Gossip.Keys[0]) != 32 {
		t.Errorf("gossip keys: got %d, want one of 32 bytes", len(c.Gossip.Keys))
	}
	if s := c.Sealing; s.SafePassword != "a good safe password" || len(s.Previous) != 1 || s.Previous[0] != "an earlier password" || s.Credentials {
		t.Errorf("sealing: got %+v", s)
	}
	if c.Log.Level != slog.LevelWarn || c.Cluster.BootstrapExpect != 3 || c.API.CookieName != "__Host-session" {
		t.Errorf("got level %v, expect %d, cookie %q", c.Log.Level, c.Cluster.BootstrapExpect, c.API.CookieName)
	}
	names := []string{c.Policies[0].Name, c.Policies[1].Name, c.Policies[2].Name}
	if strings.Join(names, " ") != "default short web" {
		t.Fatalf("policies: got %v, want default, short and web", names)
	}
	web := session.Policy{Name: "web", IdleTimeout: 15 * time.Minute, AbsoluteLifetime: 8 * time.Hour, Attributes: session.AttributesLocal, AttributesWrite: session.WriteByBearer,
		InactivityTimeout: 10 * time.Minute, NoTickle: true, BindAddress: session.BindStrict, PermanentAllowed: true, LongerIdleAllowed: true, RotateGrace: 2500 * time.Millisecond, KeyFormat: session.KeyHex64,
		PolicyLimits: session.PolicyLimits{MaxSessionsPerUser: 5, MaxSessionsPerAddress: 50, MaxSessions: 1024, OnLimit: session.OnLimitIdle, SingleSession: true, PermanentCounted: true}}
	if c.Policies[2] != web {
		t.Errorf("policy web: got %+v, want %+v", c.Policies[2], web)
	}
	if got := c.Policies[1].BindAddress; got != session.BindOff {
		t.Errorf("bind_address: off, bare: got %q", got)
	}
	if got := c.Policies[1].IdleTimeout; got != 1500*time.Millisecond {
		t.Errorf("idle_timeout_s 1.5: got %v", got)
	}
}

// TestWordsOfOthersGiveFirstValues: each block of another system's words makes the policy of its preset, with what is given changed.
func TestWordsOfOthersGiveFirstValues(t *testing.T) {
	t.Parallel()
	c, err := load(t, `
tokenizer: {timeout: 7}
user: {sessionDuration: 15, sessionInactivityTimeout: 0, sessionNoTickle: true}
userdata: {maxsessionkeyage: 120}
jsonActionApiDefaults: {idleConnectionTimeoutSeconds: 90, enablePermanentJsonApiSessions: true, maxJsonApiSessions: 12,
  maxJsonApiSessionsPerIpAddress: 0, maxJsonApiSessionsPerUsername: 3}
livejournal: {short: 36h, long: 1440h}
policies:
  shop: {preset: high-value, idle_timeout_s: 240}
`, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	preset := func(name string, change func(*session.Policy)) session.Policy {
		p, _ := session.Preset(name)
		change(&p)
		return p
	}
	want := []session.Policy{
		preset("faircom", func(p *session.Policy) {
			p.IdleTimeout, p.PermanentAllowed = 90*time.Second, true
			p.MaxSessions, p.MaxSessionsPerAddress, p.MaxSessionsPerUser = 12, 0, 3
		}),
		preset("flowtraq", func(p *session.Policy) { p.IdleTimeout = 2 * time.Minute }),
		preset("livejournal-long", func(p *session.Policy) { p.IdleTimeout = 60 * 24 * time.Hour }),
		preset("livejournal-short", func(p *session.Policy) { p.IdleTimeout = 36 * time.Hour }),
		preset("netx", func(p *session.Policy) { p.IdleTimeout, p.InactivityTimeout, p.NoTickle = 15*time.Minute, 0, true }),
		preset("high-value", func(p *session.Policy) { p.Name, p.IdleTimeout = "shop", 4*time.Minute }),
		preset("tokenizer", func(p *session.Policy) { p.IdleTimeout = 7 * time.Minute }),
	}
	if got := c.GivenPolicies(); !slices.Equal(got, want) {
		t.Errorf("got\n%+v, want\n%+v", got, want)
	}
	if len(c.Policies) != len(want)+1 {
		t.Errorf("%d policies in all, want those and the default one", len(c.Policies))
	}
}

// TestAWordLeftOutKeepsThePreset: what a block does not say stays as the preset has it, and keys that are not issued need no policy.
func TestAWordLeftOutKeepsThePreset(t *testing.T) {
	t.Parallel()
	c, err := load(t, "user: {sessionNoTickle: false}\nuserdata: {maxsessionkeyage: 0}\npolicies: {default: {}}", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	netx, _ := session.Preset("netx")
	if want := []session.Policy{session.DefaultPolicy(), netx}; !slices.Equal(c.GivenPolicies(), want) {
		t.Errorf("got %+v, want %+v", c.GivenPolicies(), want)
	}
}

func TestLaterSourcesWin(t *testing.T) {
	t.Parallel()
	file := "cluster: {heartbeat_timeout: 1s, dead_after: 1h, name: file}"
	environ := []string{"HYDRASTORE_CLUSTER_HEARTBEAT_TIMEOUT=2s", "HYDRASTORE_CLUSTER_NAME=env", "HOME=/root"}
	c, err := load(t, file, environ, map[string]string{"cluster.name": "flag"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Cluster.DeadAfter != time.Hour || c.Cluster.HeartbeatTimeout != 2*time.Second || c.Cluster.Name != "flag" {
		t.Errorf("got %v (want 1h from the file), %v (want 2s from the environment), %q (want flag)", c.Cluster.DeadAfter, c.Cluster.HeartbeatTimeout, c.Cluster.Name)
	}
}

func TestPoliciesFromTheEnvironment(t *testing.T) {
	t.Parallel()
	c, err := load(t, "", []string{`HYDRASTORE_POLICIES={"default":{"idle_timeout_s":2,"touch_window_s":0}}`}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Policies[0]; len(c.Policies) != 1 || got.IdleTimeout != 2*time.Second || got.TouchWindow != 0 {
		t.Errorf("got %+v, want the default policy with 2 s and no window", c.Policies)
	}
}

func TestEnvironmentOfOthersIsLeftAlone(t *testing.T) {
	t.Parallel()
	environ := []string{
		"HYDRASTORE_SERVICE_HOST=10.0.0.1", "HYDRASTORE_SERVICE_PORT_API=8700", "HYDRASTORE_PORT=tcp://10.0.0.1:8700",
		"HYDRASTORE_PORT_8700_TCP_ADDR=10.0.0.1", "HYDRASTORE_E2E=require", "HYDRASTORE_ADMIN_PASSWORD=secret", "HYDRASTORE_ADDRESS=a:1", "PATH=/bin",
	}
	if _, err := load(t, "", environ, nil); err != nil {
		t.Error(err)
	}
}

// TestRefusals gives what people get wrong, and what they are told. Each want is a part of one line.
func TestRefusals(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cases := []struct {
		name, yaml string
		environ    []string
		flags      map[string]string
		want       []string
	}{
		{name: "misspelt key", yaml: "api:\n  lisen: :1", want: []string{".yaml:2: api.lisen: there is no such setting; did you mean api.listen?"}},
		{name: "misspelt section", yaml: "clutser: {name: x}", want: []string{":1: clutser: there is no such setting; did you mean cluster?"}},
		{name: "nothing near", yaml: "frobnicate: 1", want: []string{":1: frobnicate: there is no such setting"}},
		{name: "dotted key", yaml: "api.listen: :1", want: []string{":1: api.listen: write it as a section"}},
		{name: "several at once", yaml: "api: {x1: 1}\npeer: {yy: 2}\n", want: []string{":1: api.x1", ":2: peer.yy"}},
		{name: "scalar for a section", yaml: "api: 5", want: []string{":1: api: a section is needed"}},
		{name: "list for the file", yaml: "- a", want: []string{"the file must hold sections"}},
		{name: "section for a text", yaml: "node: {name: {a: b}}", want: []string{":1: node.name: a text is needed here, this is a section"}},
		{name: "broken YAML", yaml: "api: {listen", want: []string{"this is not valid YAML"}},
		{name: "tab", yaml: "api:\n\tlisten: x", want: []string{":2: this is not valid YAML"}},
		{name: "repeated key", yaml: "api: {listen: ':1'}\napi: {listen: ':2'}", want: []string{":2: this is not valid YAML", "already defined"}},
		{name: "bad UTF-8", yaml: "node: {name: \"\xff\"}", want: []string{"this is not valid YAML"}},
		{name: "two documents", yaml: "api: {}\n---\napi: {}", want: []string{"more than one YAML document"}},
		{name: "huge file", yaml: "# " + strings.Repeat("x", config.MaxFileBytes), want: []string{"is larger than 1048576 bytes"}},
		{name: "number for a duration", yaml: "limits:\n  request_timeout: 5", want: []string{":2: limits.request_timeout: a duration with its unit", "this is 5"}},
		{name: "duration too long", yaml: "limits: {request_timeout: 2h}", want: []string{"a duration from 100ms to 1m0s is needed here, this is 2h"}},
		{name: "throttle window too long", yaml: "throttle: {window: 25h}", want: []string{"throttle.window: a duration from 1s to 24h0m0s is needed here"}},
		{name: "throttle of less than nothing", yaml: "throttle: {per_user: -1}", want: []string{"throttle.per_user: a number from 0 to 1000000 is needed here"}},
		{name: "no place to wait", yaml: "throttle: {per_node: 0}", want: []string{"throttle.per_node: a number from 1 to 1000000"}},
		{name: "attempts without time", yaml: "throttle: {window: 1s, per_address: 2000}", want: []string{"throttle.per_address: 2000 attempts need a throttle.window of at least 2s"}},
		{name: "text for a number", yaml: "api: {max_connections: many}", want: []string{`a whole number is needed here, this is "many"`}},
		{name: "yes for a bool", environ: []string{"HYDRASTORE_PEER_INSECURE_PEERS=yes"}, want: []string{`HYDRASTORE_PEER_INSECURE_PEERS: peer.insecure_peers: true or false is needed here, this is "yes"`}},
		{name: "unknown variable", environ: []string{"HYDRASTORE_API_LISTN=:1"}, want: []string{"HYDRASTORE_API_LISTN: there is no such setting; did you mean HYDRASTORE_API_LISTEN?"}},
		{name: "bad flag", flags: map[string]string{"log.level": "loud"}, want: []string{`--log-level: log.level: use debug or info or warn or error, this is "loud"`}},
		{name: "no port", yaml: "api: {listen: localhost}", want: []string{"api.listen: host:port is needed here"}},
		{name: "port too high", yaml: "api: {listen: ':99999'}", want: []string{"api.listen: host:port is needed here"}},
		{name: "one address twice", yaml: "api: {listen: '127.0.0.1:9'}\npeer: {listen: '127.0.0.1:9'}", want: []string{"127.0.0.1:9 is already the address of peer.listen"}},
		{name: "all addresses without a name", yaml: "peer: {listen: ':8701', insecure_peers: true}", want: []string{"peer.advertise: peer.listen is :8701, all addresses of this machine"}},
		{name: "advertise everywhere", yaml: "peer: {listen: ':8701', advertise: '0.0.0.0:8701', insecure_peers: true}", want: []string{"the host:port that others dial"}},
		{name: "join without a port", yaml: "cluster: {join: [n2], bootstrap_expect: 2}", want: []string{`cluster.join: the host:port that others dial is needed here, such as node1.example:8701; this is "n2"`}},
		{name: "join without expect", yaml: "cluster:\n  join: ['n2:8701']", want: []string{":2: cluster.bootstrap_expect: with cluster.join it must be said"}},
		{name: "expect without join", yaml: "cluster: {bootstrap_expect: 3}", want: []string{"cluster.join: cluster.bootstrap_expect is 3"}},
		{name: "audit of nobody", yaml: "audit: {file: x, nodes: some}", want: []string{"audit.nodes: use all or leader"}},
		{name: "audit to nowhere", yaml: "audit:\n  nodes: leader", want: []string{":2: audit.nodes: has no effect without audit.file"}},
		{name: "neither", yaml: "cluster: {bootstrap_expect: 0}", want: []string{"0 means to join a cluster that exists"}},
		{name: "expect below nothing", yaml: "cluster: {bootstrap_expect: -2}", want: []string{"a number from 0 to 9"}},
		{name: "peers without proof", yaml: "peer: {listen: '10.0.0.1:8701'}", want: []string{"nothing proves who a peer is"}},
		{name: "half a certificate", yaml: "api: {tls: {cert_file: x}}", want: []string{"api.tls needs both"}},
		{name: "missing certificate", yaml: "api: {tls: {cert_file: /none.pem, key_file: /none.key}}", want: []string{"/none.pem and /none.key cannot be used", "no such file"}},
		{name: "two of three peer files", yaml: "peer: {tls: {cert_file: a, key_file: b}}", want: []string{"peer.tls needs all of"}},
		{name: "short gossip key", yaml: "gossip: {keys: [aGVsbG8=]}", want: []string{"key 1 is not the base64 of 16, 24 or 32 bytes"}},
		{name: "keys twice", yaml: "gossip: {keys: [aGVsbG8=], keys_file: x}", want: []string{"use one of them"}},
		{name: "no keys file", yaml: "gossip: {keys_file: /none}", want: []string{"/none cannot be read: no such file"}},
		{name: "empty keys file", yaml: "gossip: {keys_file: " + file("empty", "\n") + "}", want: []string{"holds no key"}},
		{name: "data folder is a file", yaml: "node: {data_dir: " + file("plain", "") + "}", want: []string{"is not a folder"}},
		{name: "log store", yaml: "node: {log_store: sqlite}", want: []string{`node.log_store: use boltdb or wal, this is "sqlite"`}},
		{name: "node name", yaml: "node: {name: 'a b'}", want: []string{"node.name: a name has 1 to 63"}},
		{name: "long socket", yaml: "api: {socket: /" + strings.Repeat("x", 120) + "}", want: []string{"api.socket: the path of a Unix socket"}},
		{name: "cookie name", yaml: "api: {cookie: {name: 'a b'}}", want: []string{`a cookie's name has 1 to 64 letters, digits, '-' and '_', this is "a b"`}},
		{name: "PROXY from nobody", yaml: "api: {proxy_protocol: true}", want: []string{"api.proxy_protocol: true needs api.trusted_proxies"}},
		{name: "proxy", yaml: "api: {trusted_proxies: [lb]}", want: []string{`an address or a network is needed here, such as 10.0.0.5 or 10.0.0.0/8; this is "lb"`}},
		{name: "safe password of the example", yaml: "tokenizer: {safe_password: default_password}", want: []string{":1: tokenizer.safe_password: the empty one and the one of the example are refused"}},
		{name: "empty safe password", yaml: "tokenizer: {safe_password: ''}", want: []string{"tokenizer.safe_password: the empty one"}},
		{name: "short safe password", environ: []string{"HYDRASTORE_TOKENIZER_SAFE_PASSWORD=short"}, want: []string{"HYDRASTORE_TOKENIZER_SAFE_PASSWORD: tokenizer.safe_password: has at least 12 bytes, this has 5"}},
		{name: "safe password of another kind", yaml: "tokenizer: {safe_password: [hidden-word]}", want: []string{"tokenizer.safe_password: a text is needed here: put it in quotes"}},
		{name: "earlier safe password of the example", yaml: "tokenizer: {safe_password_previous: [default_password]}", want: []string{"tokenizer.safe_password_previous: the empty one"}},
		{name: "tokenizer nonsense", yaml: "tokenizer: {type: paper}", want: []string{`tokenizer.type: use raft or local or redis or dynamodb, this is "paper"`}},
		{name: "tokenizer path", yaml: "tokenizer: {path: /tmp}", want: []string{":1: tokenizer.path: has no effect while tokenizer.type is raft"}},
		{name: "several local nodes", yaml: "tokenizer: {type: local}\ncluster: {bootstrap_expect: 3, join: ['a:1', 'b:1']}", want: []string{":2: cluster.bootstrap_expect: tokenizer.type local is for one server", "cluster.join: tokenizer.type local is for one server"}},
		{name: "peers without a cluster", yaml: "tokenizer: {type: redis}\npeer: {listen: 'a:1'}", want: []string{":2: peer.listen: has no effect while tokenizer.type is redis"}},
		{name: "audit without a cluster", yaml: "tokenizer: {type: local}\naudit: {file: x}", want: []string{":2: audit.file: the audit trail is written from the cluster's log"}},
		{name: "limits that only a cluster holds", yaml: "tokenizer: {type: local}\npolicies: {web: {max_sessions_per_address: 5}}", want: []string{
			`:1: tokenizer.type: max_sessions_per_address: policy "web" asks for a limit on the sessions of one address, which cannot be held exactly where sessions are kept in local`}},
		{name: "tokenizer timeout", yaml: "tokenizer: {timeout: 0}", want: []string{":1: tokenizer.timeout: a number above 0"}},
		{name: "no persistence without a cluster", yaml: "tokenizer: {type: redis}\nuser: {sessionPersistence: false}", want: []string{":2: user.sessionPersistence: false lets each node of a cluster keep its own sessions, and there is no cluster while tokenizer.type is"}},
		{name: "limits that no node holds for itself", yaml: "user: {sessionPersistence: false}\npolicies: {web: {max_sessions: 5}}", want: []string{
			`:1: user.sessionPersistence: max_sessions: policy "web" asks for a limit on all sessions of a policy, which cannot be held exactly where each node keeps its own sessions (user.sessionPersistence: false): leave it out (0), or use user.sessionPersistence: true`}},
		{name: "seed timers", yaml: "user: {sessionDuration: 99999999999}\nuserdata: {maxsessionkeyage: -1}", want: []string{
			":1: user.sessionDuration: gives the policy netx a value that cannot be: must be between", ":2: userdata.maxsessionkeyage: gives the policy flowtraq"}},
		{name: "seed word misspelt", yaml: "user: {sesionDuration: 30}", want: []string{"did you mean user.sessionDuration?"}},
		{name: "seed word unknown", yaml: "jsonActionApiDefaults: {defaultCommit: x}", want: []string{"jsonActionApiDefaults.defaultCommit: there is no such setting"}},
		{name: "path of the server", yaml: "protocols: {netx: true, netx_path: /v1/json}", want: []string{":1: protocols.netx_path: the path \"/v1/json\" belongs to the server"}},
		{name: "path of another protocol", yaml: "protocols: {faircom: true, netx: true, netx_path: /api}", want: []string{"/api is the path of protocols.faircom"}},
		{name: "path without slash", yaml: "protocols: {netx_path: json}", want: []string{"must begin with a slash"}},
		{name: "negative for a protocol", yaml: "jsonActionApiDefaults: {idleCursorTimeoutSeconds: -1}", want: []string{"a number that is not negative"}},
		{name: "long names", yaml: "livejournal: {maxUserName: 129}", want: []string{":1: livejournal.maxUserName: a number from 1 to 128"}},
		{name: "seed minutes", yaml: "user: {sessionDuration: 30m}", want: []string{":1: user.sessionDuration: a whole number is needed here"}},
		{name: "block and policy", yaml: "user: {sessionDuration: 5}\npolicies: {netx: {}}", want: []string{":1: user.sessionDuration: policies.netx is set too"}},
		{name: "policy preset", yaml: "policies:\n  a: {preset: best}", want: []string{":2: policies.a.preset: use one of faircom, flowtraq, high-value,", `this is "best"`}},
		{name: "policy field", yaml: "policies:\n  default:\n    idle_timeout: 5", want: []string{":3: policies.default.idle_timeout: there is no such setting; did you mean idle_timeout_s?"}},
		{name: "key format", yaml: "policies:\n  default:\n    key_format: 5x", want: []string{":3: policies.default.key_format: must be \"native\", \"hex32\""}},
		{name: "policy limit", yaml: "policies:\n  default:\n    max_sessions_per_user: 10001", want: []string{":3: policies.default.max_sessions_per_user: must be between 0 (no limit) and 10000"}},
		{name: "policy limit in words", yaml: "policies:\n  default:\n    max_sessions: many", want: []string{":3: policies.default.max_sessions: a whole number is needed"}},
		{name: "policy eviction", yaml: "policies:\n  default:\n    on_limit: kick", want: []string{":3: policies.default.on_limit: must be "}},
		{name: "policy value", yaml: "policies:\n  default:\n    idle_timeout_s: -1", want: []string{":3: policies.default.idle_timeout_s: a number of seconds from 0"}},
		{name: "policy binding", yaml: "policies:\n  a: {bind_address: sometimes}", want: []string{`:2: policies.a.bind_address: must be "off", "log" or "strict"`}},
		{name: "policy switch", yaml: "policies:\n  a: {no_tickle: 5}", want: []string{":2: policies.a.no_tickle: true or false is needed here"}},
		{name: "policy text", yaml: "policies:\n  default: {idle_timeout_s: 5m}", want: []string{`:2: policies.default.idle_timeout_s: a number of seconds is needed here, this is "5m"`}},
		{name: "policy rule", yaml: "policies:\n  a:\n    idle_timeout_s: 5\n    touch_window_s: 6", want: []string{":4: policies.a.touch_window_s: must not exceed the idle timeout"}},
		{name: "policy without end", yaml: "policies:\n  a: {idle_timeout_s: 0, absolute_lifetime_s: 0}", want: []string{"would never end"}},
		{name: "policy name", yaml: "policies:\n  A: {}", want: []string{":2: policies.A: a policy's name has lower-case letters"}},
		{name: "policy is a number", yaml: "policies: {a: 5}", want: []string{"policies.a: the fields of a policy are needed here, this is 5"}},
		{name: "policies from flag", flags: map[string]string{"policies": "hello"}, want: []string{"--policies: policies: a YAML or JSON text with policies by name"}},
		{name: "policy field from flag", flags: map[string]string{"policies": "{a: {x: 1}}"}, want: []string{"--policies: policies.a.x: there is no such setting"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := load(t, c.yaml, c.environ, c.flags)
			var problems config.Problems
			if !errors.As(err, &problems) {
				t.Fatalf("got %v, want Problems", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got:\n%v\nwant in it:\n%s", err, want)
				}
			}
		})
	}
}

func TestMissingFile(t *testing.T) {
	t.Parallel()
	_, err := config.Load(config.Input{File: "/none/hydrastore.yaml"})
	if want := "/none/hydrastore.yaml: cannot be read: no such file or directory"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestSecretsAreNotRepeated(t *testing.T) {
	t.Parallel()
	const secret = "c2VjcmV0LXNlY3JldA"
	for _, yaml := range []string{"gossip: {keys: [" + secret + "]}", "gossip: {keys: [{a: " + secret + "}]}", "gossip: {keys: {a: " + secret + "}}"} {
		_, err := load(t, yaml, nil, nil)
		if err == nil {
			t.Errorf("%s: got no error", yaml)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("the error repeats the key: %v", err)
		}
	}
}

func TestMergeKeysAndAliases(t *testing.T) {
	t.Parallel()
	c, err := load(t, "api: &a {listen: '127.0.0.1:9000'}\npeer: {<<: *a, listen: '127.0.0.1:9001'}", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.API.Listen != "127.0.0.1:9000" || c.Peer.Listen != "127.0.0.1:9001" {
		t.Errorf("got %q and %q", c.API.Listen, c.Peer.Listen)
	}
}

func TestEverySettingHasAFlagAndAVariable(t *testing.T) {
	t.Parallel()
	set := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags := config.AddFlags(set)
	seen := map[string]string{}
	for _, s := range config.Settings() {
		if other := seen[s.Env()]; other != "" {
			t.Errorf("%s and %s share the variable %s", s.Key, other, s.Env())
		}
		seen[s.Env()] = s.Key
		if s.Help == "" {
			t.Errorf("%s has no help", s.Key)
		}
		if s.Secret {
			continue
		}
		if help := set.Lookup(s.Flag()).Usage; strings.Contains(help, "](") || strings.Contains(help, "`") {
			t.Errorf("%s: a terminal shows Markdown: %s", s.Key, help)
		}
		if err := set.Set(s.Flag(), "x"); err != nil {
			t.Errorf("%s: %v", s.Key, err)
		}
		in := flags.Input(nil, func(string) string { return "file" })
		if in.Flags[s.Key] != "x" || in.File != "file" {
			t.Errorf("%s: the flag --%s gave %q, the file is %q", s.Key, s.Flag(), in.Flags[s.Key], in.File)
		}
	}
}
