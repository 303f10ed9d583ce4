package netx_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creachadair/jrpc2"
	"github.com/creachadair/jrpc2/jhttp"

	"github.com/hydrastore/hydrastore/api"
	"github.com/hydrastore/hydrastore/api/apitest"
	"github.com/hydrastore/hydrastore/api/netx"
	"github.com/hydrastore/hydrastore/api/protocol"
	"github.com/hydrastore/hydrastore/session"
)

const password = "correct horse battery staple"

// house is an API that speaks NetX before a service in memory.
type house struct {
	t       *testing.T
	service *apitest.Service
	server  *api.Server
	log     *logBuffer
	foreign session.Key // of a session under another policy
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, service: apitest.New(), log: &logBuffer{}}
	h.foreign = h.service.AddUser("ada", password, session.RoleUser)
	h.service.AddUser("bob", password, session.RoleUser)
	preset, _ := session.Preset(session.PresetNetX)
	if _, err := h.service.PutPolicy(t.Context(), session.Call{Operator: true}, preset.Name, preset.AsChange()); err != nil {
		t.Fatal(err)
	}
	config := api.DefaultConfig()
	config.Logger = slog.New(slog.NewJSONHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	config.MaxBodyBytes = 32 << 10
	config.Protocols = []protocol.Protocol{netx.New(netx.DefaultPath, h.service)}
	var err error
	if h.server, err = api.New(config, h.service); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *house) post(body string) (int, string) {
	h.t.Helper()
	w := httptest.NewRecorder()
	h.server.Handler(false).ServeHTTP(w, httptest.NewRequest("POST", netx.DefaultPath, strings.NewReader(body)))
	if got := w.Header().Get("Content-Type"); w.Code != 204 && got != "application/json" {
		h.t.Errorf("got Content-Type %q", got)
	}
	return w.Code, w.Body.String()
}

