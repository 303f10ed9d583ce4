package node_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/api"
	"github.com/hydrastore/hydrastore/api/faircom"
	"github.com/hydrastore/hydrastore/api/netx"
	"github.com/hydrastore/hydrastore/api/protocol"
	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/session"
)

// spoken is a cluster whose nodes speak FairCom's and NetX's protocols beside REST, with the users ann and bob.
type spoken struct {
	*trio
	apis []*api.Server
}

type object = map[string]any

// speak starts n nodes, whose time passes by advance alone. change alters the presets of the protocols' policies.
func speak(t *testing.T, n int, change func(p *session.Policy)) *spoken {
	t.Helper()
	c := &spoken{trio: startTrio(t, n, func(_ int, config *node.Config) {
		for _, name := range []string{session.PresetFairCom, session.PresetNetX} {
			p, _ := session.Preset(name)
			if change != nil {
				change(&p)
			}
			config.Policies = append(config.Policies, p)
		}
	})}
	for range c.nodes {
		c.apis = append(c.apis, nil)
	}
	c.serve()
	for _, name := range []string{"ann", "bob"} {
		user := session.NewUser{Name: name, Password: name + "-password", Policies: []string{session.DefaultPolicyName, session.PresetFairCom, session.PresetNetX}}
		if _, err := c.nodes[0].CreateUser(t.Context(), session.Call{Operator: true}, user); err != nil {
			t.Fatal(err)
		}
	}
	c.freeze()
	return c
}

// serve puts an API before each node as it runs now.
func (c *spoken) serve() {
	c.t.Helper()
	for i, n := range c.nodes {
		config := api.DefaultConfig()
		config.Logger = testLogger(c.t, fmt.Sprintf("api %d", i+1))
		config.Protocols = []protocol.Protocol{faircom.New(faircom.DefaultConfig(), n), netx.New(netx.DefaultPath, n)}
		var err error
		if c.apis[i], err = api.New(config, n); err != nil {
			c.t.Fatal(err)
		}
	}
}

// send makes one request of node i, from 192.0.2.1 unless from says otherwise.
func (c *spoken) send(i int, method, path string, key session.Key, from string, body any) (int, object) {
	text, err := json.Marshal(body)
	if err != nil {
		c.t.Error(err)
	}
	r := httptest.NewRequest(method, path, bytes.NewReader(text))
	if body == nil {
		r = httptest.NewRequest(method, path, nil)
	}
	r.Header.Set("Content-Type", "application/json")
	if from != "" {
		r.RemoteAddr = from + ":40000"
	}
	if !key.IsZero() {
		r.Header.Set("Authorization", "Bearer "+key.Reveal())
	}
	w := httptest.NewRecorder()
	c.apis[i].Handler(false).ServeHTTP(w, r)
	var answer object
	if w.Body.Len() > 0 {
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			c.t.Errorf("%s %s: %v: %s", method, path, err, w.Body)
		}
	}
	return w.Code, answer
}

// faircom asks node i for one of FairCom's actions and returns its code and the answer.
func (c *spoken) faircom(i int, action, token string, params object) (int, object) {
	c.t.Helper()
	return c.faircomFrom("", i, action, token, params)
}

func (c *spoken) faircomFrom(from string, i int, action, token string, params object) (int, object) {
	request := object{"api": "admin", "action": action}
	if token != "" {
		request["authToken"] = token
	}
	if params != nil {
		request["params"] = params
	}
	_, answer := c.send(i, "POST", faircom.DefaultPath, session.Key{}, from, request)
	code, _ := answer["errorCode"].(float64)
	return int(code), answer
}

// create makes one of FairCom's sessions at node i.
func (c *spoken) create(i int, user string, params object) (token string, result object) {
	c.t.Helper()
	all := object{"username": user, "password": user + "-password"}
	for name, value := range params {
		all[name] = value
	}
	code, answer := c.faircom(i, "createSession", "", all)
	if code != 0 {
		c.t.Fatalf("create a session of %s: %v", user, answer)
	}
	return answer["authToken"].(string), answer["result"].(object)
}

func (c *spoken) wantPing(what string, token string, want int) {
	c.t.Helper()
	for i := range c.nodes {
		if code, answer := c.faircom(i, "pingSession", token, nil); code != want {
			c.t.Errorf("%s: ping at node %d: got %v, want %d", what, i+1, answer, want)
		}
	}
}

