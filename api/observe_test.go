package api_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hydrastore/hydrastore/api"
	"github.com/hydrastore/hydrastore/session"
)

func TestAccessLog(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(c *api.Config) {
		c.Node, c.Term = "node-one", func() uint64 { return 42 }
	})
	h.do(request{method: "GET", target: "/v1/users/ada/sessions?limit=7", key: h.admin, headers: map[string]string{"X-Request-Id": "r1"}})
	var line map[string]any
	if err := json.Unmarshal([]byte(h.log.String()), &line); err != nil {
		t.Fatalf("%v: %s", err, h.log)
	}
	delete(line, "time")
	if took, ok := line["duration_ms"].(float64); !ok || took < 0 {
		t.Errorf("got duration_ms %v", line["duration_ms"])
	}
	delete(line, "duration_ms")
	want := map[string]any{"level": "INFO", "msg": "request", "request_id": "r1", "node": "node-one", "term": 42.0, "method": "GET",
		"route": "/v1/users/:user/sessions", "status": 200.0, "client_ip": "192.0.2.1"}
	if !maps.Equal(line, want) {
		t.Errorf("got  %v\nwant %v", line, want)
	}
}

// TestQuietLog: what load balancers ask all the time is not worth a line, and AccessLevel quiets the rest.
func TestQuietLog(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	quiet := newHouse(t, func(c *api.Config) {
		c.Logger = slog.New(slog.NewTextHandler(h.log, nil)) // Info and above
		c.AccessLevel = slog.LevelDebug
	})
	for _, target := range []string{"/livez", "/readyz", "/metrics", "/openapi.yaml", "/v1/session"} {
		quiet.do(request{method: "GET", target: target, key: quiet.user})
	}
	if got := h.log.String(); got != "" {
		t.Errorf("got %s", got)
	}
	quiet.service.SetReady(session.Errorf(session.CodeNoQuorum, "no"))
	quiet.do(request{method: "GET", target: "/v1/nothing"})
	if got := h.log.String(); got != "" {
		t.Errorf("got %s", got)
	}
}

// TestNoSecretLeavesTheAnswerThatIssuesIt looks for keys, passwords and cookies in logs, errors and metrics, whatever a
// client does with them.
func TestNoSecretLeavesTheAnswerThatIssuesIt(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	h := newHouse(t, func(c *api.Config) { c.Registerer, c.Gatherer, c.CookieName = registry, registry, "sid" })
	key := h.user.Reveal()
	const secret = "a-password-to-look-for"
	var answers strings.Builder
	for _, r := range []request{
		{method: "GET", target: "/v1/session", headers: map[string]string{"Authorization": "Bearer " + key + "x"}},
		{method: "GET", target: "/v1/session", headers: map[string]string{"Authorization": key}},
		{method: "GET", target: "/v1/session?" + key + "=1", key: h.user},
		{method: "GET", target: "/v1/session?session=" + key},
		{method: "GET", target: "/v1/session?min_index=" + key},
		{method: "GET", target: "/v1/sessions/" + key, key: h.admin},
		{method: "GET", target: "/v1/users/" + key, key: h.admin},
		{method: "GET", target: "/" + key},
		{method: key, target: "/v1/session"},
		{method: "DELETE", target: "/v1/cluster/members/" + key, key: h.admin},
		{method: "GET", target: "/v1/session", headers: map[string]string{"X-Request-Id": key, "Idempotency-Key": key, "Referer": key}},
		{method: "POST", target: "/v1/session/touch", headers: map[string]string{"Cookie": "__Host-sid=" + key, "Origin": "https://" + secret}},
		{method: "PATCH", target: "/v1/session/attributes", body: `{"a":1}`, key: h.user, headers: map[string]string{"If-Match": key, "X-Forwarded-For": key}},
		{method: "POST", target: "/v1/sessions", body: `{"user":"ada","password":"` + secret + `"}`},
		{method: "POST", target: "/v1/sessions", body: `{"user":"ada","password":"` + secret},
		{method: "POST", target: "/v1/sessions", body: `{"user":"ada","password":["` + secret + `"]}`},
		{method: "POST", target: "/v1/sessions", body: `{"user":"ada","password":"` + strings.Repeat(secret, 100) + `"}`},
		{method: "POST", target: "/v1/sessions", body: `{"` + key + `":1}`},
		{method: "POST", target: "/v1/users", body: `{"user":"eve2","roles":["` + key + `"]}`, key: h.admin},
		{method: "POST", target: "/v1/users", body: `{"user":"eve","password":"` + secret + `"}`, key: h.admin},
		{method: "PATCH", target: "/v1/users/eve", body: `{"password":"` + secret + strings.Repeat("x", 2000) + `"}`, key: h.admin},
	} {
		hr := httptest.NewRequest("GET", r.target, strings.NewReader(r.body))
		hr.Method = r.method
		if r.body == "" {
			hr.Body, hr.ContentLength = http.NoBody, 0
		}
		hr.Header.Set("Content-Type", "application/json")
		if !r.key.IsZero() {
			hr.Header.Set("Authorization", "Bearer "+r.key.Reveal())
		}
		for name, value := range r.headers {
			hr.Header.Set(name, value)
		}
		w := httptest.NewRecorder()
		h.server.Handler(false).ServeHTTP(w, hr)
		answers.WriteString(w.Body.String())
		if err := w.Result().Header.Write(&answers); err != nil {
			t.Fatal(err)
		}
	}
	metrics, err := io.ReadAll(h.do(request{method: "GET", target: "/metrics"}).Body)
	if err != nil {
		t.Fatal(err)
	}
	for where, text := range map[string]string{"an answer": answers.String(), "the log": h.log.String(), "the metrics": string(metrics)} {
		if text == "" {
			t.Errorf("%s is empty: nothing was looked at", where)
		}
		for _, s := range []string{key[3:], h.admin.Reveal()[3:], secret} {
			if at := strings.Index(text, s); at >= 0 {
				t.Errorf("%s holds a secret: …%s…", where, text[max(0, at-80):min(len(text), at+80)])
			}
		}
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.do(request{method: "GET", target: "/v1/session", key: h.user})
	h.do(request{method: "GET", target: "/v1/session"})
	h.do(request{method: "GET", target: "/v1/sessions/nonsense", key: h.user})
	h.do(request{method: "BREW", target: "/tea"})
	h.do(request{method: "GET", target: "/coffee"})
	body, err := io.ReadAll(h.do(request{method: "GET", target: "/metrics"}).Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`hydrastore_http_requests_total{method="GET",route="/v1/session",status="200"} 1`,
		`hydrastore_http_requests_total{method="GET",route="/v1/session",status="401"} 1`,
		`hydrastore_http_requests_total{method="GET",route="/v1/sessions/:id",status="400"} 1`,
		`hydrastore_http_requests_total{method="other",route="unmatched",status="404"} 1`,
		`hydrastore_http_requests_total{method="GET",route="unmatched",status="404"} 1`,
		`hydrastore_http_request_duration_seconds_count{method="GET",route="/v1/session"} 2`,
		`hydrastore_http_requests_in_flight 1`,
	} {
		if !strings.Contains(string(body), want+"\n") {
			t.Errorf("the metrics lack %s", want)
		}
	}
	for _, never := range []string{"coffee", "nonsense", "BREW"} {
		if strings.Contains(string(body), never) {
			t.Errorf("a client has made a series of %s", never)
		}
	}
}
