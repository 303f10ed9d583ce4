package e2e_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hydrastore/hydrastore/session"
)

// TestNoSecretsAnywhere uses keys and passwords in every right and wrong way, at nodes that log all they can, and then searches what is
// left of it: data folders with their logs and audit trails, output, metrics, error texts and command lines.
func TestNoSecretsAnywhere(t *testing.T) {
	t.Parallel()
	gossip := randomBytes(t, 32)
	c := startCluster(t, 3, func(i int, settings fields) {
		withAudit(i, settings)
		settings["log"] = fields{"requests": true, "level": "debug"}
		settings["gossip"].(fields)["keys"] = []string{base64.StdEncoding.EncodeToString(gossip)}
		settings["tokenizer"] = fields{"safe_password": safePassword, "timeout": 20}
		settings["protocols"] = fields{"faircom": true, "netx": true, "netx_path": "/x7/v1.2/json"}
	})
	s := &search{t: t, c: c, secrets: map[string][]byte{"gossip key": gossip, "admin's password": []byte(adminPassword), "safe password": []byte(safePassword)}}
	s.traffic()
	for _, node := range c.nodes {
		s.text("the command line of "+node.name, commandLine(t, node.cmd.Process.Pid))
	}
	for i, node := range c.nodes {
		s.shown("the metrics of "+node.name, c.must(i, http.StatusOK, request{method: http.MethodGet, path: "/metrics"}).text)
	}
	for _, node := range c.nodes { // a graceful end writes things too
		node.terminate()
		s.shown("the output of "+node.name, []byte(node.log()))
		s.shown("the audit trail of "+node.name, node.auditText())
		s.folder(node.dir)
	}
	t.Logf("%d secrets in %d forms each, %d error texts, %d bytes searched", len(s.secrets), len(forms(nil)), s.problems, s.searched)
	if !s.foundUser || !s.foundRoute || !s.foundFailure || !s.foundHash {
		t.Errorf("the search does not see what must be there: a user in the data folders %v, a request in the output %v, a failed log-in in the audit trail %v, a password's hash in the log %v",
			s.foundUser, s.foundRoute, s.foundFailure, s.foundHash)
	}
}

// search holds real secrets and looks for them.
type search struct {
	t        *testing.T
	c        *cluster
	secrets  map[string][]byte // by what they are
	problems int
	searched int

	foundUser, foundRoute, foundFailure, foundHash bool
}

const safePassword = "safe-password-of-this-search-5501"

const markedUser = "findable-user-name"

// traffic does everything that could leave a trace of a secret, right and wrong.
func (s *search) traffic() {
	admin := s.issue("admin's key", logIn(adminName, adminPassword))
	s.secret("service's password", servicePassword)
	s.ask(http.StatusCreated, newUser(admin, "app", servicePassword, "service"))
	service := s.issue("service's key", logIn("app", servicePassword))
	s.secret("user's password", userPassword)
	s.ask(http.StatusCreated, newUser(admin, markedUser, userPassword, "user"))
	user := s.issue("user's key", logIn(markedUser, userPassword))
	vouched := s.issue("vouched key", vouch(service, markedUser, fields{"attributes": fields{"a": 1}}))
	s.ask(http.StatusOK, patch(service, vouched, "", fields{"b": []int{2}}))
	s.ask(http.StatusOK, touch(vouched))
	s.sealed(service, vouched)
	s.credentials(service)
	s.idempotent(service)
	s.rotated(service)
	s.formats(admin, service)
	s.protocols(admin)
	ended := s.issue("ended key", vouch(service, markedUser, nil))
	s.ask(http.StatusNoContent, logOut(ended))
	s.ask(http.StatusUnauthorized, check(ended))
	s.changePassword(admin, user)
	s.wrongKeys(service)
	s.misplacedKeys(admin, vouched)
	s.wrongPasswords(admin)
	const typed = "typed-where-the-name-belongs-5519" // people do that, and names are folded
	s.secret("password in place of the name", typed)
	s.ask(http.StatusUnauthorized, logIn(typed, "whatever-it-may-be"))
}

// sealed keeps values encrypted, gets them back, and tries what is refused.
func (s *search) sealed(service, key string) {
	const first, second = "sealed-at-log-in-20394", "sealed-by-a-patch-88213"
	s.secret("value sealed at log-in", first)
	s.secret("value sealed by a patch", second)
	s.issue("key of a session with a sealed value", vouch(service, markedUser, fields{"sealed_attributes": fields{"token": first}}))
	r := patch(service, key, "", fields{"token": second})
	r.path = "/v1/session/sealed_attributes"
	if a := s.ask(http.StatusOK, r); !strings.Contains(string(a.text), second) {
		s.t.Errorf("the service is not shown what it has sealed: %s", a.text)
	}
	r.body = fields{"hydrastore.token": second}
	s.ask(http.StatusBadRequest, r)
}

