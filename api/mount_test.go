package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/api"
	"github.com/hydrastore/hydrastore/api/protocol"
	"github.com/hydrastore/hydrastore/session"
)

// parrot repeats what it is told, and fails as it is told.
func parrot() protocol.Protocol {
	return protocol.Protocol{
		Name: "parrot", Operations: []string{"say", "lose"},
		Routes: []protocol.Route{{
			Path: "/parrot", Methods: []string{"POST", "PUT"},
			Serve: func(_ context.Context, r *protocol.Request) (protocol.Response, error) {
				switch word, rest, _ := strings.Cut(string(r.Body), " "); word {
				case "panic":
					panic("parrot " + rest)
				case "fail":
					return protocol.Response{}, fmt.Errorf("its own words: %w", session.Invalid("word", "no parrot says %q", rest))
				case "wait":
					return protocol.Response{}, &session.Error{Code: session.CodeNoQuorum, Message: "wait", RetryAfter: 1500 * time.Millisecond}
				case "refuse":
					return protocol.Response{Status: 200, ContentType: "text/parrot", Body: []byte("no"), Operation: "say",
						Err: &session.Error{Code: session.CodeThrottled, Message: "too chatty", RetryAfter: time.Second}}, nil
				case "defect":
					return protocol.Response{}, errors.New("cause " + rest)
				}
				return protocol.Response{
					Status: 202, ContentType: "text/parrot", Operation: string(r.Body), Header: http.Header{"x-parrot": {"yes"}},
					Body: fmt.Appendf(nil, "%s %s?%s %s %s %s %s", r.Method, r.Header.Get("X-Word"), r.Query, r.ID, r.Call.Address, r.Call.UserAgent, r.Body),
				}, nil
			},
			Fail: func(f protocol.Failure) protocol.Response {
				own := strings.HasPrefix(f.Err.Error(), "its own words: ")
				return protocol.Response{Status: 200, ContentType: "text/squawk", Operation: "lose",
					Body: fmt.Appendf(nil, "%d %s %s: %s (%v)", f.Status, f.Shown.Code, f.Shown.Field, f.Shown.Message, own)}
			},
		}},
	}
}

func withParrot(c *api.Config) { c.Protocols = []protocol.Protocol{parrot()} }

