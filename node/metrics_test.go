package node_test

import (
	"fmt"
	"io"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/node/audit"
)

// What operators watch is there, and moves when the cluster works.
func TestMetricsTellWhatTheClusterDoes(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	c := startTrio(t, 3, func(i int, config *node.Config) {
		if i == 0 {
			config.Registerer = registry
			config.Audit = audit.Config{File: audit.Stdout, Output: io.Discard}
		}
	})
	if _, err := c.nodes[0].Check(t.Context(), c.admin(0), true); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all figures to have moved", func() error {
		families, err := registry.Gather()
		if err != nil {
			return err
		}
		sums := map[string]float64{}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				sums[f.GetName()] += m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetHistogram().GetSampleSum()
			}
		}
		for _, name := range []string{
			"batch_commands", "apply_seconds", "read_index_reads", "read_index_rounds_total", "sessions", "users", "replicated_clock_seconds",
			"raft_term", "raft_commit_index", "raft_applied_index", "members", "members_alive", "log_writes_total", "log_write_seconds_total",
			"log_entries_total", "log_bytes_total", "peer_bytes_total", "peer_calls_total", "peer_connections", "gossip_members", "audit_lines_total",
			"password_attempts_total",
		} {
			if sums["hydrastore_"+name] <= 0 {
				return fmt.Errorf("%s is %v", name, sums["hydrastore_"+name])
			}
		}
		return nil
	})
}
