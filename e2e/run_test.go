package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"
)

// command is one run of the command line, from start to end.
type command struct {
	args    []string
	environ []string // beside PATH and HOME
	stdin   string
	dir     string // working folder and HOME; "" = an empty one
}

// outcome of a command.
type outcome struct {
	code           int
	stdout, stderr string
}

const commandTimeout = patience

// run runs hydrastore to its end; one that does not end in time fails the test.
func (c command) run(t *testing.T) outcome {
	t.Helper()
	if c.dir == "" {
		c.dir = t.TempDir()
	}
	ctx, cancel := context.WithTimeout(t.Context(), commandTimeout)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, mustBinary(t), c.args...)
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = c.dir, strings.NewReader(c.stdin), &stdout, &stderr
	cmd.Env = append(environment("HOME="+c.dir), c.environ...)
	cmd.SysProcAttr = endWithParent()
	err := cmd.Run()
	if ctx.Err() != nil {
		t.Fatalf("hydrastore %q runs on after %v\n%s", c.args, commandTimeout, &stderr)
	}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("run hydrastore %q: %v", c.args, err)
	}
	return outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}
