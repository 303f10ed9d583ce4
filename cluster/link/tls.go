package link

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"
)

// sanPrefix and the cluster's name make the SAN that every node's certificate must carry.
const sanPrefix = "node."

// credentials are the certificates of a Link, read again when a file changes on disk.
type credentials struct {
	files  TLSFiles
	san    string
	logger *slog.Logger

	mu     sync.Mutex
	stamp  [3]fileStamp // of the files as last tried
	loaded *tls.Config  // what the last good files gave; serves both sides
}

// fileStamp tells a changed file.
type fileStamp struct {
	modified time.Time
	size     int64
}

// loadCredentials reads the files for the first time.
func loadCredentials(files TLSFiles, clusterName string, logger *slog.Logger) (*credentials, error) {
	c := &credentials{files: files, san: sanPrefix + clusterName, logger: logger, stamp: stampOf(files)}
	var err error
	c.loaded, err = c.load()
	return c, err
}

// current returns the configuration for one handshake. Files that changed but cannot be used are logged once, and what was
// loaded before stays in force: half-written files must not cut a node off.
func (c *credentials) current() *tls.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	stamp := stampOf(c.files)
	if stamp == c.stamp {
		return c.loaded
	}
	c.stamp = stamp
	fresh, err := c.load()
	if err != nil {
		c.logger.Warn("changed certificate files cannot be used, the ones before stay in force", "error", err)
		return c.loaded
	}
	c.logger.Info("certificate files were read again", "cert", c.files.Cert)
	c.loaded = fresh
	return fresh
}

func stampOf(files TLSFiles) (s [3]fileStamp) {
	for i, name := range []string{files.CA, files.Cert, files.Key} {
		if info, err := os.Stat(name); err == nil {
			s[i] = fileStamp{info.ModTime(), info.Size()}
		}
	}
	return s
}

// load makes the TLS configuration of both sides from the files.
func (c *credentials) load() (*tls.Config, error) {
	pem, err := os.ReadFile(c.files.CA)
	if err != nil {
		return nil, fmt.Errorf("read peer CA: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read peer CA %s: no certificate in it", c.files.CA)
	}
	cert, err := tls.LoadX509KeyPair(c.files.Cert, c.files.Key)
	if err != nil {
		return nil, fmt.Errorf("read peer certificate %s and key %s: %w", c.files.Cert, c.files.Key, err)
	}
	if err := cert.Leaf.VerifyHostname(c.san); err != nil {
		return nil, fmt.Errorf("peer certificate %s must name %s: %w", c.files.Cert, c.san, err)
	}
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{cert},
		RootCAs:                pool,
		ClientCAs:              pool,
		ClientAuth:             tls.RequireAndVerifyClientCert,
		ServerName:             c.san,
		VerifyConnection:       c.verifySAN,
		SessionTicketsDisabled: true, // a resumed session would outlive a change of the CA
	}, nil
}

// verifySAN holds both sides to the name of the cluster; the chain was verified before it is called.
func (c *credentials) verifySAN(s tls.ConnectionState) error {
	if len(s.PeerCertificates) == 0 {
		return errors.New("the peer shows no certificate")
	}
	return s.PeerCertificates[0].VerifyHostname(c.san)
}

// secure runs the TLS handshake when certificates are configured.
func (l *Link) secure(ctx context.Context, conn net.Conn, dialer bool) (net.Conn, error) {
	if l.creds == nil {
		return conn, nil
	}
	ctx, cancel := context.WithTimeout(ctx, l.cfg.HandshakeTimeout)
	defer cancel()
	secured := tls.Server(conn, l.creds.current())
	if dialer {
		secured = tls.Client(conn, l.creds.current())
	}
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, l.creds.explain(err)
	}
	return secured, nil
}

// alertOp is what crypto/tls names the operation of an error that the peer's alert made.
const alertOp = "remote error"

// explain makes a refusal of a TLS error that an operator must mend, and leaves a lost connection as it is. A dialer meets
// the acceptor's alert only when it reads, after its own side of the handshake is done.
func (c *credentials) explain(err error) error {
	var (
		record tls.RecordHeaderError
		remote *net.OpError
		cert   *tls.CertificateVerificationError
		name   x509.HostnameError
	)
	switch {
	case c == nil:
		return err
	case errors.As(err, &record):
		return &refusedError{refusal: refusedProofKind,
			text: "the peer does not speak TLS: give all nodes of a cluster certificates, or none"}
	case errors.As(err, &cert), errors.As(err, &name), errors.As(err, &remote) && remote.Op == alertOp:
		return &refusedError{refusal: refusedProof,
			text: fmt.Sprintf("both nodes need a certificate that names %s, signed by the CA in %s: %v", c.san, c.files.CA, err)}
	}
	return err
}