// tell sends one request and reads the answer.
func (h *house) tell(method, body string, headers ...string) (status int, header http.Header, text string) {
	h.t.Helper()
	r := httptest.NewRequest(method, "/parrot?a=b", strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response := h.send(r, false)
	all, err := io.ReadAll(response.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return response.StatusCode, response.Header, string(all)
}

func TestProtocolIsServed(t *testing.T) {
	t.Parallel()
	h := newHouse(t, withParrot, func(c *api.Config) { c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} })
	for _, method := range []string{"POST", "PUT"} {
		status, header, text := h.tell(method, "say", "X-Word", "hello", "X-Request-Id", "r7", "X-Forwarded-For", "203.0.113.9", "User-Agent", "bird/1")
		if want := method + " hello?a=b r7 203.0.113.9 bird/1 say"; status != 202 || text != want {
			t.Errorf("got %d %q, want 202 %q", status, text, want)
		}
		if header.Get("Content-Type") != "text/parrot" || header.Get("X-Parrot") != "yes" {
			t.Errorf("got header %v", header)
		}
	}
	if _, _, text := h.tell("POST", ""); !strings.HasSuffix(text, " ") {
		t.Errorf("without a body: got %q", text)
	}
}

// TestProtocolFailures: whatever goes wrong, and wherever, is told in the protocol's own form.
func TestProtocolFailures(t *testing.T) {
	t.Parallel()
	h := newHouse(t, withParrot, func(c *api.Config) { c.MaxBodyBytes = 1024 })
	const defect = "500 internal : a defect of the server; its log has the cause under this request id (false)"
	for _, test := range []struct{ method, body, encoding, want string }{
		{"POST", "fail polly", "", `400 invalid_request word: no parrot says "polly" (true)`},
		{"POST", "fail " + h.user.Reveal(), "", `400 invalid_request word: no parrot says "hs_[redacted]" (true)`},
		{"POST", "wait", "", `503 no_quorum : wait (false)`},
		{"POST", "panic now", "", defect},
		{"POST", "defect deep", "", defect},
		{"POST", "say", "gzip", `415 invalid_request Content-Encoding: compressed bodies are not taken (false)`},
		{"POST", strings.Repeat("x", 1025), "", `413 too_large body: a body has at most 1024 bytes (false)`},
		{"GET", "", "", `405 invalid_request : takes POST, PUT only (false)`},
		{"BREW", "say", "", `405 invalid_request : takes POST, PUT only (false)`},
	} {
		status, header, text := h.tell(test.method, test.body, "Content-Encoding", test.encoding)
		if status != 200 || text != test.want || header.Get("Content-Type") != "text/squawk" {
			t.Errorf("%s %.20q: got %d %s %q, want %q", test.method, test.body, status, header.Get("Content-Type"), text, test.want)
		}
		if allow := header.Get("Allow"); (allow == "POST, PUT") != strings.HasPrefix(test.want, "405") {
			t.Errorf("%s %.20q: got Allow %q", test.method, test.body, allow)
		}
		if retry := header.Get("Retry-After"); (retry == "2") != (test.body == "wait") {
			t.Errorf("%s %.20q: got Retry-After %q", test.method, test.body, retry)
		}
	}
	for _, cause := range []string{"panic: parrot now", "cause deep"} {
		if !strings.Contains(h.log.String(), cause) {
			t.Errorf("the log lacks the cause %q", cause)
		}
	}
	if strings.Contains(h.log.String(), h.user.Reveal()[3:]) {
		t.Error("the log holds a key")
	}
}

func TestProtocolIsObserved(t *testing.T) {
	t.Parallel()
	h := newHouse(t, withParrot)
	h.tell("POST", "say", "X-Request-Id", "r1")
	h.tell("POST", "invented by a client")
	h.tell("POST", "fail polly")
	h.tell("POST", "panic now")
	h.tell("GET", "")
	if status, header, text := h.tell("POST", "refuse"); status != 200 || text != "no" || header.Get("Retry-After") != "1" {
		t.Errorf("refused in its own way: got %d %v %q", status, header, text)
	}
	var line map[string]any
	first, _, _ := strings.Cut(h.log.String(), "\n")
	if err := json.Unmarshal([]byte(first), &line); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{"level": "INFO", "request_id": "r1", "route": "/parrot", "protocol": "parrot", "operation": "say", "status": 202.0, "client_ip": "192.0.2.1"} {
		if line[name] != want {
			t.Errorf("the log line has %s %v, want %v", name, line[name], want)
		}
	}
	body, err := io.ReadAll(h.do(request{method: "GET", target: "/metrics"}).Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`hydrastore_protocol_operations_total{operation="say",protocol="parrot",result="ok"} 1`,
		`hydrastore_protocol_operations_total{operation="other",protocol="parrot",result="ok"} 1`,
		`hydrastore_protocol_operations_total{operation="lose",protocol="parrot",result="invalid_request"} 2`,
		`hydrastore_protocol_operations_total{operation="lose",protocol="parrot",result="internal"} 1`,
		`hydrastore_protocol_operations_total{operation="say",protocol="parrot",result="throttled"} 1`,
		`hydrastore_http_requests_total{method="POST",route="/parrot",status="202"} 2`,
		`hydrastore_http_requests_total{method="GET",route="/parrot",status="200"} 1`,
	} {
		if !strings.Contains(string(body), want+"\n") {
			t.Errorf("the metrics lack %s", want)
		}
	}
	for _, never := range []string{"invented", "echo_route", "TRACE"} {
		if strings.Contains(string(body), never) {
			t.Errorf("there is a series of %s", never)
		}
	}
}

// TestProtocolStaysOnThePublicListener: an operator is an admin without a key, and no protocol is asked to know that.
func TestProtocolStaysOnThePublicListener(t *testing.T) {
	t.Parallel()
	h := newHouse(t, withParrot)
	wantProblem(t, h.do(request{method: "POST", target: "/parrot", operator: true}), 404, session.CodeNotFound)
	wantProblem(t, newHouse(t).do(request{method: "POST", target: "/parrot"}), 404, session.CodeNotFound)
}

func TestProtocolsAreValidated(t *testing.T) {
	t.Parallel()
	for name, protocols := range map[string][]protocol.Protocol{
		"the same path twice": {parrot(), parrot()},
		"a protocol of zero":  {{}},
	} {
		c := api.DefaultConfig()
		c.Protocols = protocols
		if err := c.Validate(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
