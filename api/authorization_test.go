package api_test

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/hydrastore/hydrastore/api"
	"github.com/hydrastore/hydrastore/session"
)

// TestBadKeysAreOneAnswer: nothing tells a guesser why a key was refused.
func TestBadKeysAreOneAnswer(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	dead := h.service.AddUser("gone", password)
	if r := h.do(request{method: "DELETE", target: "/v1/session", key: dead}); r.StatusCode != 204 {
		t.Fatalf("got %d", r.StatusCode)
	}
	text := h.user.Reveal()
	for _, authorization := range []string{
		"", "Bearer ", "Bearer", "Bearer x", "Basic YTpi", "Bearer " + text + "x", "Bearer " + text[:len(text)-1], "Bearer " + strings.ToUpper(text),
		"Bearer " + text[:10] + "A" + text[11:], "Token " + text, text, "Bearer " + dead.Reveal(), "Bearer " + strings.Repeat("x", 8000),
	} {
		r := h.do(request{method: "GET", target: "/v1/session", headers: map[string]string{"Authorization": authorization}})
		p := wantProblem(t, r, http.StatusUnauthorized, session.CodeUnauthenticated)
		if got := r.Header.Get("WWW-Authenticate"); got != `Bearer realm="hydrastore"` {
			t.Errorf("%.20q: got WWW-Authenticate %q", authorization, got)
		}
		if strings.Contains(p.Detail, text[:8]) {
			t.Errorf("the answer repeats the key: %s", p.Detail)
		}
	}
	if h.service.Uses(h.user) != 0 {
		t.Error("a bad key was a use")
	}
}

func TestBearerIsReadLoosely(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, scheme := range []string{"Bearer ", "bearer ", "BEARER  "} {
		r := h.do(request{method: "GET", target: "/v1/session", headers: map[string]string{"Authorization": scheme + h.user.Reveal()}})
		if r.StatusCode != 200 {
			t.Errorf("%q: got %d", scheme, r.StatusCode)
		}
	}
}

func TestTwoAuthorizationsAreRefused(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	r := httptest.NewRequest("GET", "/v1/session", nil)
	r.Header["Authorization"] = []string{"Bearer " + h.user.Reveal(), "Bearer " + h.admin.Reveal()}
	if p := wantProblem(t, h.send(r, false), 400, session.CodeInvalid); p.Field != "Authorization" {
		t.Errorf("got field %q", p.Field)
	}
}

// TestServiceAsksForItsUser: what the subject headers say arrives as Call.Subject.
func TestServiceAsksForItsUser(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	var call session.Call
	h.service.SetHook(func(_ context.Context, _ string, c session.Call) error { call = c; return nil })
	headers := map[string]string{"Hydrastore-Session": h.user.Reveal(), "Hydrastore-Client-IP": "::ffff:198.51.100.9",
		"Hydrastore-User-Agent": strings.Repeat("ä", 300), "User-Agent": "shop/1"}
	for _, r := range []request{
		{method: "GET", target: "/v1/session"}, {method: "POST", target: "/v1/session/touch"}, {method: "POST", target: "/v1/session/rotate"},
		{method: "PATCH", target: "/v1/session/attributes", body: `{"a":1}`}, {method: "DELETE", target: "/v1/session"},
	} {
		r.key, r.headers = h.trusted, headers
		if got := h.do(r); got.StatusCode/100 != 2 {
			t.Fatalf("%s %s: got %d", r.method, r.target, got.StatusCode)
		}
		s := call.Subject
		if s == nil || s.Key != h.user || s.Address != netip.MustParseAddr("198.51.100.9") || s.UserAgent != strings.Repeat("ä", 256) {
			t.Errorf("%s %s: got subject %+v", r.method, r.target, s)
		}
		if call.Key != h.trusted || call.UserAgent != "shop/1" || call.Address != netip.MustParseAddr("192.0.2.1") || call.Operator {
			t.Errorf("%s %s: got call %+v", r.method, r.target, call)
		}
	}
	if h.service.Uses(h.user) != -1 {
		t.Error("the user is still logged in")
	}
}

