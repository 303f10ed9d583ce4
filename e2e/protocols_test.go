package e2e_test

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
)

const (
	protocolUser     = "findable-protocol-user"
	protocolPassword = "Ferry-8-quartz-mill"
)

// speaksProtocols turns FairCom's and NetX's protocols on at the first two nodes, and at every other one when all is set.
func speaksProtocols(all bool) func(i int, settings fields) {
	return func(i int, settings fields) {
		if all || i < 2 {
			settings["protocols"] = fields{"faircom": true, "netx": true, "netx_path": "/x7/v1.2/json"}
		}
		// Whoever leads gives policies their first values, by these words too.
		settings["user"] = fields{"sessionDuration": 30}
		settings["jsonActionApiDefaults"] = fields{"enablePermanentJsonApiSessions": true, "defaultDatabaseName": "ours"}
	}
}

// newProtocolUser makes a user who may log in by each.
func newProtocolUser(admin, password string) request {
	r := newUser(admin, protocolUser, password, "user")
	r.body.(fields)["policies"] = []string{"default", "faircom", "netx"}
	return r
}

// fairComAnswer is what FairCom's API answers.
type fairComAnswer struct {
	Result struct {
		AuthToken           string
		DefaultDatabaseName string
		Sessions            []map[string]any
	}
	ErrorCode    int
	ErrorMessage string
	AuthToken    string
}

// netXAnswer is what NetX's API answers.
type netXAnswer struct {
	Result any
	Error  struct{ Code int }
}

func decodeAs[T any](t *testing.T, text []byte) (to T) {
	t.Helper()
	if err := json.Unmarshal(text, &to); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return to
}

func fairCom(action, token string, params fields) request {
	body := fields{"api": "admin", "action": action}
	if token != "" {
		body["authToken"] = token
	}
	if params != nil {
		body["params"] = params
	}
	return request{method: http.MethodPost, path: "/api", body: body}
}

func netX(method string, params ...any) request {
	return request{method: http.MethodPost, path: "/x7/v1.2/json", body: fields{"jsonrpc": "2.0", "id": "1", "method": method, "params": params, "dataContext": "json"}}
}

// TestProtocolsBesideREST: settings turn them on node by node, their sessions are known at all, and REST lists and ends them.
func TestProtocolsBesideREST(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, speaksProtocols(false))
	admin := c.admin()
	c.must(0, http.StatusCreated, newProtocolUser(admin, protocolPassword))
	for _, r := range []request{fairCom("pingSession", "", nil), netX("validateSession", "x")} {
		if a := c.must(2, http.StatusNotFound, r); a.body.Code != "not_found" {
			t.Errorf("%s at a node that does not speak it: %s", r.path, a.text)
		}
	}
	made := decodeAs[fairComAnswer](t, c.must(0, http.StatusOK, fairCom("createSession", "", fields{"username": protocolUser, "password": protocolPassword, "permanentSession": true})).text)
	if made.ErrorCode != 0 || made.Result.DefaultDatabaseName != "ours" || made.AuthToken != made.Result.AuthToken || len(made.AuthToken) != 64 {
		t.Fatalf("create: %+v", made)
	}
	key, _ := decodeAs[netXAnswer](t, c.must(0, http.StatusOK, netX("authenticate", protocolUser, protocolPassword)).text).Result.(string)
	ping := func() int {
		t.Helper()
		return decodeAs[fairComAnswer](t, c.must(1, http.StatusOK, fairCom("pingSession", made.AuthToken, nil)).text).ErrorCode
	}
	valid := func() any {
		t.Helper()
		return decodeAs[netXAnswer](t, c.must(1, http.StatusOK, netX("validateSession", key)).text).Result
	}
	if ping() != 0 || valid() != true {
		t.Errorf("at another node: ping %d, valid %v", ping(), valid())
	}
	c.must(2, http.StatusOK, check(key))
	c.must(2, http.StatusOK, check(made.AuthToken))
	list := request{method: http.MethodGet, path: "/v1/sessions?policy=faircom&permanent=true", key: admin}
	if items := c.must(2, http.StatusOK, list).body.Items; len(items) != 1 || items[0].User != protocolUser {
		t.Errorf("listed: %+v", items)
	}
	list.method = http.MethodDelete
	c.must(2, http.StatusOK, list)
	list.path = "/v1/sessions?policy=netx"
	c.must(2, http.StatusOK, list)
	if code, is := ping(), valid(); code != 12031 || is != false {
		t.Errorf("ended by REST: ping %d, valid %v", code, is)
	}
}

// TestFairComsTutorialWithCurl sends the bodies of FairCom's tutorial as they stand, but for names and tokens, and finds the members of its answer.
func TestFairComsTutorialWithCurl(t *testing.T) {
	t.Parallel()
	curl := need(t, "curl")
	c := startCluster(t, 1, speaksProtocols(true))
	c.must(0, http.StatusCreated, newProtocolUser(c.admin(), protocolPassword))
	post := func(file string, replace ...string) []byte {
		t.Helper()
		body, err := os.ReadFile("../api/faircom/testdata/" + file)
		if err != nil {
			t.Fatal(err)
		}
		q := exec.CommandContext(t.Context(), curl, "--silent", "--show-error", "http://"+c.nodes[0].api+"/api", "--header", "Content-Type: application/json", "--data", "@-")
		q.Stdin = strings.NewReader(strings.NewReplacer(replace...).Replace(string(body)))
		text, err := q.Output()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	// The tutorial writes "username" twice: the second is the password.
	made := decodeAs[fairComAnswer](t, post("create.json", `"username": "CHANGE",
    "username": "CHANGE"`, `"username": "`+protocolUser+`", "password": "`+protocolPassword+`"`))
	if made.ErrorCode != 0 || made.AuthToken == "" {
		t.Fatalf("create: %+v", made)
	}
	text := post("describe_request.json", "replaceWithTheAuthTokensYouWantToCheck", made.AuthToken, "replaceWithAuthTokenFromCreateSession", made.AuthToken)
	got := decodeAs[fairComAnswer](t, text)
	example, err := os.ReadFile("../api/faircom/testdata/describe.json")
	if err != nil {
		t.Fatal(err)
	}
	want := decodeAs[fairComAnswer](t, example)
	if got.ErrorCode != 0 || got.AuthToken != made.AuthToken || len(got.Result.Sessions) != 1 {
		t.Fatalf("describe: %s", text)
	}
	shown := got.Result.Sessions[0]
	for name := range want.Result.Sessions[0] {
		if _, has := shown[name]; !has {
			t.Errorf("the answer lacks %s", name)
		}
	}
	if shown["permanentSession"] != true || shown["idleConnectionTimeoutSeconds"] != -1.0 || shown["username"] != strings.ToUpper(protocolUser) {
		t.Errorf("got %v", shown)
	}
}
