package cli_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hydrastore/hydrastore/cmd/internal/cli"
)

// TestKeysAsFlowTraqIssuesThem: any command issues one, beside what it is for, wherever the password comes from.
func TestKeysAsFlowTraqIssuesThem(t *testing.T) {
	t.Parallel()
	x := newTerminal(t)
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, line := range map[string]string{
		"flags":           "session list -un ada -up " + password + " -us",
		"key asked first": "whoami -us -un ada -up " + password,
		"password file":   "whoami -un ada --password-file " + file + " -us",
		"long names":      "whoami --user ada --password " + password + " -us",
		"standard input":  "whoami -un ada --password-file - -us",
		"environment":     "whoami -un ada -us",
	} {
		x.stdin = password
		x.environ = append(x.environ, "HYDRASTORE_PASSWORD=")
		if name == "environment" {
			x.environ = append(x.environ, "HYDRASTORE_PASSWORD="+password)
		}
		key := issuedKey(t, x, line)
		if stdout, _, code := x.run("whoami -us " + key); code != cli.ExitOK || !strings.Contains(stdout, "ada") {
			t.Errorf("%s: the key does not work: exit code %d, %s", name, code, stdout)
		}
	}
	if stdout, _, _ := x.run("session list -un ada -up " + password + " -us -o json"); !strings.HasPrefix(stdout, "{") {
		t.Errorf("the command beside which a key is issued wrote %s", stdout)
	}
}

func TestKeysThatAreNotIssued(t *testing.T) {
	t.Parallel()
	x := newTerminal(t)
	for name, c := range map[string]struct {
		line, want string
		code       int
		off        bool
	}{
		"wrong password":  {line: "whoami -un ada -up wrong -us", want: "the user name or password is not right", code: cli.ExitUnauthenticated},
		"turned off":      {line: "whoami -un ada -up " + password + " -us", off: true, want: "session keys are not issued here", code: cli.ExitFailure},
		"turned off, too": {line: "login -un ada -up " + password + " -us", off: true, want: "hydrastore policy set flowtraq --preset flowtraq", code: cli.ExitFailure},
		"not this user":   {line: "whoami -un eve -up " + password + " -us", want: "hydrastore user set eve --policy default,flowtraq", code: cli.ExitFailure},
		"no such name":    {line: "whoami --user ada --password x --issue-key=A", want: "a policy's name has", code: cli.ExitUsage},
		"a bad key":       {line: "whoami -us 91389bd1127bce0a2615d390be08f696", want: "the session key is missing or not valid", code: cli.ExitUnauthenticated},
		"no key":          {line: "whoami -us 91389bd1", want: "the session key is missing or not valid", code: cli.ExitUnauthenticated},
		"without a value": {line: "whoami -us", want: "flag needs an argument: --session-key", code: cli.ExitUsage},
	} {
		x.fake.noKeys = c.off
		stdout, stderr, code := x.run(c.line)
		if code != c.code || stdout != "" || !strings.Contains(stderr, c.want) || regexp.MustCompile(`(?m)^[0-9a-f]{32}$`).MatchString(stderr) {
			t.Errorf("%s: exit code %d, want %d; %q, %q, want in it %q", name, code, c.code, stdout, stderr, c.want)
		}
	}
	if n := len(x.fake.alive); n != 0 {
		t.Errorf("%d sessions were left alive", n)
	}
}

// TestIssueKeyAloneIsOfTheUsersOwnPolicy.
func TestIssueKeyAloneIsOfTheUsersOwnPolicy(t *testing.T) {
	t.Parallel()
	x := newTerminal(t)
	if _, stderr, code := x.run("whoami --user ada --password " + password + " --issue-key"); code != cli.ExitOK || !strings.HasPrefix(stderr, "hs_") {
		t.Errorf("exit code %d, %q", code, stderr)
	}
	if _, stderr, _ := x.run("login --policy web -un ada -up " + password + " -us"); !strings.HasPrefix(stderr, "hs_") || !strings.Contains(x.fake.changes(), "login ada web") {
		t.Errorf("with a policy of its own: %q, asked %s", stderr, x.fake.changes())
	}
}