func TestSubjectNeedsARole(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	headers := map[string]string{"Hydrastore-Session": h.trusted.Reveal()}
	p := wantProblem(t, h.do(request{method: "GET", target: "/v1/session", key: h.user, headers: headers}), 400, session.CodeInvalid)
	if p.Field != "Hydrastore-Session" {
		t.Errorf("got field %q", p.Field)
	}
	headers["Hydrastore-Session"] = "garbage"
	p = wantProblem(t, h.do(request{method: "GET", target: "/v1/session", key: h.trusted, headers: headers}), 401, session.CodeUnauthenticated)
	if p.Field != "Hydrastore-Session" {
		t.Errorf("got field %q", p.Field)
	}
	headers["Hydrastore-Session"] = h.user.Reveal()
	wantProblem(t, h.do(request{method: "GET", target: "/v1/session", headers: headers}), 401, session.CodeUnauthenticated)
}

// TestOperatorNeedsNoKey, and is believed on the operator's handler alone.
func TestOperatorNeedsNoKey(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	body := `{"user":"boss","password":"` + password + `","roles":["admin"]}`
	wantProblem(t, h.do(request{method: "POST", target: "/v1/users", body: body}), 401, session.CodeUnauthenticated)
	if r := h.do(request{method: "POST", target: "/v1/users", body: body, operator: true}); r.StatusCode != 201 {
		t.Errorf("got %d", r.StatusCode)
	}
	var call session.Call
	h.service.SetHook(func(_ context.Context, _ string, c session.Call) error { call = c; return nil })
	h.do(request{method: "GET", target: "/v1/cluster", operator: true, headers: map[string]string{"X-Forwarded-For": "1.2.3.4"}})
	if !call.Operator || call.Address.IsValid() {
		t.Errorf("got %+v", call)
	}
}

func TestCookie(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(c *api.Config) { c.CookieName = "sid" })
	cookie := "__Host-sid=" + h.user.Reveal()
	same := map[string]string{"Sec-Fetch-Site": "same-origin"}
	tests := []struct {
		name, method, target, cookie string
		headers                      map[string]string
		status                       int
		code                         session.Code
	}{
		{"read", "GET", "/v1/session", cookie, nil, 200, ""},
		{"read from elsewhere", "GET", "/v1/session", cookie, map[string]string{"Sec-Fetch-Site": "cross-site"}, 200, ""},
		{"name without prefix", "GET", "/v1/session", "sid=" + h.user.Reveal(), nil, 401, session.CodeUnauthenticated},
		{"garbled", "GET", "/v1/session", "__Host-sid=x", nil, 401, session.CodeUnauthenticated},
		{"two", "GET", "/v1/session", cookie + "; " + cookie, nil, 401, session.CodeUnauthenticated},
		{"change, no proof", "POST", "/v1/session/touch", cookie, nil, 403, session.CodeForbidden},
		{"change, same origin", "POST", "/v1/session/touch", cookie, same, 200, ""},
		{"change, same site", "POST", "/v1/session/touch", cookie, map[string]string{"Sec-Fetch-Site": "same-site"}, 403, session.CodeForbidden},
		{"change, none", "POST", "/v1/session/touch", cookie, map[string]string{"Sec-Fetch-Site": "none"}, 403, session.CodeForbidden},
		{"Sec-Fetch-Site outweighs Origin", "POST", "/v1/session/touch", cookie, map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://example.com"}, 403, session.CodeForbidden},
		{"change, own origin", "POST", "/v1/session/touch", cookie, map[string]string{"Origin": "https://EXAMPLE.com"}, 200, ""},
		{"change, own origin without TLS", "POST", "/v1/session/touch", cookie, map[string]string{"Origin": "http://example.com"}, 403, session.CodeForbidden},
		{"change, this machine", "POST", "/v1/session/touch", cookie, map[string]string{"Host": "localhost:8700", "Origin": "http://localhost:8700"}, 200, ""},
		{"change, other port", "POST", "/v1/session/touch", cookie, map[string]string{"Host": "localhost:8700", "Origin": "http://localhost:1"}, 403, session.CodeForbidden},
		{"change, other origin", "DELETE", "/v1/session", cookie, map[string]string{"Origin": "https://evil.example"}, 403, session.CodeForbidden},
		{"change, opaque origin", "DELETE", "/v1/session", cookie, map[string]string{"Origin": "null"}, 403, session.CodeForbidden},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			headers := map[string]string{"Cookie": test.cookie}
			for name, value := range test.headers {
				headers[name] = value
			}
			r := h.do(request{method: test.method, target: test.target, headers: headers})
			if test.code != "" {
				wantProblem(t, r, test.status, test.code)
			} else if r.StatusCode != test.status {
				t.Errorf("got %d, want %d", r.StatusCode, test.status)
			}
		})
	}
	if h.service.Uses(h.user) == -1 {
		t.Fatal("a foreign page has logged the user out")
	}
	// Authorization comes first, and then the cookie proves nothing and needs no proof.
	r := h.do(request{method: "POST", target: "/v1/session/touch", key: h.admin, headers: map[string]string{"Cookie": cookie}})
	if got := read[sessionAnswer](t, r, 200); got.User != "root" {
		t.Errorf("got %s, want root", got.User)
	}
}

