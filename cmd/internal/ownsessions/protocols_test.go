package ownsessions_test

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/api"
	"github.com/hydrastore/hydrastore/api/faircom"
	"github.com/hydrastore/hydrastore/api/livejournal"
	"github.com/hydrastore/hydrastore/api/netx"
	"github.com/hydrastore/hydrastore/api/protocol"
	"github.com/hydrastore/hydrastore/cmd/internal/cli"
	"github.com/hydrastore/hydrastore/session"
)

// counter is a node's API with the protocols of others.
type counter struct {
	*testing.T
	at      *member
	handler http.Handler
}

func newCounter(t *testing.T, at *member) *counter {
	t.Helper()
	config := api.DefaultConfig()
	config.Logger = slog.New(slog.DiscardHandler)
	config.Protocols = []protocol.Protocol{
		livejournal.New(livejournal.DefaultConfig(), at), netx.New(netx.DefaultPath, at), faircom.New(faircom.DefaultConfig(), at),
	}
	server, err := api.New(config, at)
	if err != nil {
		t.Fatal(err)
	}
	return &counter{t, at, server.Handler(false)}
}

func (c *counter) post(path, contentType, body string, headers ...string) string {
	c.Helper()
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.RemoteAddr = address.String() + ":5000"
	r.Header.Set("Content-Type", contentType)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	c.handler.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		c.Errorf("%s %s: %d %s", path, body, w.Code, w.Body)
	}
	return w.Body.String()
}

// newCounters are the APIs of three nodes. The user test may log in in every way.
func newCounters(t *testing.T) (here, there *counter) {
	t.Helper()
	w := newWorld(t)
	names := []string{session.PresetLiveJournalShort, session.PresetLiveJournalLong, session.PresetNetX, session.PresetFairCom, session.PresetFlowTraq}
	for _, name := range names {
		p, _ := session.Preset(name)
		ch := p.AsChange()
		ch.MaxSessions, ch.MaxSessionsPerAddress, ch.PermanentAllowed = ptr(0), ptr(0), ptr(true) // what nodes do not keep
		if _, err := w.a.PutPolicy(t.Context(), operator, name, ch); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	eventually(t, "able to seal, which log-ins by MD5 need", func() error {
		_, err := w.a.CreateUser(t.Context(), operator, session.NewUser{
			Name: "test", Password: "password of test", MD5Login: true, Policies: append([]string{session.DefaultPolicyName}, names...),
		})
		return err
	})
	return newCounter(t, w.a), newCounter(t, w.b)
}

func hexMD5(text string) string {
	sum := md5.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}

func answerTo(challenge string) string { return hexMD5(challenge + hexMD5("password of test")) }

// ofTest counts the sessions of the user test at the node.
func (c *counter) ofTest() int {
	c.Helper()
	list, err := c.at.ListSessions(c.Context(), operator, session.Filter{User: "test"}, session.Page{})
	if err != nil {
		c.Fatal(err)
	}
	return len(list.Items)
}

func (c *counter) flat(pairs ...string) map[string]string {
	c.Helper()
	form, headers := url.Values{}, []string(nil)
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i] == "cookie" {
			form.Set("auth_method", "cookie")
			headers = []string{"X-LJ-Auth", "cookie", "Cookie", "ljsession=" + pairs[i+1]}
			continue
		}
		form.Set(pairs[i], pairs[i+1])
	}
	lines := strings.Split(c.post(livejournal.FlatPath, "application/x-www-form-urlencoded", form.Encode(), headers...), "\n")
	out := map[string]string{}
	for i := 0; i+1 < len(lines); i += 2 {
		out[lines[i]] = lines[i+1]
	}
	return out
}

func (c *counter) wantFlat(what, success string, pairs ...string) map[string]string {
	c.Helper()
	got := c.flat(pairs...)
	if got["success"] != success {
		c.Errorf("%s: got %v, want %s", what, got, success)
	}
	return got
}

