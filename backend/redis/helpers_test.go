package redis_test

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/backend/redis"
	"github.com/hydrastore/hydrastore/backend/redis/redistest"
	"github.com/hydrastore/hydrastore/session"
)

const patience = 30 * time.Second // for what should happen soon, on a machine that has much else to do

// need skips a test where there is no redis-server, unless all must run.
func need(t testing.TB) {
	t.Helper()
	if _, err := redistest.Path(); err != nil {
		if os.Getenv("HYDRASTORE_E2E") == "require" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

func startServer(t testing.TB, o redistest.Options) *redistest.Server {
	t.Helper()
	need(t)
	s, err := redistest.Start(t.Context(), t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// quick makes a Store notice things soon.
func quick(c redis.Config) redis.Config {
	c.HealthInterval = 20 * time.Millisecond
	return c
}

// patient waits for answers longer than the default, unless a test says how long: servers run on a machine that has much else to do.
func patient(c redis.Config) redis.Config {
	c.Timeout, c.DialTimeout = cmp.Or(c.Timeout, patience), cmp.Or(c.DialTimeout, patience)
	return c
}

func open(t *testing.T, c redis.Config) *redis.Store {
	t.Helper()
	s, err := redis.Open(t.Context(), patient(c))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// raw is a client that sees what is really in the server.
func raw(t testing.TB, o *goredis.Options) *goredis.Client {
	t.Helper()
	c := goredis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func eventually(t *testing.T, what string, fact func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !fact(); <-time.After(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

func awaitReady(t *testing.T, s *redis.Store) {
	t.Helper()
	var err error
	eventually(t, "ready", func() bool { err = s.Ready(); return err == nil })
}

func user(id string) backend.Name { return backend.Name{Kind: backend.KindUser, ID: id} }

func put(t *testing.T, s *redis.Store, id, value string, was backend.Version) backend.Version {
	t.Helper()
	version, err := s.Put(t.Context(), user(id), []byte(value), was, time.Time{})
	if err != nil {
		t.Fatalf("put %s: %v", id, err)
	}
	return version
}

func get(t *testing.T, s *redis.Store, id string) backend.Record {
	t.Helper()
	got, err := s.Get(t.Context(), user(id))
	if err != nil {
		t.Fatalf("get %s: %v", id, err)
	}
	return got.Records[0]
}

// wantCode wants an error of that code which says when to come again.
func wantCode(t *testing.T, what string, err error, codes ...session.Code) {
	t.Helper()
	var e *session.Error
	if !errors.As(err, &e) {
		t.Errorf("%s: got %v, want a coded error", what, err)
		return
	}
	for _, code := range codes {
		if e.Code == code {
			if e.RetryAfter <= 0 {
				t.Errorf("%s: %v does not say when to come again", what, err)
			}
			return
		}
	}
	t.Errorf("%s: got %v, want %v", what, err, codes)
}

// lines is what a Store has logged.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// Write implements io.Writer.
func (l *lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

// String is all of it.
func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// lossy stands between a Store and its server, and can lose answers.
type lossy struct {
	listener net.Listener
	server   string
	work     sync.WaitGroup

	mu   sync.Mutex
	lose int    // this many answers to come
	word string // of requests that have it
	then func() // is called when an answer is lost, before the connection ends
}

func startLossy(t *testing.T, server string) *lossy {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &lossy{listener: l, server: server}
	ctx, stop := context.WithCancel(context.Background())
	p.work.Go(func() { p.accept(ctx) })
	t.Cleanup(func() { stop(); _ = l.Close(); p.work.Wait() })
	return p
}

func (p *lossy) address() string { return p.listener.Addr().String() }

// loseAnswers makes the answers to the next n requests that contain word get lost together with their connections.
func (p *lossy) loseAnswers(n int, word string, then func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lose, p.word, p.then = n, word, then
}

func (p *lossy) accept(ctx context.Context) {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.work.Go(func() { p.carry(ctx, c) })
	}
}

// carry passes requests and answers on, one after the other: no client of this package's tests pipelines writes.
func (p *lossy) carry(ctx context.Context, from net.Conn) {
	defer from.Close()
	to, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.server)
	if err != nil {
		return
	}
	defer to.Close()
	defer context.AfterFunc(ctx, func() { from.Close(); to.Close() })()
	losing := make(chan struct{}, 1)
	p.work.Go(func() {
		defer from.Close()
		buffer := make([]byte, 1<<20)
		for {
			n, err := to.Read(buffer)
			if err != nil {
				return
			}
			select {
			case <-losing:
				p.mu.Lock()
				then := p.then
				p.mu.Unlock()
				if then != nil {
					then()
				}
				return
			default:
			}
			if _, err := from.Write(buffer[:n]); err != nil {
				return
			}
		}
	})
	buffer := make([]byte, 1<<20)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		p.mu.Lock()
		if p.lose > 0 && strings.Contains(string(buffer[:n]), p.word) {
			p.lose--
			losing <- struct{}{}
		}
		p.mu.Unlock()
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}
