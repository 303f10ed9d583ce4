package api_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/hydrastore/hydrastore/session"
)

// operation of the document, with a path that can be asked for.
type operation struct {
	method, path string
	*openapi3.Operation
}

func (o operation) String() string { return o.method + " " + o.path }

func operations(t *testing.T) []operation {
	t.Helper()
	samples := strings.NewReplacer("{id}", strings.Repeat("0", 26), "{user}", "ada", "{name}", "default")
	var all []operation
	for path, item := range document(t).Paths.Map() {
		for method, o := range item.Operations() {
			all = append(all, operation{method, samples.Replace(path), o})
		}
	}
	if len(all) < 25 {
		t.Fatalf("the document has %d operations", len(all))
	}
	return all
}

// TestEveryOperationRefusesUnknownParameters also tries an empty and a repeated one, and a broken query.
func TestEveryOperationRefusesUnknownParameters(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, o := range operations(t) {
		tests := []struct{ query, field string }{
			{"surprise=1", "surprise"},
			{"key=" + h.user.Reveal()[:10], "key"},
			{"%zz=1", "query"},
			{"a;b", "query"},
			{strings.Repeat("x", 300) + "=1", strings.Repeat("x", 64) + "…"},
		}
		for _, p := range o.Parameters {
			if p.Value.In == "query" {
				tests = append(tests, struct{ query, field string }{p.Value.Name + "=", p.Value.Name},
					struct{ query, field string }{p.Value.Name + "=1&" + p.Value.Name + "=1", p.Value.Name},
					struct{ query, field string }{p.Value.Name + "=%ff", p.Value.Name})
			}
		}
		for _, test := range tests {
			r := h.do(request{method: o.method, target: o.path + "?" + test.query, key: h.admin})
			if p := wantProblem(t, r, http.StatusBadRequest, session.CodeInvalid); p.Field != test.field {
				t.Errorf("%v?%s: got field %q, want %q", o, test.query, p.Field, test.field)
			}
		}
	}
}

// TestEveryOperationWithoutBodyRefusesOne of a known and of an unknown length.
func TestEveryOperationWithoutBodyRefusesOne(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, o := range operations(t) {
		if o.RequestBody != nil {
			continue
		}
		for _, length := range []int64{2, -1} {
			r := httptest.NewRequest(o.method, o.path, strings.NewReader("{}"))
			r.ContentLength = length
			r.Header.Set("Authorization", "Bearer "+h.admin.Reveal())
			if p := wantProblem(t, h.send(r, false), http.StatusBadRequest, session.CodeInvalid); p.Field != "body" {
				t.Errorf("%v: got field %q, want body", o, p.Field)
			}
		}
	}
}

