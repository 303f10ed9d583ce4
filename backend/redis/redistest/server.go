// Package redistest runs real Redis servers for tests, on ports of their own: one, a cluster, or a master with replicas and Sentinels.
package redistest

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hydrastore/hydrastore/backend/redis"
	"github.com/hydrastore/hydrastore/e2e/freeport"
)

const (
	// User and Password log in at a Server whose Options say WithUser. Nobody else may do anything there.
	User     = "hydrastore"
	Password = "Lantern-6-basalt-oriole"

	patience = 30 * time.Second // until a server answers or ends, on a machine that has much else to do
	attempts = 5                // another program may be faster to take a port that was free a moment ago
)

// Options of a Server. The zero value keeps nothing on disk and lets everybody in.
type Options struct {
	AppendOnly bool // every write is on disk before it is answered, and there again after Resume
	TLS        bool // nothing else is spoken
	WithUser   bool // User may do what Hydrastore needs; others nothing
	Waits      bool // User may also do what it needs to wait for replicas
	// Master is the server that this one replicates; nil = it is a master.
	Master *Server
	// Lines are further lines of redis.conf.
	Lines []string
}

// Server is one redis-server. Its data folder stays when it is stopped.
type Server struct {
	place
	port   string
	output bytes.Buffer

	mu      sync.Mutex
	process *exec.Cmd
	ended   chan struct{}
}

// place is what a server keeps when it is stopped.
type place struct {
	dir       string
	authority string // folder of its certificates; "" = it speaks no TLS
	mode      string // "" or "--sentinel"
}

// Path finds redis-server; an error says how to get it.
func Path() (string, error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return "", errors.New("redis-server is not installed, so this test cannot run: scripts/ci-deps installs it")
	}
	return path, nil
}

// Start runs a server with its data in the folder dir. Call Stop at the end.
func Start(ctx context.Context, dir string, o Options) (*Server, error) {
	lines := append([]string{"save \"\"", "appendonly no"}, o.Lines...)
	if o.AppendOnly {
		lines = append([]string{"save \"\"", "appendonly yes", "appendfsync always"}, o.Lines...)
	}
	if o.WithUser {
		// What the documentation asks for, so that the tests know that it is enough.
		// The default user keeps its permissions: in its name Redis runs the transactions of its append-only file when it starts.
		if !slices.Contains(o.Lines, "user default off") {
			lines = append(lines, "user default off ~* &* +@all")
		}
		permissions := redis.Permissions
		if o.Waits {
			permissions += " " + redis.WaitPermissions
		}
		lines = append(lines, userLine(permissions))
	}
	if o.Master != nil {
		lines = append(lines, "replicaof 127.0.0.1 "+o.Master.port)
	}
	authority := ""
	if o.TLS {
		authority = dir
		if o.Master != nil {
			authority = o.Master.authority
		} else if err := writeCertificates(dir); err != nil {
			return nil, err
		}
	}
	return start(ctx, place{dir: dir, authority: authority}, func(port string) []string { return append(lines, listen(authority, port)...) })
}

// listen says where a server listens, and with whose certificates if there is a folder of them. What it connects to then speaks TLS too.
func listen(authority, port string) []string {
	if authority == "" {
		return []string{"port " + port, "repl-diskless-sync-delay 0"}
	}
	return []string{
		"port 0", "tls-port " + port, "tls-replication yes", "tls-auth-clients no", "repl-diskless-sync-delay 0",
		"tls-cert-file " + filepath.Join(authority, "server.pem"), "tls-key-file " + filepath.Join(authority, "server.key"),
		"tls-ca-cert-file " + filepath.Join(authority, "ca.pem"),
	}
}

func userLine(permissions string) string {
	return "user " + User + " on >" + Password + " ~hydrastore:* resetchannels " + permissions
}

