package cluster_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/hydrastore/hydrastore/cluster"
)

// TestReadIndexNeedsVoters: a leader that reaches two non-voters and no other
// voter confirms nothing (raft.VerifyLeader would, since it counts everybody).
func TestReadIndexNeedsVoters(t *testing.T) {
	t.Parallel()
	net := newNetwork()
	voters := trio(t, net)
	for _, n := range voters {
		n.kill()
		n.cfg.PromoteAfter = time.Hour
		n.reopen()
		n.start()
	}
	var learners []*node
	for range 2 {
		cfg := testConfig(t)
		cfg.BootstrapExpect, cfg.Join, cfg.PromoteAfter = 0, voters[0].cfg.Join, time.Hour
		learners = append(learners, open(t, net, cfg).start())
	}
	settled(t, append(voters, learners...)...)
	index := write(t, 1, voters...)
	for _, n := range learners {
		if n.Status().Voter {
			t.Fatal("a learner was promoted: the test shows nothing")
		}
		if err := n.WaitApplied(t.Context(), index); err != nil {
			t.Fatal(err)
		}
	}
	tries := 0
	for round := 0; tries == 0 && round < 5; round++ { // a leader may step down by itself just now
		net.heal(nil)
		leader := leaderOf(t, voters...)
		succeeds(t, "a read before the cut", func() error {
			leader = leaderOf(t, voters...)
			_, _, err := leader.ReadIndex(t.Context())
			return err
		})
		net.part([]*node{leader}, others(voters, leader))
		tries = readWithLearners(t, leader, learners)
	}
	if tries == 0 {
		t.Error("the leader stepped down at once: the test shows nothing")
	}
}

// readWithLearners reads at a leader for as long as it is one, with the votes of non-voters, and returns how often.
func readWithLearners(t *testing.T, leader *node, learners []*node) (tries int) {
	t.Helper()
	for leader.Status().State == cluster.StateLeader {
		ctx, cancel := context.WithTimeout(t.Context(), electionTimeout/20)
		epoch := leader.Term()
		_, _, err := leader.ReadIndex(ctx, cluster.Vote{NodeID: learners[0].NodeID(), Term: epoch}, cluster.Vote{NodeID: learners[1].NodeID(), Term: epoch})
		cancel()
		if err == nil {
			t.Fatal("confirmed by non-voters")
		}
		tries++
	}
	return tries
}

// TestReadIndexOfDeposedLeader: answers to questions that were asked before the
// read began must not confirm it, however late they arrive (with
// raft.VerifyLeader they do). The old leader's questions go out, the answers
// are held back; a new leader writes; then the read begins and the old answers
// arrive.
func TestReadIndexOfDeposedLeader(t *testing.T) {
	t.Parallel()
	net := newNetwork()
	nodes := trio(t, net)
	old, rest := nodes[0], nodes[1:]
	old.kill()
	old.cfg.ElectionTimeout = 30 * electionTimeout // so that it does not step down on its own
	old.reopen()
	for _, n := range nodes {
		n.start()
	}
	leaderOf(t, nodes...)
	settled(t, nodes...)
	eventually(t, "the slow node leads and reads what was written", func() bool {
		if _, ok := old.Leading(); !ok {
			_ = leaderOf(t, nodes...).TransferLeadership(t.Context(), old.NodeID())
			return false
		}
		index := write(t, 1, nodes...)
		got, _, err := old.ReadIndex(t.Context())
		return err == nil && got >= index
	})

	net.hold(old)
	net.oneWay(rest, old)
	early := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		_, _, err := old.ReadIndex(ctx)
		early <- err
	}()
	eventually(t, "the early read asks", func() bool { return cluster.WaitingReads(old.Cluster) == 1 })
	write(t, 2, rest...)
	if s := old.Status(); s.State != cluster.StateLeader {
		t.Fatalf("the old leader is %s: the test shows nothing", s.State)
	}
	late := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		_, _, err := old.ReadIndex(ctx)
		late <- err
	}()
	eventually(t, "the late read waits for the next round", func() bool { return cluster.WaitingReads(old.Cluster) == 2 })
	net.release(old)
	time.AfterFunc(2*electionTimeout, cancel)
	if err := <-late; err == nil {
		t.Error("a deposed leader confirmed a read by answers to an earlier question")
	}
	net.heal(nil)
	net.releaseAll(old)
	<-early
}

