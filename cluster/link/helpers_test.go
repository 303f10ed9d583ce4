package link_test

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/cluster/link"
)

// waitLimit bounds every wait for a fact. It is for what hangs: megabytes in a thousand calls take long on a machine that does much else.
const waitLimit = 2 * time.Minute

// as returns an Identity setting that never changes.
func as(node, cluster string) func() link.Identity {
	return func() link.Identity { return link.Identity{NodeID: node, ClusterID: cluster} }
}

// open opens a link on a free loopback port and closes it with the test.
func open(tb testing.TB, cfg link.Config) *link.Link {
	tb.Helper()
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	l, err := link.Open(cfg)
	if err != nil {
		tb.Fatalf("open link: %v", err)
	}
	tb.Cleanup(func() {
		if err := l.Close(); err != nil {
			tb.Errorf("close link: %v", err)
		}
	})
	return l
}

// echo answers with what it got.
func echo(_ context.Context, _ link.Identity, payload []byte) ([]byte, error) { return payload, nil }

// bounded returns a context that outlasts everything but a hang.
func bounded(tb testing.TB) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
	tb.Cleanup(cancel)
	return ctx
}

// eventually waits until ok, looking again and again.
func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	deadline := time.Now().Add(waitLimit)
	for !ok() {
		if time.Now().After(deadline) {
			tb.Fatalf("did not happen within %v: %s", waitLimit, what)
		}
		time.Sleep(time.Millisecond)
	}
}

// logBook is a log that a test can read while it is written.
type logBook struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBook) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func (b *logBook) logger() *slog.Logger { return slog.New(slog.NewJSONHandler(b, nil)) }
