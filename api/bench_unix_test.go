//go:build unix

package api_test

import (
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

// BenchmarkBesideBareEcho asks for local checks over kept connections, and a bare Echo handler that answers the same JSON,
// in turns of a few hundred requests. It reports the CPU time of a request at each, client included, and "ratio": the
// bare handler's over ours, which is our rate in terms of its on a machine that is busy with nothing else. The target is
// 0.85.
//
// CPU time in turns, not elapsed time one after the other: on a shared machine the latter ranged from 0.4 to 1.2.
func BenchmarkBesideBareEcho(b *testing.B) {
	server, h := benchServer(b)
	bare := newLoad(b, bareEcho(b, server.Handler(false), checkRequest(h.user)), h.user)
	ours := newLoad(b, server.Handler(false), h.user)
	const turn = 256
	bare.run(turn) // connections are made outside the measurement
	ours.run(turn)
	var bareCPU, ourCPU time.Duration
	requests := 0
	for b.Loop() {
		bareCPU += bare.run(turn)
		ourCPU += ours.run(turn)
		requests += turn
	}
	b.ReportMetric(float64(bareCPU.Microseconds())/float64(requests), "bare-cpu-µs")
	b.ReportMetric(float64(ourCPU.Microseconds())/float64(requests), "check-cpu-µs")
	b.ReportMetric(float64(bareCPU)/float64(ourCPU), "ratio")
}

// load is one server with clients that keep their connections.
type load struct {
	b         *testing.B
	url       string
	key       session.Key
	transport *http.Transport
}

func newLoad(b *testing.B, handler http.Handler, key session.Key) *load {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	server := &http.Server{Handler: handler}
	var wait sync.WaitGroup
	wait.Go(func() { _ = server.Serve(l) })
	load := &load{b: b, url: "http://" + l.Addr().String() + "/v1/session?consistency=local", key: key,
		transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}}
	b.Cleanup(func() {
		load.transport.CloseIdleConnections()
		_ = server.Close()
		wait.Wait()
	})
	return load
}

// run makes so many requests from 16 clients and returns the CPU time of the process meanwhile.
func (l *load) run(requests int) time.Duration {
	const clients = 16
	before := cpuTime(l.b)
	var wait sync.WaitGroup
	for range clients {
		wait.Go(func() {
			for range requests / clients {
				l.ask()
			}
		})
	}
	wait.Wait()
	return cpuTime(l.b) - before
}

func (l *load) ask() {
	r, err := http.NewRequest("GET", l.url, nil)
	if err != nil {
		l.b.Error(err)
		return
	}
	r.Header.Set("Authorization", "Bearer "+l.key.Reveal())
	response, err := l.transport.RoundTrip(r)
	if err != nil || response.StatusCode != http.StatusOK {
		l.b.Errorf("got %v, %v", response, err)
		return
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
}

func cpuTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