// described shows a session without using it: the token is named, and another session asks.
func (c *spoken) described(i int, asking, token string) object {
	c.t.Helper()
	_, answer := c.faircom(i, "describeSessions", asking, object{"authTokens": []string{token}})
	list, _ := answer["result"].(object)["sessions"].([]any)
	if len(list) != 1 {
		c.t.Fatalf("described: %v", answer)
	}
	return list[0].(object)
}

// TestFairComTimeLines: the life of sessions as FairCom's documents have it. Minutes stand for the documents' seconds, and no step comes nearer to an end than the second
// of guarantee G4 and a little. fsm/timelines_test.go has ends to the millisecond.
func TestFairComTimeLines(t *testing.T) {
	t.Parallel()
	c := speak(t, 3, nil)
	short, _ := c.create(0, "ann", object{"idleConnectionTimeoutSeconds": 120})
	kept, _ := c.create(1, "ann", object{"idleConnectionTimeoutSeconds": 120})
	ordinary, made := c.create(2, "ann", nil)
	never, eternal := c.create(0, "ann", object{"idleConnectionTimeoutSeconds": 0})
	if made["idleConnectionTimeoutSeconds"] != 3600.0 || eternal["idleConnectionTimeoutSeconds"] != 0.0 {
		t.Errorf("got timeouts %v and %v, want 3600 and 0", made["idleConnectionTimeoutSeconds"], eternal["idleConnectionTimeoutSeconds"])
	}
	for range 3 {
		c.advance(time.Minute)
		c.wantPing("once a minute", kept, 0)
	}
	c.wantPing("after 3 minutes of 2", short, 12031)
	c.advance(3 * time.Minute)
	c.wantPing("kept, then left", kept, 12031)

	c.advance(53 * time.Minute) // 59 after its making
	c.wantPing("within the hour", ordinary, 0)
	c.advance(59 * time.Minute)
	asking, _ := c.create(1, "ann", nil)
	before := c.described(2, asking, ordinary)["sessionLastAccessedTimestamp"].(string) // which is no use of it
	if code, _ := c.faircom(0, "alterSession", ordinary, object{"description": "used"}); code != 0 {
		t.Errorf("within the hour of its last use: got %d", code)
	}
	if after := c.described(2, asking, ordinary)["sessionLastAccessedTimestamp"].(string); after <= before {
		t.Errorf("last accessed %s, then %s: altering is a use", before, after)
	}
	c.advance(time.Hour + 5*time.Second)
	c.wantPing("an hour and some seconds unused", ordinary, 12031)
	c.advance(365 * 24 * time.Hour)
	c.wantPing("a year unused, of one that does not expire", never, 0)
	if code, answer := c.faircom(1, "alterSession", never, object{"idleConnectionTimeoutSeconds": 60}); code != 0 || answer["result"].(object)["idleConnectionTimeoutSeconds"] != 60.0 {
		t.Errorf("altered: %v", answer)
	}
	c.advance(65 * time.Second)
	c.wantPing("altered to a minute", never, 12031)
	for i := range c.nodes {
		if code, answer := c.faircom(i, "deleteSession", never, nil); code != 0 {
			t.Errorf("delete what is gone: %v", answer)
		}
	}
}

// TestFairComPermanentSessions: refused while they are off; on, they outlive a restart of all nodes and end by deletion alone.
func TestFairComPermanentSessions(t *testing.T) {
	t.Parallel()
	c := speak(t, 3, nil)
	ask := object{"username": "ann", "password": "ann-password", "permanentSession": true}
	if code, answer := c.faircom(0, "createSession", "", ask); code != 90403 {
		t.Errorf("while they are off: %v, want 90403", answer)
	}
	c.policy(1, session.PresetFairCom, session.PolicyChange{PermanentAllowed: ptr(true), LongerIdleAllowed: ptr(true), KeyFormat: ptr(session.KeyHex64)})
	token, _ := c.create(2, "ann", object{"permanentSession": "true", "description": "robot"})
	if len(token) != 64 {
		t.Errorf("got a token of %d characters, want 64", len(token))
	}
	c.advance(365 * 24 * time.Hour)
	for i := range c.nodes {
		c.stop(i)
	}
	for i := range c.nodes {
		c.start(i)
	}
	for i := range c.nodes {
		c.awaitReady(i)
	}
	c.serve()
	c.wantPing("after a restart of all nodes", token, 0)
	for i := range c.nodes {
		if s := c.described(i, token, token); s["permanentSession"] != true || s["idleConnectionTimeoutSeconds"] != -1.0 || s["description"] != "robot" || s["authToken"] != token {
			t.Errorf("node %d describes %v", i+1, s)
		}
	}
	if code, _ := c.faircom(1, "deleteSession", token, nil); code != 0 {
		t.Errorf("delete: %d", code)
	}
	c.wantPing("deleted", token, 12031)
}

