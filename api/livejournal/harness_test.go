package livejournal_test

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/api"
	"github.com/hydrastore/hydrastore/api/livejournal"
	"github.com/hydrastore/hydrastore/api/protocol"
	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/e2e/freeport"
	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/session"
)

const (
	patience = time.Minute // bound of every wait
	password = "test-password"
)

var (
	ports    = freeport.New()
	operator = session.Call{Operator: true}
	cheap    = auth.Params{MemoryKiB: 64, Iterations: 1, Parallelism: 1}
)

// clock is one that tests move on. It runs, too, until it is stopped. The cluster's time is that of its one node.
type clock struct {
	mu      sync.Mutex
	start   time.Time
	more    time.Duration
	stopped bool
}

func (c *clock) Wall() time.Time { return c.start.Add(c.Monotonic()) }

func (c *clock) Monotonic() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		c.more += time.Microsecond // the node can still tell what came first
		return c.more
	}
	return time.Since(c.start) + c.more
}

// stop lets time pass by advance alone, for tests that come near to a deadline.
func (c *clock) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.stopped {
		c.more, c.stopped = c.more+time.Since(c.start), true
	}
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.more += d
}

// site is a cluster of one node that speaks the protocol, with the user test.
type site struct {
	t       *testing.T
	node    *node.Node
	clock   *clock
	handler http.Handler
}

func newSite(t *testing.T, setups ...func(*node.Config)) *site {
	t.Helper()
	peer, err := ports.Address()
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, clock: &clock{start: time.Now()}}
	c := node.DefaultConfig()
	c.Cluster.Dir, c.Cluster.Name, c.Cluster.PeerListen, c.Cluster.GossipListen = t.TempDir(), "n1", peer, "127.0.0.1:0"
	c.Cluster.Join, c.Cluster.BootstrapExpect = []string{peer}, 1
	c.Hashing = auth.Config{Params: cheap}
	c.RequestTimeout = patience // but for what a test of its own asks
	c.Clock, c.Logger = s.clock, slog.New(slog.DiscardHandler)
	c.Sealing = auth.Sealing{Password: "a safe password", Params: cheap}
	c.Fatal = func(err error) { t.Errorf("the node failed: %v", err) }
	for _, name := range []string{session.PresetLiveJournalShort, session.PresetLiveJournalLong} {
		p, _ := session.Preset(name)
		c.Policies = append(c.Policies, p)
	}
	for _, setup := range setups {
		setup(&c)
	}
	if s.node, err = node.New(c); err != nil {
		t.Fatal(err)
	}
	if err := s.node.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.node.Shutdown(context.Background()); err != nil {
			t.Logf("stop: %v", err)
		}
	})
	s.eventually("the node to be ready", func() error { return s.node.Ready(false) })
	s.serve(s.node)
	s.eventually("the user test", func() error {
		_, err := s.node.CreateUser(t.Context(), operator, session.NewUser{
			Name: "test", Password: password, MD5Login: c.Sealing.Password != "", Policies: []string{"default", session.PresetLiveJournalShort, session.PresetLiveJournalLong},
		})
		return err
	})
	return s
}

// serve puts the protocol before a service.
func (s *site) serve(service session.Service) {
	s.t.Helper()
	p := livejournal.New(livejournal.DefaultConfig(), service)
	config := api.DefaultConfig()
	config.Protocols, config.Logger = []protocol.Protocol{p}, slog.New(slog.DiscardHandler)
	server, err := api.New(config, service)
	if err != nil {
		s.t.Fatal(err)
	}
	s.handler = server.Handler(false)
}

func (s *site) eventually(what string, ask func() error) {
	s.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		err := ask()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("waited %v for %s: %v", patience, what, err)
		}
	}
}

// send sends one request from an address.
func (s *site) send(method, path, contentType, body string, headers ...string) (*http.Response, string) {
	s.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.RemoteAddr = "192.0.2.1:5000"
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "from" {
			r.RemoteAddr = headers[i+1] + ":5000"
		} else {
			r.Header.Add(headers[i], headers[i+1])
		}
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	answer, err := io.ReadAll(w.Result().Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return w.Result(), string(answer)
}

// flat asks in the flat protocol and reads the pairs of the answer.
func (s *site) flat(form string, headers ...string) map[string]string {
	s.t.Helper()
	response, text := s.send("POST", livejournal.FlatPath, "application/x-www-form-urlencoded", form, headers...)
	if response.StatusCode != 200 || response.Header.Get("Content-Type") != "text/plain" {
		s.t.Fatalf("%s: %d %s %q", form, response.StatusCode, response.Header.Get("Content-Type"), text)
	}
	return pairs(s.t, text)
}

func pairs(t *testing.T, text string) map[string]string {
	t.Helper()
	lines := strings.Split(text, "\n")
	if len(lines)%2 != 1 || lines[len(lines)-1] != "" {
		t.Fatalf("the answer is not lines of pairs: %q", text)
	}
	out := map[string]string{}
	for i := 0; i+1 < len(lines); i += 2 {
		out[lines[i]] = lines[i+1]
	}
	return out
}

func (s *site) wantFail(want string, form string, headers ...string) {
	s.t.Helper()
	if got := s.flat(form, headers...); got["success"] != "FAIL" || got["errmsg"] != want || len(got) != 2 {
		s.t.Errorf("%s: got %v, want FAIL and %q", form, got, want)
	}
}

func (s *site) wantOK(form string, headers ...string) map[string]string {
	s.t.Helper()
	got := s.flat(form, headers...)
	if got["success"] != "OK" || got["errmsg"] != "" {
		s.t.Fatalf("%s: got %v", form, got)
	}
	return got
}

// form spells arguments as a form.
func form(pairs ...string) string {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v.Encode()
}

func hexMD5(text string) string {
	sum := md5.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}

// byChallenge are the arguments of a log-in by a fresh challenge.
func (s *site) byChallenge(password string) []string {
	s.t.Helper()
	challenge := s.wantOK("mode=getchallenge")["challenge"]
	return []string{"auth_method", "challenge", "auth_challenge", challenge, "auth_response", hexMD5(challenge + hexMD5(password))}
}

// generate makes a session and returns its cookie.
func (s *site) generate(more ...string) string {
	s.t.Helper()
	return s.wantOK(form(append([]string{"mode", "sessiongenerate", "user", "test", "password", password}, more...)...))["ljsession"]
}

// withCookie are the headers of a request by cookie.
func withCookie(key string) []string {
	return []string{"X-LJ-Auth", "cookie", "Cookie", "ljsession=" + key}
}

const byCookie = "mode=login&user=test&auth_method=cookie"

// alive looks at a session without any use of it.
func (s *site) alive(number uint64) (session.Session, error) {
	list, err := s.node.ListSessions(s.t.Context(), operator, session.Filter{User: "test"}, session.Page{})
	if err != nil {
		return session.Session{}, err
	}
	for _, one := range list.Items {
		if one.Number == number {
			return one, nil
		}
	}
	return session.Session{}, errors.New("there is no such session")
}
