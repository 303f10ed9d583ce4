package bench

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

// workload is what a client does over and over.
type workload struct {
	policy        string
	needsSessions bool
	next          func(*worker) operation // chooses the next operation
}

// operation is one request. Its name is the line in the report.
type operation struct {
	name string
	do   func(*worker, context.Context) error
}

func workloads() map[string]workload {
	create := operation{name: "create", do: (*worker).create}
	check := operation{name: "check", do: (*worker).check}
	logout := operation{name: "logout", do: (*worker).logout}
	always := func(o operation) func(*worker) operation { return func(*worker) operation { return o } }
	return map[string]workload{
		"create":       {policy: policyWindow, next: always(create)},
		"check":        {policy: policyWindow, needsSessions: true, next: always(check)},
		"check-extend": {policy: policyEveryUse, needsSessions: true, next: always(operation{name: "check-extend", do: (*worker).check})},
		"mixed": {policy: policyWindow, needsSessions: true, next: func(w *worker) operation {
			// As in a web application: a log-in, some dozens of requests, sometimes a log-out.
			switch n := w.random.IntN(100); {
			case n < 4:
				return create
			case n < 7 && len(w.own) > 0:
				return logout
			}
			return check
		}},
	}
}

// worker is one client. It is used by one goroutine.
type worker struct {
	run      *run
	node     Node
	number   int
	done     *counter
	random   *rand.Rand
	own      []session.Key // made in this run by this worker and still alive
	made     int
	measured map[string]*measured
}

// maxOwn bounds the keys that a worker remembers for logging out.
const maxOwn = 1024

func newWorker(r *run, number int, done *counter) *worker {
	return &worker{
		run: r, node: r.nodes[number%len(r.nodes)], number: number, done: done, measured: map[string]*measured{},
		random: rand.New(rand.NewPCG(uint64(number), 0)),
	}
}

// work goes on until running ends. A request that is under way then is waited for with ctx and counted: cutting it off
// would hide the slowest ones.
func (w *worker) work(ctx, running context.Context, work workload) {
	for running.Err() == nil {
		o := work.next(w)
		begin := time.Now()
		err := o.do(w, ctx)
		took := time.Since(begin)
		if ctx.Err() != nil {
			return // the person has had enough; this is no measurement
		}
		w.count(o.name, took, err)
		if err != nil {
			w.pause(running)
		}
	}
}

func (w *worker) count(name string, took time.Duration, err error) {
	m := w.measured[name]
	if m == nil {
		m = newMeasured()
		w.measured[name] = m
	}
	if err != nil {
		m.errors[session.CodeOf(err)]++
	} else {
		m.latencies.Record(took)
	}
	w.done.add(err)
}

// pause keeps a client whose requests fail at once from spinning.
func (w *worker) pause(running context.Context) {
	const afterError = 10 * time.Millisecond
	select {
	case <-running.Done():
	case <-time.After(afterError):
	}
}

func (w *worker) create(ctx context.Context) error {
	w.made++
	key, err := w.node.Create(ctx, userOf(w.number+w.made*w.run.options.Clients), w.run.policy)
	if err == nil && len(w.own) < maxOwn {
		w.own = append(w.own, key)
	}
	return err
}

func (w *worker) check(ctx context.Context) error {
	key := w.run.keys[w.random.IntN(len(w.run.keys))]
	return w.node.Check(ctx, key, w.run.options.Consistency)
}

func (w *worker) logout(ctx context.Context) error {
	last := len(w.own) - 1
	key := w.own[last]
	w.own = w.own[:last]
	return w.node.Logout(ctx, key)
}

// counter is what the progress display reads while the workers work.
type counter struct{ all, failed atomic.Uint64 }

func (c *counter) add(err error) {
	c.all.Add(1)
	if err != nil {
		c.failed.Add(1)
	}
}

func (c *counter) read() (all, failed uint64) { return c.all.Load(), c.failed.Load() }