// call sends a method with its parameters and returns the answer's result as it stands.
func (h *house) call(method string, params ...any) string {
	h.t.Helper()
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": "1", "method": method, "params": params, "dataContext": "json"})
	if err != nil {
		h.t.Fatal(err)
	}
	_, text := h.post(string(body))
	var answer struct {
		ID     string
		Result json.RawMessage
		Error  json.RawMessage
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil || answer.ID != "1" {
		h.t.Fatalf("%s: %v: %s", method, err, text)
	}
	if answer.Error != nil {
		return string(answer.Error)
	}
	return string(answer.Result)
}

func (h *house) login(user string) string {
	h.t.Helper()
	var key string
	if err := json.Unmarshal([]byte(h.call("authenticate", user, password)), &key); err != nil || len(key) < 20 {
		h.t.Fatalf("got %q, %v", key, err)
	}
	return key
}

type bean struct {
	Label string `json:"label"`
	Value any    `json:"value"`
}

// TestDocumentedAnswers: NetX's examples, byte for byte.
func TestDocumentedAnswers(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	status, text := h.post(`{"id":"1","method":"authenticate","params":["ada","` + password + `"],"dataContext":"json","jsonrpc":"2.0"}`)
	before, rest, _ := strings.Cut(text, `"result":"`)
	key, after, _ := strings.Cut(rest, `"`)
	if status != 200 || before != `{"id":"1",` || after != `,"jsonrpc":"2.0"}` {
		t.Fatalf("got %d %s", status, text)
	}
	if len(key) != 25 || strings.Trim(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != "" {
		t.Errorf("got a key of %d characters, want 25 letters and digits", len(key))
	}
	for body, want := range map[string]string{
		`{"id":"1","method":"authenticate","params":["ada","wrong"],"dataContext":"json","jsonrpc":"2.0"}`:                                                                        `{"id":"1","result":"-1","jsonrpc":"2.0"}`,
		`{"id":"2","method":"setUserPreference","params":["` + key + `",{"label":"TickleTime","value":"Mon Nov 23 02:07:00 UTC 2026"}],"dataContext":"json","jsonrpc":"2.0"}`:     `{"id":"2","result":true,"jsonrpc":"2.0"}`,
		`{"id":3,"method":"setUserPreference","params":["` + strings.ToLower(key) + `x",{"label":"TickleTime","value":"whatever this is"}],"dataContext":"json","jsonrpc":"2.0"}`: `{"id":3,"result":false,"jsonrpc":"2.0"}`,
		`{"id":null,"method":"setUserPreference","params":["` + key + `",{"value":"no text is parsed","label":"TickleTime"}],"jsonrpc":"2.0"}`:                                    `{"id":null,"result":true,"jsonrpc":"2.0"}`,
		`{"id":1.50,"method":"validateSession","params":["` + key + `"],"jsonrpc":"2.0"}`:                                                                                         `{"id":1.50,"result":true,"jsonrpc":"2.0"}`,
		`{"id":"k","method":"getAssetsByFolder","params":["` + key + `",12,false,{}],"dataContext":"json","jsonrpc":"2.0"}`:                                                       `{"id":"k","error":{"code":-32601,"message":"there is no such method here","data":{"code":"not_found"}},"jsonrpc":"2.0"}`,
		`{"id":"k","method":"getUserPreference","params":["` + strings.Repeat("A", 25) + `","colour"],"jsonrpc":"2.0"}`:                                                           `{"id":"k","error":{"code":-32001,"message":"the session key is missing or not valid","data":{"code":"unauthenticated"}},"jsonrpc":"2.0"}`,
	} {
		if status, got := h.post(body); status != 200 || got != want {
			t.Errorf("%s\n got %d %s\nwant %s", body, status, got, want)
		}
	}
}

// TestEveryFailureToAuthenticateIsMinusOne, of the string's kind, whatever the reason.
func TestEveryFailureToAuthenticateIsMinusOne(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, params := range [][]any{{"ada", "wrong"}, {"eve", password}, {"ada", ""}, {"", ""}, {"", password}, {strings.Repeat("x", 200), "x"}, {"ada", strings.Repeat("x", 2000)}} {
		if got := h.call("authenticate", params...); got != `"-1"` {
			t.Errorf("%.20v: got %s", params, got)
		}
	}
	for _, code := range []session.Code{session.CodeThrottled, session.CodeNoQuorum, session.CodeOutcomeUnknown, session.CodeSessionLimit, session.CodeInternal, session.CodeForbidden} {
		h.service.SetHook(func(context.Context, string, session.Call) error { return session.Errorf(code, "it is so") })
		if got := h.call("authenticate", "ada", password); got != `"-1"` {
			t.Errorf("%s: got %s", code, got)
		}
		if !strings.Contains(h.log.String(), `"code":"`+string(code)+`"`) {
			t.Errorf("the log does not tell of %s", code)
		}
	}
}

func TestPreferences(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	first, second, bob := h.login("ada"), h.login("ada"), h.login("bob")
	steps := []struct {
		method string
		params []any
		want   string
	}{
		{"getUserPreference", []any{first, "colour"}, `{"label":"colour","value":null}`},
		{"setUserPreference", []any{first, bean{"colour", `"green" <b>`}}, "true"},
		{"getUserPreference", []any{second, "colour"}, `{"label":"colour","value":"\"green\" <b>"}`},
		{"getUserPreference", []any{bob, "colour"}, `{"label":"colour","value":null}`},
		{"setUserPreference", []any{second, bean{"colour", ""}}, "true"},
		{"getUserPreference", []any{first, "colour"}, `{"label":"colour","value":""}`},
		{"setUserPreference", []any{second, bean{"empty", nil}}, "true"},
		{"getUserPreference", []any{first, "empty"}, `{"label":"empty","value":""}`},
		{"setUserPreference", []any{first, bean{"TickleTime", "now"}}, "true"},
		{"getUserPreference", []any{first, "TickleTime"}, `{"label":"TickleTime","value":null}`},
		{"setUserPreference", []any{first, bean{"hydrastore.x", "1"}}, "false"},
		{"setUserPreference", []any{first, bean{strings.Repeat("x", 129), "1"}}, "false"},
		{"setUserPreference", []any{first, bean{"big", strings.Repeat("x", 5000)}}, "false"},
		{"setUserPreference", []any{"no key", bean{"colour", "1"}}, "false"},
		{"setUserPreference", []any{h.foreign.Reveal(), bean{"colour", "1"}}, "false"},
	}
	for _, s := range steps {
		if got := h.call(s.method, s.params...); got != s.want {
			t.Errorf("%s: got %s, want %s", s.method, got, s.want)
		}
	}
}

func TestSessions(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	key := h.login("ada")
	if got := h.call("getSessionState", key); got != `{"user":"ada","prompt":false,"expiresAt":"2026-01-02T03:34:05Z"}` {
		t.Errorf("state: got %s", got)
	}
	for _, dead := range []string{"", "-1", "garbage", h.foreign.Reveal()} {
		if got := h.call("validateSession", dead); got != "false" {
			t.Errorf("validate %.5q: got %s", dead, got)
		}
		if got := h.call("getSessionState", dead); !strings.Contains(got, `"code":-32001`) {
			t.Errorf("state of %.5q: got %s", dead, got)
		}
		if got := h.call("closeSession", dead); got != "true" {
			t.Errorf("close %.5q: got %s", dead, got)
		}
	}
	if h.service.Uses(h.foreign) != 0 {
		t.Error("another protocol's session was used or closed")
	}
	for range 2 {
		if got := h.call("closeSession", key); got != "true" {
			t.Errorf("close: got %s", got)
		}
	}
	if got := h.call("validateSession", key); got != "false" {
		t.Errorf("closed: got %s", got)
	}
}

// TestNotifications are carried out and not answered, and what would be of no use to anybody is not begun.
func TestNotifications(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	key := h.login("ada")
	live := h.service.Live()
	for _, body := range []string{
		`{"jsonrpc":"2.0","method":"authenticate","params":["ada","` + password + `"]}`,
		`{"jsonrpc":"2.0","method":"getUserPreference","params":["` + key + `","a"]}`,
		`{"jsonrpc":"2.0","method":"nothing"}`,
		`{"jsonrpc":"2.0","method":"validateSession","params":[1,2]}`,
		`{"jsonrpc":"2.0","method":"closeSession","params":["unknown"]}`,
	} {
		if status, got := h.post(body); status != 204 || got != "" {
			t.Errorf("%s: got %d %q, want nothing", body, status, got)
		}
	}
	if got := h.service.Live(); got != live {
		t.Errorf("%d sessions live, want %d", got, live)
	}
	if status, _ := h.post(`{"jsonrpc":"2.0","method":"closeSession","params":["` + key + `"]}`); status != 204 || h.service.Live() != live-1 {
		t.Errorf("the session was not closed: %d", status)
	}
}

// TestBadInput: what clients get wrong, and what they are told.
func TestBadInput(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, test := range []struct{ name, body, want string }{
		{"nothing", "", `{"id":null,"error":{"code":-32700`},
		{"no JSON", "hello", `-32700`},
		{"cut off", `{"jsonrpc":"2.0","method":"authenticate","params":["a"`, `-32700`},
		{"trailing", `{"jsonrpc":"2.0","id":1,"method":"validateSession","params":["x"]}}`, `-32700`},
		{"twice", `{"jsonrpc":"2.0","id":1,"id":2,"method":"validateSession","params":["x"]}`, `-32700`},
		{"wrong UTF-8", "{\"jsonrpc\":\"2.0\",\"method\":\"\xff\"}", `-32700`},
		{"deep", `{"jsonrpc":"2.0","id":1,"params":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`, `-32700`},
		{"a batch", ` [{"jsonrpc":"2.0","id":1,"method":"validateSession","params":["x"]}]`, `{"id":null,"error":{"code":-32600,"message":"batches are not taken`},
		{"an empty batch", `[]`, `-32600`},
		{"a number", `1`, `-32700`},
		{"no version", `{"id":1,"method":"validateSession","params":["x"]}`, `{"id":1,"error":{"code":-32600`},
		{"another version", `{"jsonrpc":"1.0","id":1,"method":"validateSession","params":["x"]}`, `jsonrpc must be \"2.0\"`},
		{"version of a number", `{"jsonrpc":2.0,"id":1,"method":"validateSession","params":["x"]}`, `-32600`},
		{"no method", `{"jsonrpc":"2.0","id":1}`, `{"id":1,"error":{"code":-32600,"message":"method is missing`},
		{"method of a number", `{"jsonrpc":"2.0","id":1,"method":1}`, `-32600`},
		{"method empty", `{"jsonrpc":"2.0","id":1,"method":""}`, `-32600`},
		{"unknown method", `{"jsonrpc":"2.0","id":1,"method":"Authenticate","params":["a","b"]}`, `{"id":1,"error":{"code":-32601`},
		{"reserved method", `{"jsonrpc":"2.0","id":1,"method":"rpc.discover","params":[]}`, `-32601`},
		{"id of an object", `{"jsonrpc":"2.0","id":{},"method":"validateSession","params":["x"]}`, `{"id":null,"error":{"code":-32600`},
		{"id true", `{"jsonrpc":"2.0","id":true,"method":"validateSession","params":["x"]}`, `-32600`},
		{"id too long", `{"jsonrpc":"2.0","id":"` + strings.Repeat("x", 255) + `","method":"validateSession","params":["x"]}`, `{"id":null,"error":{"code":-32600`},
		{"named parameters", `{"jsonrpc":"2.0","id":1,"method":"authenticate","params":{"login":"a","password":"b"}}`, `{"id":1,"error":{"code":-32602,"message":"parameters go by their position`},
		{"params of a text", `{"jsonrpc":"2.0","id":1,"method":"authenticate","params":"a"}`, `-32600`},
		{"no params", `{"jsonrpc":"2.0","id":1,"method":"authenticate"}`, `-32602,"message":"the parameters are authenticate(login, password)`},
		{"too few", `{"jsonrpc":"2.0","id":1,"method":"authenticate","params":["a"]}`, `-32602`},
		{"too many", `{"jsonrpc":"2.0","id":1,"method":"authenticate","params":["a","b","c"]}`, `-32602`},
		{"far too many", `{"jsonrpc":"2.0","id":1,"method":"authenticate","params":[` + strings.Repeat("1,", 16) + `1]}`, `at most 16 elements`},
		{"login of a number", `{"jsonrpc":"2.0","id":1,"method":"authenticate","params":[1,"b"]}`, `-32602`},
		{"password null", `{"jsonrpc":"2.0","id":1,"method":"authenticate","params":["a",null]}`, `-32602`},
		{"bean of a text", `{"jsonrpc":"2.0","id":1,"method":"setUserPreference","params":["k","TickleTime"]}`, `-32602`},
		{"bean empty", `{"jsonrpc":"2.0","id":1,"method":"setUserPreference","params":["k",{}]}`, `needs a label`},
		{"bean without name", `{"jsonrpc":"2.0","id":1,"method":"setUserPreference","params":["k",{"label":""}]}`, `needs a label`},
		{"bean of others", `{"jsonrpc":"2.0","id":1,"method":"setUserPreference","params":["k",{"label":"a","name":"b"}]}`, `a label and a value`},
		{"bean with a number", `{"jsonrpc":"2.0","id":1,"method":"setUserPreference","params":["k",{"label":"a","value":1}]}`, `must be a string`},
		{"another context", `{"jsonrpc":"2.0","id":1,"method":"validateSession","params":["x"],"dataContext":"xml"}`, `dataContext`},
		{"unknown member", `{"jsonrpc":"2.0","id":1,"method":"validateSession","params":["x"],"extra":1}`, `no other member`},
		{"too large", `{"jsonrpc":"2.0","id":1,"method":"` + strings.Repeat("x", 33<<10) + `"}`, `"code":"too_large"`},
	} {
		status, got := h.post(test.body)
		if !strings.Contains(got, test.want) || status != 200 && test.name != "too large" {
			t.Errorf("%s: got %d %s, want %s", test.name, status, got, test.want)
		}
		if strings.Contains(got, `"result"`) || strings.Contains(got, "urn:hydrastore") || !strings.HasSuffix(got, `,"jsonrpc":"2.0"}`) {
			t.Errorf("%s: got %s", test.name, got)
		}
	}
	w := httptest.NewRecorder()
	h.server.Handler(false).ServeHTTP(w, httptest.NewRequest("GET", netx.DefaultPath, nil))
	if w.Code != 405 || !strings.Contains(w.Body.String(), `"code":-32600`) {
		t.Errorf("GET: got %d %s", w.Code, w.Body)
	}
}

func TestFailuresOfTheService(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	key := h.login("ada")
	for code, want := range map[session.Code]string{
		session.CodeNoQuorum: "-32004", session.CodeOutcomeUnknown: "-32005", session.CodeTooLarge: "-32003", session.CodeForbidden: "-32002",
		session.CodeInternal: "-32603", session.CodeUnauthenticated: "-32001",
	} {
		h.service.SetHook(func(context.Context, string, session.Call) error { return session.Errorf(code, "it is so") })
		if got := h.call("getUserPreference", key, "a"); !strings.Contains(got, `"code":`+want+`,`) || !strings.Contains(got, string(code)) {
			t.Errorf("%s: got %s, want %s", code, got, want)
		}
		if got := h.call("setUserPreference", key, bean{"a", "b"}); got != "false" {
			t.Errorf("%s: set: got %s, want false", code, got)
		}
		if got := h.call("validateSession", key); code != session.CodeUnauthenticated && !strings.Contains(got, want) {
			t.Errorf("%s: validate: got %s: not to know is not to say no", code, got)
		}
	}
}

// TestOthersClient: a JSON-RPC client of other people's making finds what it expects.
func TestOthersClient(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	server := httptest.NewServer(h.server.Handler(false))
	defer server.Close()
	client := jrpc2.NewClient(jhttp.NewChannel(server.URL+netx.DefaultPath, nil), nil)
	defer client.Close()
	ctx := t.Context()
	call := func(method string, result any, params ...any) error {
		return client.CallResult(ctx, method, params, result)
	}
	var key string
	if err := call("authenticate", &key, "ada", password); err != nil || len(key) != 25 {
		t.Fatalf("got %q, %v", key, err)
	}
	var done bool
	if err := call("setUserPreference", &done, key, bean{"TickleTime", "Mon Nov 23 02:07:00 UTC 2026"}); err != nil || !done {
		t.Errorf("tickle: %v, %v", done, err)
	}
	if err := call("setUserPreference", &done, key, bean{"colour", "green"}); err != nil || !done {
		t.Errorf("set: %v, %v", done, err)
	}
	var got bean
	if err := call("getUserPreference", &got, key, "colour"); err != nil || got.Value != "green" {
		t.Errorf("get: %+v, %v", got, err)
	}
	if err := client.Notify(ctx, "closeSession", []any{key}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; { // the client does not wait for what it notifies of
		if err := call("validateSession", &done, key); err != nil {
			t.Fatal(err)
		}
		if !done {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the session is not closed a minute after the notification")
		}
	}
	for method, want := range map[string]jrpc2.Code{"getUserPreference": -32001, "noSuchMethod": jrpc2.MethodNotFound} {
		if err := call(method, &got, key, "colour"); jrpc2.ErrorCode(err) != want {
			t.Errorf("%s: %v, want code %d", method, err, want)
		}
	}
	if err := call("authenticate", &key, 1); jrpc2.ErrorCode(err) != jrpc2.InvalidParams {
		t.Errorf("wrong parameters: %v", err)
	}
}

func TestNothingSecretIsLogged(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	key := h.login("ada")
	for _, body := range []string{
		`{"jsonrpc":"2.0","id":"` + key + `","method":"` + key + `","params":["` + key + `"]}`,
		`{"jsonrpc":"2.0","id":1,"method":"validateSession","params":["` + key + `","` + password + `"]}`,
		`{"jsonrpc":"2.0","id":1,"method":"validateSession","params":["` + key + `"]}`,
		`{"` + key + `":"2.0"}`, key,
	} {
		h.post(body)
	}
	for _, secret := range []string{key, password} {
		if strings.Contains(h.log.String(), secret) {
			t.Errorf("the log holds %.6s…", secret)
		}
	}
	if !strings.Contains(h.log.String(), `"operation":"validateSession"`) || !strings.Contains(h.log.String(), `"operation":"other"`) {
		t.Error("the log does not tell of operations")
	}
}

// FuzzRequests: no body makes the protocol panic or answer something else than JSON-RPC, and none makes it hold much more than the body.
func FuzzRequests(f *testing.F) {
	for _, seed := range []string{
		`{"id":"1","method":"authenticate","params":["ada","correct horse battery staple"],"dataContext":"json","jsonrpc":"2.0"}`,
		`{"id":2,"method":"setUserPreference","params":["NVvdBOKjcvm2nIYt6xzN5rKGv",{"label":"TickleTime","value":null}],"jsonrpc":"2.0"}`,
		`{"id":null,"method":"getUserPreference","params":["k","a"],"jsonrpc":"2.0"}`, `{"jsonrpc":"2.0","method":"closeSession","params":["k"]}`,
		`[{"jsonrpc":"2.0"}]`, `{"params":{}}`, "{\"id\":\"\xff\"}", ``, `{"jsonrpc":"2.0","id":1e400,"method":"getSessionState","params":[[]]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		h := newHouse(t)
		status, got := h.post(string(body))
		if status == 204 && got == "" {
			return
		}
		var answer struct {
			JSONRPC string
			ID      json.RawMessage
			Result  json.RawMessage
			Error   *struct{ Code int }
		}
		if err := json.Unmarshal([]byte(got), &answer); err != nil || answer.JSONRPC != "2.0" || len(answer.ID) == 0 {
			t.Fatalf("got %d %s, %v", status, got, err)
		}
		if (answer.Error == nil) == (answer.Result == nil) || answer.Error != nil && answer.Error.Code == -32603 {
			t.Errorf("got %d %s", status, got)
		}
		if len(got) > 4<<10+6*len(body) {
			t.Errorf("%d bytes were answered to %d", len(got), len(body))
		}
	})
}

// logBuffer collects log lines of several goroutines.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