// TestLiveJournalFlat: challenges are the cluster's, sessions the node's.
func TestLiveJournalFlat(t *testing.T) {
	t.Parallel()
	here, there := newCounters(t)
	for _, c := range []*counter{here, there} {
		c.wantFlat("by password", "OK", "mode", "login", "user", "test", "password", "password of test")
		c.wantFlat("by MD5", "OK", "mode", "login", "user", "test", "hpassword", hexMD5("password of test"))
		c.wantFlat("by a wrong password", "FAIL", "mode", "login", "user", "test", "password", "another password")
	}
	challenge := there.wantFlat("a challenge of one node", "OK", "mode", "getchallenge")["challenge"]
	proof := []string{"user", "test", "auth_method", "challenge", "auth_challenge", challenge, "auth_response", answerTo(challenge)}
	short := here.wantFlat("answered at another", "OK", append([]string{"mode", "sessiongenerate"}, proof...)...)["ljsession"]
	here.wantFlat("answered again", "FAIL", append([]string{"mode", "login"}, proof...)...)
	there.wantFlat("answered again where it comes from", "FAIL", append([]string{"mode", "login"}, proof...)...)
	long := here.wantFlat("a long one, bound", "OK", "mode", "sessiongenerate", "user", "test", "password", "password of test", "expiration", "long", "ipfixed", "1")["ljsession"]

	for what, cookie := range map[string]string{"short": short, "long": long} {
		here.wantFlat(what, "OK", "mode", "login", "user", "test", "cookie", cookie)
		if got := here.wantFlat(what, "OK", "mode", "checksession", "user", "test", "cookie", cookie); "ws:"+got["session"] != cookie {
			t.Errorf("%s: checked %v", what, got)
		}
		there.wantFlat(what+" at another node", "FAIL", "mode", "login", "user", "test", "cookie", cookie)
	}
	elsewhere := there.wantFlat("at another node", "OK", "mode", "sessiongenerate", "user", "test", "password", "password of test")["ljsession"]
	there.wantFlat("expire the other node's", "OK", "mode", "sessionexpire", "user", "test", "password", "password of test", "expire_id_2", "1")
	here.wantFlat("which does not reach it", "OK", "mode", "login", "user", "test", "cookie", long)
	here.wantFlat("expire one", "OK", "mode", "sessionexpire", "user", "test", "password", "password of test", "expire_id_1", "1")
	here.wantFlat("expired", "FAIL", "mode", "login", "user", "test", "cookie", short)
	here.wantFlat("expire all", "OK", "mode", "sessionexpire", "user", "test", "cookie", long, "expireall", "1")
	here.wantFlat("expired with all", "FAIL", "mode", "login", "user", "test", "cookie", long)
	there.wantFlat("all of the asked node", "OK", "mode", "login", "user", "test", "cookie", elsewhere)
	if _, err := here.at.UpdateUser(t.Context(), operator, "test", session.UserChange{Password: ptr("another password")}); err != nil {
		t.Fatal(err)
	}
	there.wantFlat("after another password", "FAIL", "mode", "login", "user", "test", "cookie", elsewhere)
}

func (c *counter) xml(method string, members ...string) string {
	c.Helper()
	var body strings.Builder
	fmt.Fprintf(&body, "<?xml version=\"1.0\"?><methodCall><methodName>LJ.XMLRPC.%s</methodName><params><param><value><struct>", method)
	var headers []string
	for i := 0; i < len(members); i += 2 {
		name, value := members[i], "<string>"+members[i+1]+"</string>"
		switch name {
		case "cookie":
			headers = []string{"X-LJ-Auth", "cookie", "Cookie", "ljsession=" + members[i+1]}
			name, value = "auth_method", "<string>cookie</string>"
		case "expireall":
			value = "<boolean>1</boolean>"
		}
		fmt.Fprintf(&body, "<member><name>%s</name><value>%s</value></member>", name, value)
	}
	body.WriteString("</struct></value></param></params></methodCall>")
	return c.post(livejournal.XMLRPCPath, "text/xml", body.String(), headers...)
}

func (c *counter) wantXML(what string, ok bool, method string, members ...string) string {
	c.Helper()
	got := c.xml(method, members...)
	if strings.Contains(got, "<fault>") == ok {
		c.Errorf("%s: got %s", what, got)
	}
	return got
}

func memberOf(text, name string) string {
	found := regexp.MustCompile(`<name>` + name + `</name><value><string>([^<]*)</string>`).FindStringSubmatch(text)
	if found == nil {
		return ""
	}
	return found[1]
}

