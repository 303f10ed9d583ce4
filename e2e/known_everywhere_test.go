package e2e_test

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

const (
	logIns         = 10_000
	passwordLogIns = 500 // of them; the rest by a service
	logOuts        = 1_000
	passwordUsers  = 10
	userPassword   = "Harbor-9-linen-comet"
	workers        = 32
)

// TestEveryKeyKnownAtEveryNode logs in through HAProxy and asks all three nodes for each key right after the answer. A part
// is logged out through HAProxy again, and refused by every node in the first read after that answer.
func TestEveryKeyKnownAtEveryNode(t *testing.T) {
	c := startCluster(t, 3, nil)
	address := startHAProxy(t, c)
	admin := c.admin()
	service := c.service(admin)
	for i := range passwordUsers {
		c.must(i%3, http.StatusCreated, newUser(admin, "person"+strconv.Itoa(i), userPassword, "user"))
	}
	var next, bad atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			front, nodes := newLine(address), c.lines()
			defer closeAll(append(nodes, front))
			for {
				n := int(next.Add(1)) - 1
				if n >= logIns {
					return
				}
				if err := logInAndLook(front, nodes, service, n); err != nil && bad.Add(1) <= maxFailuresShown {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d log-ins, %d of them with passwords, %d log-outs; wrong: %d", logIns, passwordLogIns, logOuts, bad.Load())
	for i := range c.nodes {
		if got := c.metric(i, `hydrastore_http_requests_total{method="POST",route="/v1/sessions",status="201"}`); got < logIns/10 {
			t.Errorf("HAProxy has sent only %v log-ins to %s: that is not balanced", got, c.nodes[i].name)
		}
	}
}

// logInAndLook does log-in n with everything that follows from it.
func logInAndLook(front *line, nodes []*line, service string, n int) error {
	r := vouch(service, "user"+strconv.Itoa(n%97), fields{"client_ip": "203.0.113.9"})
	if n%(logIns/passwordLogIns) == 0 {
		r = logIn("Person"+strconv.Itoa(n/(logIns/passwordLogIns)%passwordUsers), userPassword)
	}
	issued, err := front.expect(http.StatusCreated, r)
	if err != nil {
		return err
	}
	for i := range nodes {
		a, err := nodes[(n+i)%len(nodes)].expect(http.StatusOK, check(issued.body.Key))
		if err != nil {
			return fmt.Errorf("log-in %d: %w", n, err)
		}
		if a.body.ID != issued.body.ID || a.body.User != issued.body.User || a.body.ClientIP != issued.body.ClientIP {
			return fmt.Errorf("log-in %d: issued as %+v, known as %+v", n, issued.body, a.body)
		}
	}
	if n%(logIns/logOuts) != 0 {
		return nil
	}
	if _, err := front.expect(http.StatusNoContent, logOut(issued.body.Key)); err != nil {
		return err
	}
	for i := range nodes {
		if _, err := nodes[(n+i)%len(nodes)].expect(http.StatusUnauthorized, check(issued.body.Key)); err != nil {
			return fmt.Errorf("log-out %d: %w", n, err)
		}
	}
	return nil
}
