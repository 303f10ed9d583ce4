// Package dynalitetest runs dynalite, a server that speaks DynamoDB's protocol, for tests, on a port of its own and in memory.
package dynalitetest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// version of dynalite that scripts/dynalite installs.
const version = "4.0.0"

const patience = 30 * time.Second // until it serves, on a machine that has much else to do

// program serves on a free port and prints where. It ends with its standard input, which is open as long as the tests run: a killed test
// run leaves nothing behind. Tables are there soon. dynalite itself would end when a request is given up halfway, as tests do.
const program = `
process.stdin.on('end', () => process.exit()).resume()
process.on('uncaughtException', e => { if (e.code !== 'ECONNRESET') { console.error(e); process.exit(1) } })
const s = require('dynalite')({createTableMs: 100})
s.listen(0, '127.0.0.1', () => console.log('http://127.0.0.1:' + s.address().port))
`

// Server is one dynalite.
type Server struct {
	// Endpoint is its URL.
	Endpoint string

	process *exec.Cmd
	stdin   io.Closer // kept, so that it stays open
	output  bytes.Buffer
	ended   chan struct{} // closed when end is set
	end     error
}

// folder finds dynalite; an error says how to get it.
func folder() (string, error) {
	cache, err := os.UserCacheDir()
	if err == nil {
		dir := filepath.Join(cache, "hydrastore-tools", "dynalite-"+version)
		if _, err = os.Stat(filepath.Join(dir, ".installed")); err == nil {
			_, err = exec.LookPath("node")
		}
		if err == nil {
			return dir, nil
		}
	}
	return "", errors.New("dynalite or node is not installed, so this test cannot run: scripts/ci-deps installs them")
}

// Available tells how to get what Start needs; nil = it is there.
func Available() error {
	_, err := folder()
	return err
}

// Start runs an empty server. Call Stop at the end.
func Start(ctx context.Context) (*Server, error) {
	dir, err := folder()
	if err != nil {
		return nil, err
	}
	s := &Server{process: exec.CommandContext(context.WithoutCancel(ctx), "node", "-e", program), ended: make(chan struct{})}
	s.process.Dir = dir
	s.process.Stderr = &s.output
	if s.stdin, err = s.process.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := s.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.process.Start(); err != nil {
		return nil, fmt.Errorf("start dynalite: %w", err)
	}
	line := make(chan string, 1)
	go func() {
		defer close(s.ended)
		text, _ := bufio.NewReader(out).ReadString('\n')
		line <- strings.TrimSpace(text)
		s.end = s.process.Wait()
	}()
	select {
	case s.Endpoint = <-line:
		if strings.HasPrefix(s.Endpoint, "http://") {
			return s, nil
		}
		err = errors.New("it ended")
	case <-time.After(patience):
		err = errors.New("it does not serve")
	}
	return nil, fmt.Errorf("start dynalite: %w", errors.Join(err, s.Stop()))
}

// Stop kills the server, and all data are gone. It says so when the server had ended by itself.
func (s *Server) Stop() error {
	select {
	case <-s.ended:
		return fmt.Errorf("dynalite has ended by itself: %w\n%s", s.end, s.output.String())
	default:
	}
	_ = s.process.Process.Kill() // it may end just now
	<-s.ended
	return nil
}