// TestEveryBodyIsReadStrictly tries what no body may be.
func TestEveryBodyIsReadStrictly(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	const mebibyte = 1 << 20
	for _, o := range operations(t) {
		if o.RequestBody == nil {
			continue
		}
		required := o.RequestBody.Value.Required
		known := "anything" // of a body without fixed members
		properties := o.RequestBody.Value.Content["application/json"].Schema.Value.Properties
		for name := range properties {
			known = name
		}
		tests := []struct {
			name, body, mediaType string
			status                int
			code                  session.Code
			detail                string
		}{
			{name: "blank", body: " \n", detail: "the body is empty"},
			{name: "garbage", body: "garbage", detail: "line 1, column 1: a JSON object should be here"},
			{name: "array", body: "[]", detail: "a JSON object should be here"},
			{name: "null", body: "null", detail: "a JSON object should be here"},
			{name: "string", body: `"x"`, detail: "a JSON object should be here"},
			{name: "unclosed", body: "{", detail: "column 2: a name in double quotes"},
			{name: "trailing text", body: "{} {}", detail: "more text follows"},
			{name: "trailing comma", body: `{"` + known + `":1,}`, detail: ""},
			{name: "twice", body: fmt.Sprintf(`{%q:"a",%q:"a"}`, known, known), detail: ""},
			{name: "wrong encoding", body: "{\"\xff\":1}", detail: "not valid UTF-8"},
			{name: "UTF-16", body: "\xfe\xff\x00{\x00}", detail: "a JSON object should be here"},
			{name: "byte order mark", body: "\xef\xbb\xbf{}", detail: "a JSON object should be here"},
			{name: "half surrogate", body: `{"\ud800":1}`, detail: "half of a surrogate pair"},
			{name: "deep", body: `{"` + known + `":` + strings.Repeat("[", 100_000), detail: "levels deep"},
			{name: "form", body: "user=ada", mediaType: "application/x-www-form-urlencoded", status: 415, detail: "application/json"},
			{name: "plain text", body: "{}", mediaType: "text/plain", status: 415, detail: "application/json"},
			{name: "other charset", body: "{}", mediaType: "application/json; charset=latin1", status: 415, detail: "UTF-8"},
			{name: "no type", body: "{}", mediaType: "-", status: 415, detail: "application/json"},
			{name: "huge", body: `{"` + known + `":"` + strings.Repeat("x", mebibyte) + `"}`, status: 413, code: session.CodeTooLarge, detail: "1048576 bytes"},
		}
		if len(properties) > 0 {
			tests = append(tests, tests[0])
			tests[len(tests)-1].name, tests[len(tests)-1].body, tests[len(tests)-1].detail = "unknown member", `{"surprise":1}`, "unknown member; this body takes "
		}
		for _, test := range tests {
			r := httptest.NewRequest(o.method, o.path, strings.NewReader(test.body))
			if test.mediaType == "" {
				test.mediaType = "application/json"
			}
			if test.mediaType != "-" {
				r.Header.Set("Content-Type", test.mediaType)
			}
			r.Header.Set("Authorization", "Bearer "+h.admin.Reveal())
			if test.status == 0 {
				test.status = http.StatusBadRequest
			}
			if test.code == "" {
				test.code = session.CodeInvalid
			}
			p := wantProblem(t, h.send(r, false), test.status, test.code)
			if !strings.Contains(p.Detail, test.detail) || p.Field == "" {
				t.Errorf("%v, %s: got field %q, detail %q, want one with %q", o, test.name, p.Field, p.Detail, test.detail)
			}
		}
		if required {
			r := httptest.NewRequest(o.method, o.path, nil)
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Authorization", "Bearer "+h.admin.Reveal())
			if p := wantProblem(t, h.send(r, false), http.StatusBadRequest, session.CodeInvalid); p.Field != "body" {
				t.Errorf("%v without a body: got field %q", o, p.Field)
			}
		}
	}
}

// TestDecodersKnowTheDocument: each member of each body in the document is known, and of a wrong type it is 400 by its name.
func TestDecodersKnowTheDocument(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	wrong := map[string][]string{
		"string": {"1", "true", "null", "[]", "{}"}, "number": {`"1"`, "true", "null", "[]", "1e999", "0.00001"},
		"boolean": {`"true"`, "1", "null"}, "array": {`"user"`, "null", "{}", "[1]", `["a",null]`, `[["a"]]`},
		"object": {`"x"`, "[]", "null", "1"},
	}
	members := 0
	for _, o := range operations(t) {
		if o.RequestBody == nil {
			continue
		}
		for name, property := range o.RequestBody.Value.Content["application/json"].Schema.Value.Properties {
			members++
			for _, value := range wrong[property.Value.Type.Slice()[0]] {
				r := h.do(request{method: o.method, target: o.path, body: fmt.Sprintf("{\n  %q: %s}", name, value), key: h.admin})
				p := wantProblem(t, r, http.StatusBadRequest, session.CodeInvalid)
				if p.Field != name || !strings.HasPrefix(p.Detail, "line 2, column ") || strings.Contains(p.Detail, "unknown") {
					t.Errorf("%v with %s %s: got field %q, %q", o, name, value, p.Field, p.Detail)
				}
			}
		}
	}
	if members < 20 {
		t.Errorf("tried %d members", members)
	}
}

