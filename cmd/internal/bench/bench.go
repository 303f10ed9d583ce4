// Package bench drives a running cluster through its API and counts what comes back.
//
// It is a closed loop: each of N clients asks, waits for the answer and asks again, over all nodes alike. So a slower
// cluster is asked less, and the latency is that of N requests at once; it is not that of a fixed rate.
package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hydrastore/hydrastore/cmd/internal/latency"
	"github.com/hydrastore/hydrastore/session"
)

// Limits of Options.
const (
	MaxClients  = 4096
	MaxSessions = 1_000_000
)

// Policies that a run makes for its sessions and removes at its end.
const (
	policyWindow   = "bench"           // touch window at its default
	policyEveryUse = "bench-every-use" // touch window 0: every use is a write
)

// Node is one node of the cluster, as the bench asks it.
type Node interface {
	// Create makes a session for a user that the caller answers for.
	Create(ctx context.Context, user, policy string) (session.Key, error)
	// Check asks whether the key is good; the answer counts as a use unless it is local.
	Check(ctx context.Context, key session.Key, consistency session.Consistency) error
	Logout(ctx context.Context, key session.Key) error
}

// Admin prepares and cleans up.
type Admin interface {
	PutPolicy(ctx context.Context, name string, change session.PolicyChange) error
	DeletePolicy(ctx context.Context, name string) error
	RevokePolicySessions(ctx context.Context, policy string) (int, error)
}

// Options of a run.
type Options struct {
	Workload    string
	Clients     int                 // requests at once
	Duration    time.Duration       // of what is counted
	Sessions    int                 // that the checks choose from
	Consistency session.Consistency // of checks
	// Progress is called about every second and at the end of the preparation, on one goroutine. nil = nobody looks.
	Progress func(Progress)
}

// Progress is how far a run is.
type Progress struct {
	Preparing bool // sessions are being made; nothing is counted yet
	Done      int  // operations since the start of this part
	Of        int  // when preparing: how many there will be
	Elapsed   time.Duration
	Rate      float64 // a second, since the last call
	Errors    uint64
}

// Validate tells what cannot work, in the words of the command's flags.
func (o Options) Validate() error {
	if _, known := workloads()[o.Workload]; !known {
		return fmt.Errorf("there is no workload %q: use create, check, check-extend or mixed", o.Workload)
	}
	switch {
	case o.Clients < 1 || o.Clients > MaxClients:
		return fmt.Errorf("--clients is %d, must be 1 to %d", o.Clients, MaxClients)
	case o.Sessions < 1 || o.Sessions > MaxSessions:
		return fmt.Errorf("--sessions is %d, must be 1 to %d", o.Sessions, MaxSessions)
	case o.Duration < 100*time.Millisecond:
		return fmt.Errorf("--duration is %v, must be at least 100ms", o.Duration)
	case o.Workload == "check-extend" && o.Consistency == session.Local:
		return errors.New("check-extend cannot be local: a local read extends nothing")
	}
	return nil
}

// Run prepares, drives the nodes for the duration and cleans up. It answers with what was counted so far when ctx ends
// early; cleaning up happens all the same.
func Run(ctx context.Context, nodes []Node, admin Admin, o Options) (report Report, err error) {
	if err := o.Validate(); err != nil {
		return Report{}, err
	}
	work := workloads()[o.Workload]
	r := &run{options: o, nodes: nodes, policy: work.policy}
	defer func() {
		err = errors.Join(err, r.cleanUp(context.WithoutCancel(ctx), admin))
	}()
	if err := r.prepare(ctx, admin, work); err != nil {
		return Report{}, err
	}
	return r.measure(ctx, work), nil
}

type run struct {
	options Options
	nodes   []Node
	policy  string
	keys    []session.Key
}

// userOf spreads sessions over users, so that nobody has absurdly many.
func userOf(i int) string { return fmt.Sprintf("bench-%d", i%10_000) }

