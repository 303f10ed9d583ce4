package e2e_test

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

// crowd is many log-ins at once under a policy whose limit they share.
type crowd struct {
	policy string
	limit  fields
	login  func(i int) (user, address string)
}

func crowds(mode string) []crowd {
	return []crowd{
		{"user-" + mode, fields{"max_sessions_per_user": crowdLimit, "on_limit": mode}, func(i int) (string, string) {
			return "ada", "198.51.100." + strconv.Itoa(i+1)
		}},
		{"address-" + mode, fields{"max_sessions_per_address": crowdLimit, "on_limit": mode}, func(i int) (string, string) {
			return "user" + strconv.Itoa(i), "203.0.113.7"
		}},
		{"total-" + mode, fields{"max_sessions": crowdLimit, "on_limit": mode}, func(i int) (string, string) {
			return "guest" + strconv.Itoa(i), "198.51.100." + strconv.Itoa(i+1)
		}},
	}
}

const (
	crowdSize  = 100
	crowdLimit = 5
)

// TestLimitsHoldUnderADyingLeader: in each mode a hundred log-ins for each kind of limit come at once through all nodes, and the leader is
// killed when a tenth is answered. Every log-in at the others gets an answer, and the limit's number of sessions lives afterwards.
func TestLimitsHoldUnderADyingLeader(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, nil)
	admin := c.admin()
	service := c.service(admin)
	for _, mode := range []string{"refuse", "evict_oldest", "evict_idle"} {
		c.awaitReady()
		c.floodAndKill(service, admin, crowds(mode), mode)
	}
}

func (c *cluster) floodAndKill(service, admin string, crowds []crowd, mode string) {
	t := c.t
	for _, w := range crowds {
		c.must(0, http.StatusOK, request{method: http.MethodPut, path: "/v1/policies/" + w.policy, key: admin, body: w.limit})
	}
	lead := c.leader(admin)
	var answered atomic.Int64
	kill := sync.OnceFunc(c.nodes[lead].kill9)
	var wg sync.WaitGroup
	for _, w := range crowds {
		for i := range crowdSize {
			wg.Go(func() {
				l := newLine(c.nodes[i%3].api)
				defer l.close()
				user, address := w.login(i)
				answer, err := l.do(vouch(service, user, fields{"policy": w.policy, "client_ip": address}))
				if answered.Add(1) == int64(crowdSize*len(crowds)/10) {
					kill()
				}
				if err != nil && i%3 == lead { // killed under it
					return
				}
				if err := judgeLogin(answer, err, mode); err != nil {
					t.Errorf("%s: log-in at node %d: %v", w.policy, i%3+1, err)
				}
			})
		}
	}
	wg.Wait()
	for _, w := range crowds {
		for _, at := range []int{(lead + 1) % 3, (lead + 2) % 3} {
			list := c.must(at, http.StatusOK, request{method: http.MethodGet, path: "/v1/sessions?limit=1000&policy=" + w.policy, key: admin})
			if n := len(list.body.Items); n != crowdLimit {
				t.Errorf("%s: %d sessions live, want %d", w.policy, n, crowdLimit)
			}
		}
	}
	c.nodes[lead].start()
}

// judgeLogin says what is wrong with the answer to a log-in over a limit.
func judgeLogin(a answer, err error, mode string) error {
	switch {
	case err != nil:
		return err
	case a.status == http.StatusCreated:
		return nil
	case mode == "refuse" && a.status == http.StatusConflict && a.body.Code == "session_limit":
		return nil
	}
	return fmt.Errorf("status %d: %s", a.status, a.text)
}
