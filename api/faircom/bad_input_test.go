package faircom_test

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hydrastore/hydrastore/api/apitest"
	"github.com/hydrastore/hydrastore/session"
)

func hook(err error) apitest.Hook {
	return func(context.Context, string, session.Call) error { return err }
}

// TestBadInput: what clients get wrong, and what they are told. Nothing of it makes a session.
func TestBadInput(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	token, _ := h.create("ada", nil)
	live := h.service.Live()
	create := func(params string) string { return `{"action":"createSession","params":` + params + `}` }
	alter := func(params string) string {
		return `{"action":"alterSession","authToken":"` + token + `","params":` + params + `}`
	}
	login := `"username":"ada","password":"` + password + `",`
	for _, test := range []struct{ name, body, want string }{
		{"nothing", "", `90400,"errorMessage":"'body' line 1, column 1: the body is empty`},
		{"no JSON", "hello", `90400,"errorMessage":"'body' line 1`},
		{"an array", "[]", "90400"},
		{"a batch", `[{"action":"pingSession"}]`, "90400"},
		{"cut off", `{"action":"pingSession"`, "90400"},
		{"trailing", `{"action":"pingSession"} x`, "90400"},
		{"twice", `{"action":"pingSession","action":"pingSession"}`, "given twice"},
		{"wrong UTF-8", "{\"action\":\"\xff\"}", "not valid UTF-8"},
		{"deep", `{"action":"pingSession","params":` + strings.Repeat(`{"a":`, 100) + `1` + strings.Repeat("}", 100) + `}`, "90400"},
		{"no action", `{"api":"admin"}`, `'action' is needed`},
		{"unknown action", `{"action":"dropTable"}`, `90404,"errorMessage":"'action' there is no such action`},
		{"action of a number", `{"action":5}`, `'action' line 1, column 11: must be a string`},
		{"action in capitals", `{"action":"PINGSESSION"}`, `90404`},
		{"another api", `{"api":"db","action":"pingSession"}`, `'api'`},
		{"another version", `{"apiVersion":"2.0","action":"pingSession"}`, `'apiVersion'`},
		{"unknown member", `{"action":"pingSession","tokn":"x"}`, `'tokn' line 1, column 32: unknown member`},
		{"params of a text", `{"action":"pingSession","params":"x"}`, `'params'`},
		{"params null", `{"action":"pingSession","params":null}`, `'params'`},
		{"params for ping", `{"action":"pingSession","params":{"a":1}}`, `'params.a'`},
		{"params for delete", `{"action":"deleteSession","authToken":"x","params":{"all":true}}`, `'params.all'`},
		{"requestId of an object", `{"action":"pingSession","requestId":{}}`, `'requestId'`},
		{"requestId too long", `{"action":"pingSession","requestId":"` + strings.Repeat("x", 255) + `"}`, `'requestId' line 1, column 37: has at most 256 bytes`},
		{"token of a number", `{"action":"pingSession","authToken":7}`, `'authToken'`},
		{"token too long", `{"action":"pingSession","authToken":"` + strings.Repeat("x", 300) + `"}`, `"errorCode":12031`},
		{"token empty", `{"action":"pingSession","authToken":""}`, `"errorCode":12031`},
		{"no token", `{"action":"deleteSession"}`, `90401`},
		{"no token to list", `{"action":"listSessions"}`, `90401`},
		{"no token to describe", `{"action":"describeSessions"}`, `90401`},
		{"tokens of numbers", `{"action":"describeSessions","authToken":"` + token + `","params":{"authTokens":[1]}}`, `'params.authTokens'`},
		{"too many tokens", `{"action":"describeSessions","authToken":"` + token + `","params":{"authTokens":["` + strings.Repeat(`x","`, 64) + `x"]}}`, `at most 64 elements`},
		{"nobody", create(`{"password":"x"}`), `'params.username' is needed`},
		{"no password", create(`{"username":"ada"}`), `'params.password' is needed`},
		{"no params", `{"action":"createSession"}`, `'params.username' is needed`},
		{"wrong password", create(`{"username":"ada","password":"wrong"}`), `90401,"errorMessage":"the user name or password is not right"`},
		{"unknown user", create(`{"username":"eve","password":"wrong"}`), `90401,"errorMessage":"the user name or password is not right"`},
		{"permanent of a number", create(`{` + login + `"permanentSession":1}`), `'params.permanentSession'`},
		{"permanent of another text", create(`{` + login + `"permanentSession":"yes"}`), `must be true or false`},
		{"idle negative", create(`{` + login + `"idleConnectionTimeoutSeconds":-2}`), `must be 0 (never)`},
		{"idle -1", create(`{` + login + `"idleConnectionTimeoutSeconds":-1}`), `-1 is what permanent sessions report`},
		{"idle of a fraction", create(`{` + login + `"idleConnectionTimeoutSeconds":1.5}`), `must be a whole number`},
		{"idle of a text", create(`{` + login + `"idleConnectionTimeoutSeconds":"60"}`), `must be a whole number`},
		{"idle too long", create(`{` + login + `"idleConnectionTimeoutSeconds":315360001}`), `must be 0 (never)`},
		{"idle out of range", create(`{` + login + `"idleConnectionTimeoutSeconds":99999999999}`), `is out of range`},
		{"cursor negative", create(`{` + login + `"idleCursorTimeoutSeconds":-1}`), `must not be negative`},
		{"description too long", create(`{` + login + `"description":"` + strings.Repeat("x", 1025) + `"}`), `at most 1024 bytes`},
		{"setting too long", create(`{` + login + `"defaultApi":"` + strings.Repeat("x", 257) + `"}`), `at most 256 bytes`},
		{"setting of a number", create(`{` + login + `"defaultApi":1}`), `'params.defaultApi'`},
		{"options of a text", create(`{` + login + `"defaultResponseOptions":"x"}`), `'params.defaultResponseOptions'`},
		{"options unknown", create(`{` + login + `"defaultResponseOptions":{"x":1}}`), `'params.defaultResponseOptions.x'`},
		{"unknown parameter", create(`{` + login + `"autoCommit":true}`), `'params.autoCommit'`},
		{"too large", create(`{` + login + `"description":"` + strings.Repeat("x", 17<<10) + `"}`), `"errorCode":90413`},
		{"alter unknown", alter(`{"x":1}`), `'params.x'`},
		{"alter null name", alter(`{"username":null}`), `cannot be changed`},
	} {
		status, got := h.post(test.body)
		if !strings.Contains(got, test.want) || status != 200 && test.name != "too large" {
			t.Errorf("%s: got %d %s, want %s", test.name, status, got, test.want)
		}
		if strings.Contains(got, `"errorCode":0`) || strings.Contains(got, "urn:hydrastore") {
			t.Errorf("%s: got %s", test.name, got)
		}
	}
	if got := h.service.Live(); got != live {
		t.Errorf("%d sessions, want %d", got, live)
	}
}

