package api_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/hydrastore/hydrastore/api"
	"github.com/hydrastore/hydrastore/session"
)

// stillService answers every check at once with the same session, so that only the API is measured.
type stillService struct {
	session.Service
	checked session.Checked
	issued  session.Issued
}

func (s *stillService) Check(context.Context, session.Call, bool) (session.Checked, error) {
	return s.checked, nil
}

func (s *stillService) Login(context.Context, session.Call, session.Login) (session.Issued, error) {
	return s.issued, nil
}

func benchServer(b *testing.B) (*api.Server, *house) {
	b.Helper()
	h := newHouse(&testing.T{})
	issued, err := h.service.Login(context.Background(), session.Call{}, session.Login{User: "ada", Password: password,
		Attributes: session.Attributes{"cart": json.RawMessage(`[17,4]`)}})
	if err != nil {
		b.Fatal(err)
	}
	checked, err := h.service.Check(context.Background(), session.Call{Key: issued.Key, Consistency: session.Local}, true)
	if err != nil {
		b.Fatal(err)
	}
	config := api.DefaultConfig()
	config.Logger = slog.New(slog.NewJSONHandler(io.Discard, nil))
	config.AccessLevel = slog.LevelDebug
	server, err := api.New(config, &stillService{checked: checked, issued: issued})
	if err != nil {
		b.Fatal(err)
	}
	return server, h
}

// bareEcho answers the same JSON from a struct, as a plain handler does.
func bareEcho(b *testing.B, like http.Handler, r *http.Request) http.Handler {
	b.Helper()
	w := httptest.NewRecorder()
	like.ServeHTTP(w, r)
	var answer struct {
		ID                string         `json:"id"`
		Number            uint64         `json:"number"`
		User              string         `json:"user"`
		Policy            string         `json:"policy"`
		CreatedAt         string         `json:"created_at"`
		LastUsedAt        string         `json:"last_used_at"`
		ExpiresAt         string         `json:"expires_at"`
		IdleTimeoutS      float64        `json:"idle_timeout_s"`
		AttributesVersion uint64         `json:"attributes_version"`
		Roles             []string       `json:"roles"`
		Attributes        map[string]any `json:"attributes"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		b.Fatal(err)
	}
	e := echo.New()
	e.GET("/v1/session", func(c echo.Context) error { return c.JSON(http.StatusOK, &answer) })
	return e
}

func checkRequest(key session.Key) *http.Request {
	r := httptest.NewRequest("GET", "/v1/session?consistency=local", nil)
	r.Header.Set("Authorization", "Bearer "+key.Reveal())
	return r
}

// BenchmarkHandler measures the handlers alone.
func BenchmarkHandler(b *testing.B) {
	server, h := benchServer(b)
	run := func(handler http.Handler, make func() *http.Request) func(*testing.B) {
		return func(b *testing.B) {
			b.ReportAllocs()
			w := &discard{header: http.Header{}}
			r := make()
			for b.Loop() {
				clear(w.header)
				if r.Body != http.NoBody {
					r = make()
				}
				handler.ServeHTTP(w, r)
			}
		}
	}
	check := func() *http.Request { return checkRequest(h.user) }
	login := func() *http.Request {
		r := httptest.NewRequest("POST", "/v1/sessions", strings.NewReader(`{"user":"ada","policy":"default","client_ip":"203.0.113.7"}`))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+h.trusted.Reveal())
		return r
	}
	b.Run("bare echo", run(bareEcho(b, server.Handler(false), check()), check))
	b.Run("local check", run(server.Handler(false), check))
	b.Run("create", run(server.Handler(false), login))
}

type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}
