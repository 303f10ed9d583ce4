package e2e_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// States of an entry; they only go forward.
const (
	live    int32 = iota // acknowledged, and no log-out has begun
	leaving              // a log-out is under way
	gone                 // its log-out was acknowledged
	limbo                // its log-out was lost with a node: both are right
)

// entry is a session that was acknowledged.
type entry struct {
	key, id, user string
	state         atomic.Int32
}

// pool is all entries of a load. Safe for concurrent use.
type pool struct {
	mu      sync.Mutex
	entries []*entry
}

func (p *pool) add(e *entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.entries = append(p.entries, e)
}

func (p *pool) any(random *rand.Rand) *entry {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.entries[random.IntN(len(p.entries))]
}

func (p *pool) size() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.entries)
}

// outages tells when the nodes were down because the test took them down. A nil one says that they never were.
type outages struct {
	generations []atomic.Int64 // odd while the node is down
}

func newOutages(nodes int) *outages { return &outages{generations: make([]atomic.Int64, nodes)} }

func (o *outages) begin(node int) { o.generations[node].Add(1) }
func (o *outages) end(node int)   { o.generations[node].Add(1) }

func (o *outages) generation(node int) int64 {
	if o == nil {
		return 0
	}
	return o.generations[node].Load()
}

// excuses tells that the node was down at some moment since its generation was before.
func (o *outages) excuses(node int, before int64) bool {
	return before%2 == 1 || o.generation(node) != before
}

// waitUp waits while the node is down. The error is ctx's.
func (o *outages) waitUp(ctx context.Context, node int) error {
	for o.generation(node)%2 == 1 {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// verify looks at every session that the load has made, at every node, and at every user's list, after the load has ended.
func (l *load) verify(c *cluster, admin string) {
	l.t.Helper()
	l.stop()
	work := make(chan *entry)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			lines := c.lines()
			defer closeAll(lines)
			for e := range work {
				l.verifyEntry(lines, e)
			}
		})
	}
	for _, e := range l.pool.entries {
		work <- e
	}
	close(work)
	wg.Wait()
	for i, client := range l.clients {
		l.verifyUser(c.nodes[i%len(c.nodes)].api, admin, client)
	}
}

func (c *cluster) lines() []*line {
	var all []*line
	for _, s := range c.nodes {
		all = append(all, newLine(s.api))
	}
	return all
}

func closeAll(lines []*line) {
	for _, l := range lines {
		l.close()
	}
}

func (l *load) verifyEntry(lines []*line, e *entry) {
	first := 0
	for i, line := range lines {
		a, err := line.do(look(e.key))
		if i == 0 {
			first = a.status
		}
		state := e.state.Load()
		switch {
		case err != nil:
			l.fail("look at session %s: %v", e.id, err)
		case state == live && a.status != http.StatusOK:
			l.fail("acknowledged session %s of %s is lost at %s: %d %s", e.id, e.user, line.address, a.status, a.text)
		case state == live && a.body.ID != e.id:
			l.fail("the key of session %s opens session %s at %s", e.id, a.body.ID, line.address)
		case state == gone && a.status != http.StatusUnauthorized:
			l.fail("the acknowledged log-out of session %s is undone at %s: %d", e.id, line.address, a.status)
		case state == limbo && a.status != first:
			l.fail("the nodes disagree on session %s: %d and %d", e.id, first, a.status)
		}
	}
}

// verifyUser wants in the client's list what was acknowledged and not ended, nothing that was ended, and beyond that at most
// the creates of unknown outcome. The sessions' numbers count every create that was ever applied.
func (l *load) verifyUser(address, admin string, c *loadClient) {
	l.t.Helper()
	listed, err := listAll(address, admin, c.user)
	if err != nil {
		l.fail("list sessions of %s: %v", c.user, err)
		return
	}
	highest := uint64(0)
	for _, s := range listed {
		highest = max(highest, s.Number)
	}
	for _, e := range c.own {
		_, there := listed[e.id]
		if state := e.state.Load(); state == live && !there || state == gone && there {
			l.fail("session %s of %s: in the list %v, against what was acknowledged", e.id, c.user, there)
		}
		delete(listed, e.id)
	}
	if len(listed) > c.unknownCreates {
		l.fail("%s has %d sessions that nobody was told of, and only %d creates of unknown outcome: applied twice", c.user, len(listed), c.unknownCreates)
	}
	if most := uint64(c.acknowledged + c.unknownCreates); highest > most {
		l.fail("%s has a session with number %d, after %d creates: applied twice", c.user, highest, most)
	}
	l.verifyPatches(address, c)
}

func (l *load) verifyPatches(address string, c *loadClient) {
	if len(c.own) == 0 {
		return
	}
	line := newLine(address)
	defer line.close()
	a, err := line.expect(http.StatusOK, look(c.own[0].key))
	if err != nil {
		l.fail("read attributes of %s: %v", c.user, err)
		return
	}
	n, _ := a.body.Attributes["n"].(float64)
	if got := int(n); got < c.patched || got > c.patching {
		l.fail("%s has counted to %d (acknowledged) or at most %d, its attribute says %d", c.user, c.patched, c.patching, got)
	}
}

// listAll reads all pages of a user's sessions, by id.
func listAll(address, admin, user string) (map[string]body, error) {
	line := newLine(address)
	defer line.close()
	all := map[string]body{}
	for cursor := ""; ; {
		a, err := line.expect(http.StatusOK, sessionsOf(admin, user, cursor))
		if err != nil {
			return nil, err
		}
		for _, s := range a.body.Items {
			if _, twice := all[s.ID]; twice {
				return nil, fmt.Errorf("session %s is listed twice", s.ID)
			}
			all[s.ID] = s
		}
		if cursor = a.body.NextCursor; cursor == "" {
			return all, nil
		}
	}
}