// TestFairComLimits: two hundred at once, at all nodes: as many get in as the limits have room for, and each deletion makes room for one.
func TestFairComLimits(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change     func(p *session.Policy)
		user, from func(n int) string
		want       int
	}{
		"of one user":    {nil, func(int) string { return "ann" }, func(n int) string { return fmt.Sprintf("198.51.100.%d", n) }, 50},
		"of one address": {nil, func(n int) string { return []string{"ann", "bob", "cid", "dora", "eve"}[n%5] }, func(int) string { return "198.51.100.7" }, 50},
		"in all": {func(p *session.Policy) { p.MaxSessions = min(p.MaxSessions, 30) }, func(n int) string { return []string{"ann", "bob", "cid", "dora", "eve"}[n%5] },
			func(n int) string { return fmt.Sprintf("198.51.100.%d", n) }, 30},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := speak(t, 3, test.change)
			for _, user := range []string{"cid", "dora", "eve"} {
				u := session.NewUser{Name: user, Password: user + "-password", Policies: []string{session.PresetFairCom}}
				if _, err := c.nodes[0].CreateUser(t.Context(), session.Call{Operator: true}, u); err != nil {
					t.Fatal(err)
				}
			}
			const attempts = 200
			var mu sync.Mutex
			var tokens []string
			codes := map[int]int{}
			var wait sync.WaitGroup
			create := func(n int) {
				user := test.user(n)
				code, answer := c.faircomFrom(test.from(n), n%3, "createSession", "", object{"username": user, "password": user + "-password"})
				mu.Lock()
				defer mu.Unlock()
				if codes[code]++; code == 0 {
					tokens = append(tokens, answer["authToken"].(string))
				}
			}
			for n := range attempts {
				wait.Go(func() { create(n) })
			}
			wait.Wait()
			if len(tokens) != test.want || codes[90409] != attempts-test.want {
				t.Fatalf("got %d sessions and codes %v, want %d and the rest 90409", len(tokens), codes, test.want)
			}
			if code, _ := c.faircom(1, "deleteSession", tokens[0], nil); code != 0 {
				t.Fatalf("delete: %d", code)
			}
			create(attempts)
			create(attempts)
			if len(tokens) != test.want+1 || codes[90409] != attempts-test.want+1 {
				t.Errorf("after one deletion %d got in, codes %v; want one", len(tokens)-test.want, codes)
			}
		})
	}
}

// rpc calls one of NetX's methods at node i and returns its result, or the error's code.
func (c *spoken) rpc(i int, method string, params ...any) any {
	c.t.Helper()
	status, answer := c.send(i, "POST", netx.DefaultPath, session.Key{}, "", object{"jsonrpc": "2.0", "id": "1", "method": method, "params": params, "dataContext": "json"})
	if failed, is := answer["error"].(object); is {
		return failed["code"]
	}
	if status != http.StatusOK {
		c.t.Errorf("%s: got %d %v", method, status, answer)
	}
	return answer["result"]
}

func (c *spoken) authenticate(i int) string {
	c.t.Helper()
	key, _ := c.rpc(i, "authenticate", "ann", "ann-password").(string)
	if len(key) != 25 {
		c.t.Fatalf("got the key %q, want one of 25 characters", key)
	}
	return key
}

func (c *spoken) wantRPC(what string, want any, method string, params ...any) {
	c.t.Helper()
	for i := range c.nodes {
		if got := c.rpc(i, method, params...); got != want {
			c.t.Errorf("%s: %s at node %d: got %v, want %v", what, method, i+1, got, want)
		}
	}
}

