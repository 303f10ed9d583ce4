package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hydrastore/hydrastore/cmd/internal/cli"
)

// TestPolicyApply: the difference between a file and the cluster is shown, and what the file says is put; what it does not name stays.
func TestPolicyApply(t *testing.T) {
	t.Parallel()
	x := newTerminal(t)
	x.stdin = password
	x.must("login ada --password-file -")
	file := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	changed := file("hydrastore.yaml", "policies: {default: {idle_timeout_s: 900}}\nuserdata: {maxsessionkeyage: 60}\n")
	shown := x.must("policy apply --dry-run --from-config " + changed)
	for _, want := range []string{
		"default   idle_timeout_s", "1800", "900", "flowtraq  bind_address              none     strict", "2 policy changes to make; without --dry-run",
	} {
		if !strings.Contains(shown, want) {
			t.Errorf("got:\n%s\nwant in it: %q", shown, want)
		}
	}
	if got := x.fake.changes(); got != "login ada " {
		t.Errorf("a dry run changed something: %s", got)
	}
	var answer struct {
		Differences []struct{ Policy, Field string }
		Applied     bool
	}
	if err := json.Unmarshal([]byte(x.must("policy apply -o json --from-config "+changed)), &answer); err != nil || !answer.Applied || len(answer.Differences) < 2 {
		t.Errorf("got %+v, %v", answer, err)
	}
	if got := x.fake.changes(); !strings.Contains(got, "put default idle=15m0s,absolute=12h0m0s,") || !strings.Contains(got, "put flowtraq idle=1m0s,absolute=0s,window=1s,") {
		t.Errorf("asked: %s", got)
	}
	same := file("same.yaml", "policies: {default: {}}")
	if got := x.must("policy apply --from-config " + same); !strings.Contains(got, "the cluster's policies are those of the file") {
		t.Errorf("got %s", got)
	}
	for line, want := range map[string]string{
		"policy apply": "--from-config FILE", "policy apply --from-config " + file("bad.yaml", "polices: {}"): "did you mean policies?",
	} {
		if _, stderr, code := x.run(line); code != cli.ExitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit code %d, %s; want %d and %q", line, code, stderr, cli.ExitUsage, want)
		}
	}
}
