package api_test

import (
	"fmt"
	"testing"

	"github.com/hydrastore/hydrastore/session"
)

type userAnswer struct {
	User            string
	Roles, Policies []string
	Disabled        bool
	HasPassword     bool `json:"has_password"`
	Version         uint64
}

func TestUsers(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	body := `{"user":"Bob/1","password":"` + password + `","roles":["service","user","user"],"policies":["default"]}`
	r := h.do(request{method: "POST", target: "/v1/users", body: body, key: h.admin})
	made := read[userAnswer](t, r, 201)
	if r.Header.Get("Location") != "/v1/users/bob%2F1" || fmt.Sprint(made.Roles) != "[service user]" || !made.HasPassword {
		t.Errorf("got %+v at %s", made, r.Header.Get("Location"))
	}
	wantProblem(t, h.do(request{method: "POST", target: "/v1/users", body: body, key: h.admin}), 409, session.CodeExists)

	one := h.do(request{method: "GET", target: r.Header.Get("Location"), key: h.admin})
	etag := one.Header.Get("ETag")
	if got := read[userAnswer](t, one, 200); got.User != "bob/1" || etag != fmt.Sprintf(`"%d"`, got.Version) {
		t.Errorf("got %+v, ETag %s", got, etag)
	}
	patch := func(body, ifMatch string) request {
		return request{method: "PATCH", target: "/v1/users/bob%2F1", body: body, key: h.admin, headers: map[string]string{"If-Match": ifMatch}}
	}
	if got := read[userAnswer](t, h.do(patch(`{"disabled":true,"roles":["admin"]}`, etag)), 200); !got.Disabled || fmt.Sprint(got.Roles) != "[admin]" || !got.HasPassword {
		t.Errorf("got %+v", got)
	}
	wantProblem(t, h.do(patch(`{"disabled":false}`, etag)), 412, session.CodeVersionMismatch)

	list := read[page[userAnswer]](t, h.do(request{method: "GET", target: "/v1/users?limit=2", key: h.admin}), 200)
	if len(list.Items) != 2 || list.NextCursor == nil || list.Items[0].User != "ada" {
		t.Errorf("got %+v", list)
	}
	if r := h.do(request{method: "DELETE", target: "/v1/users/BOB%2F1", key: h.admin}); r.StatusCode != 204 {
		t.Errorf("got %d", r.StatusCode)
	}
	wantProblem(t, h.do(request{method: "GET", target: "/v1/users/bob%2F1", key: h.admin}), 404, session.CodeNotFound)
	wantProblem(t, h.do(request{method: "GET", target: "/v1/users", key: h.trusted}), 403, session.CodeForbidden)
}

// TestCurrentPasswordIsPassedOn, and a wrong one is no wrong session key.
func TestCurrentPasswordIsPassedOn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	change := func(current string) request {
		return request{method: "PATCH", target: "/v1/users/root", key: h.admin, body: `{"password":"` + password + `!","current_password":"` + current + `"}`}
	}
	if p := wantProblem(t, h.do(change("wrong")), 403, session.CodeForbidden); p.Field != "current_password" {
		t.Errorf("got field %q", p.Field)
	}
	if r := h.do(change(password)); r.StatusCode != 200 {
		t.Errorf("got %d", r.StatusCode)
	}
}

type policyAnswer struct {
	Name             string
	IdleTimeoutS     float64 `json:"idle_timeout_s"`
	AbsoluteLifetime float64 `json:"absolute_lifetime_s"`
	TouchWindowS     float64 `json:"touch_window_s"`
	EffectiveWindowS float64 `json:"effective_touch_window_s"`
	AttributesWrite  string  `json:"attributes_write"`
	PerUser          int     `json:"max_sessions_per_user"`
	PerAddress       int     `json:"max_sessions_per_address"`
	InAll            int     `json:"max_sessions"`
	OnLimit          string  `json:"on_limit"`
	Single           bool    `json:"single_session"`
	Version          uint64
}

