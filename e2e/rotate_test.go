package e2e_test

import (
	"net/http"
	"sync"
	"testing"
	"time"
)

func rotate(key string) request {
	return request{method: http.MethodPost, path: "/v1/session/rotate", key: key}
}

// TestRotationOverAllNodes: twenty rotate one key at once at three nodes while the leader is killed, and those that are answered have the same
// successor; a second later one use of the old key ends the session.
func TestRotationOverAllNodes(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, nil)
	admin := c.admin()
	service := c.service(admin)
	policy := request{method: http.MethodPut, path: "/v1/policies/rotating", key: admin, body: fields{"rotate_grace_s": 60}}
	c.must(0, http.StatusOK, policy)
	old := c.must(1, http.StatusCreated, vouch(service, "ada", fields{"policy": "rotating"})).body.Key

	var mu sync.Mutex
	var wg sync.WaitGroup
	successors := map[string]int{}
	lead := c.leader(admin)
	for i := range 20 {
		wg.Go(func() {
			l := newLine(c.nodes[i%3].api)
			defer l.close()
			answer, err := l.do(rotate(old))
			if err != nil && i%3 == lead { // killed under it
				return
			}
			if err != nil || answer.status != http.StatusOK {
				t.Errorf("rotation at node %d: status %d, %v", i%3+1, answer.status, err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			successors[answer.body.Key]++
		})
		if i == 10 {
			wg.Go(c.nodes[lead].kill9)
		}
	}
	wg.Wait()
	if len(successors) != 1 {
		t.Fatalf("%d successors", len(successors))
	}
	next := ""
	for next = range successors {
		break
	}
	alive := []int{(lead + 1) % 3, (lead + 2) % 3}
	for _, i := range alive {
		c.must(i, http.StatusOK, check(next))
		c.must(i, http.StatusOK, check(old))
	}
	policy.body = fields{"rotate_grace_s": 1}
	c.must(alive[0], http.StatusOK, policy)
	last := c.must(alive[1], http.StatusOK, rotate(next)).body.Key // which shortens the grace of the first key too
	time.Sleep(3 * time.Second)                                    // the grace and more, on the machine's clock
	c.must(alive[0], http.StatusOK, check(last))
	c.must(alive[1], http.StatusUnauthorized, check(old))
	for _, i := range alive {
		c.must(i, http.StatusUnauthorized, check(last))
	}
}
