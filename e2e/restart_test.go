package e2e_test

import (
	"net/http"
	"testing"
	"time"
)

// TestKillAllAndRestart kills all three processes in one moment under load, twice. What was acknowledged is there afterwards,
// and the deadlines of sessions that nobody used have not moved.
func TestKillAllAndRestart(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, nil)
	admin := c.admin()
	service := c.service(admin)
	var untouched []body
	for i := range 60 {
		a := c.must(i%3, http.StatusCreated, vouch(service, "still", fields{"attributes": fields{"i": i}}))
		untouched = append(untouched, a.body)
	}
	down := newOutages(3)
	l := startLoad(t, loadOptions{service: service, targets: c.apis(), clients: 32, pause: 10 * time.Millisecond, down: down})
	for range 2 {
		l.await(1000)
		for i := range c.nodes {
			down.begin(i)
		}
		for _, s := range c.nodes {
			s.kill9()
		}
		for _, s := range c.nodes {
			s.awaitExit()
			s.start()
		}
		c.awaitReady()
		for i := range c.nodes {
			down.end(i)
		}
	}
	l.await(100)
	l.report()
	l.verify(c, admin)
	for i, s := range untouched {
		a := c.must(i%3, http.StatusOK, look(s.Key))
		if !a.body.ExpiresAt.Equal(s.ExpiresAt) || !a.body.CreatedAt.Equal(s.CreatedAt) || a.body.Attributes["i"] != float64(i) {
			t.Errorf("session %d was issued as %+v and is now %+v", i, s, a.body)
		}
	}
}

// TestRollingRestart restarts each node in turn, as an upgrade does, with all traffic through HAProxy. No request fails,
// though no client and no proxy repeats one that has reached a node.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, nil)
	address := startHAProxy(t, c)
	admin := c.admin()
	l := startLoad(t, loadOptions{service: c.service(admin), targets: []string{address}, clients: 32, pause: 20 * time.Millisecond})
	l.await(500)
	for _, s := range c.nodes {
		s.terminate()
		s.start()
		s.awaitReady()
		l.await(300)
	}
	l.report()
	l.verify(c, admin)
}
