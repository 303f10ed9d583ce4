package e2e_test

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	idleTimeout = 2 * time.Second
	touchWindow = idleTimeout / 32 // the default
	// hardlyLate is how long after its idle timeout a session may still be alive.
	hardlyLate = touchWindow + time.Second
	// slew allows for clocks that the cluster slows down or speeds up by at most 500 ppm, and for rounding to milliseconds.
	slew = 5 * time.Millisecond
)

// TestIdleTimeoutsInRealTime watches sessions with an idle timeout of 2 s at every node: those used every second live; those
// that nobody uses end between 2 s and 2 s + W + 1 s after their last use; through a hand-over of the leadership, through
// the death of a leader, and at a node that was restarted meanwhile.
func TestIdleTimeoutsInRealTime(t *testing.T) {
	c := startCluster(t, 3, func(_ int, settings fields) {
		settings["policies"] = fields{"brief": fields{"idle_timeout_s": idleTimeout.Seconds()}}
	})
	admin := c.admin()
	service := c.service(admin)
	c.watchHandOver(t, admin, service)
	c.watchDeath(t, admin, service)
}

// watchHandOver has used sessions beside unused ones while the leadership moves twice. A use that a busy machine makes too late may find its session
// dead; then another one takes its place.
func (c *cluster) watchHandOver(t *testing.T, admin, service string) {
	var used, unused []*watched
	for i := range 6 {
		used = append(used, c.issueBrief(t, service, i))
		unused = append(unused, c.issueBrief(t, service, i))
	}
	var wg sync.WaitGroup
	var inTime atomic.Int64
	begin := time.Now()
	for i, s := range used {
		wg.Go(func() {
			for use := 1; use <= 6; use++ {
				time.Sleep(time.Until(begin.Add(time.Duration(use) * time.Second)))
				late, err := s.use((i + use) % 3)
				switch {
				case err == nil:
					inTime.Add(1)
				case late:
					*s = *c.issueBrief(t, service, i)
				default:
					t.Errorf("a session that is used every second: %v", err)
				}
			}
		})
	}
	for i, s := range unused {
		wg.Go(func() { s.watch(t, []int{0, 1, 2}, i) })
	}
	for range 2 {
		time.Sleep(time.Second)
		c.must(0, http.StatusNoContent, request{method: http.MethodPost, path: "/v1/cluster/leader", key: admin})
	}
	wg.Wait()
	if n := inTime.Load(); n < 12 {
		t.Errorf("%d of 36 uses came in time: the machine is too slow to show anything", n)
	}
	for i, s := range used { // nobody uses them any more
		wg.Go(func() { s.watch(t, []int{0, 1, 2}, i) })
	}
	wg.Wait()
}

// watchDeath kills the leader before the deadlines of sessions that began at different times, so that they fall before, into and after
// the election, and starts it again: it must know too.
func (c *cluster) watchDeath(t *testing.T, admin, service string) {
	leader := c.leader(admin)
	survivors := slices.DeleteFunc([]int{0, 1, 2}, func(i int) bool { return i == leader })
	var wg sync.WaitGroup
	var all []*watched
	for i := range 12 {
		s := c.issueBrief(t, service, i)
		all = append(all, s)
		wg.Go(func() { s.watch(t, survivors, i) })
		time.Sleep(idleTimeout / 12)
	}
	c.nodes[leader].kill()
	c.nodes[leader].start()
	c.nodes[leader].awaitReady()
	wg.Wait()
	for i, s := range all {
		s.watch(t, []int{leader}, i)
	}
}

// watched is a session under the policy "brief" with the two moments between which its last use was recorded.
type watched struct {
	c                 *cluster
	key, id           string
	useBegan, useDone time.Time
}

func (c *cluster) issueBrief(t *testing.T, service string, at int) *watched {
	t.Helper()
	s := &watched{c: c, useBegan: time.Now()}
	a := c.must(at%3, http.StatusCreated, vouch(service, "brief", fields{"policy": "brief"}))
	s.useDone, s.key, s.id = time.Now(), a.body.Key, a.body.ID
	return s
}

// use is a use at node i. When it fails, late tells that it came when the session might be dead.
func (s *watched) use(i int) (late bool, err error) {
	l := newLine(s.c.nodes[i].api)
	defer l.close()
	began := time.Now()
	a, err := l.expect(http.StatusOK, check(s.key))
	done := time.Now()
	if err != nil {
		return a.status == http.StatusUnauthorized && done.Sub(s.useBegan) >= idleTimeout-slew, err
	}
	s.useBegan, s.useDone = began, done
	return false, nil
}

// watch looks at the session at these nodes in turn, without using it, until each of them has refused it, and judges each answer: no
// refusal may come before the idle timeout is over, and no acceptance to a question that came after it was over by hardlyLate.
func (s *watched) watch(t *testing.T, nodes []int, turn int) {
	lines := s.c.lines()
	defer closeAll(lines)
	refused := map[int]bool{}
	giveUp := s.useDone.Add(idleTimeout + patience)
	for ; len(refused) < len(nodes) && time.Now().Before(giveUp); turn++ {
		node := nodes[turn%len(nodes)]
		asked := time.Now()
		a, err := lines[node].do(look(s.key))
		answered := time.Now()
		what := fmt.Sprintf("session %s at %s", s.id, s.c.nodes[node].name)
		switch {
		case err != nil:
			t.Errorf("%s: %v", what, err)
			return
		case a.status == http.StatusOK && asked.Sub(s.useDone) > idleTimeout+hardlyLate:
			t.Errorf("%s lives %v after its last use, want at most %v", what, asked.Sub(s.useDone), idleTimeout+hardlyLate)
			return
		case a.status == http.StatusUnauthorized && answered.Sub(s.useBegan) < idleTimeout-slew:
			t.Errorf("%s is dead %v after its last use, want at least %v", what, answered.Sub(s.useBegan), idleTimeout)
			return
		case a.status == http.StatusUnauthorized:
			refused[node] = true
		case a.status != http.StatusOK:
			t.Errorf("%s: %d %s", what, a.status, a.text)
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	if len(refused) < len(nodes) {
		t.Errorf("session %s is refused by %d of %d nodes only", s.id, len(refused), len(nodes))
	}
}