// followerRead does what a node does for a linearizable read at a follower: note
// the time, give the own term as a vote, ask the leader, wait, read.
func followerRead(ctx context.Context, at, leader *node) (uint64, error) {
	vote := cluster.Vote{NodeID: at.NodeID(), Term: at.Term()}
	index, _, err := leader.ReadIndex(ctx, vote)
	if err != nil {
		return 0, err
	}
	if err := at.WaitApplied(ctx, index); err != nil {
		return 0, err
	}
	return at.sm.last(), nil
}

type registerOp struct {
	write bool
	value uint64
}

// registerModel is a register of which every write sets the value.
var registerModel = porcupine.Model{
	Init: func() any { return uint64(0) },
	Step: func(state, input, output any) (bool, any) {
		op := input.(registerOp)
		if op.write {
			return true, op.value
		}
		return output == state, state
	},
}

// TestLinearizable runs writes at whoever leads and reads at every node, while
// leadership moves and leaders are cut off, and checks the history.
func TestLinearizable(t *testing.T) {
	t.Parallel()
	net := newNetwork()
	nodes := born(t, net)
	h := &history{start: time.Now()}
	ctx, cancel := context.WithTimeout(t.Context(), 5*patience)
	defer cancel()
	var wg sync.WaitGroup
	var value atomic.Uint64
	stop := make(chan struct{})
	for client := range 3 {
		wg.Go(func() {
			for running(stop) && ctx.Err() == nil {
				if v := value.Add(1); v%3 == 0 {
					h.write(ctx, client, v, nodes[rand.IntN(3)])
				} else {
					h.read(ctx, client, nodes[client], nodes[rand.IntN(3)])
				}
			}
		})
	}
	for range 3 {
		leader := leaderOf(t, nodes...)
		_ = leader.TransferLeadership(ctx, "") // may fail: the disturbance is what counts
		leader = leaderOf(t, nodes...)
		net.part([]*node{leader}, others(nodes, leader))
		leaderOf(t, others(nodes, leader)...)
		h.settle()
		net.heal(nil)
		h.settle()
	}
	close(stop)
	wg.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	t.Logf("%d operations: %d writes and %d reads succeeded", len(h.ops), h.writes, h.reads)
	if h.writes < 20 || h.reads < 20 {
		t.Error("too few operations succeeded: the test shows nothing")
	}
	if got := porcupine.CheckOperationsTimeout(registerModel, h.ops, patience); got != porcupine.Ok {
		t.Errorf("the history is not linearizable: %v", got)
	}
}

func running(stop <-chan struct{}) bool {
	select {
	case <-stop:
		return false
	default:
		return true
	}
}

// history gathers operations for the checker.
type history struct {
	start time.Time

	mu            sync.Mutex
	ops           []porcupine.Operation
	writes, reads int
}

// settle waits until some more reads have succeeded.
func (h *history) settle() {
	h.mu.Lock()
	want := h.reads + 20
	h.mu.Unlock()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		h.mu.Lock()
		got := h.reads
		h.mu.Unlock()
		if got >= want {
			return
		}
	}
}

func (h *history) add(client int, begun time.Duration, in registerOp, out any, unknown bool) {
	ended := int64(time.Since(h.start))
	if unknown {
		ended = int64(time.Hour) // it may take effect at any time from now on
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, porcupine.Operation{ClientId: client, Input: in, Output: out, Call: int64(begun), Return: ended})
	switch {
	case unknown:
	case in.write:
		h.writes++
	default:
		h.reads++
	}
}

func (h *history) write(ctx context.Context, client int, v uint64, at *node) {
	begun := time.Since(h.start)
	p := at.Propose(number(v))
	select {
	case <-p.Done():
	case <-ctx.Done():
		return
	}
	if err := p.Err(); errors.Is(err, cluster.ErrNotLeader) {
		time.Sleep(time.Millisecond) // certainly not done; no busy loop
	} else {
		h.add(client, begun, registerOp{true, v}, nil, err != nil)
	}
}

func (h *history) read(ctx context.Context, client int, at, leader *node) {
	begun := time.Since(h.start)
	ctx, cancel := context.WithTimeout(ctx, electionTimeout)
	defer cancel()
	if v, err := followerRead(ctx, at, leader); err == nil {
		h.add(client, begun, registerOp{}, v, false)
	}
}
