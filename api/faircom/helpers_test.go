package faircom_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/api"
	"github.com/hydrastore/hydrastore/api/apitest"
	"github.com/hydrastore/hydrastore/api/faircom"
	"github.com/hydrastore/hydrastore/api/protocol"
	"github.com/hydrastore/hydrastore/session"
)

const password = "correct horse battery staple"

// house is an API that speaks FairCom before a service in memory.
type house struct {
	t       *testing.T
	service *apitest.Service
	server  *api.Server
	log     *logBuffer
	root    session.Key // of an admin, under the policy "default"
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, service: apitest.New(), log: &logBuffer{}}
	h.root = h.service.AddUser("root", password, session.RoleAdmin)
	h.service.AddUser("ada", password, session.RoleUser)
	h.service.AddUser("bob", password, session.RoleUser)
	preset, _ := session.Preset(session.PresetFairCom)
	preset.PermanentAllowed = true
	if _, err := h.service.PutPolicy(t.Context(), session.Call{Operator: true}, preset.Name, preset.AsChange()); err != nil {
		t.Fatal(err)
	}
	c := faircom.DefaultConfig()
	c.Host = faircom.Host{Name: "node1", UUID: "d1430a57-5c8e-44db-adf6-2dbb17ae3e06", Addresses: []string{"10.0.0.5"}, ServerNamePort: "prod"}
	config := api.DefaultConfig()
	config.Logger = slog.New(slog.NewJSONHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	config.MaxBodyBytes = 16 << 10
	config.Protocols = []protocol.Protocol{faircom.New(c, h.service)}
	var err error
	if h.server, err = api.New(config, h.service); err != nil {
		t.Fatal(err)
	}
	return h
}

// post sends a body as it is and returns the answer's status and text.
func (h *house) post(body string) (int, string) {
	h.t.Helper()
	w := httptest.NewRecorder()
	h.server.Handler(false).ServeHTTP(w, httptest.NewRequest("POST", "/api", strings.NewReader(body)))
	if got := w.Header().Get("Content-Type"); got != "application/json" {
		h.t.Errorf("got Content-Type %q", got)
	}
	return w.Code, w.Body.String()
}

type fields = map[string]any

// ask sends an action and returns the answer. The token "" is left out.
func (h *house) ask(action, token string, params fields) fields {
	h.t.Helper()
	request := fields{"api": "admin", "action": action}
	if token != "" {
		request["authToken"] = token
	}
	if params != nil {
		request["params"] = params
	}
	body, err := json.Marshal(request)
	if err != nil {
		h.t.Fatal(err)
	}
	_, text := h.post(string(body))
	return decode(h.t, text)
}

func decode(t *testing.T, text string) fields {
	t.Helper()
	var answer fields
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return answer
}

// create logs in and returns the token with the description.
func (h *house) create(user string, params fields) (string, fields) {
	h.t.Helper()
	all := fields{"username": user, "password": password}
	for name, value := range params {
		all[name] = value
	}
	answer := h.ask("createSession", "", all)
	wantCode(h.t, answer, 0)
	result := answer["result"].(fields)
	token, _ := answer["authToken"].(string)
	if token == "" || result["authToken"] != token {
		h.t.Fatalf("got token %q and in the result %v", token, result["authToken"])
	}
	return token, result
}

func wantCode(t *testing.T, answer fields, code float64) {
	t.Helper()
	if answer["errorCode"] != code {
		t.Fatalf("got %v, want code %v", answer, code)
	}
	message, has := answer["errorMessage"].(string)
	if !has || (message == "") != (code == 0) {
		t.Errorf("got the message %q with code %v", message, code)
	}
	if _, has := answer["result"]; has != (code == 0) {
		t.Errorf("got %v: a result belongs to successes", answer)
	}
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

var _ io.Writer = (*logBuffer)(nil)

func startOf(at time.Time) string { return at.Format("2006-01-02T15:04:05") }
