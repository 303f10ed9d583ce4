package api_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/hydrastore/hydrastore/session"
)

// sessionAnswer is a session as JSON tells it.
type sessionAnswer struct {
	Key, ID, User, Policy string
	Number                uint64
	CreatedAt             string  `json:"created_at"`
	ExpiresAt             *string `json:"expires_at"`
	IdleTimeoutS          float64 `json:"idle_timeout_s"`
	ClientIP              string  `json:"client_ip"`
	UserAgent             string  `json:"user_agent"`
	AttributesVersion     uint64  `json:"attributes_version"`
	Roles                 []string
	Attributes            map[string]json.RawMessage
}

type page[T any] struct {
	Items      []T
	NextCursor *string `json:"next_cursor"`
}

func TestLoginWithPassword(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	r := h.do(request{method: "POST", target: "/v1/sessions", body: `{"user":" ADA ","password":"` + password + `","attributes":{"b":[1, 2],"a":1.50}}`,
		headers: map[string]string{"User-Agent": "tester/1"}})
	s := read[sessionAnswer](t, r, http.StatusCreated)
	key, err := session.ParseKey(s.Key)
	if err != nil {
		t.Fatalf("the key cannot be read: %v", err)
	}
	if got := r.Header.Get("Location"); got != "/v1/sessions/"+s.ID {
		t.Errorf("got Location %q", got)
	}
	if s.User != "ada" || s.Policy != "default" || s.IdleTimeoutS != 1800 || s.ClientIP != "192.0.2.1" || s.UserAgent != "tester/1" {
		t.Errorf("got %+v", s)
	}
	if s.CreatedAt != "2026-01-02T03:04:05.678Z" || s.ExpiresAt == nil || *s.ExpiresAt != "2026-01-02T03:34:05.678Z" {
		t.Errorf("got created %s, expires %v", s.CreatedAt, *s.ExpiresAt)
	}
	if string(s.Attributes["b"]) != "[1,2]" || string(s.Attributes["a"]) != "1.50" {
		t.Errorf("got attributes %s", s.Attributes)
	}
	if h.service.Uses(key) != 0 {
		t.Error("the session is not alive")
	}
}

func TestWrongLoginsAreOneAnswer(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	var details []string
	for _, body := range []string{`{"user":"ada","password":"wrong"}`, `{"user":"nobody","password":"wrong"}`, `{"user":"ada","password":""}`} {
		r := h.do(request{method: "POST", target: "/v1/sessions", body: body})
		details = append(details, wantProblem(t, r, http.StatusUnauthorized, session.CodeUnauthenticated).Detail)
	}
	if details[0] != details[1] || details[1] != details[2] {
		t.Errorf("the answers differ: %q", details)
	}
}

func TestServiceVouches(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	body := `{"user":"carl","client_ip":"::ffff:203.0.113.7","user_agent":"browser"}`
	s := read[sessionAnswer](t, h.do(request{method: "POST", target: "/v1/sessions", body: body, key: h.trusted}), http.StatusCreated)
	if s.User != "carl" || s.ClientIP != "203.0.113.7" || s.UserAgent != "browser" {
		t.Errorf("got %+v", s)
	}
	wantProblem(t, h.do(request{method: "POST", target: "/v1/sessions", body: body, key: h.user}), http.StatusForbidden, session.CodeForbidden)
	wantProblem(t, h.do(request{method: "POST", target: "/v1/sessions", body: body}), http.StatusUnauthorized, session.CodeUnauthenticated)
}

func TestIdempotentLogin(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	login := func(user string) *http.Response {
		return h.do(request{method: "POST", target: "/v1/sessions", body: `{"user":"` + user + `"}`, key: h.trusted,
			headers: map[string]string{"Idempotency-Key": "one intent"}})
	}
	first := read[sessionAnswer](t, login("carl"), http.StatusCreated)
	second := read[sessionAnswer](t, login("carl"), http.StatusCreated)
	if first.ID != second.ID || first.Key == second.Key {
		t.Errorf("got %s and %s, want one session with two keys", first.ID, second.ID)
	}
	wantProblem(t, login("dora"), http.StatusUnprocessableEntity, session.CodeIdempotencyMismatch)
}

