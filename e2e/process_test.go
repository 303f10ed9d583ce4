package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a program that a test has started, with its output in a file. It ends with the test, and is expected to
// run until the test ends it: one that ends by itself fails the test.
type process struct {
	t      *testing.T
	name   string
	cmd    *exec.Cmd
	output string // file with standard output and error

	exited chan struct{} // closed when cmd.Wait has returned
	mu     sync.Mutex
	told   bool // the test has asked it to end
}

// startProcess starts a program. A process of the same name in the same folder goes on writing to the same output file.
func startProcess(t *testing.T, dir, name string, environ []string, path string, args ...string) *process {
	t.Helper()
	p := &process{t: t, name: name, output: filepath.Join(dir, name+".log"), exited: make(chan struct{})}
	if _, err := os.Stat(p.output); err != nil {
		t.Cleanup(func() { inspectOutput(t, name, p.output) }) // runs after those that end the processes
	}
	out, err := os.OpenFile(p.output, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close() // the child has its own
	p.cmd = exec.Command(path, args...)
	p.cmd.Dir = dir
	p.cmd.Env = environ
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = endWithParent()
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(p.cleanup)
	return p
}

// kill ends the process as a power cut would, and waits until it is gone.
func (p *process) kill() {
	p.t.Helper()
	p.end(syscall.SIGKILL)
	p.awaitExit()
}

// kill9 sends the signal and returns at once.
func (p *process) kill9() { p.end(syscall.SIGKILL) }

// terminate asks the process to stop, waits until it has, and wants exit code 0.
func (p *process) terminate() {
	p.t.Helper()
	p.end(syscall.SIGTERM)
	if code := p.awaitExit(); code != 0 {
		p.t.Errorf("%s after SIGTERM: exit code %d, want 0", p.name, code)
	}
}

func (p *process) end(s syscall.Signal) {
	p.mu.Lock()
	p.told = true
	p.mu.Unlock()
	_ = p.cmd.Process.Signal(s) // an error means that it has ended
}

// awaitExit waits until the process is gone; -1 is the code of one that a signal ended.
func (p *process) awaitExit() int {
	p.t.Helper()
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		p.t.Fatalf("%s has not ended within %v", p.name, patience)
		return -1
	}
}

func (p *process) hasExited() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// log is what the process and its predecessors of the same name have written.
func (p *process) log() string {
	p.t.Helper()
	text, err := os.ReadFile(p.output)
	if err != nil {
		p.t.Error(err)
	}
	return string(text)
}

// cleanup ends the process.
func (p *process) cleanup() {
	p.mu.Lock()
	told := p.told
	p.mu.Unlock()
	if !told && p.hasExited() {
		p.t.Errorf("%s ended by itself: %v", p.name, p.cmd.ProcessState)
	}
	p.kill()
}

// inspectOutput looks for what no process may say, and shows the end of it all when the test has failed.
func inspectOutput(t *testing.T, name, output string) {
	text, err := os.ReadFile(output)
	if err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"WARNING: DATA RACE", "\npanic: ", "\nfatal error: "} {
		if strings.Contains("\n"+string(text), bad) {
			t.Errorf("%s: its output has %q", name, strings.TrimSpace(bad))
		}
	}
	if t.Failed() {
		const most = 12_000
		t.Logf("the end of what %s wrote:\n%s", name, text[max(0, len(text)-most):])
	}
}