func tickle(value string) object { return object{"label": "TickleTime", "value": value} }

// prompts asks whether the user should be asked to stay, which is no use of the session.
func (c *spoken) prompts(i int, key string) any {
	state, _ := c.rpc(i, "getSessionState", key).(object)
	return state["prompt"]
}

// TestNetXTimeLines: the life of session keys as NetX's documents have it, in minutes of the replicated clock.
func TestNetXTimeLines(t *testing.T) {
	t.Parallel()
	c := speak(t, 3, nil)
	unused, used, tickled := c.authenticate(0), c.authenticate(1), c.authenticate(2)
	for minute := 1; minute <= 87; minute++ {
		c.advance(time.Minute)
		switch minute {
		case 29, 58, 87:
			c.wantRPC(fmt.Sprintf("used at %d", minute), true, "validateSession", used)
		case 10, 20, 30, 40, 50, 60:
			c.wantRPC(fmt.Sprintf("tickled at %d", minute), true, "setUserPreference", tickled, tickle("Mon Nov 23 02:07:00 UTC 2026"))
		}
		switch minute {
		case 29:
			if got := c.prompts(1, unused); got == nil {
				t.Error("without calls: dead at 29 minutes, want it alive")
			}
		case 30:
			c.advance(5 * time.Second) // the touch window, the second of guarantee G4, and a little
			c.wantRPC("without calls, after 30 minutes", false, "validateSession", unused)
		case 59:
			if got := c.prompts(0, tickled); got != false {
				t.Errorf("tickled for 59 minutes: prompt %v, want false", got)
			}
		case 60:
			c.advance(5 * time.Second)
			for i := range c.nodes {
				if got := c.prompts(i, tickled); got != true {
					t.Errorf("tickled for an hour: node %d prompts %v, want true", i+1, got)
				}
			}
		case 61:
			c.advance(5 * time.Second)
			c.wantRPC("nobody answered", false, "setUserPreference", tickled, tickle("later"))
			c.wantRPC("nobody answered", false, "validateSession", tickled)
		}
	}
	c.advance(31 * time.Minute)
	c.wantRPC("used until 87 minutes", false, "validateSession", used)
	c.wantRPC("used until 87 minutes", -32001.0, "getUserPreference", used, "colour")
}

// TestNetXAnswerToThePrompt: in the minute of grace any call but setUserPreference keeps the session.
func TestNetXAnswerToThePrompt(t *testing.T) {
	t.Parallel()
	c := speak(t, 3, nil)
	answered, preferring := c.authenticate(0), c.authenticate(1)
	for range 6 {
		c.advance(10 * time.Minute)
		c.wantRPC("tickled", true, "setUserPreference", answered, tickle("x"))
		c.wantRPC("tickled", true, "setUserPreference", preferring, tickle("x"))
	}
	c.advance(30 * time.Second)
	if got := c.rpc(2, "setUserPreference", preferring, object{"label": "colour", "value": "green"}); got != true {
		t.Errorf("a preference in the grace: got %v", got)
	}
	if got, _ := c.rpc(0, "getUserPreference", answered, "colour").(object); got["value"] != "green" {
		t.Errorf("a call in the grace: got %v, want the user's preference", got)
	}
	c.advance(36 * time.Second)
	c.wantRPC("a preference is no answer", false, "validateSession", preferring)
	c.wantRPC("the answer", true, "validateSession", answered)
}

// TestNetXWithoutInactivityTimeout: sessionInactivityTimeout 0 and a tickle every ten minutes keep a session for as long as one likes; with
// sessionNoTickle tickles keep nothing.
func TestNetXWithoutInactivityTimeout(t *testing.T) {
	t.Parallel()
	c := speak(t, 3, nil)
	c.policy(0, session.PresetNetX, session.PolicyChange{IdleTimeout: ptr(30 * time.Minute), AbsoluteLifetime: ptr(time.Duration(0)), TouchWindow: ptr(time.Second), KeyFormat: ptr(session.KeyAlnum25)})
	key := c.authenticate(0)
	for n := range 300 {
		c.advance(10 * time.Minute)
		if got := c.rpc(n%3, "setUserPreference", key, tickle("x")); got != true {
			t.Fatalf("after %d minutes: got %v", 10*(n+1), got)
		}
	}
	c.policy(1, session.PresetNetX, session.PolicyChange{IdleTimeout: ptr(30 * time.Minute), AbsoluteLifetime: ptr(time.Duration(0)), TouchWindow: ptr(time.Second), NoTickle: ptr(true), KeyFormat: ptr(session.KeyAlnum25)})
	for range 2 {
		c.advance(14 * time.Minute)
		c.wantRPC("accepted", true, "setUserPreference", key, tickle("x"))
	}
	c.advance(3 * time.Minute)
	c.wantRPC("only tickled, and tickles move nothing", false, "validateSession", key)
}

