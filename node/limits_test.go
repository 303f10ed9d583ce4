package node_test

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/session"
)

const (
	crowdLimit = 5
	crowdSize  = 100
)

// crowd is many log-ins that meet one limit.
type crowd struct {
	policy  string
	onLimit session.OnLimit
	limits  session.LimitsChange
	login   func(i int) session.Login
	in, out atomic.Int64
}

func crowds() (all []*crowd) {
	five := crowdLimit
	shared := netip.MustParseAddr("198.51.100.1")
	own := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}) }
	for _, onLimit := range []session.OnLimit{session.OnLimitRefuse, session.OnLimitOldest, session.OnLimitIdle} {
		name := func(what string) string {
			return what + "-" + map[session.OnLimit]string{"refuse": "r", "evict_oldest": "o", "evict_idle": "i"}[onLimit]
		}
		all = append(all,
			&crowd{policy: name("user"), limits: session.LimitsChange{MaxSessionsPerUser: &five, OnLimit: &onLimit}, onLimit: onLimit,
				login: func(i int) session.Login { return session.Login{User: name("one"), ClientAddress: own(i)} }},
			&crowd{policy: name("address"), limits: session.LimitsChange{MaxSessionsPerAddress: &five, OnLimit: &onLimit}, onLimit: onLimit,
				login: func(i int) session.Login {
					return session.Login{User: fmt.Sprint(name("many"), i), ClientAddress: shared}
				}},
			&crowd{policy: name("total"), limits: session.LimitsChange{MaxSessions: &five, OnLimit: &onLimit}, onLimit: onLimit,
				login: func(i int) session.Login {
					return session.Login{User: fmt.Sprint(name("all"), i), ClientAddress: own(i)}
				}})
	}
	return all
}

// One hundred log-ins at once, through all nodes, for each kind of limit and each answer to it, and the leader is cut off in their midst:
// afterwards exactly as many sessions live as the limit says, at every node.
func TestLimitsHoldUnderSimultaneousLogInsAndALossOfTheLeader(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, func(_ int, config *node.Config) {
		config.Limits.BatchCommands = 8          // many entries, so that there is a midst
		config.RequestTimeout = 10 * time.Second // of those who ask the leader that is cut off: they ask another one then
	})
	app, admin, all := c.service(0), c.admin(1), crowds()
	leader := c.leader()
	for i, crowd := range all {
		if _, err := c.nodes[i%3].PutPolicy(t.Context(), admin, crowd.policy, session.PolicyChange{LimitsChange: crowd.limits}); err != nil {
			t.Fatal(err)
		}
	}
	var work sync.WaitGroup
	var answered, midst atomic.Int64
	for _, crowd := range all {
		for i := range crowdSize {
			work.Go(func() {
				l := crowd.login(i)
				l.Vouched, l.Policy = true, crowd.policy
				c.logInOrLimit(crowd, i, app, l)
				if answered.Add(1) == crowdSize {
					c.isolate(leader)
					midst.Store(answered.Load())
				}
			})
		}
	}
	work.Wait()
	c.heal()
	for i := range c.nodes {
		c.awaitReady(i)
	}
	if midst.Load() == int64(len(all)*crowdSize) {
		t.Error("the leader was cut off when all was over")
	}
	t.Logf("the leader was cut off after %d of %d answers", midst.Load(), len(all)*crowdSize)
	for i, crowd := range all {
		list, err := c.nodes[i%3].ListSessions(t.Context(), admin, session.Filter{Policy: crowd.policy}, session.Page{Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		in, out := crowd.in.Load(), crowd.out.Load()
		if len(list.Items) != crowdLimit {
			t.Errorf("%s: %d sessions live of a limit of %d; %d log-ins passed, %d were refused", crowd.policy, len(list.Items), crowdLimit, in, out)
		}
		if crowd.onLimit.Evicts() && (in != crowdSize || out != 0) {
			t.Errorf("%s: %d log-ins passed and %d were refused, though room is made for each", crowd.policy, in, out)
		}
		// A log-in whose outcome was unknown may have passed and been tried again.
		if !crowd.onLimit.Evicts() && (in > crowdLimit || in+out != crowdSize) {
			t.Errorf("%s: %d log-ins passed, %d were refused", crowd.policy, in, out)
		}
	}
}

// logInOrLimit asks one node after the other until the log-in passes or the limit refuses it.
func (c *trio) logInOrLimit(crowd *crowd, i int, app session.Call, l session.Login) {
	for k := i; ; k++ {
		_, err := c.nodes[k%3].Login(c.t.Context(), app, l)
		switch session.CodeOf(err) {
		case "":
			crowd.in.Add(1)
			return
		case session.CodeSessionLimit:
			crowd.out.Add(1)
			return
		case session.CodeNoQuorum, session.CodeOutcomeUnknown, session.CodeUnavailable:
		default:
			c.t.Errorf("%s: log-in %d: %v", crowd.policy, i, err)
			return
		}
		if k > i+9 {
			c.t.Errorf("%s: log-in %d has no answer: %v", crowd.policy, i, err)
			return
		}
	}
}

func TestTheClustersLimitIsInForceEverywhereWhenItIsAnswered(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, nil)
	app, admin := c.service(0), c.admin(0)
	status, err := c.nodes[0].ClusterStatus(t.Context(), admin)
	if err != nil {
		t.Fatal(err)
	}
	most := status.Sessions + 1
	set, err := c.nodes[1].PatchLimits(t.Context(), admin, session.ClusterLimitsChange{MaxSessions: &most})
	if err != nil || set.MaxSessions != most || set.OnLimit != session.OnLimitRefuse || set.Version == 0 {
		t.Fatalf("set %+v, %v", set, err)
	}
	if got, err := c.nodes[2].GetLimits(t.Context(), admin); err != nil || got.ClusterLimits != set.ClusterLimits {
		t.Errorf("another node says %+v, %v", got, err)
	}
	if _, err := c.nodes[2].Login(t.Context(), app, session.Login{User: "ada", Vouched: true}); err != nil {
		t.Error(err)
	}
	_, err = c.nodes[0].Login(t.Context(), app, session.Login{User: "bob", Vouched: true})
	var e *session.Error
	if session.CodeOf(err) != session.CodeSessionLimit || !errors.As(err, &e) || e.Field != "cluster" {
		t.Errorf("a log-in over the limit: %v", err)
	}
	stale, oldest := set.Version-1, session.OnLimitOldest
	if _, err := c.nodes[0].PatchLimits(t.Context(), admin, session.ClusterLimitsChange{OnLimit: &oldest, IfMatch: &stale}); session.CodeOf(err) != session.CodeVersionMismatch {
		t.Errorf("a change of another version: %v", err)
	}
	if _, err := c.nodes[0].GetLimits(t.Context(), app); session.CodeOf(err) != session.CodeForbidden {
		t.Errorf("a service looks at the limits: %v", err)
	}
}