// credentials are sealed without being asked for: at log-in, under an Idempotency-Key, carried over, by a patch, and in requests that are refused.
func (s *search) credentials(service string) {
	const first, second = "credentials-at-log-in-60518", "credentials-by-a-patch-77031"
	s.secret("credentials at log-in", first)
	s.secret("credentials by a patch", second)
	r := logIn(adminName, adminPassword)
	r.body = fields{"user": adminName, "password": adminPassword, "policy": "tokenizer", "attributes": fields{"credentials": fields{"password": first}}}
	r.headers = map[string]string{"Idempotency-Key": "one-token"}
	s.issue("key of a session with credentials", r)
	r.key = s.issue("key of the same session", r)
	r.headers = nil
	key := s.issue("key of the session after it", r)
	p := patch(service, key, "", fields{"credentials": []string{second}})
	if a := s.ask(http.StatusOK, p); !strings.Contains(string(a.text), `"sealed_attributes":{"credentials":["`+second) {
		s.t.Errorf("the service is not shown the credentials: %s", a.text)
	}
	s.ask(http.StatusPreconditionFailed, patch(service, key, `"1"`, fields{"credentials": second}))
}

// idempotent issues two keys for one session.
func (s *search) idempotent(service string) {
	r := vouch(service, markedUser, nil)
	r.headers = map[string]string{"Idempotency-Key": "one-intent"}
	s.issue("first key of a repeated create", r)
	s.issue("second key of a repeated create", r)
}

// rotated gives a session other keys, by rotation and by proving its user anew, and uses one of them too late.
func (s *search) rotated(service string) {
	key := s.issue("key before its rotation", vouch(service, markedUser, nil))
	next := s.renew("key after its rotation", request{method: http.MethodPost, path: "/v1/session/rotate", key: key})
	last := s.renew("key by a password", request{method: http.MethodPost, path: "/v1/session/reauthenticate", key: next, body: fields{"password": userPassword}})
	s.ask(http.StatusUnauthorized, request{method: http.MethodPost, path: "/v1/session/reauthenticate", key: last, body: fields{"password": "Not-the-right-one-at-all"}})
	s.ask(http.StatusUnauthorized, check(next)) // it has ended, so this ends the session
}

// formats uses and misplaces keys of the formats of other systems.
func (s *search) formats(admin, service string) {
	for _, format := range session.KeyFormats() {
		s.ask(http.StatusOK, request{method: http.MethodPut, path: "/v1/policies/in-" + string(format), key: admin, body: fields{"key_format": format}})
		key := s.issue("key of format "+string(format), vouch(service, markedUser, fields{"policy": "in-" + string(format)}))
		s.ask(http.StatusOK, check(key))
		s.renew("rotated key of format "+string(format), request{method: http.MethodPost, path: "/v1/session/rotate", key: key})
		s.wrongKey(service, key[:len(key)-1])
		s.misplacedKeys(admin, key)
	}
}

// protocols uses and misplaces keys and passwords as other systems' clients do. Their failures are no failures of HTTP, and their answers echo the
// tokens that were sent: what is searched is what nodes keep and log.
func (s *search) protocols(admin string) {
	s.secret("protocol user's password", protocolPassword)
	s.ask(http.StatusCreated, newProtocolUser(admin, protocolPassword))
	made := decodeAs[fairComAnswer](s.t, s.ask(http.StatusOK, fairCom("createSession", "", fields{"username": protocolUser, "password": protocolPassword})).text)
	token, key := made.AuthToken, decodeAs[netXAnswer](s.t, s.ask(http.StatusOK, netX("authenticate", protocolUser, protocolPassword)).text).Result.(string)
	s.key("FairCom's token", token)
	s.key("NetX's key", key)
	for _, r := range []request{
		fairCom("pingSession", token, nil), fairCom("describeSessions", token, fields{"authTokens": []string{token, key}}), fairCom("listSessions", token, nil),
		fairCom("alterSession", token, fields{"defaultApi": "db"}), fairCom(token, token, fields{token: token}), fairCom("createSession", token, fields{"username": protocolPassword, "password": token}),
		netX("setUserPreference", key, fields{"label": "TickleTime", "value": key}), netX("validateSession", key), netX("getSessionState", key),
		netX(key, key), netX("validateSession", key, key), netX("authenticate", protocolPassword, key),
		fairCom("deleteSession", token, nil), netX("closeSession", key), fairCom("pingSession", token, nil), netX("validateSession", key),
	} {
		s.ask(http.StatusOK, r)
	}
}

