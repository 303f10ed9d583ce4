package e2e_test

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
)

// badInput is something that a person may type or write into a file, and a part of the sentence that helps.
type badInput struct {
	name    string
	args    []string
	config  string // of server --config, when there are no args
	environ []string
	files   map[string]string // in the working folder
	says    string
	secret  string // may not be repeated
}

// TestBadInputAtTheCommandLine wants for each mistake: exit code 2, a sentence that names it, nothing on standard output,
// nothing made in the working folder, and nobody asked.
func TestBadInputAtTheCommandLine(t *testing.T) {
	t.Parallel()
	tables := map[string][]badInput{
		"commands": badCommands(), "settings": badSettings(), "files": badFiles(), "environment": badEnvironment(),
		"policies": badPolicies(), "requests": badRequests(), "secrets": badSecrets(),
	}
	for table, list := range tables {
		for _, b := range list {
			t.Run(table+"/"+b.name, func(t *testing.T) {
				t.Parallel()
				b.try(t)
			})
		}
	}
}

// try runs the command where nobody can be asked: one that asks in spite of the mistake ends with another code.
func (b badInput) try(t *testing.T) {
	b.tryAt(t, "127.0.0.1:1")
}

// tryAt runs the command with this address of a node.
func (b badInput) tryAt(t *testing.T, address string) {
	dir := t.TempDir()
	files := map[string]string{}
	for name, text := range b.files {
		files[name] = text
	}
	args := b.args
	if args == nil {
		files["hydrastore.yaml"] = b.config
		args = []string{"server", "--config", "hydrastore.yaml"}
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	environ := append([]string{"HYDRASTORE_ADDRESS=" + address}, b.environ...)
	got := command{args: args, environ: environ, dir: dir}.run(t)
	if got.code != 2 || !strings.Contains(got.stderr, b.says) {
		t.Errorf("%s: exit code %d, want 2; standard error should say %q:\n%s", b.name, got.code, b.says, got.stderr)
	}
	if got.stdout != "" {
		t.Errorf("standard output: %q", got.stdout)
	}
	const most = 4000
	if len(got.stderr) > most || strings.Contains(got.stderr, "goroutine ") {
		t.Errorf("standard error is %d bytes, or a stack:\n%.2000s", len(got.stderr), got.stderr)
	}
	if b.secret != "" && strings.Contains(got.stderr, b.secret) {
		t.Errorf("standard error repeats a secret:\n%s", got.stderr)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if _, given := files[entry.Name()]; !given {
			t.Errorf("%s was made", entry.Name())
		}
	}
}

func badCommands() []badInput {
	return []badInput{
		{name: "unknown command", args: words("serve"), says: "server"},
		{name: "unknown below a command", args: words("cluster member"), says: "members"},
		{name: "nothing below a command", args: words("cluster"), says: "members"},
		{name: "unknown flag", args: words("server --api-lisen=127.0.0.1:0"), says: "--api-lisen"},
		{name: "unknown short flag", args: words("server -x"), says: "'x'"},
		{name: "flag without its value", args: words("server --api-listen"), says: "--api-listen"},
		{name: "arguments where none belong", args: words("server now"), says: "now"},
		{name: "missing argument", args: words("user add"), says: "user add NAME"},
		{name: "too many arguments", args: words("user add ada bob"), says: "user add NAME"},
		{name: "a secret as a flag", args: words("server --gossip-keys=c2VjcmV0"), says: "--gossip-keys", secret: "c2VjcmV0"},
		{name: "shell without completion", args: words("completion tcsh"), says: "bash"},
		{name: "unknown output", args: words("whoami -o xml"), says: "json"},
		{name: "unknown work for bench", args: words("bench sleep"), says: "check-extend"},
		{name: "no clients for bench", args: words("bench create --clients 0"), says: "clients"},
		{name: "too many clients for bench", args: words("bench create --clients 1000000000"), says: "clients"},
		{name: "bench for no time", args: words("bench create --duration 0s"), says: "duration"},
		{name: "port of dev too high", args: words("dev --once --port-base 65530"), says: "port-base"},
		{name: "port of dev negative", args: words("dev --once --port-base -1"), says: "port-base"},
		{name: "version of what", args: words("version 2"), says: "2"},
	}
}

func badSettings() []badInput {
	return []badInput{
		{name: "unknown key", config: "api: {lisen: '127.0.0.1:0'}", says: "api.listen"},
		{name: "unknown section", config: "clutser: {name: x}", says: "cluster"},
		{name: "section with a value", config: "api: yes", says: "api"},
		{name: "list at the top", config: "- api", says: "section"},
		{name: "text for a number", config: "cluster: {bootstrap_expect: three}", says: `"three"`},
		{name: "number for a duration", config: "limits: {request_timeout: 5}", says: "5s"},
		{name: "duration too short", config: "limits: {request_timeout: 1ns}", says: "100ms"},
		{name: "duration too long", config: "limits: {request_timeout: 9000h}", says: "1m"},
		{name: "duration beyond the type", config: "limits: {request_timeout: 99999999999999h}", says: "limits.request_timeout"},
		{name: "negative duration", config: "api: {drain_delay: -1s}", says: "api.drain_delay"},
		{name: "number beyond the type", config: "api: {max_connections: 99999999999999999999}", says: "api.max_connections"},
		{name: "fraction for a whole number", config: "api: {max_connections: 1.5}", says: "api.max_connections"},
		{name: "text for a truth", config: "log: {requests: maybe}", says: "log.requests"},
		{name: "list for a text", config: "node: {name: [a, b]}", says: "node.name"},
		{name: "numbers in a list", config: "api: {trusted_proxies: [1, 2]}", says: "api.trusted_proxies"},
		{name: "no network", config: "api: {trusted_proxies: [10.0.0.0/99]}", says: "10.0.0.0/99"},
		{name: "address without a port", config: "api: {listen: localhost}", says: "api.listen"},
		{name: "port too high", config: "api: {listen: '127.0.0.1:70000'}", says: "70000"},
		{name: "one address for two", config: "api: {listen: '127.0.0.1:8701'}", says: "8701"},
		{name: "open to strangers", config: "peer: {listen: '0.0.0.0:8701', advertise: 'a.example:8701'}", says: "insecure_peers"},
		{name: "all addresses to advertise", config: "peer: {advertise: '0.0.0.0:8701'}", says: "peer.advertise"},
		{name: "nobody to join", config: "cluster: {bootstrap_expect: 3}", says: "cluster.join"},
		{name: "expectation unsaid", config: "cluster: {join: ['127.0.0.1:8711']}", says: "cluster.bootstrap_expect"},
		{name: "too many to expect", config: "cluster: {join: ['127.0.0.1:8711'], bootstrap_expect: 1000}", says: "cluster.bootstrap_expect"},
		{name: "name with spaces", config: "node: {name: 'my node'}", says: "node.name"},
		{name: "huge name", config: "node: {name: " + strings.Repeat("n", 5000) + "}", says: "node.name"},
		{name: "unknown log store", config: "node: {log_store: sqlite}", says: "boltdb"},
		{name: "unknown level", config: "log: {level: loud}", says: "debug"},
		{name: "long socket path", config: "api: {socket: /" + strings.Repeat("s", 200) + "}", says: "api.socket"},
		{name: "half a certificate", config: "api: {tls: {cert_file: cert.pem}}", says: "key_file"},
		{name: "missing certificate", config: "api: {tls: {cert_file: no.pem, key_file: no.key}}", says: "no.pem"},
		{name: "cookie name", config: "api: {cookie: {name: 'a;b'}}", says: "api.cookie.name"},
		{name: "a home that is not there", config: "tokenizer: {type: mongodb}", says: "tokenizer.type"},
		{name: "no persistence without a cluster", config: "tokenizer: {type: local}\nuser: {sessionPersistence: false}", says: "user.sessionPersistence"},
		{name: "limits that no node holds for itself", config: "user: {sessionPersistence: false}\nprotocols: {faircom: true}", says: "user.sessionPersistence"},
		{name: "a setting without effect", config: "tokenizer: {path: tokens}", says: "no effect"},
		{name: "data folder is a file", config: "node: {data_dir: taken}", files: map[string]string{"taken": "x"}, says: "taken"},
		{name: "several at once", config: "api: {lisen: a}\nlogs: {level: info}", says: "logs"},
	}
}

func badFiles() []badInput {
	server := words("server --config hydrastore.yaml")
	file := func(text string) map[string]string { return map[string]string{"hydrastore.yaml": text} }
	return []badInput{
		{name: "missing", args: words("server --config nowhere.yaml"), says: "nowhere.yaml"},
		{name: "missing, from the environment", args: words("server"), environ: []string{"HYDRASTORE_CONFIG=nowhere.yaml"}, says: "nowhere.yaml"},
		{name: "no name", args: []string{"server", "--config", ""}, says: "config"},
		{name: "a folder", args: words("server --config ."), says: "."},
		{name: "not YAML", args: server, files: file("api: {listen: ["), says: "hydrastore.yaml"},
		{name: "tabs", args: server, files: file("api:\n\tlisten: x"), says: "hydrastore.yaml:2"},
		{name: "binary", args: server, files: file("\x00\x01\x02\xff\xfe"), says: "hydrastore.yaml"},
		{name: "not UTF-8", args: server, files: file("node: {name: \"caf\xe9\"}"), says: "hydrastore.yaml"},
		{name: "UTF-16 with an unknown key", args: server, files: file(utf16le("api: {lisen: x}")), says: "hydrastore.yaml"},
		{name: "huge", args: server, files: file("# " + strings.Repeat("x", 1<<20)), says: "larger"},
		{name: "two documents", args: server, files: file("log: {level: info}\n---\nlog: {level: debug}"), says: "document"},
		{name: "a key twice", args: server, files: file("log: {level: info, level: debug}"), says: "level"},
		{name: "config check says the same", args: words("config check hydrastore.yaml"), files: file("api: {lisen: x}"), says: "api.listen"},
		{name: "check of a missing file", args: words("config check nowhere.yaml"), says: "nowhere.yaml"},
	}
}

func badEnvironment() []badInput {
	with := func(name, pair, says string) badInput {
		return badInput{name: name, args: words("server"), environ: []string{pair}, says: says}
	}
	return []badInput{
		with("unknown variable", "HYDRASTORE_API_LISTN=127.0.0.1:0", "HYDRASTORE_API_LISTEN"),
		with("wrong type", "HYDRASTORE_CLUSTER_BOOTSTRAP_EXPECT=many", "HYDRASTORE_CLUSTER_BOOTSTRAP_EXPECT"),
		with("empty", "HYDRASTORE_API_LISTEN=", "HYDRASTORE_API_LISTEN"),
		with("duration without a unit", "HYDRASTORE_API_DRAIN_DELAY=5", "HYDRASTORE_API_DRAIN_DELAY"),
		with("policies that are no YAML", "HYDRASTORE_POLICIES={", "HYDRASTORE_POLICIES"),
		{name: "a setting of the file that a flag breaks", args: words("server --cluster-heartbeat-timeout soon"), says: "--cluster-heartbeat-timeout"},
	}
}

func badPolicies() []badInput {
	policy := func(name, fields, says string) badInput {
		return badInput{name: name, config: "policies: {web: " + fields + "}", says: says}
	}
	return []badInput{
		policy("unknown field", "{idle_timeout: 5}", "idle_timeout_s"),
		policy("wrong type", "{idle_timeout_s: soon}", "idle_timeout_s"),
		policy("negative", "{idle_timeout_s: -5}", "idle_timeout_s"),
		policy("not a number", "{idle_timeout_s: .nan}", "idle_timeout_s"),
		policy("infinite", "{idle_timeout_s: .inf}", "idle_timeout_s"),
		policy("huge", "{absolute_lifetime_s: 1e300}", "absolute_lifetime_s"),
		policy("window above the idle timeout", "{idle_timeout_s: 2, touch_window_s: 50}", "touch_window_s"),
		policy("unknown writer", "{attributes_write: everybody}", "attributes_write"),
		policy("of a later version", "{key_format: uuid}", "key_format"),
		policy("no fields", "[1]", "policies.web"),
		{name: "bad name", config: "policies: {'a b': {}}", says: "a b"},
		{name: "a list of policies", config: "policies: [web]", says: "policies"},
	}
}

// badRequests are refused before anybody is asked.
func badRequests() []badInput {
	return []badInput{
		{name: "no address", args: words("whoami --address http://"), says: "address"},
		{name: "address with a path", args: words("whoami --address http://127.0.0.1:1/v1"), says: "address"},
		{name: "address of another kind", args: words("whoami --address ftp://127.0.0.1:1"), says: "ftp"},
		{name: "timeout without a unit", args: words("whoami --timeout 5"), says: "--timeout"},
		{name: "timeout in the past", args: words("whoami --timeout -5s"), says: "timeout"},
		{name: "missing password file", args: words("login ada --password-file nowhere"), says: "nowhere"},
		{name: "nobody to log in", args: words("login"), says: "login USER"},
		{name: "key beside a user", args: words("whoami --session-key hs_x --user ada"), says: "--session-key"},
		{name: "missing CA file", args: words("whoami --address https://127.0.0.1:1 --ca-file nowhere"), says: "nowhere"},
		{name: "bad session id", args: withKey("session show not-an-id"), says: "26 characters"},
		{name: "revoke nothing", args: withKey("session revoke"), says: "id"},
		{name: "revoke by a bad address", args: withKey("session revoke --client-ip 300.1.1.1"), says: "300.1.1.1"},
		{name: "list idle for less than nothing", args: withKey("session list --idle-longer-than -1m"), says: "idle"},
		{name: "policy with a bad timeout", args: withKey("policy set web --idle-timeout soon"), says: "idle-timeout"},
	}
}

func badSecrets() []badInput {
	short := base64.StdEncoding.EncodeToString([]byte("too short"))
	server := words("server")
	return []badInput{
		{name: "gossip key that is not base64", config: "gossip: {keys: ['not!base64!at!all']}", says: "gossip.keys", secret: "not!base64!at!all"},
		{name: "gossip key of a wrong length", config: "gossip: {keys: ['" + short + "']}", says: "32", secret: short},
		{name: "gossip key as a number", config: "gossip: {keys: [1234567890123456]}", says: "gossip.keys", secret: "1234567890123456"},
		{name: "gossip keys in the environment", args: server, environ: []string{"HYDRASTORE_GOSSIP_KEYS=" + short}, says: "HYDRASTORE_GOSSIP_KEYS", secret: short},
		{name: "missing file of keys", config: "gossip: {keys_file: nowhere}", says: "nowhere"},
		{name: "empty file of keys", config: "gossip: {keys_file: keys}", files: map[string]string{"keys": "\n"}, says: "keys"},
		{name: "short admin password", args: server, environ: []string{"HYDRASTORE_ADMIN_PASSWORD=qwx7"}, says: "HYDRASTORE_ADMIN_PASSWORD", secret: "qwx7"},
		{name: "missing file of the admin password", args: server, environ: []string{"HYDRASTORE_ADMIN_PASSWORD_FILE=nowhere"}, says: "nowhere"},
		{name: "admin password twice", args: server, environ: []string{"HYDRASTORE_ADMIN_PASSWORD=" + adminPassword, "HYDRASTORE_ADMIN_PASSWORD_FILE=x"}, says: "not both", secret: adminPassword},
		{name: "short password in a file", args: withKey("user add ada --new-password-file pw"), files: map[string]string{"pw": "qwx7\n"}, says: "8", secret: "qwx7"},
		{name: "huge password in a file", args: withKey("user add ada --new-password-file pw"), files: map[string]string{"pw": strings.Repeat("qwx7", 50_000)}, says: "1024 bytes", secret: "qwx7qwx7"},
	}
}

func words(line string) []string { return strings.Fields(line) }

// TestBadInputThatTheClusterRefuses is the same for what only a cluster can judge: it says what is wrong, and changes nothing.
func TestBadInputThatTheClusterRefuses(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, nil)
	admin := c.admin()
	before := c.must(0, http.StatusOK, request{method: http.MethodGet, path: "/v1/users", key: admin}).text
	for _, b := range refusedByTheCluster() {
		b.environ = append(b.environ, "HYDRASTORE_SESSION_KEY="+admin)
		b.tryAt(t, c.nodes[0].api)
	}
	after := c.must(0, http.StatusOK, request{method: http.MethodGet, path: "/v1/users", key: admin}).text
	if !bytes.Equal(before, after) {
		t.Errorf("the users were %s and are %s", before, after)
	}
}

