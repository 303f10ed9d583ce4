package gossip_test

import (
	"bytes"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/hydrastore/hydrastore/cluster/gossip"
)

func TestStartRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		set  func(*gossip.Config)
		says string
	}{
		{"no name", func(c *gossip.Config) { c.Name = "" }, "node name"},
		{"no label", func(c *gossip.Config) { c.Label = "" }, "label is required"},
		{"long label", func(c *gossip.Config) { c.Label = strings.Repeat("x", 256) }, "255"},
		{"long meta", func(c *gossip.Config) { c.Meta = make([]byte, 513) }, "512"},
		{"bad key", func(c *gossip.Config) { c.Keyring = [][]byte{key1, key2[:17]} }, "key 2 of 2"},
		{"too many keys", func(c *gossip.Config) { c.Keyring = make([][]byte, 17) }, "at most 16"},
		{"profile", func(c *gossip.Config) { c.Profile = "moon" }, "moon"},
		{"address without port", func(c *gossip.Config) { c.BindAddr = "127.0.0.1" }, "host:port"},
		{"port not a number", func(c *gossip.Config) { c.BindAddr = "127.0.0.1:http" }, "65535"},
		{"advertised without port", func(c *gossip.Config) { c.AdvertiseAddr = "127.0.0.1" }, "host:port"},
		{"advertised port without a bound one", func(c *gossip.Config) { c.AdvertiseAddr = "127.0.0.1:7" }, "fixed bind port"},
		{"unknown name", func(c *gossip.Config) { c.BindAddr = "no-such-host.invalid:0" }, "no-such-host.invalid"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			cfg := gossip.Config{Name: "a", Label: "cluster-1", BindAddr: "127.0.0.1:0", Profile: gossip.Loopback}
			tc.set(&cfg)
			p, err := gossip.Start(bounded(t), cfg)
			if err == nil {
				p.Shutdown()
				t.Fatal("started")
			}
			if !strings.Contains(err.Error(), tc.says) {
				t.Errorf("error %q does not say %q", err, tc.says)
			}
			noKeys(t, err.Error())
		})
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	byName := start(t, gossip.Config{Name: "a", BindAddr: "localhost:0"})
	host, _, err := net.SplitHostPort(byName.Addr())
	if err != nil || !net.ParseIP(host).IsLoopback() {
		t.Errorf("bound to localhost, address %q: a name must not mean every interface", byName.Addr())
	}
	advertised := start(t, gossip.Config{Name: "b", BindAddr: "127.0.0.1:0", AdvertiseAddr: "localhost:0"})
	if host, port, err := net.SplitHostPort(advertised.Addr()); err != nil || host != "127.0.0.1" || port == "0" {
		t.Errorf("address = %q, want the advertised host, resolved, with the bound port", advertised.Addr())
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

func (b *logBook) logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
