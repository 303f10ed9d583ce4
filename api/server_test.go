package api_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hydrastore/hydrastore/api"
	"github.com/hydrastore/hydrastore/session"
)

// bound is how long a test waits for a fact before it gives up.
const bound = time.Minute

// serve starts the public listener; the test ends only when Serve has returned.
func serve(t *testing.T, h *house) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- h.server.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), bound)
		defer cancel()
		if err := h.server.Shutdown(ctx); err != nil {
			t.Errorf("shut down: %v", err)
		}
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return l.Addr().String()
}

func eventually(t *testing.T, what string, fact func() bool) {
	t.Helper()
	for deadline := time.Now().Add(bound); !fact(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", bound, what)
		}
	}
}

// TestDrain: readyz says no at once, requests are served through the delay, the one under way is finished and told to
// close, and only then does Shutdown return.
func TestDrain(t *testing.T) {
	t.Parallel()
	const delay = 3 * time.Second // in which a busy machine, too, asks twice
	h := newHouse(t, func(c *api.Config) { c.DrainDelay = delay })
	address := serve(t, h)
	entered, leave := make(chan struct{}), make(chan struct{})
	h.service.SetHook(func(ctx context.Context, method string, _ session.Call) error {
		if method == "Touch" {
			close(entered)
			<-leave
		}
		return ctx.Err()
	})
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	ask := func(method, path string) (*http.Response, error) {
		r, err := http.NewRequest(method, "http://"+address+path, nil)
		if err != nil {
			return nil, err
		}
		r.Header.Set("Authorization", "Bearer "+h.user.Reveal())
		response, err := transport.RoundTrip(r)
		if err == nil {
			_ = response.Body.Close()
		}
		return response, err
	}
	slow := make(chan *http.Response, 1)
	go func() {
		r, err := ask("POST", "/v1/session/touch")
		if err != nil {
			t.Errorf("the request under way failed: %v", err)
			r = nil
		}
		slow <- r
	}()
	<-entered
	if r, err := ask("GET", "/readyz"); err != nil || r.StatusCode != 200 {
		t.Fatalf("before: got %v, %v", r, err)
	}

	begin := time.Now()
	stopped := make(chan error, 1)
	go func() { stopped <- h.server.Shutdown(context.Background()) }()
	eventually(t, "readyz says no", func() bool {
		r, err := ask("GET", "/readyz")
		return err == nil && r.StatusCode == 503
	})
	if r, err := ask("GET", "/v1/session"); err != nil || r.StatusCode != 200 || r.Close {
		t.Errorf("in the delay: got %v, %v, want it served as ever", r, err)
	}
	eventually(t, "the listener is closed", func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	if took := time.Since(begin); took < delay {
		t.Errorf("the listener was closed after %v, before the delay was over", took)
	}
	select {
	case err := <-stopped:
		t.Fatalf("Shutdown did not wait for the request under way: %v", err)
	default:
	}
	close(leave)
	if r := <-slow; r == nil || r.StatusCode != 200 || !r.Close {
		t.Errorf("the request under way: got %+v, want 200 with Connection: close", r)
	}
	if err := <-stopped; err != nil {
		t.Errorf("shut down: %v", err)
	}
}

// TestShutdownGivesUpWithItsContext: a request that does not end is cut off.
func TestShutdownGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(c *api.Config) { c.DrainDelay = time.Hour })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- h.server.Serve(l) }()
	entered := make(chan struct{})
	h.service.SetHook(func(ctx context.Context, _ string, _ session.Call) error {
		close(entered)
		<-ctx.Done()
		return ctx.Err()
	})
	answered := make(chan error, 1)
	go func() {
		_, err := http.Get("http://" + l.Addr().String() + "/v1/session")
		answered <- err
	}()
	<-entered
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := h.server.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if err := <-answered; err == nil {
		t.Error("the request was answered")
	}
	if err := <-ended; err != nil {
		t.Errorf("serve: %v", err)
	}
}

func TestReadyz(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, target := range []string{"/livez", "/readyz", "/readyz?for=local"} {
		if r := h.do(request{method: "GET", target: target}); r.StatusCode != 200 {
			t.Errorf("%s: got %d", target, r.StatusCode)
		}
	}
	h.service.SetReady(&session.Error{Code: session.CodeNoQuorum, Message: "no leader", RetryAfter: time.Second})
	r := h.do(request{method: "GET", target: "/readyz"})
	wantProblem(t, r, 503, session.CodeNoQuorum)
	if r.Header.Get("Retry-After") != "1" {
		t.Errorf("got Retry-After %q", r.Header.Get("Retry-After"))
	}
	if r := h.do(request{method: "GET", target: "/livez"}); r.StatusCode != 200 {
		t.Errorf("livez: got %d", r.StatusCode)
	}
}

