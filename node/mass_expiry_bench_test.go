package node_test

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/session"
)

// BenchmarkMassExpiry measures a cluster of three nodes in this process that holds sixty thousand, a hundred thousand or a million
// sessions: how long creating them took, what checks cost before and while all of them expire at once, how long a node's start
// takes, and what the three nodes occupy.
//
//	go test ./node -run '^$' -bench MassExpiry/1000000 -benchtime 1x -timeout 20m
func BenchmarkMassExpiry(b *testing.B) {
	for _, count := range []int64{60_000, 100_000, 1_000_000} {
		b.Run(strconv.FormatInt(count, 10), func(b *testing.B) { benchmarkMassExpiry(b, count) })
	}
}

func benchmarkMassExpiry(b *testing.B, count int64) {
	m := startMass(b)
	b.ResetTimer()
	m.fill(b, count)
	b.ReportMetric(residentMiB(b), "MiB_three_nodes")

	before := m.checks(b, 5*time.Second, nil)
	b.ReportMetric(before.p99.Seconds()*1000, "ms_p99_check_before")

	started := time.Now()
	m.restart(b, 2)
	b.ReportMetric(time.Since(started).Seconds(), "s_start")

	ended := make(chan struct{})
	for _, clock := range m.clocks {
		clock.advance(2 * time.Hour)
	}
	began := time.Now()
	go func() {
		defer close(ended)
		for m.sessions(b) > 10 && time.Since(began) < 5*time.Minute {
			time.Sleep(20 * time.Millisecond)
		}
	}()
	during := m.checks(b, 5*time.Minute, ended)
	b.ReportMetric(time.Since(began).Seconds(), "s_to_end_all")
	b.ReportMetric(during.p99.Seconds()*1000, "ms_p99_check_during")
	b.ReportMetric(during.p99.Seconds()/before.p99.Seconds(), "x_p99_during_to_before")
	b.Logf("checks before: %v; while all sessions end: %v", before, during)
}

type massCluster struct {
	nodes  []*node.Node
	config []node.Config
	clocks []*fakeClock
	app    session.Call
	keep   session.Call // a session that lives on, to be checked
}

func startMass(b *testing.B) *massCluster {
	b.Helper()
	m := &massCluster{}
	var addrs []string
	for range 3 {
		addrs = append(addrs, freeAddress(b))
	}
	for range 3 {
		c := node.DefaultConfig()
		dir, err := os.MkdirTemp("", "hydrastore-mass")
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { os.RemoveAll(dir) })
		clock := newFakeClock()
		c.Cluster.Dir, c.Cluster.PeerListen, c.Cluster.GossipListen = dir, addrs[len(m.config)], "127.0.0.1:0"
		c.Cluster.Join, c.Cluster.BootstrapExpect = addrs, 3
		c.AdminPassword, c.Hashing, c.Clock = adminPassword, cheapHashing, clock
		for _, name := range []string{"hour", "day"} {
			p := session.DefaultPolicy()
			p.Name, p.AbsoluteLifetime, p.IdleTimeout = name, 0, map[string]time.Duration{"hour": time.Hour, "day": 24 * time.Hour}[name]
			c.Policies = append(c.Policies, p)
		}
		c.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
		c.Fatal = func(err error) { b.Error(err) }
		m.config, m.clocks, m.nodes = append(m.config, c), append(m.clocks, clock), append(m.nodes, nil)
	}
	for i := range m.nodes {
		m.start(b, i)
		b.Cleanup(func() { _ = m.nodes[i].Shutdown(b.Context()) })
	}
	for i := range m.nodes {
		m.await(b, i)
	}
	m.app = benchService(b, m.nodes[0])
	issued, err := m.nodes[0].Login(b.Context(), m.app, session.Login{User: "kept", Vouched: true, Policy: "day"})
	if err != nil {
		b.Fatal(err)
	}
	m.keep = session.Call{Key: issued.Key}
	return m
}

func (m *massCluster) start(b *testing.B, i int) {
	b.Helper()
	n, err := node.New(m.config[i])
	if err != nil {
		b.Fatal(err)
	}
	if err := n.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	m.nodes[i] = n
}

func (m *massCluster) await(b *testing.B, i int) {
	b.Helper()
	for start := time.Now(); m.nodes[i].Ready(false) != nil; time.Sleep(5 * time.Millisecond) {
		if time.Since(start) > 2*patience {
			b.Fatal(m.nodes[i].Ready(false))
		}
	}
}

func (m *massCluster) restart(b *testing.B, i int) {
	b.Helper()
	if err := m.nodes[i].Shutdown(b.Context()); err != nil {
		b.Fatal(err)
	}
	m.start(b, i)
	m.await(b, i)
}

// fill makes count sessions of up to a hundred thousand users.
func (m *massCluster) fill(b *testing.B, count int64) {
	b.Helper()
	started := time.Now()
	var made atomic.Int64
	var work sync.WaitGroup
	for caller := range 512 {
		work.Go(func() {
			for {
				k := made.Add(1)
				if k > count {
					return
				}
				user := "user" + strconv.FormatInt(k%100_000, 10)
				if _, err := m.nodes[caller%3].Login(b.Context(), m.app, session.Login{User: user, Vouched: true, Policy: "hour"}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	work.Wait()
	b.ReportMetric(float64(count)/time.Since(started).Seconds(), "creates/s")
}

func (m *massCluster) sessions(b *testing.B) int {
	s, err := m.nodes[0].ClusterStatus(b.Context(), session.Call{Operator: true})
	if err != nil {
		b.Error(err)
	}
	return s.Sessions
}

type quantiles struct {
	n        int
	p50, p99 time.Duration
	most     time.Duration
}

func (q quantiles) String() string {
	return fmt.Sprintf("%d, p50 %v, p99 %v, longest %v", q.n, q.p50, q.p99, q.most)
}

// checks lets 16 callers check one session at all nodes, a thousand times a second in all, until d has passed or done is closed.
func (m *massCluster) checks(b *testing.B, d time.Duration, done <-chan struct{}) quantiles {
	b.Helper()
	const callers = 16
	end := time.Now().Add(d)
	var mu sync.Mutex
	var all []time.Duration
	var work sync.WaitGroup
	for caller := range callers {
		work.Go(func() {
			var mine []time.Duration
			pace := time.NewTicker(callers * time.Millisecond)
			defer pace.Stop()
			for k, stop := 0, false; !stop && time.Now().Before(end); k++ {
				select {
				case <-done:
					stop = true
				case <-pace.C:
					asked := time.Now()
					if _, err := m.nodes[(caller+k)%3].Check(b.Context(), m.keep, false); err != nil {
						b.Error(err)
					}
					mine = append(mine, time.Since(asked))
				}
			}
			mu.Lock()
			all = append(all, mine...)
			mu.Unlock()
		})
	}
	work.Wait()
	slices.Sort(all)
	return quantiles{n: len(all), p50: all[len(all)/2], p99: all[len(all)*99/100], most: all[len(all)-1]}
}

// residentMiB is what this process occupies, as the kernel sees it.
func residentMiB(b *testing.B) float64 {
	b.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Log("no /proc here: resident memory is not known")
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "VmRSS:" {
			kib, _ := strconv.ParseFloat(fields[1], 64)
			return kib / 1024
		}
	}
	return 0
}
