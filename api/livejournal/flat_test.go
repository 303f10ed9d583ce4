package livejournal_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/api/livejournal"
	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/session"
)

var (
	challengeForm = regexp.MustCompile(`^c0:[0-9]+:[0-9]{1,4}:60:[a-zA-Z0-9]{20}:[0-9a-f]{32}$`)
	keyForm       = regexp.MustCompile(`^ws:test:([0-9]+):[a-zA-Z0-9]{22}$`)
)

// The bytes of an answer: names in order, one line each, every line with its end.
func TestFlatGetChallenge(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, path := range []string{livejournal.FlatPath, livejournal.OldFlatPath} {
		response, text := s.send("POST", path, "application/x-www-form-urlencoded", "mode=getchallenge")
		shape := regexp.MustCompile(`^auth_scheme\nc0\nchallenge\nc0:[^\n]+\nexpire_time\n[0-9]+\nserver_time\n[0-9]+\nsuccess\nOK\n$`)
		got := pairs(t, text)
		if response.StatusCode != 200 || !shape.MatchString(text) || !challengeForm.MatchString(got["challenge"]) {
			t.Fatalf("%s: %d %q", path, response.StatusCode, text)
		}
		if response.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: header %v", path, response.Header)
		}
	}
	encoded := regexp.MustCompile(`^auth_scheme=c0&challenge=c0%3A[^&]+&expire_time=[0-9]+&server_time=[0-9]+&success=OK&$`)
	if _, text := s.send("POST", livejournal.FlatPath, "", "mode=getchallenge&responseenc=urlenc"); !encoded.MatchString(text) {
		t.Errorf("got %q", text)
	}
	if _, text := s.send("POST", livejournal.FlatPath, "", "mode=login&user=test&password=x&responseenc=urlenc"); text != "errmsg=Invalid+password&success=FAIL&" {
		t.Errorf("got %q", text)
	}
}

// The fixed errors, in the order in which LiveJournal's servers look.
func TestFlatErrors(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for form, want := range map[string]string{
		"":                                      "Client error: No mode specified.",
		"user=test":                             "Client error: No mode specified.",
		"mode=login":                            "Client error: No username sent.",
		"mode=nonsense":                         "Client error: No username sent.",
		"mode=login&user=a+b":                   "Client error: No username sent.",
		"mode=login&user=0123456789abcdef":      "Client error: No username sent.",
		"mode=nonsense&user=test":               "Client error: Unknown mode (nonsense)",
		"mode=x%0Asuccess%0AOK&user=test":       "Client error: Unknown mode (xsuccessOK)",
		"mode=login&mode=login":                 "Client error: Invalid argument(s): an argument is given twice",
		"mode=login&user=test":                  "Invalid password",
		"mode=login&user=test&password=wrong":   "Invalid password",
		"mode=login&user=nobody&password=wrong": "Invalid password",
		"mode=login&user=test&auth_method=oauth&password=" + password:                 "Invalid password",
		"mode=login&user=test&auth_method=cookie":                                     "Invalid password",
		"mode=login&user=test&hpassword=&password=" + password:                        "Invalid password",
		"mode=login&user=test&hpassword=" + hexMD5("wrong") + "&password=" + password: "Invalid password",
		"mode=sessiongenerate&user=test&password=wrong":                               "Invalid password",
		"mode=sessionexpire&user=test&password=wrong&expireall=1":                     "Invalid password",
		"mode=sessionexpire&user=test&password=wrong":                                 "Invalid password",
		"mode=checksession&user=test&password=wrong":                                  "Invalid password",
	} {
		s.wantFail(want, form)
	}
	if _, text := s.send("GET", livejournal.FlatPath+"?mode=getchallenge", "", ""); text != "errmsg\nClient error: No mode specified.\nsuccess\nFAIL\n" {
		t.Errorf("GET: %q", text)
	}
	response, text := s.send("PUT", livejournal.FlatPath, "", "mode=getchallenge")
	if response.StatusCode != http.StatusMethodNotAllowed || !strings.HasSuffix(text, "success\nFAIL\n") {
		t.Errorf("PUT: %d %q", response.StatusCode, text)
	}
	response, text = s.send("POST", livejournal.FlatPath, "", "mode="+strings.Repeat("x", 1<<20))
	if response.StatusCode != http.StatusRequestEntityTooLarge || !strings.HasSuffix(text, "success\nFAIL\n") {
		t.Errorf("a large body: %d %q", response.StatusCode, text)
	}
	full := "mode=getchallenge&x="
	s.wantOK(full + strings.Repeat("x", livejournal.MaxBodyBytes-len(full)))
	s.wantFail("Client error: Invalid argument(s): a request has at most 65536 bytes", full+strings.Repeat("x", livejournal.MaxBodyBytes-len(full)+1))
	s.wantOK("mode=getchallenge&" + manyArguments(livejournal.MaxArguments-1))
	if got := s.flat(manyArguments(livejournal.MaxArguments+1), "from", "192.0.2.2"); got["errmsg"] != "Client error: Too many arguments" {
		t.Errorf("many arguments: %v", got)
	}
}

