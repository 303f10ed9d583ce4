package faircom_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/api/apitest"
	"github.com/hydrastore/hydrastore/session"
)

const (
	noSession      = "'authToken' does not match any existing session. Use a valid 'authToken' or use 'createSession' to create a valid 'authToken'."
	noSessionShort = "'authToken' does not match any existing session. Use a valid 'authToken'."
)

// TestDocumentedAnswers compares whole answers with those of FairCom's documents.
func TestDocumentedAnswers(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	token, _ := h.create("ada", nil)
	for _, test := range []struct{ name, body, want string }{
		{"ping without a token", `{"api":"admin","action":"pingSession"}`, `{"result":{},"errorCode":0,"errorMessage":""}`},
		{"ping", `{"api":"admin","action":"pingSession","authToken":"` + token + `"}`, `{"result":{},"errorCode":0,"errorMessage":"","authToken":"` + token + `"}`},
		{"ping with an invalid token", `{"api":"admin","action":"pingSession","authToken":"invalidAuthToken"}`, `{"errorCode":12031,"errorMessage":"` + noSession + `","authToken":"invalidAuthToken"}`},
		{"delete an unknown session", `{"api":"admin","action":"deleteSession","authToken":"nope"}`, `{"result":{},"errorCode":0,"errorMessage":"","authToken":"nope"}`},
		{"the same with debug", `{"api":"admin","action":"deleteSession","authToken":"nope","debug":"max","requestId":"7"}`,
			`{"requestId":"7","result":{},"errorCode":0,"errorMessage":"","authToken":"nope","debugInfo":{"request":{"action":"deleteSession","api":"admin","authToken":"nope","debug":"max","requestId":"7"},"warnings":[{"code":12031,"message":"` + noSessionShort + `"}]}}`},
		{"delete", `{"api":"admin","action":"deleteSession","authToken":"` + token + `","params":{}}`, `{"result":{},"errorCode":0,"errorMessage":"","authToken":"` + token + `"}`},
		{"ping what was deleted", `{"api":"admin","action":"pingSession","authToken":"` + token + `","requestId":2}`, `{"requestId":2,"errorCode":12031,"errorMessage":"` + noSession + `","authToken":"` + token + `"}`},
		{"list with a dead token", `{"action":"listSessions","authToken":"` + token + `","apiVersion":"1.0","responseOptions":{"numberFormat":"string"},"debug":"none"}`, `{"errorCode":12031,"errorMessage":"` + noSession + `","authToken":"` + token + `"}`},
	} {
		if status, got := h.post(test.body); status != 200 || got != test.want+"\n" {
			t.Errorf("%s: got %d %s\nwant %s", test.name, status, got, test.want)
		}
	}
}

// seedMembers reads the names that FairCom's example of an answer to describeSessions has.
func seedMembers(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("testdata/describe.json")
	if err != nil {
		t.Fatal(err)
	}
	return memberNames(t, decode(t, string(text))["result"].(fields)["sessions"].([]any)[0].(fields))
}

