package link_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/hydrastore/hydrastore/cluster/link"
)

// authority signs certificates for tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue writes a node's files into dir: a certificate that names san, signed by a, and trusting trust.
func (a *authority) issue(t *testing.T, dir, san string, trust *authority) *link.TLSFiles {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{san},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	files := &link.TLSFiles{CA: filepath.Join(dir, "ca.pem"), Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	writePEM(t, files.CA, "CERTIFICATE", trust.cert.Raw)
	writePEM(t, files.Cert, "CERTIFICATE", der)
	writePEM(t, files.Key, "EC PRIVATE KEY", private)
	return files
}

func writePEM(t *testing.T, name, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	ca, other := newAuthority(t), newAuthority(t)
	const name, san = "blue", "node.blue"
	secured := func(node string, files *link.TLSFiles) link.Config {
		return link.Config{Identity: as(node, "c1"), TLS: files, ClusterName: name}
	}
	good := func(node string) link.Config { return secured(node, ca.issue(t, t.TempDir(), san, ca)) }
	for _, tc := range []struct {
		name           string
		server, client link.Config
		ok             bool
	}{
		{"both good", good("b"), good("a"), true},
		{"server of another CA", secured("b", other.issue(t, t.TempDir(), san, ca)), good("a"), false},
		{"client of another CA", good("b"), secured("a", other.issue(t, t.TempDir(), san, ca)), false},
		{"server without TLS", link.Config{Identity: as("b", "c1"), HandshakeTimeout: time.Second}, good("a"), false},
		{"client without TLS", good("b"), link.Config{Identity: as("a", "c1"), HandshakeTimeout: time.Second}, false},
		{"server of another cluster name", link.Config{Identity: as("b", "c1"), ClusterName: "red",
			TLS: ca.issue(t, t.TempDir(), "node.red", ca)}, good("a"), false},
		{"client of another cluster name", good("b"), link.Config{Identity: as("a", "c1"), ClusterName: "red",
			TLS: ca.issue(t, t.TempDir(), "node.red", ca)}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p := openPair(t, tc.server, tc.client)
			for _, purpose := range []link.Purpose{link.PurposeRPC, link.PurposeRaft, link.PurposeBirth} {
				err := p.call(t, purpose)
				if (err == nil) != tc.ok {
					t.Errorf("%s: %v, want success %v", purpose, err, tc.ok)
				}
			}
		})
	}
}

// The SAN is checked by each side itself, not only by the other's choice of a server name.
func TestTLSWrongSANIsToldOnBothSides(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	server := link.Config{Identity: as("b", "c1"), ClusterName: "blue", TLS: ca.issue(t, t.TempDir(), "node.blue", ca)}
	client := link.Config{Identity: as("a", "c1"), ClusterName: "red", TLS: ca.issue(t, t.TempDir(), "node.red", ca)}
	p := openPair(t, server, client)
	err := p.call(t, link.PurposeRPC)
	if !errors.Is(err, link.ErrRefused) || !strings.Contains(err.Error(), "node.red") {
		t.Errorf("error = %v, want a refusal that names the wanted SAN", err)
	}
	eventually(t, "both sides log", func() bool {
		return strings.Contains(p.serverLog.String(), "node.blue") && strings.Contains(p.clientLog.String(), "node.red")
	})
}

func TestTLSWrongClientSANIsRefusedByTheServer(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	dir := t.TempDir()
	client := link.Config{Identity: as("a", "c1"), ClusterName: "blue", TLS: ca.issue(t, dir, "node.blue", ca)}
	server := link.Config{Identity: as("b", "c1"), ClusterName: "blue", TLS: ca.issue(t, t.TempDir(), "node.blue", ca)}
	p := openPair(t, server, client)
	intruder := ca.issue(t, t.TempDir(), "web.blue", ca)
	conn := dialTLS(t, p.server.Addr(), intruder, "node.blue")
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("a certificate that does not name node.blue was let in")
	}
	eventually(t, "the server says why", func() bool { return strings.Contains(p.serverLog.String(), "node.blue") })
}

func TestTLSNeedsItsOwnSAN(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	_, err := link.Open(link.Config{Listen: "127.0.0.1:0", Identity: as("a", "c1"), ClusterName: "blue", TLS: ca.issue(t, t.TempDir(), "node.red", ca)})
	if err == nil || !strings.Contains(err.Error(), "node.blue") {
		t.Errorf("error = %v, want one that names node.blue", err)
	}
}

func TestCertificatesAreReadAgain(t *testing.T) {
	t.Parallel()
	oldCA, newCA := newAuthority(t), newAuthority(t)
	serverDir, clientDir := t.TempDir(), t.TempDir()
	p := openPair(t,
		link.Config{Identity: as("b", "c1"), ClusterName: "blue", TLS: oldCA.issue(t, serverDir, "node.blue", oldCA)},
		link.Config{Identity: as("a", "c1"), ClusterName: "blue", TLS: oldCA.issue(t, clientDir, "node.blue", oldCA)})
	dial := func() error {
		conn, err := p.client.RaftStreams().Dial(raft.ServerAddress(p.server.Addr()), waitLimit)
		if err == nil {
			err = conn.Close()
		}
		return err
	}
	if err := dial(); err != nil {
		t.Fatal(err)
	}
	renew := func(dir string) {
		newCA.issue(t, dir, "node.blue", newCA)
		stamp := time.Now().Add(time.Minute) // a coarse file clock must not hide the change
		for _, f := range []string{"ca.pem", "cert.pem", "key.pem"} {
			if err := os.Chtimes(filepath.Join(dir, f), stamp, stamp); err != nil {
				t.Fatal(err)
			}
		}
	}
	renew(serverDir)
	if err := dial(); !errors.Is(err, link.ErrRefused) {
		t.Errorf("old certificate at a server of the new CA: %v, want ErrRefused", err)
	}
	renew(clientDir)
	if err := dial(); err != nil {
		t.Errorf("both renewed: %v", err)
	}
	if err := os.WriteFile(filepath.Join(serverDir, "cert.pem"), []byte("half writ"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := dial(); err != nil {
		t.Errorf("an unusable file must not cut the node off: %v", err)
	}
	if !strings.Contains(p.serverLog.String(), "stay in force") {
		t.Error("the unusable file was not logged")
	}
}

// dialTLS connects with a certificate of files whatever it names.
func dialTLS(t *testing.T, addr string, files *link.TLSFiles, serverName string) *tls.Conn {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(files.CA)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	conn, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: pool, ServerName: serverName, Certificates: []tls.Certificate{cert}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}