func manyArguments(n int) string {
	var out strings.Builder
	for i := range n {
		fmt.Fprintf(&out, "%d=&", i)
	}
	return out.String()
}

// Every way to prove who one is, and every form of the user's name.
func TestFlatAuthentication(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, way := range [][]string{
		{"password", password}, {"auth_method", "clear", "password", password}, {"hpassword", hexMD5(password)},
		{"hpassword", strings.ToUpper(hexMD5(password)), "password", "ignored"}, s.byChallenge(password),
	} {
		got := s.wantOK(form(append([]string{"mode", "login", "user", " TeSt\n"}, way...)...))
		if len(got) != 2 || got["name"] != "test" {
			t.Errorf("%v: got %v", way, got)
		}
	}
	if n := s.count(); n != 0 {
		t.Errorf("%d sessions were made", n)
	}
	used := form(append([]string{"mode", "login", "user", "test"}, s.byChallenge(password)...)...)
	s.wantOK(used)
	s.wantFail("Invalid password", used)
	wrong := s.byChallenge("wrong-password")
	s.wantFail("Invalid password", form(append([]string{"mode", "login", "user", "test"}, wrong...)...))
	wrong[5] = hexMD5(wrong[3] + hexMD5(password)) // now right, and too late
	s.wantFail("Invalid password", form(append([]string{"mode", "login", "user", "test"}, wrong...)...))
}

func (s *site) count() int {
	s.t.Helper()
	list, err := s.node.ListSessions(s.t.Context(), operator, session.Filter{User: "test"}, session.Page{})
	if err != nil {
		s.t.Fatal(err)
	}
	return len(list.Items)
}

// At the 60th second a challenge is too old, and says so, whatever the response is.
func TestFlatChallengeExpires(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	right := form(append([]string{"mode", "login", "user", "test"}, s.byChallenge(password)...)...)
	wrong := form(append([]string{"mode", "login", "user", "test"}, s.byChallenge("wrong")...)...)
	s.clock.advance(time.Minute)
	s.eventually("a minute to pass", func() error {
		s.wantFail("Challenge expired", right)
		return nil
	})
	s.wantFail("Challenge expired", wrong)
	forged := strings.Replace(right, "%3A60%3A", "%3A70%3A", 1)
	if forged == right {
		t.Fatal("nothing was forged")
	}
	s.wantFail("Invalid password", forged)
}

