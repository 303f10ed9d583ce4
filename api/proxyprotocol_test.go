package api_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/api"
	"github.com/hydrastore/hydrastore/session"
)

// The parts of a PROXY protocol header, as its specification (section 2.2) has them.
const (
	proxySignature = "\r\n\r\n\x00\r\nQUIT\n"
	proxyLocal     = "\x20\x00\x00\x00"
)

// proxyHeader is version 2, command PROXY, TCP over the addresses' family, with tail after the addresses.
func proxyHeader(client, server, tail string) string {
	from, to := netip.MustParseAddrPort(client), netip.MustParseAddrPort(server)
	family := "\x11"
	if from.Addr().Is6() {
		family = "\x21"
	}
	body := append(from.Addr().AsSlice(), to.Addr().AsSlice()...)
	body = binary.BigEndian.AppendUint16(body, from.Port())
	body = binary.BigEndian.AppendUint16(body, to.Port())
	body = append(body, tail...)
	return proxySignature + "\x21" + family + string(binary.BigEndian.AppendUint16(nil, uint16(len(body)))) + string(body)
}

// proxiedHouse is served on this machine; trusted tells who may send headers.
func proxiedHouse(t *testing.T, trusted string, change ...func(*api.Config)) (address string, seen *atomic.Value) {
	t.Helper()
	change = append(change, func(c *api.Config) {
		c.ProxyProtocol, c.TrustedProxies = true, []netip.Prefix{netip.MustParsePrefix(trusted), netip.MustParsePrefix("198.51.100.0/24")}
	})
	h := newHouse(t, change...)
	seen = &atomic.Value{}
	h.service.SetHook(func(_ context.Context, _ string, c session.Call) error { seen.Store(c.Address.String()); return nil })
	return serve(t, h), seen
}

const plainRequest = "POST /v1/session/touch HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %KEY\r\nConnection: close\r\nX-Forwarded-For: 203.0.113.99\r\n\r\n"

// exchange sends bytes as they are and returns the status of the answer, 0 when the connection is closed without one.
func exchange(t *testing.T, c net.Conn, text string) int {
	t.Helper()
	if err := c.SetDeadline(time.Now().Add(bound)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte(text)); err != nil {
		return 0
	}
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0
	}
	defer r.Body.Close()
	return r.StatusCode
}

// anyKey opens nothing, but is well formed: the service is asked.
func anyKey(t *testing.T) string {
	t.Helper()
	key, err := session.NewKey(strings.NewReader(strings.Repeat("k", 64)))
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(plainRequest, "%KEY", key.Reveal())
}

func TestProxyProtocol(t *testing.T) {
	t.Parallel()
	const server = "192.0.2.200:8700"
	type outcome struct {
		status int
		client string
	}
	refused := outcome{}
	for name, c := range map[string]struct {
		trusted, header string
		want            outcome
	}{
		"IPv4":                                 {"127.0.0.1/32", proxyHeader("192.0.2.7:999", server, ""), outcome{401, "192.0.2.7"}},
		"IPv6":                                 {"127.0.0.1/32", proxyHeader("[2001:db8::7]:999", "[2001:db8::1]:8700", ""), outcome{401, "2001:db8::7"}},
		"IPv4 in IPv6":                         {"127.0.0.1/32", proxyHeader("[::ffff:192.0.2.7]:999", "[::ffff:192.0.2.200]:8700", ""), outcome{401, "192.0.2.7"}},
		"with more behind it":                  {"127.0.0.1/32", proxyHeader("192.0.2.7:999", server, "\x03\x00\x04abcd"), outcome{401, "192.0.2.7"}},
		"a proxy behind the proxy":             {"127.0.0.1/32", proxyHeader("198.51.100.1:999", server, ""), outcome{401, "203.0.113.99"}},
		"the proxy's own connection":           {"127.0.0.1/32", proxySignature + proxyLocal, outcome{401, "203.0.113.99"}},
		"from a trusted one without":           {"127.0.0.1/32", "", refused},
		"version 1":                            {"127.0.0.1/32", "PROXY TCP4 192.0.2.7 192.0.2.200 999 8700\r\n", refused},
		"a family that nobody knows":           {"127.0.0.1/32", proxySignature + "\x21\x00\x00\x00", refused},
		"UDP":                                  {"127.0.0.1/32", strings.Replace(proxyHeader("192.0.2.7:999", server, ""), "\x21\x11", "\x21\x12", 1), refused},
		"a Unix socket":                        {"127.0.0.1/32", proxySignature + "\x21\x31\x00\xd8" + strings.Repeat("x", 216), refused},
		"version 3":                            {"127.0.0.1/32", strings.Replace(proxyHeader("192.0.2.7:999", server, ""), "\x21\x11", "\x31\x11", 1), refused},
		"too short for its addresses":          {"127.0.0.1/32", proxySignature + "\x21\x11\x00\x04abcd", refused},
		"two of them":                          {"127.0.0.1/32", strings.Repeat(proxyHeader("192.0.2.7:999", server, ""), 2), outcome{400, ""}},
		"from one who is not trusted":          {"10.0.0.0/8", proxyHeader("192.0.2.7:999", server, ""), outcome{400, ""}},
		"from one who is not trusted, without": {"10.0.0.0/8", "", outcome{401, "127.0.0.1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address, seen := proxiedHouse(t, c.trusted)
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			got := outcome{status: exchange(t, conn, c.header+anyKey(t))}
			got.client, _ = seen.Load().(string)
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

// TestProxyProtocolBeforeTLS: the header comes before the handshake, as balancers of TCP send it.
func TestProxyProtocolBeforeTLS(t *testing.T) {
	t.Parallel()
	certFile, keyFile, pool := selfSigned(t)
	address, seen := proxiedHouse(t, "127.0.0.1/32", func(c *api.Config) { c.TLSCertFile, c.TLSKeyFile = certFile, keyFile })
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(proxyHeader("192.0.2.7:999", "192.0.2.200:8700", ""))); err != nil {
		t.Fatal(err)
	}
	secured := tls.Client(conn, &tls.Config{RootCAs: pool, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12})
	if got := exchange(t, secured, anyKey(t)); got != 401 || seen.Load() != "192.0.2.7" {
		t.Errorf("got %d from %v", got, seen.Load())
	}
}

// TestProxyProtocolWaitsForNobody: a header that does not come keeps a connection no longer than headers of HTTP may, and no other
// connection at all.
func TestProxyProtocolWaitsForNobody(t *testing.T) {
	t.Parallel()
	address, seen := proxiedHouse(t, "127.0.0.1/32", func(c *api.Config) { c.ReadHeaderTimeout = 3 * time.Second })
	silent, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	other, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if got := exchange(t, other, proxyHeader("192.0.2.7:999", "192.0.2.200:8700", "")+anyKey(t)); got != 401 || seen.Load() != "192.0.2.7" {
		t.Errorf("beside a silent connection: got %d from %v", got, seen.Load())
	}
	if got := exchange(t, silent, ""); got != 0 && got != http.StatusRequestTimeout && got != http.StatusBadRequest {
		t.Errorf("the silent connection: got %d, want its end", got)
	}
}
