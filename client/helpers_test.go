package client_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/hydrastore/hydrastore/api"
	"github.com/hydrastore/hydrastore/api/apitest"
	"github.com/hydrastore/hydrastore/client"
	"github.com/hydrastore/hydrastore/session"
)

const password = "correct horse battery staple"

// newServer serves an in-memory service and logs an admin in.
func newServer(t *testing.T) (*apitest.Service, *httptest.Server, session.Key) {
	t.Helper()
	service := apitest.New()
	admin := service.AddUser("root", password, session.RoleAdmin)
	server := httptest.NewServer(handler(t, service, false))
	t.Cleanup(server.Close)
	return service, server, admin
}

func handler(t *testing.T, service session.Service, operator bool) http.Handler {
	t.Helper()
	config := api.DefaultConfig()
	config.Logger = slog.New(slog.DiscardHandler)
	server, err := api.New(config, service)
	if err != nil {
		t.Fatal(err)
	}
	return server.Handler(operator)
}

func newClient(t *testing.T, config client.Config) *client.Client {
	t.Helper()
	c, err := client.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// script plays the nodes: it answers each request with the next step of the node that is asked.
type script struct {
	mu    sync.Mutex
	steps map[string][]step // by host; the last one is repeated
	asked []string          // "host METHOD"
	keys  []string          // Idempotency-Key of each
}

type step func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	steps := s.steps[r.URL.Host]
	if len(steps) == 0 {
		s.mu.Unlock()
		return nil, fmt.Errorf("there is no node %s", r.URL.Host)
	}
	if len(steps) > 1 {
		s.steps[r.URL.Host] = steps[1:]
	}
	s.asked = append(s.asked, r.URL.Host)
	s.keys = append(s.keys, r.Header.Get("Idempotency-Key"))
	s.mu.Unlock()
	return steps[0](r)
}

func (s *script) client(t *testing.T, change ...func(*client.Config)) *client.Client {
	t.Helper()
	config := client.Config{Addresses: []string{"a", "b", "c"}, HTTPClient: &http.Client{Transport: s}}
	for _, c := range change {
		c(&config)
	}
	return newClient(t, config)
}

func (s *script) order() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.asked, "")
}

// answers with a status and a body; a code makes it a problem document.
func answers(status int, code session.Code, headers ...string) step {
	return func(*http.Request) (*http.Response, error) {
		header := http.Header{"Content-Type": {"text/html"}, "X-Request-Id": {"r1"}}
		body := "<html>"
		if code != "" {
			header.Set("Content-Type", "application/problem+json")
			body = fmt.Sprintf(`{"code":%q,"detail":"a sentence","field":"f"}`, code)
		}
		for i := 0; i+1 < len(headers); i += 2 {
			header.Set(headers[i], headers[i+1])
		}
		return &http.Response{StatusCode: status, Status: fmt.Sprint(status), Header: header, Body: io.NopCloser(strings.NewReader(body))}, nil
	}
}

// succeeds with an empty object, whatever is asked.
func succeeds(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Header: http.Header{"Hydrastore-Index": {"1:5"}}, Body: io.NopCloser(strings.NewReader(`{"items":[]}`))}, nil
}