func TestCookieIsGivenAndTaken(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(c *api.Config) { c.CookieName = "__Host-sid" })
	body := `{"user":"ada","password":"` + password + `"}`
	login := func(headers map[string]string) []*http.Cookie {
		return h.do(request{method: "POST", target: "/v1/sessions", body: body, headers: headers}).Cookies()
	}
	if got := login(nil); len(got) != 0 {
		t.Errorf("a program got %v", got)
	}
	if got := login(map[string]string{"Sec-Fetch-Site": "cross-site"}); len(got) != 0 {
		t.Errorf("a foreign page got %v", got)
	}
	got := login(map[string]string{"Sec-Fetch-Site": "same-origin"})
	if len(got) != 1 {
		t.Fatalf("got %v, want one cookie", got)
	}
	c := got[0]
	if c.Name != "__Host-sid" || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.MaxAge != 0 {
		t.Errorf("got %+v", c)
	}
	r := h.do(request{method: "DELETE", target: "/v1/session", headers: map[string]string{"Cookie": c.Name + "=" + c.Value, "Sec-Fetch-Site": "same-origin"}})
	if got := r.Cookies(); r.StatusCode != 204 || len(got) != 1 || got[0].MaxAge != -1 || got[0].Value != "" {
		t.Errorf("after the log-out: got %d, %v", r.StatusCode, got)
	}
}

// TestAStaleKeyHindersNoLogin: a browser keeps a cookie of an ended session, or a damaged one, which no page can remove.
func TestAStaleKeyHindersNoLogin(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(c *api.Config) { c.CookieName = "sid" })
	ended, err := session.NewKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	byPassword, byService := `{"user":"ada","password":"`+password+`"}`, `{"user":"ada"}`
	for _, key := range []string{ended.Reveal(), "x", "", ended.Reveal() + "; __Host-sid=x"} {
		headers := map[string]string{"Cookie": "__Host-sid=" + key, "Sec-Fetch-Site": "same-origin"}
		r := h.do(request{method: "POST", target: "/v1/sessions", body: byPassword, headers: headers})
		if got := r.Cookies(); r.StatusCode != 201 || len(got) != 1 || got[0].Value == "" {
			t.Errorf("with the cookie %d bytes long: got %d and %d cookies, want a new one", len(key), r.StatusCode, len(got))
		}
		wantProblem(t, h.do(request{method: "POST", target: "/v1/sessions", body: byService, headers: headers}), 401, session.CodeUnauthenticated)
		headers["Sec-Fetch-Site"] = "cross-site"
		wantProblem(t, h.do(request{method: "POST", target: "/v1/sessions", body: byPassword, headers: headers}), 403, session.CodeForbidden)
	}
}