// TestLiveJournalXMLRPC: the same in the other form.
func TestLiveJournalXMLRPC(t *testing.T) {
	t.Parallel()
	here, there := newCounters(t)
	challenge := memberOf(there.wantXML("a challenge", true, "getchallenge"), "challenge")
	proof := []string{"username", "test", "auth_method", "challenge", "auth_challenge", challenge, "auth_response", answerTo(challenge)}
	here.wantXML("log in", true, "login", proof...)
	there.wantXML("the challenge again", false, "login", proof...)
	here.wantXML("a wrong password", false, "login", "username", "test", "password", "another password")
	cookie := memberOf(here.wantXML("generate", true, "sessiongenerate", "username", "test", "hpassword", hexMD5("password of test"), "expiration", "long"), "ljsession")
	if got := memberOf(here.wantXML("check", true, "checksession", "username", "test", "cookie", cookie), "session"); "ws:"+got != cookie {
		t.Errorf("checked %s, want %s", got, cookie)
	}
	there.wantXML("check at another node", false, "checksession", "username", "test", "cookie", cookie)
	there.wantXML("expire at another node", true, "sessionexpire", "username", "test", "password", "password of test", "expireall", "1")
	if n := here.ofTest(); n != 1 {
		t.Errorf("%d sessions, want the one", n)
	}
	here.wantXML("expire", true, "sessionexpire", "username", "test", "password", "password of test", "expireall", "1")
	here.wantXML("check what has expired", false, "checksession", "username", "test", "cookie", cookie)
	if n := here.ofTest(); n != 0 {
		t.Errorf("%d sessions, want none", n)
	}
}

// ask sends JSON and gives the answer's member.
func (c *counter) ask(path, member string, body map[string]any) string {
	c.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		c.Fatal(err)
	}
	var answer map[string]json.RawMessage
	got := c.post(path, "application/json", string(text))
	if err := json.Unmarshal([]byte(got), &answer); err != nil {
		c.Fatalf("%s: %v", got, err)
	}
	if raw := answer[member]; raw != nil {
		return string(raw)
	}
	return got
}

// TestNetX: a key is its node's, preferences are everybody's.
func TestNetX(t *testing.T) {
	t.Parallel()
	here, there := newCounters(t)
	call := func(c *counter, method string, params ...any) string {
		t.Helper()
		return c.ask(netx.DefaultPath, "result", map[string]any{"jsonrpc": "2.0", "id": "1", "method": method, "params": params, "dataContext": "json"})
	}
	want := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: got %s, want %s", what, got, want)
		}
	}
	want("a wrong password", call(here, "authenticate", "test", "another password"), `"-1"`)
	key := strings.Trim(call(here, "authenticate", "test", "password of test"), `"`)
	other := strings.Trim(call(there, "authenticate", "test", "password of test"), `"`)
	want("good here", call(here, "validateSession", key), "true")
	want("not there", call(there, "validateSession", key), "false")
	want("prefer", call(here, "setUserPreference", key, map[string]any{"label": "colour", "value": "green"}), "true")
	want("preferred there", call(there, "getUserPreference", other, "colour"), `{"label":"colour","value":"green"}`)
	want("tickle", call(here, "setUserPreference", key, map[string]any{"label": "TickleTime", "value": "now"}), "true")
	want("close at another node", call(there, "closeSession", key), "true")
	want("which does not reach it", call(here, "validateSession", key), "true")
	want("close", call(here, "closeSession", key), "true")
	want("closed", call(here, "validateSession", key), "false")
	want("the other node's", call(there, "validateSession", other), "true")
}

