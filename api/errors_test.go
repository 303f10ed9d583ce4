package api_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

// TestEveryCodeHasItsStatus also holds the codes of the document to those of the session package.
func TestEveryCodeHasItsStatus(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	want := map[session.Code]int{
		session.CodeInvalid: 400, session.CodeTooLarge: 400, session.CodeUnauthenticated: 401, session.CodeReauthenticate: 401, session.CodeForbidden: 403,
		session.CodeNotFound: 404, session.CodeExists: 409, session.CodeConflict: 409, session.CodeSessionLimit: 409, session.CodeHistoryMismatch: 409,
		session.CodeVersionMismatch: 412, session.CodeIdempotencyMismatch: 422, session.CodeThrottled: 429, session.CodeOverloaded: 503, session.CodeNoQuorum: 503,
		session.CodeTooStale: 503, session.CodeUnavailable: 503, session.CodeOutcomeUnknown: 504, session.CodeIndexTimeout: 504,
		session.CodeInternal: 500,
	}
	documented := document(t).Components.Schemas["Problem"].Value.Properties["code"].Value.Enum
	if len(documented) != len(want) {
		t.Errorf("the document has %d codes, this test %d", len(documented), len(want))
	}
	for _, code := range documented {
		code := session.Code(code.(string))
		h.service.SetHook(func(context.Context, string, session.Call) error {
			return fmt.Errorf("wrapped: %w", &session.Error{Code: code, Field: "f", Message: "a sentence", RetryAfter: 1500 * time.Millisecond, Err: errors.New("shard 7 is on fire")})
		})
		r := h.do(request{method: "GET", target: "/v1/session", key: h.user})
		p := wantProblem(t, r, want[code], code)
		if strings.Contains(p.Detail, "shard 7") {
			t.Errorf("%s: the cause is shown: %s", code, p.Detail)
		}
		if code == session.CodeInternal {
			continue
		}
		if p.Detail != "a sentence" || p.Field != "f" || p.RetryAfterS == nil || *p.RetryAfterS != 1.5 || r.Header.Get("Retry-After") != "2" {
			t.Errorf("%s: got %+v, Retry-After %q", code, p, r.Header.Get("Retry-After"))
		}
	}
}

// TestDefectsStayInside: whatever is not a coded error is logged under the request id, and not shown.
func TestDefectsStayInside(t *testing.T) {
	t.Parallel()
	for name, hook := range map[string]func(context.Context, string, session.Call) error{
		"plain error": func(context.Context, string, session.Call) error { return errors.New("boom at shard 7") },
		"internal error": func(context.Context, string, session.Call) error {
			return session.Errorf(session.CodeInternal, "boom at shard 7")
		},
		"unknown code": func(context.Context, string, session.Call) error { return session.Errorf("new", "boom at shard 7") },
		"panic":        func(context.Context, string, session.Call) error { panic("boom at shard 7") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			h.service.SetHook(hook)
			r := h.do(request{method: "GET", target: "/v1/session", key: h.user, headers: map[string]string{"X-Request-Id": "find-me.1"}})
			p := wantProblem(t, r, 500, session.CodeInternal)
			if strings.Contains(p.Detail, "boom") || p.RequestID != "find-me.1" {
				t.Errorf("got %+v", p)
			}
			found := false
			for line := range strings.Lines(h.log.String()) {
				found = found || strings.Contains(line, "boom at shard 7") && strings.Contains(line, "find-me.1") && strings.Contains(line, `"level":"ERROR"`)
			}
			if !found {
				t.Errorf("the log has no cause: %s", h.log)
			}
		})
	}
}

func TestRoutesThatAreNone(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, target := range []string{"/", "/v1", "/v2/session", "/v1/session/x", "/v1/sess%69on", "/V1/session", "/v1//session", "/../etc/passwd"} {
		wantProblem(t, h.do(request{method: "GET", target: target, key: h.admin}), 404, session.CodeNotFound)
	}
	r := h.do(request{method: "PUT", target: "/v1/session", key: h.admin})
	wantProblem(t, r, 405, session.CodeInvalid)
	allow := r.Header.Get("Allow")
	if !strings.Contains(allow, "GET") || !strings.Contains(allow, "DELETE") || strings.Contains(allow, "PUT") {
		t.Errorf("got Allow %q", allow)
	}
	wantProblem(t, h.do(request{method: "BREW", target: "/v1/session"}), 405, session.CodeInvalid)
	if r := h.do(request{method: "OPTIONS", target: "/v1/session"}); r.StatusCode != http.StatusNoContent {
		t.Errorf("OPTIONS: got %d", r.StatusCode)
	}
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	seen := map[string]bool{}
	for _, test := range []struct {
		given string
		taken bool
	}{
		{"abc-1.2_3", true}, {strings.Repeat("x", 128), true}, {strings.Repeat("x", 129), false}, {"", false}, {"a b", false},
		{"a\"b", false}, {"ä", false}, {"a\x7fb", false}, {h.user.Reveal(), false},
	} {
		got := h.do(request{method: "GET", target: "/livez", headers: map[string]string{"X-Request-Id": test.given}}).Header.Get("X-Request-Id")
		if (got == test.given) != test.taken || seen[got] {
			t.Errorf("%q: got %q, which is new: %v", test.given, got, !seen[got])
		}
		seen[got] = true
	}
}
