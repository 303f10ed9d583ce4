package node_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/session"
)

// lateBy is how much later than G4 allows these tests still accept: nothing on an idle machine, more where the race
// detector slows elections.
const lateBy = 4 * electionTimeout

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
	const idle = 2 * time.Second
	c := startTrio(t, 3, withPolicy("short", idle))
	app := c.service(0)
	window := idle / session.TouchWindowFraction
	used, unused := c.vouch(app, 0, "short"), c.vouch(app, 1, "short")
	began := time.Now()
	moved := false
	for round := 0; time.Since(began) < 3*idle; round++ {
		at := round % 3
		if _, err := c.nodes[at].Check(t.Context(), with(used.Key), false); err != nil {
			t.Fatalf("a session used every %v, after %v at node %d: %v", idle/4, time.Since(began), at+1, err)
		}
		asked := time.Since(began)
		_, err := c.nodes[at].Check(t.Context(), with(unused.Key), true)
		switch {
		case err == nil && asked > idle+window+time.Second+lateBy:
			t.Fatalf("an unused session still opens after %v at node %d", asked, at+1)
		case err != nil && time.Since(began) < idle:
			t.Fatalf("an unused session ended early, before %v, at node %d: %v", time.Since(began), at+1, err)
		}
		if !moved && time.Since(began) > idle/2 {
			moved = true
			c.moveLeader((c.leader() + 1) % 3)
		}
		time.Sleep(idle / 4) // the sessions' user: uses come in this rhythm
	}
	for i, n := range c.nodes {
		if _, err := n.Check(t.Context(), with(unused.Key), true); session.CodeOf(err) != session.CodeUnauthenticated {
			t.Errorf("node %d: the unused session: %v, want unauthenticated", i+1, err)
		}
	}
}

func TestAnIdleQuarterOfAnHourEndsSessionsAtEveryNode(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, withPolicy("ten", 10*time.Minute))
	app := c.service(0)
	short, long := c.vouch(app, 0, "ten"), c.vouch(app, 0, "")
	restarted := (c.leader() + 1) % 3
	c.stop(restarted)
	for _, clock := range c.clocks {
		clock.advance(15 * time.Minute)
	}
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
			if shift := during.CreatedAt.Sub(before.CreatedAt); shift < 0 || shift > patience {
				t.Errorf("under a leader whose clock is wrong by %v, time moved by %v", wrong, shift)
			}
			for _, clock := range c.clocks {
				clock.advance(9 * time.Minute)
			}
			for i, n := range c.nodes {
				if _, err := n.Check(t.Context(), with(before.Key), true); err != nil {
					t.Errorf("node %d: ten minutes idle, nine passed: %v", i+1, err)
				}
			}
			c.moveLeader((odd + 1) % 3) // and follows again
			for _, clock := range c.clocks {
				clock.advance(90 * time.Second)
			}
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
	for _, clock := range c.clocks {
		clock.advance(6 * time.Minute)
	}
	for i, n := range c.nodes {
		if _, err := n.Check(t.Context(), with(issued.Key), true); session.CodeOf(err) != session.CodeUnauthenticated {
			t.Errorf("node %d: ten minutes idle, eleven passed: %v, want unauthenticated", i+1, err)
		}
	}
}

func TestATouchAtALeaderChangeIsNotLost(t *testing.T) {
	t.Parallel()
	const idle = 4 * time.Second
	c := startTrio(t, 3, func(_ int, config *node.Config) {
		p := session.DefaultPolicy()
		p.Name, p.IdleTimeout, p.AbsoluteLifetime, p.TouchWindow = "exact", idle, 0, 0
		config.Policies = append(config.Policies, p)
	})
	issued := c.vouch(c.service(0), 0, "exact")
	var promised time.Time
	for round := range 6 {
		got, err := c.nodes[round%3].Check(t.Context(), with(issued.Key), false)
		if err != nil {
			t.Fatal(err)
		}
		if got.ExpiresAt.Before(promised) {
			t.Errorf("round %d: the promised end went back from %v to %v", round, promised, got.ExpiresAt)
		}
		promised = got.ExpiresAt
		c.moveLeader((c.leader() + 1) % 3)
	}
}
