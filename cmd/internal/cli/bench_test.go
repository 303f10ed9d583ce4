package cli_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/hydrastore/hydrastore/cmd/internal/bench"
	"github.com/hydrastore/hydrastore/cmd/internal/cli"
	"github.com/hydrastore/hydrastore/session"
)

const shortBench = " --duration 100ms --clients 2 --sessions 5 -un ada -up " + password

func TestBenchReports(t *testing.T) {
	t.Parallel()
	x := newTerminal(t)
	out := x.must("bench mixed -o json" + shortBench)
	var report bench.Report
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatalf("%v in\n%s", err, out)
	}
	if len(report.Operations) == 0 || report.Operations[0].Count == 0 || report.Clients != 2 || report.Nodes != 1 {
		t.Errorf("got %+v", report)
	}
	if got := x.fake.changes(); !strings.Contains(got, "put bench ") || !strings.HasSuffix(got, "revoke where user= policy=bench; delete policy bench; logout") {
		t.Errorf("asked: %.60s … %s", got, got[max(0, len(got)-100):])
	}
	out = x.must("bench check" + shortBench)
	if !strings.Contains(out, "OPERATION") || !strings.Contains(out, "check, linearizable reads, 2 clients at once over 1 node") {
		t.Errorf("got %s", out)
	}
}

// TestBenchWithFailuresFails: a script must not take a broken run for a good one.
func TestBenchWithFailuresFails(t *testing.T) {
	t.Parallel()
	x := newTerminal(t)
	x.fake.refuseLocal = true
	stdout, stderr, code := x.run("bench check --consistency local -q" + shortBench)
	if code != cli.ExitFailure || !strings.Contains(stdout, string(session.CodeTooStale)+":") || !strings.Contains(stderr, "failed") {
		t.Errorf("got exit code %d\n%s\n%s", code, stdout, stderr)
	}
}
