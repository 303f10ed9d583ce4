package node_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/session"
)

// An operation on one session: a check reads the register "v", a patch writes it, a log-out ends it.
type operation struct {
	session int
	kind    string // check, patch, logout
	value   int
}

// What came back: opened is false for the answer "unauthenticated".
type observation struct {
	opened  bool
	value   int
	unknown bool
}

type register struct {
	ended bool
	value int
}

// sessionModel is a session as one would like to see it: one copy, one operation at a time.
func sessionModel() porcupine.Model {
	return porcupine.Model{
		Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
			bySession := map[int][]porcupine.Operation{}
			for _, o := range history {
				s := o.Input.(operation).session
				bySession[s] = append(bySession[s], o)
			}
			parts := make([][]porcupine.Operation, 0, len(bySession))
			for _, part := range bySession {
				parts = append(parts, part)
			}
			return parts
		},
		Init: func() any { return register{} },
		Step: func(state, input, output any) (bool, any) {
			r, in, out := state.(register), input.(operation), output.(observation)
			switch {
			case in.kind == "logout":
				return true, register{ended: true, value: r.value}
			case out.unknown: // a patch without an end: it may take effect at any time, or after everything else
				if !r.ended {
					r.value = in.value
				}
				return true, r
			case out.opened == r.ended:
				return false, r
			case in.kind == "patch" && out.opened:
				return true, register{value: in.value}
			case in.kind == "check" && out.opened:
				return out.value == r.value, r
			default:
				return true, r
			}
		},
		DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v → %+v", input, output) },
	}
}

// G2 and G3: random checks, patches and log-outs at all nodes, while leaders are cut off and come back, look as if there were one copy.
func TestSessionsAreLinearizable(t *testing.T) {
	t.Parallel()
	const sessions, clients, rounds = 24, 9, 4
	c := startTrio(t, 3, func(_ int, config *node.Config) {
		p := session.DefaultPolicy()
		p.Name, p.AttributesWrite = "register", session.WriteByBearer
		config.Policies = append(config.Policies, p)
	})
	app := c.service(0)
	keys := make([]session.Key, sessions)
	for i := range keys {
		issued, err := c.nodes[i%3].Login(t.Context(), app, session.Login{
			User: "ada", Vouched: true, Policy: "register", Attributes: session.Attributes{"v": []byte("0")},
		})
		if err != nil {
			t.Fatal(err)
		}
		keys[i] = issued.Key
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)

	var mu sync.Mutex
	var history []porcupine.Operation
	counts := map[string]int{}
	began := time.Now()
	ctx, cancel := context.WithCancel(t.Context())
	enough := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return counts["patch done"] >= 50 && counts["check done"] >= 100 && counts["logout done"] >= 2
	}
	var work sync.WaitGroup
	for client := range clients {
		random := rand.New(rand.NewPCG(seed, uint64(client)))
		work.Go(func() {
			for n := 1; ctx.Err() == nil; n++ {
				in := operation{session: random.IntN(sessions), kind: "check", value: client*1_000_000 + n}
				switch share := random.IntN(300); {
				case share == 0:
					in.kind = "logout"
				case share < 90:
					in.kind = "patch"
				}
				called := time.Since(began).Nanoseconds()
				out, outcome := c.perform(ctx, c.nodes[(client+n)%3], in, with(keys[in.session]))
				returned := time.Since(began).Nanoseconds()
				if out.unknown {
					returned = math.MaxInt64
				}
				mu.Lock()
				counts[in.kind+" "+outcome]++
				if outcome != "dropped" {
					history = append(history, porcupine.Operation{ClientId: len(history), Input: in, Call: called, Output: out, Return: returned})
				}
				mu.Unlock()
			}
		})
	}
	// A slow machine needs more rounds for as much to happen.
	for round := 0; round < rounds || round < 20*rounds && !enough(); round++ {
		leader := c.leader()
		c.isolate(leader)
		eventually(t, "another leader", func() error {
			s, err := c.nodes[(leader+1)%3].ClusterStatus(t.Context(), session.Call{Operator: true})
			if err == nil && (s.LeaderID == "" || s.LeaderID == c.nodes[leader].NodeID()) {
				return fmt.Errorf("the leader is %q", s.LeaderID)
			}
			return err
		})
		time.Sleep(electionTimeout) // let clients work in this state
		c.heal()
		time.Sleep(electionTimeout)
	}
	cancel()
	work.Wait()
	t.Logf("%d operations: %v", len(history), counts)
	if !enough() {
		t.Fatalf("too little happened to prove anything: %v", counts)
	}
	if porcupine.CheckOperationsTimeout(sessionModel(), history, 30*time.Second) == porcupine.Illegal {
		t.Errorf("the history is not linearizable (seed %d)", seed)
	}
}