// TestSessionsOfAllProtocolsAreOneKind: what a protocol makes, REST lists and ends.
func TestSessionsOfAllProtocolsAreOneKind(t *testing.T) {
	t.Parallel()
	c := speak(t, 3, nil)
	admin, err := c.nodes[0].Login(t.Context(), from("192.0.2.1"), session.Login{User: "admin", Password: adminPassword})
	if err != nil {
		t.Fatal(err)
	}
	token, made := c.create(1, "ann", object{"description": "seen?"})
	key := c.authenticate(2)
	_, list := c.send(0, "GET", "/v1/sessions?user=ann", admin.Key, "", nil)
	ids := map[string]string{}
	for _, item := range list["items"].([]any) {
		s := item.(object)
		ids[s["policy"].(string)] = s["id"].(string)
	}
	if len(ids) != 2 || ids["faircom"] != made["sessionId"] || ids["netx"] == "" {
		t.Fatalf("listed: %v, want one of each protocol, and FairCom's as %v", ids, made["sessionId"])
	}
	// The keys are keys: REST takes them too, and shows nothing of what the protocol keeps.
	own, err := session.ParseKey(token)
	if err != nil {
		t.Fatal(err)
	}
	if status, s := c.send(2, "GET", "/v1/session", own, "", nil); status != 200 || s["user"] != "ann" || len(s["attributes"].(object)) != 0 || strings.Contains(fmt.Sprint(s), "seen?") {
		t.Errorf("GET /v1/session with FairCom's token: %d %v", status, s)
	}
	for _, id := range ids {
		if status, answer := c.send(1, "DELETE", "/v1/sessions/"+id, admin.Key, "", nil); status != 204 {
			t.Errorf("revoke: %d %v", status, answer)
		}
	}
	c.wantPing("revoked by REST", token, 12031)
	c.wantRPC("revoked by REST", false, "validateSession", key)
	for _, params := range [][]any{{"ann", "wrong"}, {"eve", "wrong"}, {"ann", ""}} {
		c.wantRPC("a wrong log-in", "-1", "authenticate", params...)
	}
	if got := c.rpc(0, "authenticate", "ann", "ann-password"); got == "-1" {
		t.Error("the right password after wrong ones: -1")
	}
}

// TestALogOutFromElsewhereEndsTheSession: a key opens nothing at another address than the one that its session is bound to, and that the session is
// over is true all the same when it has been said there.
func TestALogOutFromElsewhereEndsTheSession(t *testing.T) {
	t.Parallel()
	c := speak(t, 1, func(p *session.Policy) { p.BindAddress = session.BindStrict })
	const elsewhere = "192.0.2.9"
	token, _ := c.create(0, "ann", nil)
	if code, answer := c.faircomFrom(elsewhere, 0, "pingSession", token, nil); code != 12031 {
		t.Fatalf("a ping from elsewhere: got %v", answer)
	}
	c.wantPing("after that", token, 0)
	if code, answer := c.faircomFrom(elsewhere, 0, "deleteSession", token, nil); code != 0 {
		t.Errorf("deleteSession from elsewhere: got %v", answer)
	}
	c.wantPing("deleted from elsewhere", token, 12031)

	key := c.authenticate(0)
	request := object{"jsonrpc": "2.0", "id": "1", "method": "closeSession", "params": []any{key}}
	if _, answer := c.send(0, "POST", netx.DefaultPath, session.Key{}, elsewhere, request); answer["result"] != true {
		t.Errorf("closeSession from elsewhere: got %v", answer)
	}
	c.wantRPC("closed from elsewhere", false, "validateSession", key)
}