func memberNames(t *testing.T, of fields) []string {
	t.Helper()
	var names []string
	for name := range of {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// TestTutorial walks through FairCom's tutorial of permanent sessions: its requests as they stand there, with names filled in, and its answer's
// members.
func TestTutorial(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	text, err := os.ReadFile("testdata/create.json")
	if err != nil {
		t.Fatal(err)
	}
	// The tutorial has the user's name twice; one of them is the password.
	if _, got := h.post(string(text)); !strings.Contains(got, `"errorCode":90400`) || !strings.Contains(got, "given twice") {
		t.Errorf("the request to the letter: got %s", got)
	}
	body := strings.Replace(string(text), `"username": "CHANGE",
    "username": "CHANGE"`, `"username": "ada", "password": "`+password+`"`, 1)
	_, got := h.post(body)
	answer := decode(t, got)
	wantCode(t, answer, 0)
	token := answer["authToken"].(string)

	text, err = os.ReadFile("testdata/describe_request.json")
	if err != nil {
		t.Fatal(err)
	}
	body = strings.NewReplacer("replaceWithTheAuthTokensYouWantToCheck", token, "replaceWithAuthTokenFromCreateSession", token).Replace(string(text))
	_, got = h.post(body)
	answer = decode(t, got)
	wantCode(t, answer, 0)
	if answer["authToken"] != token {
		t.Errorf("got authToken %v", answer["authToken"])
	}
	shown := answer["result"].(fields)["sessions"].([]any)[0].(fields)
	want := fields{
		"authToken": token, "username": "ADA", "defaultDatabaseName": "faircom", "defaultOwnerName": "admin", "defaultBinaryFormat": "hex",
		"idleConnectionTimeoutSeconds": -1.0, "idleCursorTimeoutSeconds": 600.0, "defaultApi": "hub", "defaultDebug": "max",
		"transformBufferInitialBytes": 0.0, "permanentSession": true, "defaultRetentionPolicy": "autoPurge", "defaultRetentionUnit": "week",
		"defaultRetentionPeriod": 4.0, "hostname": "node1", "hostUuid": "d1430a57-5c8e-44db-adf6-2dbb17ae3e06", "hostServerNamePort": "prod", "hostSQLPort": 0.0,
		"sessionStartTimestamp": startOf(apitest.Start()), "sessionLastAccessedTimestamp": startOf(apitest.Start()),
	}
	for name, value := range want {
		if shown[name] != value {
			t.Errorf("%s: got %v, want %v", name, shown[name], value)
		}
	}
	for _, name := range seedMembers(t) {
		if _, has := shown[name]; !has {
			t.Errorf("the answer lacks %s, which FairCom's has", name)
		}
		delete(shown, name)
	}
	if _, ours := shown["sessionId"]; !ours || len(shown) != 1 {
		t.Errorf("beyond FairCom's members the answer has %v, want sessionId alone", memberNames(t, shown))
	}
	if form := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$`); !form.MatchString(want["sessionStartTimestamp"].(string)) {
		t.Error("a timestamp has another form")
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	token, made := h.create("ada", fields{"description": "nightly <job>", "defaultApi": "db", "defaultResponseOptions": fields{"dataFormat": "arrays"},
		"idleConnectionTimeoutSeconds": 120, "idleCursorTimeoutSeconds": 5, "permanentSession": "false", "defaultVariantFormat": "json"})
	want := func(shown fields, what string, pairs fields) {
		t.Helper()
		for name, value := range pairs {
			got, _ := json.Marshal(shown[name])
			wanted, _ := json.Marshal(value)
			if string(got) != string(wanted) {
				t.Errorf("%s: %s: got %s, want %s", what, name, got, wanted)
			}
		}
	}
	want(made, "created", fields{"description": "nightly <job>", "defaultApi": "db", "defaultDebug": "max", "defaultResponseOptions": fields{"dataFormat": "arrays"},
		"idleConnectionTimeoutSeconds": 120, "idleCursorTimeoutSeconds": 5, "permanentSession": false, "defaultVariantFormat": "json"})
	answer := h.ask("alterSession", token, fields{"description": nil, "defaultDebug": "none", "idleConnectionTimeoutSeconds": 0, "permanentSession": false})
	wantCode(t, answer, 0)
	want(answer["result"].(fields), "altered", fields{"description": nil, "defaultApi": "db", "defaultDebug": "none", "idleConnectionTimeoutSeconds": 0, "authToken": token})
	answer = h.ask("describeSessions", token, fields{"authTokens": []string{token}})
	want(answer["result"].(fields)["sessions"].([]any)[0].(fields), "described", fields{"defaultApi": "db", "defaultDebug": "none", "idleConnectionTimeoutSeconds": 0})

	for name, params := range map[string]fields{
		"username":                     {"username": "bob"},
		"password":                     {"password": "another"},
		"permanentSession":             {"permanentSession": "true"},
		"idleConnectionTimeoutSeconds": {"idleConnectionTimeoutSeconds": -1},
	} {
		answer := h.ask("alterSession", token, params)
		if code := answer["errorCode"].(float64); code != 90400 && code != 90403 || !strings.Contains(answer["errorMessage"].(string), name) {
			t.Errorf("alter %s: got %v", name, answer)
		}
	}
	permanent, _ := h.create("ada", fields{"permanentSession": true, "idleConnectionTimeoutSeconds": 60})
	wantCode(t, h.ask("alterSession", permanent, fields{"permanentSession": false}), 90403)
	wantCode(t, h.ask("alterSession", permanent, fields{"idleConnectionTimeoutSeconds": 60}), 90409)
	wantCode(t, h.ask("alterSession", permanent, fields{"idleConnectionTimeoutSeconds": -1, "permanentSession": true, "defaultApi": "mq"}), 0)
	wantCode(t, h.ask("alterSession", "", fields{}), 90401)
	wantCode(t, h.ask("alterSession", "unknown", fields{}), 12031)
}

// TestWhoSeesWhom: admins see all sessions of this protocol, others their own, and a token is shown to whoever brought it.
func TestWhoSeesWhom(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	root, _ := h.create("root", nil)
	first, _ := h.create("ada", nil)
	second, _ := h.create("ADA", fields{"permanentSession": true})
	other, _ := h.create("bob", nil)
	seen := func(token string, params fields) (tokens, users string) {
		t.Helper()
		for _, action := range []string{"listSessions", "describeSessions"} {
			tokens, users = "", ""
			if action == "listSessions" && params != nil {
				continue
			}
			answer := h.ask(action, token, params)
			wantCode(t, answer, 0)
			for _, s := range answer["result"].(fields)["sessions"].([]any) {
				shown := s.(fields)
				users += shown["username"].(string) + " "
				if got := shown["authToken"].(string); got != "" {
					tokens += got + " "
				}
				if shown["sessionId"] == "" {
					t.Errorf("%s: no sessionId in %v", action, shown)
				}
			}
		}
		return tokens, users
	}
	for name, test := range map[string]struct {
		token         string
		params        fields
		tokens, users string
	}{
		"an admin sees all":            {root, nil, root + " ", "ROOT ADA BOB ADA "},
		"a user its own":               {first, nil, first + " ", "ADA ADA "},
		"null is as good as nothing":   {first, fields{"authTokens": nil}, first + " ", "ADA ADA "},
		"named, its own":               {first, fields{"authTokens": []string{second, second, first}}, second + " " + first + " ", "ADA ADA "},
		"named, another's":             {first, fields{"authTokens": []string{other, "garbage", h.root.Reveal()}}, "", ""},
		"named, another's by an admin": {root, fields{"authTokens": []string{other}}, other + " ", "BOB "},
		"named, none":                  {root, fields{"authTokens": []string{}}, "", ""},
	} {
		if tokens, users := seen(test.token, test.params); tokens != test.tokens || users != test.users {
			t.Errorf("%s: got %q with tokens %q, want %q with %q", name, users, tokens, test.users, test.tokens)
		}
	}
	// Sessions of other protocols are none here, and are left alone.
	for _, action := range []string{"pingSession", "alterSession", "describeSessions", "listSessions"} {
		wantCode(t, h.ask(action, h.root.Reveal(), nil), 12031)
	}
	wantCode(t, h.ask("deleteSession", h.root.Reveal(), nil), 0)
	if h.service.Uses(h.root) < 0 {
		t.Error("a session of another protocol was deleted")
	}
}

func TestLimitOfAList(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	root, _ := h.create("root", nil)
	preset, _ := session.Preset(session.PresetFairCom)
	for range 2100 {
		if _, err := h.service.Login(t.Context(), session.Call{Key: h.root}, session.Login{User: "ada", Vouched: true, Policy: preset.Name}); err != nil {
			t.Fatal(err)
		}
	}
	_, text := h.post(`{"action":"listSessions","debug":"max","authToken":"` + root + `"}`)
	answer := decode(t, text)
	if n := len(answer["result"].(fields)["sessions"].([]any)); n != 2048 {
		t.Errorf("got %d sessions, want 2048", n)
	}
	if !strings.Contains(text, "there are more sessions than one answer shows") {
		t.Error("no warning of what is missing")
	}
}

// TestNothingSecretIsLogged: neither tokens nor passwords, whatever a client does with them, and no password in an answer.
func TestNothingSecretIsLogged(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	token, _ := h.create("ada", nil)
	var answers strings.Builder
	for _, body := range []string{
		`{"action":"createSession","debug":"max","params":{"username":"ada","password":"a-secret-password"}}`,
		`{"action":"createSession","debug":"max","params":{"username":"ada","password":["a-secret-password"]}}`,
		`{"action":"createSession","debug":"max","params":{"username":"ada","password":"a-secret-password"`,
		`{"action":"` + token + `"}`, `{"` + token + `":1}`, `{"action":"pingSession","authToken":"` + token + `x"}`,
		`{"action":"describeSessions","authToken":"` + token + `","params":{"authTokens":["` + token + `"]}}`,
		`{"action":"alterSession","authToken":"` + token + `","params":{"description":"x","` + token + `":"a-secret-password"}}`,
	} {
		_, got := h.post(body)
		answers.WriteString(got)
	}
	for _, secret := range []string{token[3:], "a-secret-password"} {
		if strings.Contains(h.log.String(), secret) {
			t.Errorf("the log holds %.12s…", secret)
		}
	}
	if strings.Contains(answers.String(), "a-secret-password") {
		t.Errorf("an answer holds the password: %s", answers.String())
	}
	if !strings.Contains(h.log.String(), `"operation":"alterSession"`) {
		t.Error("the log does not tell of operations")
	}
}

func TestFailuresOfTheService(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	token, _ := h.create("ada", nil)
	for code, want := range map[session.Code]float64{
		session.CodeThrottled: 90429, session.CodeSessionLimit: 90409, session.CodeNoQuorum: 90503, session.CodeOverloaded: 90503,
		session.CodeOutcomeUnknown: 90504, session.CodeForbidden: 90403, session.CodeInternal: 90500, session.CodeUnauthenticated: 90401,
	} {
		h.service.SetHook(hook(&session.Error{Code: code, Message: "it is so", RetryAfter: time.Second}))
		wantCode(t, h.ask("createSession", "", fields{"username": "ada", "password": password}), want)
		if code != session.CodeUnauthenticated {
			wantCode(t, h.ask("pingSession", token, nil), want)
		}
	}
	h.service.SetHook(nil)
	h.service.SetReady(session.Errorf(session.CodeNoQuorum, "no"))
	wantCode(t, h.ask("pingSession", "", nil), 90503)
}