func TestFlatBan(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *node.Config) { c.Throttle.PerUser = 3 })
	challenge := form(append([]string{"mode", "login", "user", "test"}, s.byChallenge(password)...)...)
	for range 3 {
		s.wantFail("Invalid password", "mode=login&user=test&password=wrong")
	}
	const banned = "Client error: Your IP address is temporarily banned for exceeding the login failure rate."
	s.wantFail(banned, "mode=login&user=test&password="+password)
	s.wantFail(banned, challenge)
	s.wantOK(challenge, "from", "198.51.100.7") // it was not touched
	s.clock.advance(5 * time.Minute)
	s.eventually("the ban to end", func() error {
		s.wantOK("mode=login&user=test&password=" + password)
		return nil
	})
}

// Without a safe password there is no MD5 of anybody's password, and nothing that needs one.
func TestFlatWithoutSafePassword(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *node.Config) { c.Sealing.Password = "" })
	s.wantFail("Server error: Internal server error: log-ins by challenge are not set up on this server", "mode=getchallenge")
	s.wantFail("Invalid password", "mode=login&user=test&hpassword="+hexMD5(password))
	s.wantOK("mode=login&user=test&password=" + password)
}

// Sessions are numbered for each user, and their cookies open them from where they may.
func TestFlatSessions(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	first, second := s.generate(), s.generate("expiration", "long", "ipfixed", "1")
	third := s.generate("expiration", "longer", "bindtoip", "1")
	for i, key := range []string{first, second, third} {
		match := keyForm.FindStringSubmatch(key)
		if match == nil || match[1] != string(rune('1'+i)) {
			t.Fatalf("key %d is %q", i+1, key)
		}
		want := map[bool]string{true: session.PresetLiveJournalLong, false: session.PresetLiveJournalShort}[i == 1]
		if got, err := s.alive(uint64(i + 1)); err != nil || got.Policy != want {
			t.Errorf("session %d: %+v, %v", i+1, got, err)
		}
		if got := s.wantOK(byCookie, withCookie(key)...); got["name"] != "test" {
			t.Errorf("by cookie %d: %v", i+1, got)
		}
		elsewhere := append(withCookie(key), "from", "192.0.2.9")
		if bound := i > 0; bound {
			s.wantFail("Invalid password", byCookie, elsewhere...)
		} else {
			s.wantOK(byCookie, elsewhere...)
		}
	}
	s.wantFail("Invalid password", byCookie, "Cookie", "ljsession="+first) // no header
	s.wantFail("Invalid password", "mode=login&user=other&auth_method=cookie", withCookie(first)...)
	s.wantFail("Invalid password", byCookie, withCookie(strings.Replace(first, ":1:", ":2:", 1))...)
	s.wantFail("Invalid password", byCookie, withCookie(first[:len(first)-1]+"!")...)
	s.wantOK(byCookie, "X-LJ-Auth", "cookie", "Cookie", "ljmastersession=garbage; ljsession=rubbish", "Cookie", "ljsession="+first)
	s.wantOK(byCookie, "X-LJ-Auth", "cookie", "Cookie", "ljmastersession="+first)
	got := s.wantOK("mode=checksession&user=test&auth_method=cookie", withCookie(first)...)
	if "ws:"+got["session"] != first || got["username"] != "test" || got["caps"] != "0" {
		t.Errorf("checksession: %v", got)
	}
	s.wantFail("Client error: Invalid argument(s): a session makes no other one: send a password or a response",
		"mode=sessiongenerate&user=test&auth_method=cookie", withCookie(first)...)
}

func TestFlatSessionGenerateNeedsThePolicy(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	if _, err := s.node.CreateUser(t.Context(), operator, session.NewUser{Name: "plain", Password: password}); err != nil {
		t.Fatal(err)
	}
	s.wantFail("Client error: Invalid argument(s): the user may not log in under this policy", "mode=sessiongenerate&user=plain&password="+password)
	s.wantOK("mode=login&user=plain&password=" + password)
}

