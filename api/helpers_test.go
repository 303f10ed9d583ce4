package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"

	"github.com/hydrastore/hydrastore/api"
	"github.com/hydrastore/hydrastore/api/apitest"
	"github.com/hydrastore/hydrastore/session"
)

// house is an API before an in-memory service with one user of each role.
type house struct {
	t                    *testing.T
	service              *apitest.Service
	server               *api.Server
	log                  *logBuffer
	admin, trusted, user session.Key
}

const password = "correct horse battery staple"

func newHouse(t *testing.T, change ...func(*api.Config)) *house {
	t.Helper()
	h := &house{t: t, service: apitest.New(), log: &logBuffer{}}
	h.admin = h.service.AddUser("root", password, session.RoleAdmin)
	h.trusted = h.service.AddUser("shop", password, session.RoleService)
	h.user = h.service.AddUser("ada", password, session.RoleUser)
	config := api.DefaultConfig()
	config.Logger = slog.New(slog.NewJSONHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	config.DrainDelay = 0
	for _, c := range change {
		c(&config)
	}
	var err error
	if h.server, err = api.New(config, h.service); err != nil {
		t.Fatal(err)
	}
	return h
}

// request is one request in the making.
type request struct {
	method, target, body string
	key                  session.Key
	headers              map[string]string
	operator             bool
}

// do carries a request out and holds the answer to openapi.yaml.
func (h *house) do(r request) *http.Response {
	h.t.Helper()
	hr := httptest.NewRequest(r.method, r.target, nil)
	if r.body != "" {
		hr = httptest.NewRequest(r.method, r.target, strings.NewReader(r.body))
		hr.Header.Set("Content-Type", "application/json")
	}
	if !r.key.IsZero() {
		hr.Header.Set("Authorization", "Bearer "+r.key.Reveal())
	}
	for name, value := range r.headers {
		if name == "Host" {
			hr.Host = value
		}
		hr.Header.Set(name, value)
	}
	return h.send(hr, r.operator)
}

func (h *house) send(r *http.Request, operator bool) *http.Response {
	h.t.Helper()
	w := httptest.NewRecorder()
	h.server.Handler(operator).ServeHTTP(w, r)
	response := w.Result()
	holdToDocument(h.t, r, response, w.Body.Bytes())
	if got := response.Header.Get("Cache-Control"); got != "no-store" {
		h.t.Errorf("%s %s: got Cache-Control %q, want no-store", r.Method, r.URL, got)
	}
	if response.Header.Get("X-Request-Id") == "" {
		h.t.Errorf("%s %s: no X-Request-Id", r.Method, r.URL)
	}
	return response
}

// holdToDocument checks status, type and body of an answer against openapi.yaml.
func holdToDocument(t *testing.T, r *http.Request, response *http.Response, body []byte) {
	t.Helper()
	route, parameters, err := documentRouter(t).FindRoute(r)
	if err != nil {
		return // 404 and 405 are not in the document
	}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: parameters, Route: route},
		Status:                 response.StatusCode, Header: response.Header, Body: io.NopCloser(bytes.NewReader(body)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc},
	}
	if err := openapi3filter.ValidateResponse(context.Background(), input); err != nil {
		t.Errorf("%s %s: the answer %d is not as openapi.yaml says: %v\n%s", r.Method, r.URL, response.StatusCode, err, body)
	}
}

func document(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(api.Document())
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

var documentRouterOnce = sync.OnceValues(func() (routers.Router, error) {
	doc, err := openapi3.NewLoader().LoadFromData(api.Document())
	if err != nil {
		return nil, err
	}
	return legacy.NewRouter(doc)
})

func documentRouter(t *testing.T) routers.Router {
	t.Helper()
	router, err := documentRouterOnce()
	if err != nil {
		t.Fatal(err)
	}
	return router
}

// problem is what every error looks like.
type problem struct {
	Type, Title, Detail, Code, Field string
	Status                           int
	RequestID                        string   `json:"request_id"`
	RetryAfterS                      *float64 `json:"retry_after_s"`
}

// wantProblem reads a problem document and checks what all have in common.
func wantProblem(t *testing.T, r *http.Response, status int, code session.Code) problem {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	var p problem
	if err := json.Unmarshal(body, &p); err != nil {
		t.Fatalf("got %d %q, want a problem document: %v", r.StatusCode, body, err)
	}
	if r.StatusCode != status || p.Status != status || p.Code != string(code) {
		t.Errorf("got status %d, code %q, want %d, %q: %s", r.StatusCode, p.Code, status, code, body)
	}
	if got := r.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("got Content-Type %q, want application/problem+json", got)
	}
	if p.Type != "urn:hydrastore:problem:"+p.Code || p.Title == "" || p.Detail == "" {
		t.Errorf("the problem document lacks something: %s", body)
	}
	if p.RequestID == "" || p.RequestID != r.Header.Get("X-Request-Id") {
		t.Errorf("got request id %q in the body and %q in the header", p.RequestID, r.Header.Get("X-Request-Id"))
	}
	return p
}

// read decodes the body of an answer of the wanted status.
func read[T any](t *testing.T, r *http.Response, status int) T {
	t.Helper()
	var to T
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	if r.StatusCode != status {
		t.Fatalf("got %d, want %d: %s", r.StatusCode, status, body)
	}
	if err := json.Unmarshal(body, &to); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return to
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