func TestWrongMethod(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, method := range []string{"GET", "PUT", "DELETE", "OPTIONS", "BREW"} {
		w := httptest.NewRecorder()
		h.server.Handler(false).ServeHTTP(w, httptest.NewRequest(method, "/api", nil))
		if answer := decode(t, w.Body.String()); w.Code != 405 || answer["errorCode"] != 90405.0 || w.Header().Get("Allow") != "POST" {
			t.Errorf("%s: got %d %v %v", method, w.Code, w.Header(), answer)
		}
	}
}

// FuzzRequests: no body makes the protocol panic or answer something else than its own form, and none makes it hold much more than the body.
func FuzzRequests(f *testing.F) {
	for _, seed := range []string{
		`{"api":"admin","action":"createSession","params":{"username":"ada","password":"correct horse battery staple","permanentSession":"true","description":"x","defaultResponseOptions":{"dataFormat":"objects"}},"requestId":"1","debug":"max"}`,
		`{"action":"alterSession","authToken":"t","params":{"idleConnectionTimeoutSeconds":0,"defaultApi":null}}`,
		`{"action":"describeSessions","authToken":"t","params":{"authTokens":["t","u"]},"responseOptions":{}}`,
		`{"action":"deleteSession","authToken":"t","debug":"none"}`, `{"action":"pingSession"}`, `{"action":"listSessions","requestId":1e5}`,
		"{\"action\":\"\xff\"}", `[]`, ``, `{"params":{}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		h := newHouse(t)
		status, got := h.post(string(body))
		answer := decode(t, got)
		code, is := answer["errorCode"].(float64)
		if _, has := answer["errorMessage"].(string); !has || !is || code == 90500 {
			t.Errorf("got %d %s", status, got)
		}
		if len(got) > 8<<10+6*len(body) {
			t.Errorf("%d bytes were answered to %d", len(got), len(body))
		}
	})
}