func (r *run) prepare(ctx context.Context, admin Admin, work workload) error {
	change := session.PolicyChange{}
	if r.policy == policyEveryUse {
		every := time.Duration(0)
		change.TouchWindow = &every
	}
	if err := admin.PutPolicy(ctx, r.policy, change); err != nil {
		return fmt.Errorf("make the policy %s: %w", r.policy, err)
	}
	if !work.needsSessions {
		return nil
	}
	return r.makeSessions(ctx)
}

// makeSessions creates the sessions that checks will choose from, all clients together.
func (r *run) makeSessions(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r.keys = make([]session.Key, r.options.Sessions)
	var made counter
	stop := r.watch(Progress{Preparing: true, Of: len(r.keys)}, &made)
	defer stop()
	var wait sync.WaitGroup
	for w := range r.options.Clients {
		wait.Go(func() {
			for i := w; i < len(r.keys) && ctx.Err() == nil; i += r.options.Clients {
				key, err := r.nodes[i%len(r.nodes)].Create(ctx, userOf(i), r.policy)
				if err != nil {
					cancel(fmt.Errorf("make a session to check: %w", err))
					return
				}
				r.keys[i] = key
				made.add(nil)
			}
		})
	}
	wait.Wait()
	return context.Cause(ctx)
}

// measure lets every client work until the time is over.
func (r *run) measure(ctx context.Context, work workload) Report {
	running, cancel := context.WithTimeout(ctx, r.options.Duration)
	defer cancel()
	workers := make([]*worker, r.options.Clients)
	var done counter
	var wait sync.WaitGroup
	begin := time.Now()
	stop := r.watch(Progress{}, &done)
	for i := range workers {
		workers[i] = newWorker(r, i, &done)
		wait.Go(func() { workers[i].work(ctx, running, work) })
	}
	wait.Wait()
	elapsed := time.Since(begin)
	stop()
	return summarize(r.options, len(r.nodes), elapsed, workers)
}

// cleanUp ends the run's sessions and removes its policy, also after a failed preparation.
func (r *run) cleanUp(ctx context.Context, admin Admin) error {
	const patience = 2 * time.Minute
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if _, err := admin.RevokePolicySessions(ctx, r.policy); err != nil {
		return fmt.Errorf("end the sessions of the bench: %w", err)
	}
	if err := admin.DeletePolicy(ctx, r.policy); err != nil && session.CodeOf(err) != session.CodeNotFound {
		return fmt.Errorf("remove the policy %s: %w", r.policy, err)
	}
	return nil
}

// watch reports progress every second until the returned function is called; it ends before that returns.
func (r *run) watch(first Progress, done *counter) (stop func()) {
	if r.options.Progress == nil {
		return func() {}
	}
	quit := make(chan struct{})
	var wait sync.WaitGroup
	begin := time.Now()
	wait.Go(func() {
		every := time.NewTicker(time.Second)
		defer every.Stop()
		last, at := uint64(0), begin
		for {
			select {
			case <-quit:
				return
			case now := <-every.C:
				count, failed := done.read()
				p := first
				p.Done, p.Errors, p.Elapsed = int(count), failed, now.Sub(begin)
				p.Rate = float64(count-last) / now.Sub(at).Seconds()
				r.options.Progress(p)
				last, at = count, now
			}
		}
	})
	return func() { close(quit); wait.Wait() }
}

// merge adds up what the workers measured, by operation.
func merge(workers []*worker) map[string]*measured {
	all := map[string]*measured{}
	for _, w := range workers {
		for name, m := range w.measured {
			if all[name] == nil {
				all[name] = newMeasured()
			}
			all[name].latencies.Add(&m.latencies)
			for code, n := range m.errors {
				all[name].errors[code] += n
			}
		}
	}
	return all
}

// measured is what one worker saw of one operation.
type measured struct {
	latencies latency.Histogram // of successes
	errors    map[session.Code]uint64
}

func newMeasured() *measured { return &measured{errors: map[session.Code]uint64{}} }