// renew notes the key that a living session is given.
func (s *search) renew(what string, r request) string {
	key := s.ask(http.StatusOK, r).body.Key
	s.key(what, key)
	return key
}

func (s *search) changePassword(admin, user string) {
	const next = "Walnut-3-amber-tunnel"
	s.secret("new password", next)
	r := request{method: http.MethodPatch, path: "/v1/users/" + markedUser, key: admin, body: fields{"password": next}}
	s.ask(http.StatusOK, r)
	s.ask(http.StatusUnauthorized, check(user))
	s.ask(http.StatusUnauthorized, logIn(markedUser, userPassword))
	s.issue("key by the new password", logIn(markedUser, next))
}

// wrongKeys presents keys that open nothing: well formed, damaged, and of another kind.
func (s *search) wrongKeys(service string) {
	unknown, err := session.NewKey(rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	s.key("unknown key", unknown.Reveal())
	damaged := strings.ToUpper(unknown.Reveal())
	s.secret("damaged key", damaged)
	const foreign = "ghp_someOtherServicesTokenThatCameHere"
	s.secret("foreign token", foreign)
	for _, key := range []string{unknown.Reveal(), damaged, foreign} {
		s.wrongKey(service, key)
	}
}

func (s *search) wrongKey(service, key string) {
	s.ask(http.StatusUnauthorized, check(key))
	s.ask(http.StatusNoContent, logOut(key))
	r := look(service)
	r.subject = key
	s.ask(http.StatusUnauthorized, r)
	s.ask(http.StatusUnauthorized, vouch(key, markedUser, nil))
	s.ask(http.StatusUnauthorized, clusterStatus(key))
}

// misplacedKeys puts keys where they do not belong, as people do.
func (s *search) misplacedKeys(admin, key string) {
	get := func(path string) request { return request{method: http.MethodGet, path: path, key: admin} }
	s.ask(http.StatusBadRequest, get("/v1/session?key="+key))
	s.ask(http.StatusBadRequest, get("/v1/sessions?cursor="+key))
	s.ask(http.StatusBadRequest, get("/v1/session?min_index="+key))
	s.ask(0, get("/v1/sessions/"+key))
	s.ask(http.StatusOK, get("/v1/users/"+key+"/sessions")) // a user that nobody knows has none
	s.ask(0, get("/v1/policies/"+key))
	s.ask(http.StatusNotFound, get("/v1/"+key))
	s.ask(http.StatusBadRequest, vouch(admin, markedUser, fields{"policy": key}))
	r := patch(admin, key, `"`+key+`"`, fields{"a": 2})
	s.ask(0, r)
	s.ask(http.StatusBadRequest, request{method: http.MethodPost, path: "/v1/sessions", body: fields{"user": "x", "key": key}})
	s.ask(http.StatusUnauthorized, request{method: http.MethodGet, path: "/v1/session", headers: map[string]string{"Authorization": "Basic " + key}})
}

// wrongPasswords are refused by the rules, by the parser, and by comparison.
func (s *search) wrongPasswords(admin string) {
	for what, password := range map[string]string{
		"wrong password": "Not-the-right-one-7731", "short password": "sh0rt!7", "long password": strings.Repeat("very-long-9-", 90),
	} {
		s.secret(what, password)
		s.ask(0, logIn(markedUser, password))
		s.ask(0, logIn("nobody", password))
		s.ask(0, newUser(admin, "other", password, "no such role"))
		s.ask(http.StatusBadRequest, request{method: http.MethodPost, path: "/v1/sessions", body: fields{"user": markedUser, "passwort": password}})
		s.ask(http.StatusBadRequest, request{method: http.MethodPost, path: "/v1/sessions", body: []string{password}})
		s.ask(http.StatusBadRequest, request{method: http.MethodPost, path: "/v1/sessions", body: fields{"user": []string{password}, "password": 7}})
		s.ask(http.StatusUnsupportedMediaType, request{method: http.MethodPost, path: "/v1/sessions",
			headers: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, body: "user=x&password=" + password})
	}
}

// issue logs in at each node in turn and notes the key that comes back.
func (s *search) issue(what string, r request) string {
	key := s.ask(http.StatusCreated, r).body.Key
	s.key(what, key)
	return key
}

// key notes a session key: its text, and the bytes that the text stands for.
func (s *search) key(what, key string) {
	s.secret(what, key)
	parsed, err := session.ParseKey(key)
	if err != nil {
		s.t.Fatalf("%s: %v", what, err)
	}
	switch parsed.Format() {
	case session.KeyNative:
		payload := strings.TrimPrefix(key, session.KeyPrefix)
		s.secret(what+" without its prefix", payload)
		raw, err := base64.RawURLEncoding.DecodeString(payload)
		if err != nil || len(raw) < session.KeySecretBytes {
			s.t.Fatalf("%s: a key of another form than expected", what)
		}
		s.secrets[what+" as bytes"] = raw[:session.KeySecretBytes]
	case session.KeyHex32, session.KeyHex64:
		raw, err := hex.DecodeString(key)
		if err != nil {
			s.t.Fatalf("%s: a key of another form than expected", what)
		}
		s.secrets[what+" as bytes"] = raw
		s.secret(what+" in upper case", strings.ToUpper(key))
	case session.KeyWS:
		s.secret(what+" without user and number", key[strings.LastIndexByte(key, ':')+1:])
	}
}

func (s *search) secret(what, text string) { s.secrets[what] = []byte(text) }

// ask does the request at one of the nodes; want 0 = any refusal. The text of a refusal is searched.
func (s *search) ask(want int, r request) answer {
	s.t.Helper()
	node := s.c.nodes[(len(s.secrets)+s.problems)%len(s.c.nodes)]
	l := newLine(node.api)
	defer l.close()
	a, err := l.do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	if want != 0 && a.status != want || want == 0 && a.status < 400 {
		s.t.Errorf("%s: status %d, want %d: %s", r.method, a.status, want, a.text)
	}
	if a.status >= 400 {
		s.problems++
		s.shown(fmt.Sprintf("the answer %d to a %s", a.status, r.method), a.text)
	}
	return a
}

// folder searches every file below a data folder.
func (s *search) folder(dir string) {
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		s.foundUser = s.foundUser || bytes.Contains(text, []byte(markedUser))
		s.foundHash = s.foundHash || bytes.Contains(text, []byte(passwordHash))
		s.text(name, text)
		return nil
	})
	if err != nil {
		s.t.Error(err)
	}
}