// start tries ports until one is free. lines has what the configuration says beside the usual.
func start(ctx context.Context, at place, lines func(port string) []string) (*Server, error) {
	if err := os.MkdirAll(at.dir, 0o700); err != nil {
		return nil, err
	}
	var err error
	for range attempts {
		s := &Server{place: at}
		if s.port, err = freePort(); err != nil {
			return nil, err
		}
		text := append([]string{"bind 127.0.0.1", "daemonize no", "dir " + at.dir, "loglevel notice"}, lines(s.port)...)
		if err := os.WriteFile(s.config(), []byte(strings.Join(text, "\n")+"\n"), 0o600); err != nil {
			return nil, err
		}
		if err = s.Resume(ctx); err == nil {
			return s, nil
		}
		s.Stop()
	}
	return nil, err
}

// Rewrite replaces a line of the configuration, for the next Resume.
func (s *Server) Rewrite(line, by string) error {
	text, err := os.ReadFile(s.config())
	if err != nil {
		return err
	}
	return os.WriteFile(s.config(), []byte(strings.Replace(string(text), line+"\n", by+"\n", 1)), 0o600)
}

// Follow makes the server a replica of master from the next Resume on, whatever it has become meanwhile.
func (s *Server) Follow(master *Server) error {
	text, err := os.ReadFile(s.config())
	if err != nil {
		return err
	}
	lines := slices.DeleteFunc(strings.Split(string(text), "\n"), func(line string) bool { return strings.HasPrefix(line, "replicaof ") })
	lines = append(lines, "replicaof 127.0.0.1 "+master.port, "")
	return os.WriteFile(s.config(), []byte(strings.Join(lines, "\n")), 0o600)
}

// Address is its host:port.
func (s *Server) Address() string { return "127.0.0.1:" + s.port }

// Port is the port alone.
func (s *Server) Port() string { return s.port }

// CAFile has the PEM certificate of the authority that signed the server's, with Options.TLS.
func (s *Server) CAFile() string { return filepath.Join(s.authority, "ca.pem") }

// options for a client that trusts the server's authority.
func (s *Server) options() *goredis.Options {
	o := &goredis.Options{Addr: s.Address(), MaxRetries: -1, DialerRetries: 1}
	if s.authority != "" {
		pem, err := os.ReadFile(s.CAFile())
		roots := x509.NewCertPool()
		if err == nil {
			roots.AppendCertsFromPEM(pem)
		}
		o.TLSConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	return o
}

func (s *Server) config() string { return filepath.Join(s.dir, "redis.conf") }

// Resume runs the server at the same address and with the same data after a Stop.
func (s *Server) Resume(ctx context.Context) error {
	path, err := Path()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	args := []string{s.config()}
	if s.mode != "" {
		args = append(args, s.mode)
	}
	s.process = exec.CommandContext(context.WithoutCancel(ctx), path, args...)
	s.process.Stdout, s.process.Stderr = &s.output, &s.output
	s.process.SysProcAttr = endWithParent()
	if err := s.process.Start(); err != nil {
		s.process = nil
		return fmt.Errorf("start redis-server: %w", err)
	}
	ended := make(chan struct{})
	s.ended = ended
	go func(p *exec.Cmd) { _ = p.Wait(); close(ended) }(s.process)
	return s.await(ctx, ended)
}

// await waits until the server takes connections. It answers LOADING until its data are read.
func (s *Server) await(ctx context.Context, ended chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	every := time.NewTicker(10 * time.Millisecond)
	defer every.Stop()
	for {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.Address())
		if err == nil {
			return c.Close()
		}
		select {
		case <-ended:
			return fmt.Errorf("redis-server ended: %s", s.output.String())
		case <-ctx.Done():
			return fmt.Errorf("wait for redis-server: %w", ctx.Err())
		case <-every.C:
		}
	}
}

// Stop kills the server and waits for its end.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return
	}
	_ = s.process.Process.Kill() // it may have ended
	<-s.ended
	s.process = nil
}

func freePort() (string, error) {
	address, err := freeport.New().Address()
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(address)
	return port, err
}