// Which sessions an expire ends; what it says of those that it cannot find: nothing.
func TestFlatSessionExpire(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var keys []string
	for range 5 {
		keys = append(keys, s.generate())
	}
	prove := "mode=sessionexpire&user=test&password=" + password
	wantLiving := func(step string, living ...int) {
		t.Helper()
		for i, key := range keys {
			want := "FAIL"
			for _, n := range living {
				if n == i+1 {
					want = "OK"
				}
			}
			if got := s.flat(byCookie, withCookie(key)...); got["success"] != want {
				t.Errorf("after %s session %d is %v", step, i+1, got)
			}
		}
	}
	for _, nothing := range []string{"", "&expireall=0", "&expireall=", "&expire_id_1=", "&expire_id_1=0", "&expire_id_99=1", "&expire_id_x=1",
		"&expire_id_=1", "&expire_id_99999999999999999999999=1", "&expire_id_-1=1"} {
		if _, text := s.send("POST", livejournal.FlatPath, "", prove+nothing); text != "success\nOK\n" {
			t.Errorf("%q: %q", nothing, text)
		}
	}
	wantLiving("nothing", 1, 2, 3, 4, 5)
	s.wantOK(prove + "&expire_id_2=1&expire_id_4=yes&expire_id_77=1")
	wantLiving("two", 1, 3, 5)
	s.wantOK(form(append([]string{"mode", "sessionexpire", "user", "test", "expire_id_2", "1", "expire_id_1", "1"}, s.byChallenge(password)...)...))
	wantLiving("one by challenge", 3, 5)
	s.wantOK("mode=sessionexpire&user=test&auth_method=cookie&expire_id_3=1", withCookie(keys[2])...) // its own
	wantLiving("its own", 5)
	keys = append(keys, s.generate())
	response, text := s.send("POST", livejournal.FlatPath, "", "mode=sessionexpire&user=test&auth_method=cookie&expireall=1&expire_id_1=1", withCookie(keys[4])...)
	if text != "success\nOK\n" || !strings.HasPrefix(response.Header.Get("Set-Cookie"), "ljsession=; Path=/; Max-Age=0") {
		t.Errorf("got %q, cookies %v", text, response.Header["Set-Cookie"])
	}
	wantLiving("all")
	s.wantFail("Invalid password", "mode=sessionexpire&user=test&auth_method=cookie&expireall=1", withCookie(keys[4])...)
}

// The time lines of short and long sessions: a use leaves them alone until less than half of their time is left, and then gives them all of it again.
func TestRenewalAtHalfLife(t *testing.T) {
	t.Parallel()
	for name, length := range map[string]time.Duration{"short": 24 * time.Hour, "long": 30 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.clock.stop()
			key := s.generate("expiration", name)
			made, err := s.alive(1)
			if err != nil || made.ExpiresAt.Sub(made.CreatedAt) != length {
				t.Fatalf("got %+v, %v", made, err)
			}
			at := func(since time.Duration) {
				t.Helper()
				s.clock.advance(made.CreatedAt.Add(since).Sub(s.clock.Wall()))
			}
			at(length/2 - time.Minute)
			s.wantOK(byCookie, withCookie(key)...)
			if got, err := s.alive(1); err != nil || !got.ExpiresAt.Equal(made.ExpiresAt) {
				t.Errorf("used a minute before half of its time was over: %+v, %v", got, err)
			}
			at(length/2 + time.Second)
			s.wantOK(byCookie, withCookie(key)...)
			renewed, err := s.alive(1)
			if more := renewed.ExpiresAt.Sub(made.ExpiresAt); err != nil || more <= length/2 || more > length/2+20*time.Second {
				t.Fatalf("used a second after: it lives %v longer; %+v, %v", more, renewed, err)
			}
			s.clock.advance(renewed.ExpiresAt.Add(-2 * time.Second).Sub(s.clock.Wall()))
			if _, err := s.alive(1); err != nil {
				t.Errorf("two seconds before its end: %v", err)
			}
			s.clock.advance(5 * time.Second)
			s.wantFail("Invalid password", byCookie, withCookie(key)...)
		})
	}
}