func TestCheckCountsAsUse(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, test := range []struct {
		target string
		uses   int
	}{
		{"/v1/session", 1}, {"/v1/session?touch=true", 2}, {"/v1/session?touch=false", 2}, {"/v1/session?consistency=local", 2},
		{"/v1/session?consistency=local&touch=true", 3}, {"/v1/session?consistency=linearizable", 4}, {"/v1/session?min_index=1:1", 4},
	} {
		s := read[sessionAnswer](t, h.do(request{method: "GET", target: test.target, key: h.user}), http.StatusOK)
		if s.User != "ada" || len(s.Roles) != 1 || s.Roles[0] != "user" || s.Attributes == nil {
			t.Errorf("%s: got %+v", test.target, s)
		}
		if got := h.service.Uses(h.user); got != test.uses {
			t.Errorf("%s: got %d uses, want %d", test.target, got, test.uses)
		}
	}
	read[sessionAnswer](t, h.do(request{method: "POST", target: "/v1/session/touch", key: h.user}), http.StatusOK)
	if got := h.service.Uses(h.user); got != 5 {
		t.Errorf("after a touch: got %d uses, want 5", got)
	}
}

func TestFreshnessHeaders(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	index := regexp.MustCompile(`^1:\d+$`)
	for _, test := range []struct{ target, age, ageMS string }{
		{"/v1/session", "", ""}, {"/v1/session?consistency=local", "2", "1234"}, {"/v1/session?min_index=1:4", "2", "1234"},
		{"/v1/sessions?consistency=local", "2", "1234"}, {"/v1/users/ada?consistency=local", "2", "1234"},
		{"/v1/policies?min_index=1:4", "2", "1234"}, {"/v1/policies/default", "", ""},
	} {
		r := h.do(request{method: "GET", target: test.target, key: h.admin})
		if r.StatusCode != 200 || r.Header.Get("Age") != test.age || r.Header.Get("Hydrastore-Age-Ms") != test.ageMS {
			t.Errorf("%s: got %d, Age %q, Hydrastore-Age-Ms %q", test.target, r.StatusCode, r.Header.Get("Age"), r.Header.Get("Hydrastore-Age-Ms"))
		}
		if got := r.Header.Get("Hydrastore-Index"); !index.MatchString(got) {
			t.Errorf("%s: got Hydrastore-Index %q", test.target, got)
		}
	}
}

func TestAttributesAreComparedAndSet(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	patch := func(body, ifMatch, mediaType string) *http.Response {
		r := request{method: "PATCH", target: "/v1/session/attributes", body: body, key: h.user, headers: map[string]string{"Content-Type": mediaType}}
		if ifMatch != "" {
			r.headers["If-Match"] = ifMatch
		}
		return h.do(r)
	}
	first := patch(`{"cart":{"n": 1},"theme":"dark"}`, "", "application/json; charset=UTF-8")
	if got := read[sessionAnswer](t, first, 200); string(got.Attributes["cart"]) != `{"n":1}` {
		t.Errorf("got %s", got.Attributes)
	}
	version := first.Header.Get("ETag")
	second := read[sessionAnswer](t, patch(`{"cart":null}`, version, "application/merge-patch+json"), 200)
	if len(second.Attributes) != 1 || string(second.Attributes["theme"]) != `"dark"` {
		t.Errorf("got %s", second.Attributes)
	}
	wantProblem(t, patch(`{"cart":2}`, version, "application/json"), http.StatusPreconditionFailed, session.CodeVersionMismatch)
	read[sessionAnswer](t, patch(`{}`, "*", "application/json"), 200)
}

func TestLogoutIsIdempotent(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	logout := func(key session.Key, headers map[string]string) *http.Response {
		return h.do(request{method: "DELETE", target: "/v1/session", key: key, headers: headers})
	}
	if r := logout(h.user, nil); r.StatusCode != 204 || r.Header.Get("Hydrastore-Index") == "" {
		t.Errorf("got %d", r.StatusCode)
	}
	if h.service.Uses(h.user) != -1 {
		t.Error("the session is still alive")
	}
	if r := logout(h.user, nil); r.StatusCode != 204 {
		t.Errorf("a dead key: got %d, want 204", r.StatusCode)
	}
	if r := logout(session.Key{}, map[string]string{"Authorization": "Bearer garbage"}); r.StatusCode != 204 {
		t.Errorf("a garbled key: got %d, want 204", r.StatusCode)
	}
	if r := logout(h.trusted, map[string]string{"Hydrastore-Session": "garbage"}); r.StatusCode != 204 {
		t.Errorf("a garbled key of a user: got %d, want 204", r.StatusCode)
	}
	wantProblem(t, logout(session.Key{}, nil), 401, session.CodeUnauthenticated)
	wantProblem(t, logout(session.Key{}, map[string]string{"Authorization": "Basic YTpi"}), 401, session.CodeUnauthenticated)
	wantProblem(t, logout(h.user, map[string]string{"Hydrastore-Session": "garbage"}), 401, session.CodeUnauthenticated)
	wantProblem(t, logout(session.Key{}, map[string]string{"Authorization": "Bearer garbage", "Hydrastore-Session": "garbage"}), 401, session.CodeUnauthenticated)
	if h.service.Uses(h.trusted) == -1 {
		t.Error("the service has lost its own session")
	}
}

