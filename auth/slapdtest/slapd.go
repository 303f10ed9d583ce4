// Package slapdtest runs OpenLDAP's real server for tests, with two departments of users, on ports of its own.
package slapdtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/hydrastore/hydrastore/e2e/freeport"
)

// What the directory holds.
const (
	BaseDN = "dc=example,dc=org"
	// UserPattern names the entries of ada and bob, who have the groups staff (both) and ops (ada). Their uid is their name.
	UserPattern = "uid={user},ou=people," + BaseDN
	// AccountPattern names the entry of eve in the way of Active Directory: sAMAccountName and memberOf, group staff.
	AccountPattern = "cn={user},ou=accounts," + BaseDN
	// Password of every user is their name followed by this.
	Password = "-has-a-password"

	rootDN       = "cn=root," + BaseDN
	rootPassword = "root-of-the-directory"
)

// Server is one slapd. Its data stay when it is stopped.
type Server struct {
	dir         string
	plain, tls  string // host:port
	certificate certificate
	mu          sync.Mutex
	process     *exec.Cmd
	output      bytes.Buffer
	ended       chan struct{}
}

// Path finds slapd; an error says how to get it.
func Path() (string, error) {
	for _, name := range []string{"slapd", "/usr/sbin/slapd", "/usr/libexec/slapd"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("slapd is not installed, so this test cannot run: scripts/ci-deps installs it")
}

// Start fills a directory in the folder dir and serves it. Call Stop at the end.
func Start(ctx context.Context, dir string) (*Server, error) {
	s := &Server{dir: dir}
	var err error
	if s.certificate, err = newCertificate(dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(dir, "data"), 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(s.path("slapd.conf"), []byte(s.configuration()), 0o600); err != nil {
		return nil, err
	}
	if err := s.fill(ctx); err != nil {
		return nil, err
	}
	const attempts = 5
	for range attempts { // another program may be faster to take a port that was free a moment ago
		if s.plain, s.tls, err = freeAddresses(); err != nil {
			return nil, err
		}
		if err = s.Resume(ctx); err == nil {
			return s, nil
		}
	}
	return nil, err
}

// URL of the server without TLS; StartTLS works.
func (s *Server) URL() string { return "ldap://" + s.plain }

// URLTLS of the server with TLS.
func (s *Server) URLTLS() string { return "ldaps://" + s.tls }

// CAFile has the PEM certificate of the authority that signed the server's.
func (s *Server) CAFile() string { return s.certificate.file }

// Process is the running process, nil when none runs.
func (s *Server) Process() *os.Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return nil
	}
	return s.process.Process
}

// Resume serves the directory at the same addresses after a Stop.
func (s *Server) Resume(ctx context.Context) error {
	path, err := Path()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := os.Remove(s.path("slapd.pid")); err != nil && !errors.Is(err, fs.ErrNotExist) { // of the process before
		return err
	}
	s.process = exec.CommandContext(context.WithoutCancel(ctx), path, "-f", s.path("slapd.conf"), "-h", s.URL()+" "+s.URLTLS(), "-d", "0")
	s.process.Stderr = &s.output
	s.process.SysProcAttr = endWithParent()
	if err := s.process.Start(); err != nil {
		return fmt.Errorf("start slapd: %w", err)
	}
	ended := make(chan struct{})
	s.ended = ended
	go func(p *exec.Cmd) { _ = p.Wait(); close(ended) }(s.process)
	return s.await(ctx, ended)
}

// await waits until slapd answers. An answer alone may be another program's that has the address: slapd writes its process id once it has them all.
func (s *Server) await(ctx context.Context, ended chan struct{}) error {
	const patience = 20 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	every := time.NewTicker(20 * time.Millisecond)
	defer every.Stop()
	for {
		if _, err := os.Stat(s.path("slapd.pid")); err == nil && answers(ctx, s.plain) && answers(ctx, s.tls) {
			return nil
		}
		select {
		case <-ended:
			return fmt.Errorf("slapd ended: %s", s.output.String())
		case <-ctx.Done():
			return fmt.Errorf("wait for slapd: %w", ctx.Err())
		case <-every.C:
		}
	}
}

func answers(ctx context.Context, address string) bool {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err == nil {
		c.Close()
	}
	return err == nil
}

// Stop kills slapd and waits for its end.
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

// AddToGroup and RemoveFromGroup change who belongs to the group of this name.
func (s *Server) AddToGroup(group, user string) error {
	return s.modify(group, func(r *ldap.ModifyRequest) { r.Add("memberUid", []string{user}) })
}

// RemoveFromGroup is AddToGroup undone.
func (s *Server) RemoveFromGroup(group, user string) error {
	return s.modify(group, func(r *ldap.ModifyRequest) { r.Delete("memberUid", []string{user}) })
}

func (s *Server) modify(group string, change func(*ldap.ModifyRequest)) error {
	c, err := ldap.DialURL(s.URL())
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Bind(rootDN, rootPassword); err != nil {
		return err
	}
	r := ldap.NewModifyRequest("cn="+group+",ou=groups,"+BaseDN, nil)
	change(r)
	return c.Modify(r)
}

func (s *Server) path(name string) string { return filepath.Join(s.dir, name) }

// fill writes the directory's content without a server.
func (s *Server) fill(ctx context.Context) error {
	slapd, err := Path()
	if err != nil {
		return err
	}
	add := exec.CommandContext(ctx, filepath.Join(filepath.Dir(slapd), "slapadd"), "-f", s.path("slapd.conf"))
	add.Stdin = bytes.NewReader([]byte(content()))
	if text, err := add.CombinedOutput(); err != nil {
		return fmt.Errorf("fill the directory: %w\n%s", err, text)
	}
	return nil
}

func freeAddresses() (plain, tls string, err error) {
	ports := freeport.New()
	if plain, err = ports.Address(); err != nil {
		return "", "", err
	}
	tls, err = ports.Address()
	return plain, tls, err
}