// passwordHash is how every hash of a password begins. They are in the log, and nowhere else.
const passwordHash = "$argon2id$"

// shown searches what people and programs get to read, where not even a hash of a password belongs.
func (s *search) shown(where string, text []byte) {
	s.text(where, text)
	s.foundFailure = s.foundFailure || bytes.Contains(text, []byte(`"reason":"wrong_password"`))
	if bytes.Contains(text, []byte(passwordHash)) {
		s.t.Errorf("%s holds the hash of a password", where)
	}
}

// text fails the test when a secret is there in any form.
func (s *search) text(where string, text []byte) {
	s.searched += len(text)
	s.foundRoute = s.foundRoute || bytes.Contains(text, []byte(`"route":"/v1/sessions"`))
	for what, secret := range s.secrets {
		for form, value := range forms(secret) {
			if bytes.Contains(text, value) {
				s.t.Errorf("%s holds the %s, %s", where, what, form)
			}
		}
	}
}

// forms are the ways in which a secret could be written down.
func forms(secret []byte) map[string][]byte {
	return map[string][]byte{
		"as it is":         secret,
		"in hex":           []byte(hex.EncodeToString(secret)),
		"in upper hex":     []byte(strings.ToUpper(hex.EncodeToString(secret))),
		"in base64":        []byte(base64.RawStdEncoding.EncodeToString(secret)),
		"in URL base64":    []byte(base64.RawURLEncoding.EncodeToString(secret)),
		"in Go's brackets": []byte(strings.Trim(fmt.Sprint(secret), "[]")),
	}
}

// commandLine is what other users of the machine see of a process.
func commandLine(t *testing.T, pid int) []byte {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil { // not Linux
		text, err = exec.Command("ps", "-o", "args=", "-p", fmt.Sprint(pid)).Output()
	}
	if err != nil || !bytes.Contains(text, []byte("server")) {
		t.Errorf("the process list shows %q, %v; want the command line of a server", text, err)
	}
	return text
}

func randomBytes(t *testing.T, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return b
}
