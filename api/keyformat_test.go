package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/hydrastore/hydrastore/api"
	"github.com/hydrastore/hydrastore/session"
)

// TestKeysOfEveryFormatAreTaken wherever a key is, and none of them is shown when it stands where no key belongs.
func TestKeysOfEveryFormatAreTaken(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(c *api.Config) { c.CookieName = "sid" })
	for _, format := range session.KeyFormats() {
		policy := h.do(request{method: "PUT", target: "/v1/policies/p-" + string(format), key: h.admin, body: `{"key_format":"` + string(format) + `"}`})
		if got := read[struct {
			KeyFormat string `json:"key_format"`
		}](t, policy, 200); got.KeyFormat != string(format) {
			t.Errorf("%s: the policy has %q", format, got.KeyFormat)
		}
		r := h.do(request{method: "POST", target: "/v1/sessions", key: h.trusted, body: `{"user":"zoë: a/b","policy":"p-` + string(format) + `"}`})
		s := read[sessionAnswer](t, r, http.StatusCreated)
		key := keyOf(t, s.Key)
		if key.Format() != format {
			t.Errorf("%s: got a key of format %s", format, key.Format())
		}
		for what, asked := range map[string]request{
			"Authorization":      {key: key},
			"cookie":             {headers: map[string]string{"Cookie": "__Host-sid=" + s.Key}},
			"Hydrastore-Session": {key: h.trusted, headers: map[string]string{"Hydrastore-Session": s.Key}},
		} {
			asked.method, asked.target = "GET", "/v1/session"
			if got := read[sessionAnswer](t, h.do(asked), 200); got.ID != s.ID {
				t.Errorf("%s in %s opens another session", format, what)
			}
		}
		wantProblem(t, h.do(request{method: "GET", target: "/v1/session", headers: map[string]string{"Authorization": "Bearer " + s.Key + "x"}}), 401, session.CodeUnauthenticated)
		h.misplaced(s.Key)
		rotated := h.do(request{method: "POST", target: "/v1/session/rotate", headers: map[string]string{"Cookie": "__Host-sid=" + s.Key, "Sec-Fetch-Site": "same-origin"}})
		next := read[issued](t, rotated, 200).Key
		if cookie, _, _ := strings.Cut(rotated.Header.Get("Set-Cookie"), ";"); cookie != "__Host-sid="+next || keyOf(t, next).Format() != format {
			t.Errorf("%s: the cookie is %q", format, cookie)
		}
	}
	if p := wantProblem(t, h.do(request{method: "PUT", target: "/v1/policies/p", key: h.admin, body: `{"key_format":"hex16"}`}), 400, session.CodeInvalid); p.Field != "key_format" {
		t.Errorf("an unknown format: %+v", p)
	}
}

// misplaced puts a key where it does not belong.
func (h *house) misplaced(key string) {
	h.t.Helper()
	for _, r := range []request{
		{method: "POST", target: "/v1/sessions", body: `{"user":"x","` + key + `":1}`},
		{method: "GET", target: "/v1/session?" + key + "=1"},
		{method: "GET", target: "/v1/session", headers: map[string]string{"X-Request-Id": key}},
		{method: "PUT", target: "/v1/policies/p", key: h.admin, body: `{"on_limit":"` + key + `"}`},
	} {
		response := h.do(r)
		body := new(strings.Builder)
		if err := response.Write(body); err != nil {
			h.t.Fatal(err)
		}
		if response.StatusCode < 400 || strings.Contains(body.String(), key) || strings.Contains(h.log.String(), key) {
			h.t.Errorf("%s %s: status %d; shown in the answer %v, in the log %v", r.method, strings.ReplaceAll(r.target, key, "KEY"), response.StatusCode,
				strings.Contains(body.String(), key), strings.Contains(h.log.String(), key))
		}
	}
}