// TestHeaderLimit: below 16 KiB is taken, well above is 431.
func TestHeaderLimit(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	address := serve(t, h)
	for _, test := range []struct{ bytes, status int }{{15 << 10, 200}, {24 << 10, 431}} {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		// The server may answer and close before it has read everything: a failed write is no failure of the test.
		_, _ = fmt.Fprintf(conn, "GET /livez HTTP/1.1\r\nHost: x\r\nX-Filler: %s\r\n\r\n", strings.Repeat("x", test.bytes))
		r, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%d bytes: %v", test.bytes, err)
		}
		if r.StatusCode != test.status {
			t.Errorf("%d bytes: got %d, want %d", test.bytes, r.StatusCode, test.status)
		}
	}
}

// TestConnectionLimit: one more waits until another goes.
func TestConnectionLimit(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(c *api.Config) { c.MaxConnections = 2 })
	address := serve(t, h)
	open := func() net.Conn {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_, _ = io.WriteString(conn, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
		return conn
	}
	answered := func(conn net.Conn, patience time.Duration) bool {
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		_, err := conn.Read(make([]byte, 1))
		return err == nil
	}
	first, second := open(), open()
	if !answered(first, bound) || !answered(second, bound) {
		t.Fatal("the first two are not answered")
	}
	third := open()
	if answered(third, 50*time.Millisecond) {
		t.Error("the third is answered beyond the limit")
	}
	_ = first.Close()
	if !answered(third, bound) {
		t.Error("the third is not answered although there is room")
	}
}

// TestSlowHeadersAreCutOff.
func TestSlowHeadersAreCutOff(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(c *api.Config) { c.ReadHeaderTimeout = 50 * time.Millisecond })
	conn, err := net.Dial("tcp", serve(t, h))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "GET /livez HTTP/1.1\r\nHost: ")
	_ = conn.SetReadDeadline(time.Now().Add(bound))
	if _, err := io.ReadAll(conn); err != nil {
		t.Errorf("the connection was not closed: %v", err)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	certificate, key, pool := selfSigned(t)
	h := newHouse(t, func(c *api.Config) { c.TLSCertFile, c.TLSKeyFile = certificate, key })
	address := serve(t, h)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	r, err := (&http.Client{Transport: transport}).Get("https://" + address + "/livez")
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close()
	if r.StatusCode != 200 || r.ProtoMajor != 2 {
		t.Errorf("got %d over %s, want 200 over HTTP/2", r.StatusCode, r.Proto)
	}
	_, err = tls.Dial("tcp", address, &tls.Config{RootCAs: pool, MaxVersion: tls.VersionTLS11})
	if err == nil {
		t.Error("TLS 1.1 was taken")
	}
}

func selfSigned(t *testing.T) (certificateFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificateFile, keyFile = filepath.Join(t.TempDir(), "c.pem"), filepath.Join(t.TempDir(), "k.pem")
	certificatePEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	err = errors.Join(os.WriteFile(certificateFile, certificatePEM, 0o600),
		os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(certificatePEM)
	return certificateFile, keyFile, pool
}

func TestConfigIsValidated(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*api.Config){
		"nothing set":        func(c *api.Config) { *c = api.Config{} },
		"half a certificate": func(c *api.Config) { c.TLSCertFile = "x" },
		"no such file":       func(c *api.Config) { c.TLSCertFile, c.TLSKeyFile = "/none", "/none" },
		"cookie":             func(c *api.Config) { c.CookieName = "a b" },
		"cookie's prefix":    func(c *api.Config) { c.CookieName = "__Host-" },
		"negative delay":     func(c *api.Config) { c.DrainDelay = -1 },
		"body":               func(c *api.Config) { c.MaxBodyBytes = 10 },
		"PROXY from nobody":  func(c *api.Config) { c.ProxyProtocol = true },
		"proxy":              func(c *api.Config) { c.TrustedProxies = []netip.Prefix{{}} },
		"half of metrics":    func(c *api.Config) { c.Registerer = prometheus.NewRegistry() },
	} {
		config := api.DefaultConfig()
		change(&config)
		if _, err := api.New(config, nil); err == nil {
			t.Errorf("%s: was taken", name)
		}
	}
}