// TestFairCom: sessions are listed, altered and deleted at their node.
func TestFairCom(t *testing.T) {
	t.Parallel()
	here, there := newCounters(t)
	do := func(c *counter, want, action, token string, params map[string]any) string {
		t.Helper()
		if params == nil {
			params = map[string]any{}
		}
		body := map[string]any{"api": "admin", "action": action, "params": params}
		if token != "" {
			body["authToken"] = token
		}
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		got := c.post(faircom.DefaultConfig().Path, "application/json", string(text))
		if !strings.Contains(got, `"errorCode":`+want+`,`) {
			t.Errorf("%s: got %s, want %s", action, got, want)
		}
		return got
	}
	token := func(answer string) string {
		return regexp.MustCompile(`"authToken":"([^"]*)"`).FindStringSubmatch(answer)[1]
	}
	const ok, none = "0", "12031"
	user := map[string]any{"username": "test", "password": "password of test"}
	mine := token(do(here, ok, "createSession", "", user))
	theirs := token(do(there, ok, "createSession", "", user))
	do(here, ok, "pingSession", mine, nil)
	do(there, none, "pingSession", mine, nil)
	do(here, ok, "alterSession", mine, map[string]any{"description": "at the desk"})
	if got := do(here, ok, "describeSessions", mine, map[string]any{"authTokens": []string{mine}}); !strings.Contains(got, "at the desk") {
		t.Errorf("described: %s", got)
	}
	do(here, ok, "listSessions", mine, nil)
	if n := here.ofTest(); n != 1 {
		t.Errorf("%d sessions here, want the one", n)
	}
	do(there, ok, "deleteSession", mine, nil) // as of a session that is over
	do(here, ok, "pingSession", mine, nil)
	do(here, ok, "deleteSession", mine, nil)
	do(here, none, "pingSession", mine, nil)
	do(there, ok, "pingSession", theirs, nil)
}

// command runs the command line against the node, as FlowTraq's scripts do.
func (c *counter) command(line string) (stdout, stderr string, code int) {
	c.Helper()
	server := httptest.NewServer(c.handler)
	defer server.Close()
	var out, errs strings.Builder
	program := cli.Program{
		Args: strings.Fields(line), Stdin: strings.NewReader("password of test"), Stdout: &out, Stderr: &errs,
		Environ: []string{"HYDRASTORE_ADDRESS=" + strings.TrimPrefix(server.URL, "http://"), "HYDRASTORE_LOGIN_FILE=" + filepath.Join(c.TempDir(), "login.json")},
	}
	code = program.Run(c.Context())
	return out.String(), errs.String(), code
}

// TestFlowTraq: a key is issued beside a command and works at its node alone, for as long as it is used there or until the password is another one.
func TestFlowTraq(t *testing.T) {
	t.Parallel()
	here, there := newCounters(t)
	clock := here.at.config.Clock.(*clock)
	key := regexp.MustCompile(`^[0-9a-f]{32}`)
	issue := func(c *counter) string {
		t.Helper()
		stdout, stderr, code := c.command("whoami -un test --password-file - -us")
		issued := key.FindString(stderr)
		if code != cli.ExitOK || issued == "" {
			t.Fatalf("issue a key: %d %s%s", code, stdout, stderr)
		}
		return issued
	}
	want := func(what string, c *counter, key string, want int) {
		t.Helper()
		if stdout, stderr, code := c.command("session list --of-user test -us " + key); code != want || (code == cli.ExitOK) != strings.Contains(stdout, "flowtraq") {
			t.Errorf("%s: got %d, want %d: %s%s", what, code, want, stdout, stderr)
		}
	}
	mine, theirs := issue(here), issue(there)
	if _, _, code := here.command("whoami -un test -up another -us"); code != cli.ExitUnauthenticated {
		t.Errorf("a wrong password: %d", code)
	}
	want("good here", here, mine, cli.ExitOK)
	want("not there", there, mine, cli.ExitUnauthenticated)
	want("the other node's", there, theirs, cli.ExitOK)
	if n := here.ofTest(); n != 1 {
		t.Errorf("%d sessions here, want the one", n)
	}
	clock.advance(time.Minute)
	want("a use at the other node", there, mine, cli.ExitUnauthenticated)
	want("a use of its own", there, theirs, cli.ExitOK)
	clock.advance(70 * time.Second)
	want("which extends nothing here", here, mine, cli.ExitUnauthenticated)
	want("the one that was used", there, theirs, cli.ExitOK)
	mine = issue(here)
	if _, err := here.at.UpdateUser(t.Context(), operator, "test", session.UserChange{Password: ptr("another password")}); err != nil {
		t.Fatal(err)
	}
	want("after another password, here", here, mine, cli.ExitUnauthenticated)
	want("after another password, there", there, theirs, cli.ExitUnauthenticated)
}
