package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/hydrastore/hydrastore/api"
	"github.com/hydrastore/hydrastore/session"
)

// issued is what an answer that issues a key holds.
type issued struct {
	Key, ID, User string
	AuthTime      string `json:"auth_time"`
	Methods       []string
	Attributes    map[string]json.RawMessage
}

func keyOf(t *testing.T, text string) session.Key {
	t.Helper()
	k, err := session.ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestRotation(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	first := read[issued](t, h.do(request{method: "POST", target: "/v1/session/rotate", key: h.user}), 200)
	again := read[issued](t, h.do(request{method: "POST", target: "/v1/session/rotate", key: h.user}), 200)
	if first.Key == h.user.Reveal() || again.Key != first.Key || first.User != "ada" || first.AuthTime == "" || len(first.Methods) != 1 {
		t.Errorf("got %+v, then %+v", first, again)
	}
	for key, want := range map[session.Key]bool{h.user: true, keyOf(t, first.Key): false} {
		checked := read[struct{ Rotate bool }](t, h.do(request{method: "GET", target: "/v1/session", key: key}), 200)
		if checked.Rotate != want {
			t.Errorf("rotate is %v, want %v", checked.Rotate, want)
		}
	}
	r := h.do(request{method: "POST", target: "/v1/session/rotate", key: h.user, body: "{}"})
	if p := wantProblem(t, r, 400, session.CodeInvalid); p.Field != "body" {
		t.Errorf("got field %q", p.Field)
	}
}

func TestReauthentication(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	do := func(key session.Key, body string, headers map[string]string) *http.Response {
		return h.do(request{method: "POST", target: "/v1/session/reauthenticate", key: key, body: body, headers: headers})
	}
	wantProblem(t, do(h.user, `{"password":"wrong"}`, nil), 401, session.CodeUnauthenticated)
	if p := wantProblem(t, do(h.user, `{}`, nil), 400, session.CodeInvalid); p.Field != "password" {
		t.Errorf("got field %q", p.Field)
	}
	if p := wantProblem(t, do(h.user, `{"user":"root"}`, nil), 400, session.CodeInvalid); p.Field != "user" {
		t.Errorf("got field %q", p.Field)
	}
	next := read[issued](t, do(h.user, `{"password":"`+password+`"}`, nil), 200)
	wantProblem(t, h.do(request{method: "GET", target: "/v1/session", key: h.user}), 401, session.CodeUnauthenticated)
	// A service that presents the user's key needs no password.
	next = read[issued](t, do(h.trusted, `{}`, map[string]string{"Hydrastore-Session": next.Key}), 200)
	if r := h.do(request{method: "GET", target: "/v1/session", key: keyOf(t, next.Key)}); r.StatusCode != 200 {
		t.Errorf("got %d", r.StatusCode)
	}
}

// A check can ask for a recent proof. The answer is not that of a bad key, or programs would log in instead of asking for a password.
func TestMaxAuthAge(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for target, want := range map[string]int{"/v1/session?max_auth_age=1": 200, "/v1/session?max_auth_age=0": 400, "/v1/session?max_auth_age=x": 400,
		"/v1/session?max_auth_age=NaN": 400, "/v1/session?max_auth_age=Inf": 400, "/v1/session?max_auth_age=-1": 400, "/v1/session?max_auth_age=315360001": 400,
		"/v1/session?max_auth_age=1e300": 400, "/v1/session?max_auth_age=0.0004": 400, "/v1/session?max_auth_age=315360000": 200} {
		if r := h.do(request{method: "GET", target: target, key: h.user}); r.StatusCode != want {
			t.Errorf("%s: got %d, want %d", target, r.StatusCode, want)
		}
	}
	h.service.Advance(2000)
	uses := h.service.Uses(h.user)
	r := h.do(request{method: "GET", target: "/v1/session?max_auth_age=1.999", key: h.user})
	wantProblem(t, r, 401, session.CodeReauthenticate)
	if got := r.Header.Get("WWW-Authenticate"); !strings.Contains(got, `error="insufficient_user_authentication"`) {
		t.Errorf("got WWW-Authenticate %q", got)
	}
	if h.service.Uses(h.user) != uses {
		t.Error("a refused check was a use")
	}
	if r := h.do(request{method: "GET", target: "/v1/session?max_auth_age=2", key: h.user}); r.StatusCode != 200 {
		t.Errorf("got %d", r.StatusCode)
	}
}

// Who rotates with a cookie gets the new key as a cookie; who shows the key gets none.
func TestRotationRenewsTheCookie(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(c *api.Config) { c.CookieName = "sid" })
	headers := map[string]string{"Cookie": "__Host-sid=" + h.user.Reveal(), "Sec-Fetch-Site": "same-origin"}
	r := h.do(request{method: "POST", target: "/v1/session/rotate", headers: headers})
	next := read[issued](t, r, 200)
	if got := r.Header.Get("Set-Cookie"); !strings.HasPrefix(got, "__Host-sid="+next.Key+";") {
		t.Errorf("got Set-Cookie %q", got)
	}
	r = h.do(request{method: "POST", target: "/v1/session/rotate", key: keyOf(t, next.Key), headers: map[string]string{"Sec-Fetch-Site": "same-origin"}})
	if got := r.Header.Get("Set-Cookie"); r.StatusCode != 200 || got != "" {
		t.Errorf("got %d, Set-Cookie %q", r.StatusCode, got)
	}
	headers["Sec-Fetch-Site"] = "cross-site"
	wantProblem(t, h.do(request{method: "POST", target: "/v1/session/rotate", headers: headers}), 403, session.CodeForbidden)
}

