package node_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/session"
)

func withPolicy(name string, idle time.Duration) func(int, *node.Config) {
	return func(_ int, c *node.Config) {
		p := session.DefaultPolicy()
		p.Name, p.IdleTimeout, p.AbsoluteLifetime = name, idle, 0
		c.Policies = append(c.Policies, p)
	}
}

// vouch logs ada in under a policy at node i.
func (c *trio) vouch(app session.Call, i int, policy string) session.Issued {
	c.t.Helper()
	issued, err := c.nodes[i].Login(c.t.Context(), app, session.Login{User: "ada", Vouched: true, Policy: policy})
	if err != nil {
		c.t.Fatalf("log-in under %s: %v", policy, err)
	}
	return issued
}

// moveLeader hands leadership to node i.
func (c *trio) moveLeader(i int) {
	c.t.Helper()
	eventually(c.t, fmt.Sprintf("leadership of node %d", i+1), func() error {
		if c.leader() == i {
			return nil
		}
		_, err := c.nodes[i].TransferLeadership(c.t.Context(), session.Call{Operator: true}, c.nodes[i].NodeID())
		return errors.Join(err, errors.New("not yet"))
	})
}

func TestSessionsEndInTimeAcrossALeaderChange(t *testing.T) {
	t.Parallel()
	const idle, step = 16 * time.Second, time.Second
	c := startTrio(t, 3, withPolicy("short", idle))
	app := c.service(0)
	c.freeze()
	latest := idle + idle/session.TouchWindowFraction + time.Second // G4
	used, unused := c.vouch(app, 0, "short"), c.vouch(app, 1, "short")
	for round := range int(3 * idle / step) {
		passed := time.Duration(round) * step
		if _, err := c.nodes[round%3].Check(t.Context(), with(used.Key), false); err != nil {
			t.Fatalf("a session used every %v, after %v at node %d: %v", step, passed, round%3+1, err)
		}
		for i, n := range c.nodes {
			_, err := n.Check(t.Context(), with(unused.Key), true)
			switch {
			case passed < idle && err != nil:
				t.Fatalf("an unused session ended early, after %v, at node %d: %v", passed, i+1, err)
			case passed > latest && session.CodeOf(err) != session.CodeUnauthenticated:
				t.Fatalf("an unused session after %v at node %d: %v, want unauthenticated", passed, i+1, err)
			}
		}
		if passed%(idle/2) == idle/4 {
			c.moveLeader((c.leader() + 1) % 3)
		}
		c.advance(step)
	}
}

func TestAnIdleQuarterOfAnHourEndsSessionsAtEveryNode(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, withPolicy("ten", 10*time.Minute))
	app := c.service(0)
	short, long := c.vouch(app, 0, "ten"), c.vouch(app, 0, "")
	restarted := (c.leader() + 1) % 3
	c.stop(restarted)
	c.advance(15 * time.Minute)
	c.start(restarted)
	c.awaitReady(restarted)
	for i, n := range c.nodes {
		if _, err := n.Check(t.Context(), with(short.Key), true); session.CodeOf(err) != session.CodeUnauthenticated {
			t.Errorf("node %d: ten minutes idle, fifteen passed: %v, want unauthenticated", i+1, err)
		}
		if _, err := n.Check(t.Context(), with(long.Key), true); err != nil {
			t.Errorf("node %d: half an hour idle, fifteen minutes passed: %v", i+1, err)
		}
	}
}

func TestAWrongWallClockMovesNoDeadline(t *testing.T) {
	t.Parallel()
	for _, wrong := range []time.Duration{time.Hour, -time.Hour} {
		t.Run(wrong.String(), func(t *testing.T) {
			t.Parallel()
			c := startTrio(t, 3, withPolicy("ten", 10*time.Minute))
			app := c.service(0)
			odd := (c.leader() + 1) % 3
			before := c.vouch(app, 0, "ten")
			c.clocks[odd].setWallError(wrong)

			c.moveLeader(odd) // the wrong clock leads
			during := c.vouch(app, odd, "ten")
			if shift := during.CreatedAt.Sub(before.CreatedAt); shift < 0 || shift > 10*time.Minute {
				t.Errorf("under a leader whose clock is wrong by %v, time moved by %v", wrong, shift)
			}
			c.advance(9 * time.Minute)
			for i, n := range c.nodes {
				if _, err := n.Check(t.Context(), with(before.Key), true); err != nil {
					t.Errorf("node %d: ten minutes idle, nine passed: %v", i+1, err)
				}
			}
			c.moveLeader((odd + 1) % 3) // and follows again
			c.advance(90 * time.Second)
			for i, n := range c.nodes {
				if _, err := n.Check(t.Context(), with(before.Key), true); session.CodeOf(err) != session.CodeUnauthenticated {
					t.Errorf("node %d: ten minutes idle, ten and a half passed: %v, want unauthenticated", i+1, err)
				}
			}
		})
	}
}

func TestAfterARestartOfAllTheMedianClockCounts(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, withPolicy("ten", 10*time.Minute))
	app := c.service(0)
	issued := c.vouch(app, 0, "ten")
	for i := range c.nodes {
		c.stop(i)
	}
	c.clocks[0].setWallError(time.Hour)
	for i, clock := range c.clocks {
		clock.advance(5 * time.Minute)
		c.start(i)
	}
	for i := range c.nodes {
		c.awaitReady(i)
		if _, err := c.nodes[i].Check(t.Context(), with(issued.Key), true); err != nil {
			t.Errorf("node %d: ten minutes idle, five passed while all were down: %v", i+1, err)
		}
	}
	c.advance(6 * time.Minute)
	for i, n := range c.nodes {
		if _, err := n.Check(t.Context(), with(issued.Key), true); session.CodeOf(err) != session.CodeUnauthenticated {
			t.Errorf("node %d: ten minutes idle, eleven passed: %v, want unauthenticated", i+1, err)
		}
	}
}

func TestATouchAtALeaderChangeIsNotLost(t *testing.T) {
	t.Parallel()
	const idle = time.Minute
	c := startTrio(t, 3, func(_ int, config *node.Config) {
		p := session.DefaultPolicy()
		p.Name, p.IdleTimeout, p.AbsoluteLifetime, p.TouchWindow = "exact", idle, 0, 0
		config.Policies = append(config.Policies, p)
	})
	c.freeze()
	issued := c.vouch(c.service(0), 0, "exact")
	promised := issued.ExpiresAt
	for round := range 6 {
		c.advance(idle / 2)
		got, err := c.nodes[round%3].Check(t.Context(), with(issued.Key), false)
		if err != nil {
			t.Fatal(err)
		}
		if more := got.ExpiresAt.Sub(promised); more < idle/2-time.Second || more > idle/2+time.Second {
			t.Errorf("round %d: used %v after the use before, it is promised to live %v longer", round, idle/2, more)
		}
		promised = got.ExpiresAt
		c.moveLeader((c.leader() + 1) % 3)
	}
}
