package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hydrastore/hydrastore/cluster"
	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/node/audit"
)

// ErrAudit is the error of New when the audit trail cannot be written where it should.
var ErrAudit = errors.New("start the audit trail")

// openAudit opens the audit trail, if there is to be one. The data folder is there, and nothing has been applied.
func (n *Node) openAudit() error {
	c := n.config.Audit
	if c.File == "" {
		return nil
	}
	c.Mark = filepath.Join(n.config.Cluster.Dir, "audit.mark")
	c.Node = n.config.Cluster.Name
	c.Own = n.config.SessionsAtNode
	c.Logger = n.log
	trail, err := audit.Open(c)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrAudit, err)
	}
	n.audit = trail
	return nil
}

// ReopenAudit lets go of an audit file that was renamed, and goes on in a new one under the configured name. Without a file it does nothing.
func (n *Node) ReopenAudit(ctx context.Context) error {
	if n.audit == nil {
		return nil
	}
	return n.audit.Reopen(ctx)
}

// closeAudit writes what waits. Nothing is applied any more.
func (n *Node) closeAudit(ctx context.Context) error {
	if n.audit == nil {
		return nil
	}
	return n.audit.Close(ctx)
}

// auditedSnapshot is written when the audit trail has come as far as it: what it hides from a restart has its lines.
type auditedSnapshot struct {
	*fsm.Snapshot
	trail *audit.Trail
	log   *slog.Logger
}

func (s auditedSnapshot) WriteTo(w io.Writer) (int64, error) {
	if err := s.trail.Settled(s.Index()); err != nil {
		s.log.Error("a snapshot is written before the audit trail; if the node stops now, lines are missing and a gap says so", slog.Any("error", err))
	}
	return s.Snapshot.WriteTo(w)
}

func (m *machine) snapshot() cluster.Snapshot {
	if m.node.audit == nil {
		return m.fsm.Snapshot()
	}
	return auditedSnapshot{Snapshot: m.fsm.Snapshot(), trail: m.node.audit, log: m.node.log}
}

// auditCollector shows the trail's figures.
type auditCollector struct {
	trail                           *audit.Trail
	written, lost, failed, inMemory *prometheus.Desc
}

func newAuditCollector(t *audit.Trail) auditCollector {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("hydrastore_audit_"+name, help, nil, nil)
	}
	return auditCollector{
		trail:    t,
		written:  desc("lines_total", "Audit lines written."),
		lost:     desc("lost_lines_total", "Audit lines lost because too many waited; each loss has a gap line."),
		failed:   desc("write_failures_total", "Writes of the audit trail that failed and were tried again."),
		inMemory: desc("waiting_lines", "Audit lines that wait to be written."),
	}
}

func (c auditCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.written, c.lost, c.failed, c.inMemory} {
		out <- d
	}
}

func (c auditCollector) Collect(out chan<- prometheus.Metric) {
	f := c.trail.Figures()
	out <- prometheus.MustNewConstMetric(c.written, prometheus.CounterValue, float64(f.Written))
	out <- prometheus.MustNewConstMetric(c.lost, prometheus.CounterValue, float64(f.Lost))
	out <- prometheus.MustNewConstMetric(c.failed, prometheus.CounterValue, float64(f.Failed))
	out <- prometheus.MustNewConstMetric(c.inMemory, prometheus.GaugeValue, float64(f.Waiting))
}