func TestPolicies(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	change := func(method, body, ifMatch string) request {
		r := request{method: method, target: "/v1/policies/web.app", body: body, key: h.admin}
		if ifMatch != "" {
			r.headers = map[string]string{"If-Match": ifMatch}
		}
		return r
	}
	r := h.do(change("PUT", `{"idle_timeout_s":64.5}`, ""))
	got := read[policyAnswer](t, r, 200)
	want := policyAnswer{"web.app", 64.5, 43200, -1, 2.015, "service", 0, 0, 0, "refuse", false, got.Version}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	got = read[policyAnswer](t, h.do(change("PATCH", `{"touch_window_s":0,"absolute_lifetime_s":0,"attributes_write":"bearer"}`, r.Header.Get("ETag"))), 200)
	want = policyAnswer{"web.app", 64.5, 0, 0, 0, "bearer", 0, 0, 0, "refuse", false, got.Version}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	wantProblem(t, h.do(change("PATCH", `{}`, r.Header.Get("ETag"))), 412, session.CodeVersionMismatch)
	got = read[policyAnswer](t, h.do(change("PATCH", `{"touch_window_s":-1}`, "")), 200)
	if got.TouchWindowS != -1 || got.EffectiveWindowS != 2.015 {
		t.Errorf("got %+v", got)
	}
	limits := `{"max_sessions_per_user":5,"max_sessions_per_address":50,"max_sessions":1024,"on_limit":"evict_idle","single_session":true}`
	got = read[policyAnswer](t, h.do(change("PATCH", limits, "")), 200)
	if got.PerUser != 5 || got.PerAddress != 50 || got.InAll != 1024 || got.OnLimit != "evict_idle" || !got.Single {
		t.Errorf("got %+v", got)
	}
	if got := read[policyAnswer](t, h.do(request{method: "GET", target: "/v1/policies/web.app", key: h.admin}), 200); got.Name != "web.app" {
		t.Errorf("got %+v", got)
	}
	list := read[page[policyAnswer]](t, h.do(request{method: "GET", target: "/v1/policies", key: h.admin}), 200)
	if len(list.Items) != 2 || list.NextCursor != nil {
		t.Errorf("got %+v", list)
	}
	if r := h.do(request{method: "DELETE", target: "/v1/policies/web.app", key: h.admin}); r.StatusCode != 204 {
		t.Errorf("got %d", r.StatusCode)
	}
	wantProblem(t, h.do(change("PATCH", `{}`, "")), 404, session.CodeNotFound)
	wantProblem(t, h.do(request{method: "GET", target: "/v1/policies", key: h.user}), 403, session.CodeForbidden)
}

func TestCluster(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	type member struct {
		ID, Role     string
		AppliedIndex *uint64  `json:"applied_index"`
		Lag          *uint64  `json:"lag"`
		LastContactS *float64 `json:"last_contact_s"`
	}
	type status struct {
		NodeID   string  `json:"node_id"`
		LeaderID *string `json:"leader_id"`
		Time     string
		Members  []member
	}
	get := func() status {
		return read[status](t, h.do(request{method: "GET", target: "/v1/cluster", key: h.admin}), 200)
	}
	got := get()
	if got.NodeID != "n1" || got.LeaderID == nil || *got.LeaderID != "n1" || got.Time != "2026-01-02T03:04:05.678Z" || len(got.Members) != 2 {
		t.Fatalf("got %+v", got)
	}
	leader, follower := got.Members[0], got.Members[1]
	if *leader.AppliedIndex != 9 || *leader.Lag != 0 || leader.LastContactS != nil {
		t.Errorf("got leader %+v", leader)
	}
	if follower.AppliedIndex != nil || follower.Lag != nil || *follower.LastContactS != 1.5 {
		t.Errorf("got follower %+v", follower)
	}
	for _, r := range []request{
		{method: "POST", target: "/v1/cluster/members", body: `{"peer_address":"127.0.0.1:9"}`},
		{method: "POST", target: "/v1/cluster/leader", body: `{"id":"n2"}`},
		{method: "POST", target: "/v1/cluster/leader"},
		{method: "DELETE", target: "/v1/cluster/members/n2"},
	} {
		r.key = h.admin
		if got := h.do(r); got.StatusCode != 204 || got.Header.Get("Hydrastore-Index") == "" {
			t.Errorf("%s %s: got %d", r.method, r.target, got.StatusCode)
		}
		r.key = h.trusted
		wantProblem(t, h.do(r), 403, session.CodeForbidden)
	}
	wantProblem(t, h.do(request{method: "DELETE", target: "/v1/cluster/members/n2", key: h.admin}), 404, session.CodeNotFound)
	if got := get(); len(got.Members) != 2 || got.Members[1].Role != "non-voter" {
		t.Errorf("got %+v", got.Members)
	}
}

type limitsAnswer struct {
	InAll   int    `json:"max_sessions"`
	OnLimit string `json:"on_limit"`
	Version uint64
}

func TestClusterLimits(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	change := func(body, ifMatch string) request {
		r := request{method: "PATCH", target: "/v1/limits", body: body, key: h.admin}
		if ifMatch != "" {
			r.headers = map[string]string{"If-Match": ifMatch}
		}
		return r
	}
	r := h.do(request{method: "GET", target: "/v1/limits", key: h.admin})
	if got := read[limitsAnswer](t, r, 200); got != (limitsAnswer{OnLimit: "refuse"}) {
		t.Errorf("got %+v", got)
	}
	got := read[limitsAnswer](t, h.do(change(`{"max_sessions":1000}`, r.Header.Get("ETag"))), 200)
	if got.InAll != 1000 || got.OnLimit != "refuse" || got.Version == 0 {
		t.Errorf("got %+v", got)
	}
	wantProblem(t, h.do(change(`{}`, r.Header.Get("ETag"))), 412, session.CodeVersionMismatch)
	got = read[limitsAnswer](t, h.do(change(`{"on_limit":"evict_oldest"}`, "")), 200)
	if got.InAll != 1000 || got.OnLimit != "evict_oldest" {
		t.Errorf("got %+v", got)
	}
	wantProblem(t, h.do(request{method: "GET", target: "/v1/limits", key: h.trusted}), 403, session.CodeForbidden)
}
