package api_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/hydrastore/hydrastore/session"
)

type movingAnswer struct {
	Phase           string
	Origin, At      *string
	Filling         *uint64
	Users, Sessions int
}

// TestMovesAreForOperators: nobody else sees or brings hashes of passwords, not even an admin.
func TestMovesAreForOperators(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, r := range []request{
		{method: "GET", target: "/v1/cluster/move"}, {method: "POST", target: "/v1/cluster/move", body: `{"step":"close"}`},
		{method: "GET", target: "/v1/cluster/move/records"}, {method: "POST", target: "/v1/cluster/move/records", body: `{"origin":"o","items":[]}`},
	} {
		wantProblem(t, h.do(r), 401, session.CodeUnauthenticated)
		for _, key := range []session.Key{h.user, h.trusted, h.admin} {
			r.key = key
			wantProblem(t, h.do(r), 403, session.CodeForbidden)
		}
		r.key, r.operator = session.Key{}, true
		if got := h.do(r); r.method == "GET" && got.StatusCode != 200 {
			t.Errorf("%s %s: the operator got %d", r.method, r.target, got.StatusCode)
		}
	}
}

// TestAMoveStepByStep: records arrive and leave with every byte that they had.
func TestAMoveStepByStep(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ask := func(method, target, body string) request {
		return request{method: method, target: target, body: body, operator: true}
	}
	if got := read[movingAnswer](t, h.do(ask("GET", "/v1/cluster/move", "")), 200); got.Phase != "open" || got.Origin != nil || got.At != nil || got.Filling != nil || got.Users != 3 || got.Sessions != 3 {
		t.Errorf("got %+v", got)
	}
	cluster := `{"cluster": {"id":"old"}}`
	begun := read[movingAnswer](t, h.do(ask("POST", "/v1/cluster/move", `{"step":"begin","cluster":`+cluster+`,"restart":true}`)), 200)
	if begun.Phase != "filling" || begun.Origin == nil || *begun.Origin != cluster || begun.At == nil || begun.Filling == nil || *begun.Filling != 1 {
		t.Errorf("got %+v", begun)
	}
	origin, _ := json.Marshal(cluster)
	records := []string{`{"user":{"name":"<&>"}}`, `{"user": {"name":"b"} }`, `{"session":{"n":12345678901234567890,"t":"é\u00e9"}}`}
	body := fmt.Sprintf(`{"origin":%s,"filling":1,"items":[%s]}`, origin, strings.Join(records, ","))
	if got := read[movingAnswer](t, h.do(ask("POST", "/v1/cluster/move/records", body)), 200); got.Phase != "filling" {
		t.Errorf("got %+v", got)
	}
	wantProblem(t, h.do(ask("POST", "/v1/cluster/move/records", `{"origin":"other","filling":1,"items":[]}`)), 409, session.CodeConflict)
	for _, number := range []string{"0", "2", "-1"} {
		wantProblem(t, h.do(ask("POST", "/v1/cluster/move/records", fmt.Sprintf(`{"origin":%s,"filling":%s,"items":[]}`, origin, number))), 409, session.CodeConflict)
	}
	var back []string
	for target := "/v1/cluster/move/records"; target != ""; {
		page := read[page[json.RawMessage]](t, h.do(ask("GET", target, "")), 200)
		for _, r := range page.Items {
			back = append(back, string(r))
		}
		if target = ""; page.NextCursor != nil {
			target = "/v1/cluster/move/records?cursor=" + *page.NextCursor
		}
	}
	if fmt.Sprint(back) != fmt.Sprint(records) {
		t.Errorf("got  %q\nwant %q", back, records)
	}
	wantProblem(t, h.do(ask("POST", "/v1/cluster/move", fmt.Sprintf(`{"step":"finish","origin":%s,"filling":1,"users":1,"sessions":3}`, origin))), 409, session.CodeConflict)
	finish := fmt.Sprintf(`{"step":"finish","origin":%s,"filling":1,"users":3,"sessions":3}`, origin)
	if got := read[movingAnswer](t, h.do(ask("POST", "/v1/cluster/move", finish)), 200); got.Phase != "open" {
		t.Errorf("got %+v", got)
	}
}

func TestBadMoves(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	many := `{"origin":"o","items":[` + strings.Repeat("{},", session.MaxImportRecords) + "{}]}"
	for _, c := range []struct{ target, body, field string }{
		{"/v1/cluster/move", `{}`, "step"},
		{"/v1/cluster/move", `{"step":"jump"}`, "step"},
		{"/v1/cluster/move", `{"step":"finish","users":-1.5}`, "users"},
		{"/v1/cluster/move", `{"step":"close","force":true}`, "force"},
		{"/v1/cluster/move/records", `{"items":[]}`, "origin"},
		{"/v1/cluster/move/records", `{"origin":"o","filling":"1","items":[]}`, "filling"},
		{"/v1/cluster/move/records", `{"origin":"o","items":{}}`, "items"},
		{"/v1/cluster/move/records", many, "items"},
		{"/v1/cluster/move/records?cursor=x", "", "cursor"},
	} {
		r := request{method: "POST", target: c.target, body: c.body, operator: true}
		if c.body == "" {
			r.method = "GET"
		}
		if p := wantProblem(t, h.do(r), 400, session.CodeInvalid); p.Field != c.field {
			t.Errorf("%s %.40s: got field %q, want %q", c.target, c.body, p.Field, c.field)
		}
	}
}