func TestListGoesOnWhereItStopped(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for range 5 {
		read[sessionAnswer](t, h.do(request{method: "POST", target: "/v1/sessions", body: `{"user":"carl"}`, key: h.trusted}), 201)
	}
	var numbers []uint64
	target := "/v1/users/CARL/sessions?limit=2"
	for pages := 0; ; pages++ {
		got := read[page[sessionAnswer]](t, h.do(request{method: "GET", target: target, key: h.admin}), 200)
		for _, s := range got.Items {
			numbers = append(numbers, s.Number)
		}
		if got.NextCursor == nil {
			break
		}
		if target = "/v1/users/carl/sessions?limit=2&cursor=" + *got.NextCursor; pages > 5 {
			t.Fatal("the list has no end")
		}
	}
	if len(numbers) != 5 {
		t.Errorf("got %v, want 5 sessions", numbers)
	}
	empty := read[map[string]json.RawMessage](t, h.do(request{method: "GET", target: "/v1/sessions?user=nobody", key: h.admin}), 200)
	if string(empty["items"]) != "[]" || string(empty["next_cursor"]) != "null" {
		t.Errorf("got %s", empty)
	}
	wantProblem(t, h.do(request{method: "GET", target: "/v1/sessions", key: h.user}), 403, session.CodeForbidden)
}

func TestRevocations(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	var ids []string
	for range 4 {
		s := read[sessionAnswer](t, h.do(request{method: "POST", target: "/v1/sessions", body: `{"user":"carl","client_ip":"10.0.0.1"}`, key: h.trusted}), 201)
		ids = append(ids, s.ID)
	}
	if got := read[sessionAnswer](t, h.do(request{method: "GET", target: "/v1/sessions/" + ids[0], key: h.admin}), 200); got.ID != ids[0] {
		t.Errorf("got %s", got.ID)
	}
	wantProblem(t, h.do(request{method: "GET", target: "/v1/sessions/" + ids[0], key: h.user}), 404, session.CodeNotFound)
	if r := h.do(request{method: "DELETE", target: "/v1/sessions/" + ids[0], key: h.admin}); r.StatusCode != 204 {
		t.Errorf("got %d", r.StatusCode)
	}
	revoke := func(target string, key session.Key) int {
		return read[struct{ Revoked int }](t, h.do(request{method: "DELETE", target: target, key: key}), 200).Revoked
	}
	if got := revoke("/v1/sessions?client_ip=10.0.0.1&user=Carl", h.admin); got != 3 {
		t.Errorf("by filter: got %d, want 3", got)
	}
	if got := revoke("/v1/users/ROOT/sessions?except=current", h.admin); got != 0 {
		t.Errorf("except=current: got %d, want 0", got)
	}
	if got := revoke("/v1/users/ada/sessions", h.user); got != 1 {
		t.Errorf("own: got %d, want 1", got)
	}
	if got := revoke("/v1/sessions?all=true", h.admin); got != 2 || h.service.Live() != 0 {
		t.Errorf("all: got %d, %d alive", got, h.service.Live())
	}
}

// TestFilterOnIdleTime is one of whole and broken seconds.
func TestFilterOnIdleTime(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, seconds := range []string{"0.001", "60", "1.5"} {
		got := read[page[sessionAnswer]](t, h.do(request{method: "GET", target: "/v1/sessions?idle_longer_than=" + seconds, key: h.admin}), 200)
		if len(got.Items) != 0 {
			t.Errorf("%s: got %d sessions, want none", seconds, len(got.Items))
		}
	}
}

func TestTextSurvives(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	const agent = "a\"b\\c\u2028ä🙂<script>&\u007f"
	body, err := json.Marshal(map[string]any{"user": "Ünïcode/№1 %", "user_agent": agent, "attributes": map[string]any{"n\"ame": agent}})
	if err != nil {
		t.Fatal(err)
	}
	s := read[sessionAnswer](t, h.do(request{method: "POST", target: "/v1/sessions", body: string(body), key: h.trusted}), 201)
	var value string
	if err := json.Unmarshal(s.Attributes["n\"ame"], &value); err != nil || value != agent || s.UserAgent != agent {
		t.Errorf("got %q, %q: %v", s.UserAgent, value, err)
	}
	target := "/v1/users/" + strings.NewReplacer("/", "%2F", " ", "%20", "%", "%25").Replace(s.User) + "/sessions"
	if got := read[page[sessionAnswer]](t, h.do(request{method: "GET", target: target, key: h.admin}), 200); len(got.Items) != 1 {
		t.Errorf("%s: got %d sessions, want 1", target, len(got.Items))
	}
}
