package e2e_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// load is clients that create, check, change and end sessions until they are stopped, each in a closed loop with a pause, and
// judge every answer by what must hold when it comes:
//
//   - a session that was acknowledged before a check began, and whose log-out had not begun when it ended, is good;
//   - a session whose log-out was acknowledged before a check began is refused;
//   - every request succeeds, unless it went to a node that was down meanwhile (see outages).
//
// A request that was lost with its node may have been done: the ledger notes it as unknown.
type load struct {
	t       *testing.T
	service string   // key that creates sessions
	targets []string // addresses; client i uses target i modulo their number
	pause   time.Duration
	down    *outages
	clients []*loadClient
	pool    pool

	done     atomic.Int64 // requests that succeeded
	excused  atomic.Int64
	failures atomic.Int64

	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// loadOptions of startLoad.
type loadOptions struct {
	service string
	targets []string
	clients int
	pause   time.Duration // between two requests of a client
	down    *outages      // nil = no failure is excused
}

const maxFailuresShown = 20

func startLoad(t *testing.T, o loadOptions) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{t: t, service: o.service, targets: o.targets, pause: o.pause, down: o.down, cancel: cancel}
	for i := range o.clients {
		c := &loadClient{load: l, user: "load" + strconv.Itoa(i), target: i % len(o.targets), random: rand.New(rand.NewPCG(uint64(i), 1))}
		c.line = newLine(o.targets[c.target])
		l.clients = append(l.clients, c)
		l.wg.Go(func() { c.run(ctx) })
	}
	t.Cleanup(l.stop)
	return l
}

// stop lets the clients finish what they are at, and waits for them.
func (l *load) stop() {
	l.cancel()
	l.wg.Wait()
}

// await waits until n more requests have succeeded.
func (l *load) await(n int64) {
	l.t.Helper()
	goal := l.done.Load() + n
	eventually(l.t, fmt.Sprintf("%d more requests to succeed", n), func() error {
		if now := l.done.Load(); now < goal {
			return fmt.Errorf("%d are missing", goal-now)
		}
		return nil
	})
}

func (l *load) fail(format string, args ...any) {
	if l.failures.Add(1) <= maxFailuresShown {
		l.t.Errorf(format, args...)
	}
}

// report ends the load and says what it has done.
func (l *load) report() {
	l.t.Helper()
	l.stop()
	unknown := 0
	for _, c := range l.clients {
		unknown += c.unknownCreates
	}
	l.t.Logf("load: %d requests succeeded at their only try, %d were lost with their node (%d creates among them), %d failed; %d sessions",
		l.done.Load(), l.excused.Load(), unknown, l.failures.Load(), l.pool.size())
}

// loadClient is one client with its user. Only the entries of the pool are shared.
type loadClient struct {
	load   *load
	user   string
	target int
	line   *line
	random *rand.Rand

	generation     int64 // of the target, as of the last request
	own            []*entry
	acknowledged   int // creates
	unknownCreates int
	attributes     string // version of the first session's attributes; "" = to be read
	patched        int    // value of the last patch that was acknowledged
	patching       int    // value of the last patch that was sent
}

func (c *loadClient) run(ctx context.Context) {
	defer c.line.close()
	for ctx.Err() == nil {
		if c.load.down.waitUp(ctx, c.target) != nil {
			return
		}
		if now := c.load.down.generation(c.target); now != c.generation {
			c.line.close() // the connection died with the node's last process
			c.generation = now
		}
		c.step()
		select {
		case <-time.After(c.load.pause):
		case <-ctx.Done():
		}
	}
}

// step makes one request.
func (c *loadClient) step() {
	dice := c.random.IntN(100)
	switch {
	case len(c.own) == 0 || dice < 30:
		c.create()
	case dice < 75:
		c.check(c.load.pool.any(c.random))
	case dice < 85 && c.attributes == "":
		c.readAttributes()
	case dice < 85:
		c.patch()
	default:
		c.end()
	}
}

// ask does the request; ok tells that it had one of the wanted statuses. A failure that no outage excuses fails the test.
func (c *loadClient) ask(r request, want ...int) (a answer, ok bool) {
	before := c.load.down.generation(c.target)
	a, err := c.line.do(r)
	if err == nil {
		for _, status := range want {
			if a.status == status {
				c.load.done.Add(1)
				return a, true
			}
		}
		err = fmt.Errorf("%s %s at %s: status %d, want %v: %s", r.method, r.path, c.line.address, a.status, want, a.text)
	}
	if c.load.down.excuses(c.target, before) {
		c.load.excused.Add(1)
		return a, false
	}
	c.load.fail("%s: %v", c.user, err)
	return a, false
}

func (c *loadClient) create() {
	a, ok := c.ask(vouch(c.load.service, c.user, nil), http.StatusCreated)
	if !ok {
		c.unknownCreates++
		return
	}
	c.acknowledged++
	e := &entry{key: a.body.Key, id: a.body.ID, user: c.user}
	c.own = append(c.own, e)
	c.load.pool.add(e)
}

func (c *loadClient) check(e *entry) {
	before := e.state.Load()
	a, ok := c.ask(check(e.key), http.StatusOK, http.StatusUnauthorized)
	after := e.state.Load()
	switch {
	case !ok:
	case a.status == http.StatusOK && before == gone:
		c.load.fail("session %s was logged out and opens at %s", e.id, c.line.address)
	case a.status == http.StatusOK && a.body.ID != e.id:
		c.load.fail("the key of session %s opens session %s", e.id, a.body.ID)
	case a.status == http.StatusUnauthorized && after == live:
		c.load.fail("session %s of %s was acknowledged and is unknown at %s", e.id, e.user, c.line.address)
	}
}

// end logs out of any own session but the first, which stays so that the user does.
func (c *loadClient) end() {
	if len(c.own) < 2 {
		return
	}
	e := c.own[1+c.random.IntN(len(c.own)-1)]
	if e.state.Load() != live {
		return
	}
	e.state.Store(leaving)
	if _, ok := c.ask(logOut(e.key), http.StatusNoContent); ok {
		e.state.Store(gone)
	} else {
		e.state.Store(limbo)
	}
}

func (c *loadClient) readAttributes() {
	r := look(c.load.service)
	r.subject = c.own[0].key
	if a, ok := c.ask(r, http.StatusOK); ok {
		c.attributes = a.header.Get("ETag")
	}
}

// patch counts in the first session's attributes, each time on condition that nobody else has: a patch that is applied
// twice, or lost after its answer, makes the next one fail.
func (c *loadClient) patch() {
	c.patching++
	a, ok := c.ask(patch(c.load.service, c.own[0].key, c.attributes, fields{"n": c.patching}), http.StatusOK)
	if !ok {
		c.attributes = "" // whether it was done is unknown
		return
	}
	c.patched, c.attributes = c.patching, a.header.Get("ETag")
}