func TestALogInInPlaceOfASession(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	logIn := func(key session.Key, body string, headers map[string]string) *http.Response {
		return h.do(request{method: "POST", target: "/v1/sessions", key: key, body: body, headers: headers})
	}
	byPassword := `{"user":"ada","password":"` + password + `"}`
	h.do(request{method: "PATCH", target: "/v1/session/attributes", key: h.user, body: `{"cart":[1]}`})
	next := read[issued](t, logIn(h.user, byPassword, nil), 201)
	if h.service.Uses(h.user) != -1 || string(next.Attributes["cart"]) != "[1]" {
		t.Errorf("the session before is there: %v, attributes %s", h.service.Uses(h.user) != -1, next.Attributes)
	}
	// By a service, for its user; its own session stays, as an admin's does who logs another user in.
	next = read[issued](t, logIn(h.trusted, `{"user":"ada"}`, map[string]string{"Hydrastore-Session": next.Key}), 201)
	next = read[issued](t, logIn(h.trusted, byPassword, map[string]string{"Hydrastore-Session": next.Key}), 201)
	if string(next.Attributes["cart"]) != "[1]" {
		t.Errorf("attributes %s", next.Attributes)
	}
	read[issued](t, logIn(h.admin, byPassword, nil), 201)
	if h.service.Uses(h.trusted) == -1 || h.service.Uses(h.admin) == -1 || h.service.Uses(keyOf(t, next.Key)) == -1 {
		t.Error("a session is gone that nobody replaced")
	}
	// What opens nothing replaces nothing; who is no service replaces only its own.
	for _, key := range []string{"garbage", h.user.Reveal()} {
		read[issued](t, logIn(h.trusted, `{"user":"ada"}`, map[string]string{"Hydrastore-Session": key}), 201)
	}
	wantProblem(t, logIn(keyOf(t, next.Key), byPassword, map[string]string{"Hydrastore-Session": h.trusted.Reveal()}), 400, session.CodeInvalid)
	wantProblem(t, logIn(session.Key{}, byPassword, map[string]string{"Hydrastore-Session": h.trusted.Reveal()}), 400, session.CodeInvalid)
	wantProblem(t, logIn(h.trusted, byPassword, map[string]string{"Hydrastore-Client-IP": "192.0.2.1"}), 400, session.CodeInvalid)
	r := logIn(session.Key{}, byPassword, map[string]string{"Authorization": "Bearer garbage", "Hydrastore-Session": h.trusted.Reveal()})
	wantProblem(t, r, 401, session.CodeUnauthenticated)
}