func refusedByTheCluster() []badInput {
	long := strings.Repeat("u", 2000)
	return []badInput{
		{name: "unknown role", args: words("user add ada --no-password --role king"), says: "king"},
		{name: "empty user name", args: append(words("user add --no-password"), " "), says: "user"},
		{name: "long user name", args: words("user add --no-password " + long), says: "128"},
		{name: "user name that is not UTF-8", args: append(words("user add --no-password"), "caf\xe9"), says: "UTF-8"},
		{name: "policy with a bad writer", args: words("policy set web --attributes-write everybody"), says: "bearer"},
		{name: "policy with a bad name", args: append(words("policy set --idle-timeout 5m"), "a b"), says: "policy"},
		{name: "window above the idle timeout", args: words("policy set web --idle-timeout 1s --touch-window 20s"), says: "touch_window"},
		{name: "invite nobody", args: words("cluster add nowhere"), says: "host:port"},
		{name: "list by a bad policy name", args: append(words("session list --policy"), "a b"), says: "policy"},
	}
}

// withKey presents some key of the right form, so that only the rest is wrong.
func withKey(line string) []string {
	return slices.Concat(words(line), []string{"--session-key", wellFormedKey})
}

// wellFormedKey has the right checksum and opens nothing: 32 bytes of zero.
const wellFormedKey = "hs_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAACKkTaq"

// utf16le is how some editors save text.
func utf16le(text string) string {
	out := []byte{0xff, 0xfe}
	for _, unit := range utf16.Encode([]rune(text)) {
		out = append(out, byte(unit), byte(unit>>8))
	}
	return string(out)
}