// perform does one operation. Operations that certainly changed nothing and saw nothing are dropped.
func (c *trio) perform(ctx context.Context, n *node.Node, in operation, call session.Call) (observation, string) {
	var err error
	var got session.Checked
	switch in.kind {
	case "check":
		got, err = n.Check(ctx, call, false)
	case "patch":
		got, err = n.PatchAttributes(ctx, call, session.AttributePatch{"v": []byte(strconv.Itoa(in.value))}, nil)
	case "logout":
		_, err = n.Logout(ctx, call)
	}
	switch session.CodeOf(err) {
	case "":
		value, _ := strconv.Atoi(string(got.Attributes["v"]))
		return observation{opened: true, value: value}, "done"
	case session.CodeUnauthenticated:
		return observation{}, "done"
	case session.CodeNoQuorum, session.CodeUnavailable, session.CodeOverloaded:
		return observation{}, "dropped"
	default:
		if in.kind == "check" {
			return observation{}, "dropped" // its touch may have been written; what it read is not known
		}
		return observation{unknown: true}, "unknown"
	}
}

// The model must refuse what no single copy could show, or the test above proves nothing.
func TestTheModelRefusesImpossibleHistories(t *testing.T) {
	t.Parallel()
	op := func(kind string, value int, out observation, call, end int64) porcupine.Operation {
		return porcupine.Operation{Input: operation{kind: kind, value: value}, Output: out, Call: call, Return: end}
	}
	opened := func(v int) observation { return observation{opened: true, value: v} }
	for name, history := range map[string][]porcupine.Operation{
		"a stale read":             {op("patch", 1, opened(1), 0, 1), op("check", 0, opened(0), 2, 3)},
		"a log-out that is undone": {op("logout", 0, opened(0), 0, 1), op("check", 0, opened(0), 2, 3)},
		"a patch after the end":    {op("logout", 0, opened(0), 0, 1), op("patch", 5, opened(5), 2, 3)},
		"a session that vanishes":  {op("check", 0, observation{}, 0, 1)},
	} {
		if porcupine.CheckOperations(sessionModel(), history) {
			t.Errorf("%s passes", name)
		}
	}
	fine := []porcupine.Operation{
		op("patch", 1, observation{unknown: true}, 0, math.MaxInt64), op("check", 0, opened(0), 2, 3), op("check", 0, opened(1), 4, 5),
	}
	if !porcupine.CheckOperations(sessionModel(), fine) {
		t.Error("a late write of unknown outcome is refused")
	}
}

func TestLogoutStaysUnderConcurrentUse(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 3, func(_ int, config *node.Config) {
		p := session.DefaultPolicy()
		p.Name, p.AttributesWrite, p.TouchWindow = "busy", session.WriteByBearer, 0
		config.Policies = append(config.Policies, p)
	})
	app := c.service(0)
	for round := range 20 {
		key := c.vouch(app, round%3, "busy").Key
		var users sync.WaitGroup
		stop := make(chan struct{})
		for user := range 50 {
			users.Go(func() {
				for k := 0; ; k++ {
					select {
					case <-stop:
						return
					default:
					}
					n := c.nodes[(user+k)%3]
					if user%2 == 0 {
						_, _ = n.PatchAttributes(t.Context(), with(key), session.AttributePatch{"n": []byte(strconv.Itoa(k))}, nil)
					} else {
						_, _ = n.Check(t.Context(), with(key), false)
					}
				}
			})
		}
		if _, err := c.nodes[(round+1)%3].Logout(t.Context(), with(key)); err != nil {
			t.Fatal(err)
		}
		for check := range 9 { // while uses and patches are still in flight
			if _, err := c.nodes[check%3].Check(t.Context(), with(key), true); session.CodeOf(err) != session.CodeUnauthenticated {
				t.Errorf("round %d: node %d accepts a key after its log-out: %v", round, check%3+1, err)
			}
		}
		close(stop)
		users.Wait()
	}
}