func TestCookieIsOffByDefault(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, name := range []string{"__Host-", "__Host-sid", "sid", ""} {
		r := h.do(request{method: "GET", target: "/v1/session", headers: map[string]string{"Cookie": name + "=" + h.user.Reveal()}})
		wantProblem(t, r, 401, session.CodeUnauthenticated)
	}
}

func TestClientAddress(t *testing.T) {
	t.Parallel()
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::ffff:172.16.0.0/108"), netip.MustParsePrefix("2001:db8::/32")}
	h := newHouse(t, func(c *api.Config) { c.TrustedProxies = proxies })
	var call session.Call
	h.service.SetHook(func(_ context.Context, _ string, c session.Call) error { call = c; return nil })
	tests := []struct {
		name, remote string
		forwarded    []string
		want         string // "" = unknown
	}{
		{"direct", "192.0.2.7:4", nil, "192.0.2.7"},
		{"direct, mapped", "[::ffff:192.0.2.7]:4", nil, "192.0.2.7"},
		{"direct, zoned", "[fe80::1%eth0]:4", nil, "fe80::1"},
		{"a liar", "192.0.2.7:4", []string{"1.1.1.1"}, "192.0.2.7"},
		{"behind a proxy", "10.1.2.3:4", []string{"192.0.2.7"}, "192.0.2.7"},
		{"behind a mapped proxy", "[::ffff:10.1.2.3]:4", []string{"::ffff:192.0.2.7"}, "192.0.2.7"},
		{"behind a proxy of a mapped network", "172.16.9.9:4", []string{"192.0.2.7"}, "192.0.2.7"},
		{"outside the mapped network", "172.32.9.9:4", []string{"192.0.2.7"}, "172.32.9.9"},
		{"a liar behind a proxy", "10.1.2.3:4", []string{"1.1.1.1, 192.0.2.7"}, "192.0.2.7"},
		{"a liar who pretends to be a proxy", "10.1.2.3:4", []string{"1.1.1.1, 10.9.9.9, 192.0.2.7"}, "192.0.2.7"},
		{"two proxies", "10.1.2.3:4", []string{"192.0.2.7,2001:db8::5"}, "192.0.2.7"},
		{"two lines", "10.1.2.3:4", []string{"1.1.1.1, 192.0.2.7", "10.4.4.4"}, "192.0.2.7"},
		{"with port", "10.1.2.3:4", []string{"192.0.2.7:999"}, "192.0.2.7"},
		{"v6 with port", "10.1.2.3:4", []string{"[2001:dead::1]:999"}, "2001:dead::1"},
		{"v6 in brackets", "10.1.2.3:4", []string{"[2001:dead::1]"}, "2001:dead::1"},
		{"half a bracket", "10.1.2.3:4", []string{"[2001:dead::1"}, "10.1.2.3"},
		{"unknown", "10.1.2.3:4", []string{"1.1.1.1, unknown"}, "10.1.2.3"},
		{"unknown further left", "10.1.2.3:4", []string{"unknown, 10.4.4.4"}, "10.4.4.4"},
		{"empty", "10.1.2.3:4", []string{""}, "10.1.2.3"},
		{"empty entry", "10.1.2.3:4", []string{"192.0.2.7,"}, "10.1.2.3"},
		{"proxies all the way", "10.1.2.3:4", []string{"10.5.5.5, 10.6.6.6"}, "10.5.5.5"},
		{"no address at all", "@", nil, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/v1/session", nil)
			r.RemoteAddr = test.remote
			if test.forwarded != nil {
				r.Header["X-Forwarded-For"] = test.forwarded
			}
			r.Header.Set("X-Real-IP", "6.6.6.6")
			h.send(r, false)
			got := ""
			if call.Address.IsValid() {
				got = call.Address.String()
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