// TestBadValues lists what is well-formed and still wrong.
func TestBadValues(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	long := strings.Repeat("x", 600)
	tests := []struct {
		name  string
		r     request
		field string
		code  session.Code // "" = invalid_request
	}{
		{name: "no user", r: request{method: "POST", target: "/v1/sessions", body: `{"password":"x"}`}, field: "user"},
		{name: "empty user", r: request{method: "POST", target: "/v1/sessions", body: `{"user":" ","password":"x"}`}, field: "user"},
		{name: "control character", r: request{method: "POST", target: "/v1/sessions", body: `{"user":"a\u0000","password":"x"}`}, field: "user"},
		{name: "long user", r: request{method: "POST", target: "/v1/sessions", body: `{"user":"` + long + `","password":"x"}`}, field: "user", code: session.CodeTooLarge},
		{name: "address", r: request{method: "POST", target: "/v1/sessions", body: `{"user":"a","client_ip":"1.2.3.4:5"}`}, field: "client_ip"},
		{name: "long user agent", r: request{method: "POST", target: "/v1/sessions", body: `{"user":"a","user_agent":"` + long + `"}`}, field: "user_agent", code: session.CodeTooLarge},
		{name: "policy name", r: request{method: "POST", target: "/v1/sessions", body: `{"user":"a","policy":"A B"}`}, field: "policy"},
		{name: "attribute twice", r: request{method: "POST", target: "/v1/sessions", body: `{"user":"a","attributes":{"c":1,"\u0063":2}}`}, field: "attributes.c"},
		{name: "inner member twice", r: request{method: "POST", target: "/v1/sessions", body: `{"user":"a","attributes":{"c":{"d":1,"d":2}}}`}, field: "attributes.c.d"},
		{name: "attribute too long", r: request{method: "PATCH", target: "/v1/session/attributes", body: `{"c":"` + strings.Repeat("x", 4100) + `"}`}, field: "attributes.c", code: session.CodeTooLarge},
		{name: "idempotency key", r: request{method: "POST", target: "/v1/sessions", body: `{"user":"a"}`, headers: map[string]string{"Idempotency-Key": long}}, field: "Idempotency-Key"},
		{name: "foreign idempotency key", r: request{method: "POST", target: "/v1/sessions", body: `{"user":"a"}`, headers: map[string]string{"Idempotency-Key": "ä"}}, field: "Idempotency-Key"},
		{name: "if-match without quotes", r: request{method: "PATCH", target: "/v1/session/attributes", body: `{}`, headers: map[string]string{"If-Match": "12"}}, field: "If-Match"},
		{name: "weak if-match", r: request{method: "PATCH", target: "/v1/users/ada", body: `{}`, headers: map[string]string{"If-Match": `W/"12"`}}, field: "If-Match"},
		{name: "two if-matches", r: request{method: "PUT", target: "/v1/policies/p", body: `{}`, headers: map[string]string{"If-Match": `"1", "2"`}}, field: "If-Match"},
		{name: "consistency", r: request{method: "GET", target: "/v1/session?consistency=eventual"}, field: "consistency"},
		{name: "min_index", r: request{method: "GET", target: "/v1/session?min_index=12"}, field: "min_index"},
		{name: "min_index and touch", r: request{method: "GET", target: "/v1/session?min_index=1:12&touch=true"}, field: "touch"},
		{name: "touch", r: request{method: "GET", target: "/v1/session?touch=no"}, field: "touch"},
		{name: "limit of zero", r: request{method: "GET", target: "/v1/sessions?limit=0"}, field: "limit"},
		{name: "limit too high", r: request{method: "GET", target: "/v1/sessions?limit=1001"}, field: "limit"},
		{name: "limit with sign", r: request{method: "GET", target: "/v1/sessions?limit=%2B5"}, field: "limit"},
		{name: "cursor", r: request{method: "GET", target: "/v1/sessions?cursor=x"}, field: "cursor"},
		{name: "filter by address", r: request{method: "GET", target: "/v1/sessions?client_ip=localhost"}, field: "client_ip"},
		{name: "filter by zoned address", r: request{method: "GET", target: "/v1/sessions?client_ip=fe80::1%25eth0"}, field: "client_ip"},
		{name: "filter by policy", r: request{method: "GET", target: "/v1/sessions?policy=A"}, field: "policy"},
		{name: "filter by blank user", r: request{method: "GET", target: "/v1/sessions?user=%20"}, field: "user"},
		{name: "no time", r: request{method: "GET", target: "/v1/sessions?idle_longer_than=0"}, field: "idle_longer_than"},
		{name: "negative time", r: request{method: "GET", target: "/v1/sessions?idle_longer_than=-1"}, field: "idle_longer_than"},
		{name: "endless time", r: request{method: "GET", target: "/v1/sessions?idle_longer_than=inf"}, field: "idle_longer_than"},
		{name: "hexadecimal time", r: request{method: "GET", target: "/v1/sessions?idle_longer_than=0x1p4"}, field: "idle_longer_than"},
		{name: "revoke all by omission", r: request{method: "DELETE", target: "/v1/sessions"}, field: "all"},
		{name: "all=false", r: request{method: "DELETE", target: "/v1/sessions?all=false"}, field: "all"},
		{name: "revoke all by blank user", r: request{method: "DELETE", target: "/v1/sessions?user=%09"}, field: "user"},
		{name: "all and a filter", r: request{method: "DELETE", target: "/v1/sessions?all=true&user=ada"}, field: "all"},
		{name: "session id", r: request{method: "GET", target: "/v1/sessions/xyz"}, field: "id"},
		{name: "session id in capitals", r: request{method: "DELETE", target: "/v1/sessions/" + strings.Repeat("A", 26)}, field: "id"},
		{name: "except", r: request{method: "DELETE", target: "/v1/users/ada/sessions?except=all"}, field: "except"},
		{name: "user in path", r: request{method: "GET", target: "/v1/users/%ff"}, field: "user"},
		{name: "blank user in path", r: request{method: "DELETE", target: "/v1/users/%20/sessions"}, field: "user"},
		{name: "short password", r: request{method: "POST", target: "/v1/users", body: `{"user":"bob","password":"short"}`}, field: "password"},
		{name: "role", r: request{method: "POST", target: "/v1/users", body: `{"user":"bob","roles":["god"]}`}, field: "roles"},
		{name: "many roles", r: request{method: "PATCH", target: "/v1/users/ada", body: `{"roles":["` + strings.Repeat(`user","`, 100) + `user"]}`}, field: "roles"},
		{name: "negative timeout", r: request{method: "PUT", target: "/v1/policies/p", body: `{"idle_timeout_s":-1}`}, field: "idle_timeout_s"},
		{name: "negative window", r: request{method: "PATCH", target: "/v1/policies/default", body: `{"touch_window_s":-2}`}, field: "touch_window_s"},
		{name: "endless session", r: request{method: "PUT", target: "/v1/policies/p", body: `{"idle_timeout_s":0,"absolute_lifetime_s":0}`}, field: "idle_timeout_s"},
		{name: "attributes writer", r: request{method: "PUT", target: "/v1/policies/p", body: `{"attributes_write":"anyone"}`}, field: "attributes_write"},
		{name: "negative limit", r: request{method: "PUT", target: "/v1/policies/p", body: `{"max_sessions_per_user":-1}`}, field: "max_sessions_per_user"},
		{name: "limit beyond reason", r: request{method: "PUT", target: "/v1/policies/p", body: `{"max_sessions_per_address":10001}`}, field: "max_sessions_per_address"},
		{name: "half a session", r: request{method: "PUT", target: "/v1/policies/p", body: `{"max_sessions":1.5}`}, field: "max_sessions"},
		{name: "limit of many digits", r: request{method: "PUT", target: "/v1/policies/p", body: `{"max_sessions":99999999999}`}, field: "max_sessions"},
		{name: "at the limit", r: request{method: "PUT", target: "/v1/policies/p", body: `{"on_limit":"kick"}`}, field: "on_limit"},
		{name: "single", r: request{method: "PUT", target: "/v1/policies/p", body: `{"single_session":1}`}, field: "single_session"},
		{name: "cluster limit", r: request{method: "PATCH", target: "/v1/limits", body: `{"max_sessions":67108865}`}, field: "max_sessions"},
		{name: "at the cluster limit", r: request{method: "PATCH", target: "/v1/limits", body: `{"on_limit":""}`}, field: "on_limit"},
		{name: "limit of nothing", r: request{method: "PATCH", target: "/v1/limits", body: `{"max_sessions_per_user":1}`}, field: "max_sessions_per_user"},
		{name: "policy in path", r: request{method: "PUT", target: "/v1/policies/A", body: `{}`}, field: "policy"},
		{name: "no peer address", r: request{method: "POST", target: "/v1/cluster/members", body: `{}`}, field: "peer_address"},
		{name: "readyz", r: request{method: "GET", target: "/readyz?for=fun"}, field: "for"},
		{name: "subject's address", r: request{method: "GET", target: "/v1/session", headers: map[string]string{"Hydrastore-Session": h.user.Reveal(), "Hydrastore-Client-IP": "x"}}, field: "Hydrastore-Client-IP"},
		{name: "address without subject", r: request{method: "GET", target: "/v1/session", headers: map[string]string{"Hydrastore-Client-IP": "1.2.3.4"}}, field: "Hydrastore-Client-IP"},
		{name: "agent without subject", r: request{method: "POST", target: "/v1/session/touch", headers: map[string]string{"Hydrastore-User-Agent": "x"}}, field: "Hydrastore-User-Agent"},
		{name: "subject elsewhere", r: request{method: "GET", target: "/v1/sessions", headers: map[string]string{"Hydrastore-Session": h.user.Reveal()}}, field: "Hydrastore-Session"},
		{name: "subject's address elsewhere", r: request{method: "POST", target: "/v1/sessions", body: `{"user":"a"}`, headers: map[string]string{"Hydrastore-Client-IP": "1.2.3.4"}}, field: "Hydrastore-Client-IP"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.r.key = h.admin
			if test.code == "" {
				test.code = session.CodeInvalid
			}
			p := wantProblem(t, h.do(test.r), http.StatusBadRequest, test.code)
			if p.Field != test.field {
				t.Errorf("got field %q, want %q: %s", p.Field, test.field, p.Detail)
			}
		})
	}
	if got := h.service.Live(); got != 3 {
		t.Errorf("%d sessions are alive, want the 3 from the beginning", got)
	}
}

// TestBodyLimitIsExact: 1 MiB is taken, one byte more is not, announced or not.
func TestBodyLimitIsExact(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	const limit = 1 << 20
	for _, test := range []struct {
		size   int
		length int64
		status int
		code   session.Code
	}{
		{limit, limit, 401, session.CodeUnauthenticated}, {limit, -1, 401, session.CodeUnauthenticated},
		{limit + 1, limit + 1, 413, session.CodeTooLarge}, {limit + 1, -1, 413, session.CodeTooLarge},
	} {
		body := `{"user":"ada","password":"wrong"}`
		body += strings.Repeat(" ", test.size-len(body))
		r := httptest.NewRequest("POST", "/v1/sessions", strings.NewReader(body))
		r.ContentLength = test.length
		r.Header.Set("Content-Type", "application/json")
		wantProblem(t, h.send(r, false), test.status, test.code)
	}
}
