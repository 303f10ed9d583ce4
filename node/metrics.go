package node

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hydrastore/hydrastore/cluster"
	"github.com/hydrastore/hydrastore/session"
)

// metrics are the node's figures for operators. docs/operations.md explains each.
type metrics struct {
	batchCommands prometheus.Histogram
	entryCommands prometheus.Histogram
	applySeconds  prometheus.Histogram
	commitSeconds prometheus.Histogram
	readsPerRound prometheus.Histogram
	readRounds    prometheus.Counter
	refused       prometheus.Counter
	ticks         prometheus.Counter
	removals      prometheus.Counter
	touches       *prometheus.CounterVec
	expired       *prometheus.CounterVec
	passwords     *prometheus.CounterVec
	elsewhere     *prometheus.CounterVec
	clockSpread   prometheus.Gauge
	authenticated *prometheus.CounterVec
}

func newMetrics() *metrics {
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "hydrastore", Name: name, Help: help, Buckets: buckets})
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "hydrastore", Name: name, Help: help})
	}
	seconds := prometheus.ExponentialBuckets(0.00005, 2, 18) // 50 µs to 6.5 s
	counts := prometheus.ExponentialBuckets(1, 2, 11)        // 1 to 1,024
	return &metrics{
		batchCommands: histogram("batch_commands", "Commands in a batch that this node sent to the leader.", counts),
		entryCommands: histogram("entry_commands", "Commands in a log entry that this node proposed as leader.", counts),
		applySeconds:  histogram("apply_seconds", "Time to apply one log entry.", seconds),
		commitSeconds: histogram("commit_seconds", "Time from proposing a log entry to having applied it, at the leader.", seconds),
		readsPerRound: histogram("read_index_reads", "Reads that shared one read index.", counts),
		readRounds:    counter("read_index_rounds_total", "Questions to the leader for a read index."),
		refused:       counter("writes_refused_total", "Writes refused because the queue was full."),
		ticks:         counter("ticks_total", "Log entries written only to carry time, at the leader."),
		removals:      counter("removals_total", "Log entries written only to remove ended sessions, at the leader."),
		touches: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "hydrastore", Name: "uses_total",
			Help: "Uses of sessions by what became of them: none (within the window), async, sync."}, []string{"touch"}),
		expired: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "hydrastore", Name: "sessions_ended_total",
			Help: "Sessions ended by the state machine itself, by cause."}, []string{"cause"}),
		passwords: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "hydrastore", Name: "password_attempts_total",
			Help: "Passwords tried at this node by outcome: right, wrong, throttled (not looked at), failed (overload or no majority)."}, []string{"outcome"}),
		elsewhere: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "hydrastore", Name: "address_mismatches_total",
			Help: "Session keys presented at another address than that of their log-in, by what their policy says of that: log, strict (refused)."}, []string{"bind_address"}),
		authenticated: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "hydrastore", Name: "authentications_total",
			Help: "Passwords judged by each authenticator, by outcome: accepted, refused, unavailable."}, []string{"authenticator", "outcome"}),
		clockSpread: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "hydrastore", Name: "clock_spread_seconds",
			Help: "Difference between the voters' wall clocks as the leader last saw it."}),
	}
}

func (m *metrics) ended(cause string) { m.expired.WithLabelValues(cause).Inc() }

func (m *metrics) passwordTried(err error) {
	outcome := "failed"
	switch session.CodeOf(err) {
	case "":
		outcome = "right"
	case session.CodeUnauthenticated:
		outcome = "wrong"
	case session.CodeThrottled:
		outcome = "throttled"
	}
	m.passwords.WithLabelValues(outcome).Inc()
}

// registerMetrics registers the node's figures and gauges that read its state when they are asked for.
func (n *Node) registerMetrics(r prometheus.Registerer) error {
	m := n.metrics
	all := []prometheus.Collector{
		m.batchCommands, m.entryCommands, m.applySeconds, m.commitSeconds, m.readsPerRound, m.readRounds, m.refused, m.ticks, m.removals,
		m.touches, m.expired, m.passwords, m.elsewhere, m.clockSpread, m.authenticated, newClusterCollector(n.cluster),
	}
	if n.audit != nil {
		all = append(all, newAuditCollector(n.audit))
	}
	gauge := func(name, help string, value func() float64) {
		all = append(all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "hydrastore", Name: name, Help: help}, value))
	}
	gauge("sessions", "Sessions; those due but not ended yet are among them. Where each node keeps its own, this node's.", func() float64 { return float64(n.countSessions()) })
	gauge("users", "User accounts.", func() float64 { return float64(n.fsm.Stats().Users) })
	gauge("idempotency_records", "Remembered Idempotency-Keys.", func() float64 { return float64(n.fsm.Stats().IdempotencyRecords) })
	gauge("used_challenges", "Challenges of log-ins that are remembered as used; at most 100,000, beyond which log-ins by challenge fail.", func() float64 { return float64(n.fsm.Stats().UsedChallenges) })
	gauge("password_attempt_counters", "Counters of the login throttle; at most 100,000.", func() float64 { return float64(n.fsm.Stats().AttemptCounters) })
	gauge("password_attempts_waiting", "Password checks that wait for their turn at this node.", func() float64 { return float64(n.turns.Waiting() + n.remote.Waiting()) })
	gauge("attribute_bytes", "Memory of names, user agents, password hashes and attributes.", func() float64 { return float64(n.fsm.Stats().BlobBytes) })
	gauge("local_attribute_bytes", "Memory of attributes under policies that leave them to nodes.", n.local.bytes)
	gauge("replicated_clock_seconds", "The replicated clock, seconds since the Unix epoch.", func() float64 { return float64(n.fsm.ClockMS()) / 1000 })
	gauge("data_age_seconds", "Greatest possible age of this node's data; -1 when unknown.", n.ageSeconds)
	gauge("raft_term", "Raft's current term.", func() float64 { return float64(n.cluster.Term()) })
	gauge("raft_commit_index", "Last index known to be committed.", func() float64 { return float64(n.cluster.CommitIndex()) })
	gauge("raft_applied_index", "Last index applied.", func() float64 { return float64(n.cluster.AppliedIndex()) })
	gauge("raft_leader", "1 when this node leads.", func() float64 { return boolFloat(n.leader.epoch.Load() != 0) })
	gauge("members", "Members of the cluster.", func() float64 { return float64(len(n.cluster.Members())) })
	gauge("members_alive", "Members that answer, by this node's gossip.", n.membersAlive)
	var errs []error
	for _, c := range all {
		errs = append(errs, r.Register(c))
	}
	return errors.Join(errs...)
}

// countSessions counts those that live here.
func (n *Node) countSessions() int {
	if own := n.ownSessions.Load(); own != nil {
		return (*own)()
	}
	return n.fsm.Stats().Sessions
}

func (n *Node) ageSeconds() float64 {
	age, ok := n.freshness.age()
	if !ok {
		return -1
	}
	return age.Seconds()
}

func (n *Node) membersAlive() float64 {
	alive := 0
	for _, m := range n.cluster.Members() {
		if m.Alive {
			alive++
		}
	}
	return float64(alive)
}

func boolFloat(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// roleOf names a member's role as the API spells it.
func roleOf(m cluster.Member) string {
	switch {
	case m.Leader:
		return "leader"
	case m.Suffrage == cluster.Voter:
		return "follower"
	default:
		return "non-voter"
	}
}
