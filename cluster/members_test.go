package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/cluster"
	"github.com/hydrastore/hydrastore/cluster/link"
	"github.com/hydrastore/hydrastore/cluster/storage"
)

func TestMembersSayWhatTheyAre(t *testing.T) {
	t.Parallel()
	nodes := born(t, nil)
	var wrong []string
	defer func() {
		if t.Failed() {
			t.Log(wrong)
		}
	}()
	eventually(t, "what they are known everywhere", func() bool { // for a moment a busy machine makes a member look dead, or another one lead
		wrong = whatIsWrong(leaderOf(t, nodes...), nodes)
		return len(wrong) == 0
	})
}

func whatIsWrong(leader *node, nodes []*node) (wrong []string) {
	errorf := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	for _, n := range nodes {
		if alive := n.Gossip().Alive; alive != 3 {
			errorf("at %s: %d alive by gossip", n.cfg.Name, alive)
		}
		for _, m := range n.Members() {
			owner := nodes[slices.IndexFunc(nodes, func(o *node) bool { return o.NodeID() == m.ID })]
			want := cluster.Member{
				ID: owner.NodeID(), Name: owner.cfg.Name, PeerAddress: owner.PeerAddress(), APIAddress: owner.cfg.APIAddress,
				FormatLevel: 1, Suffrage: cluster.Voter, Leader: owner == leader, Self: owner == n, Alive: true, Healthy: true,
			}
			got := m
			got.GossipAddress, got.LastSeen, got.Term, got.LastIndex = "", time.Time{}, 0, 0
			if got != want {
				errorf("at %s:\n got %+v\nwant %+v", n.cfg.Name, got, want)
			}
			if m.GossipAddress == "" || m.LastSeen.IsZero() {
				errorf("at %s: %s has gossip address %q, last seen %v", n.cfg.Name, m.Name, m.GossipAddress, m.LastSeen)
			}
		}
	}
	s := leader.Status()
	if s.State != cluster.StateLeader || s.LeaderID != leader.NodeID() || s.LastContact != 0 || !s.Voter || s.Epoch == 0 || s.Term != s.Epoch {
		errorf("status of the leader: %+v", s)
	}
	if slices.ContainsFunc(leader.Members(), func(m cluster.Member) bool { return m.LastIndex == 0 || m.Term == 0 }) {
		errorf("the leader does not know the ends of all logs: %+v", leader.Members())
	}
	return wrong
}

func TestCall(t *testing.T) {
	t.Parallel()
	nodes := trio(t, nil)
	for _, n := range nodes {
		n.Handle("echo", func(_ context.Context, from link.Identity, payload []byte) ([]byte, error) {
			if len(payload) == 0 {
				return nil, link.Error("empty", "say something")
			}
			return append([]byte(from.NodeID+" says "), payload...), nil
		})
		n.start()
	}
	settled(t, nodes...)
	got, err := nodes[0].Call(t.Context(), nodes[1].NodeID(), "echo", []byte("hello"))
	if want := nodes[0].NodeID() + " says hello"; err != nil || string(got) != want {
		t.Errorf("call = %q, %v; want %q", got, err, want)
	}
	var coded *link.CallError
	if _, err := nodes[0].Call(t.Context(), nodes[1].NodeID(), "echo", nil); !errors.As(err, &coded) || coded.Code != "empty" {
		t.Errorf("call that is refused: %v", err)
	}
	if _, err := nodes[0].Call(t.Context(), "nobody", "echo", nil); !errors.Is(err, cluster.ErrUnknownNode) {
		t.Errorf("call of nobody: %v, want ErrUnknownNode", err)
	}
}

// TestDeadMemberIsRemovedInTime: four voters, three expected, one dead for longer
// than dead_after.
func TestDeadMemberIsRemovedInTime(t *testing.T) {
	t.Parallel()
	const deadAfter = 4 * time.Second // no living member is silent for so long
	nodes := trio(t, newNetwork())
	for _, n := range nodes {
		n.kill()
		n.cfg.DeadAfter = deadAfter
		n.reopen()
		n.start()
	}
	settled(t, nodes...)
	cfg := nodes[0].cfg
	cfg.Dir, cfg.PeerListen, cfg.Name, cfg.BootstrapExpect = t.TempDir(), "127.0.0.1:0", "n4", 3
	fourth := open(t, nodes[0].net, cfg).start()
	eventually(t, "four voters", func() bool { return fourth.Status().Voter })
	id := fourth.NodeID()
	fourth.kill()
	eventually(t, "the dead member removed", func() bool {
		return !slices.ContainsFunc(leaderOf(t, nodes...).Members(), func(m cluster.Member) bool { return m.ID == id })
	})
	// The next one stays: three were expected.
	leader := leaderOf(t, nodes...)
	third := others(nodes, leader)[0]
	third.kill()
	died := time.Now()
	eventually(t, "more than dead_after has passed", func() bool { return time.Since(died) > 2*deadAfter })
	if got := len(leader.Members()); got != 3 {
		t.Errorf("%d members, want 3: fewer than bootstrap_expect never stay", got)
	}
}

func TestLeaderIsRemoved(t *testing.T) {
	t.Parallel()
	nodes := born(t, nil)
	cfg := testConfig(t)
	cfg.Name, cfg.Join = "n4", []string{nodes[0].PeerAddress()}
	cfg.BootstrapExpect = 3
	fourth := open(t, nil, cfg).start()
	all := append(nodes, fourth)
	eventually(t, "four voters", func() bool { return fourth.Status().Voter })
	leader := leaderOf(t, all...)
	succeeds(t, "remove the leader", func() error { return others(all, leader)[0].RemoveMember(t.Context(), leader.NodeID()) })
	rest := others(all, leader)
	eventually(t, "the leader says that it is removed", func() bool { return leader.Status().State == cluster.StateRemoved })
	write(t, 1, rest...)
	consistent(t, 1, rest...)
	if _, ok := leader.Leading(); ok {
		t.Error("the removed leader still leads")
	}
}

// verdicts gathers what a node called fatal.
type verdicts struct {
	mu   sync.Mutex
	errs []error
}

func (v *verdicts) add(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.errs = append(v.errs, err)
}

func (v *verdicts) count() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.errs)
}

func TestFailedStateMachineStopsTheNode(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	var fatal verdicts
	cfg.Fatal = fatal.add
	n := open(t, nil, cfg).start()
	write(t, 1, n)
	p := n.Propose([]byte("x")) // too short for a number
	<-p.Done()
	if err := p.Err(); !errors.Is(err, cluster.ErrOutcomeUnknown) {
		t.Errorf("the poisoned proposal: %v, want ErrOutcomeUnknown", err)
	}
	p = n.Propose(number(2))
	<-p.Done()
	if err := p.Err(); err == nil || n.sm.has(2) {
		t.Errorf("a write after the failure: %v", err)
	}
	if got := fatal.count(); got != 1 {
		t.Errorf("fatal was called %d times, want once", got)
	}
}

// badDisk fails appends once it is told to.
type badDisk struct {
	mu  sync.Mutex
	bad bool
}

func (d *badDisk) BeforeWrite(op storage.Op) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.bad && op == storage.OpAppend {
		return errors.New("input/output error")
	}
	return nil
}

func (d *badDisk) AfterWrite(storage.Op) error { return nil }

func (d *badDisk) fail() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.bad = true
}

// TestLeaderWithFailedDisk: it ends as fatal, its write is unknown, and the
// others go on.
func TestLeaderWithFailedDisk(t *testing.T) {
	t.Parallel()
	nodes := trio(t, nil)
	disks := map[*node]*badDisk{}
	fatals := map[*node]*verdicts{}
	for _, n := range nodes {
		n.kill()
		disks[n], fatals[n] = new(badDisk), new(verdicts)
		n.cfg.Fatal, n.disk = fatals[n].add, disks[n]
		n.reopen()
		n.start()
	}
	write(t, 1, nodes...)
	leader := leaderOf(t, nodes...)
	disks[leader].fail()
	p := leader.Propose(number(2))
	<-p.Done()
	if err := p.Err(); !errors.Is(err, cluster.ErrOutcomeUnknown) {
		t.Errorf("write on the failed disk: %v, want ErrOutcomeUnknown", err)
	}
	eventually(t, "the failure is fatal", func() bool { return fatals[leader].count() == 1 })
	leader.closeFailed()
	rest := others(nodes, leader)
	write(t, 3, rest...)
	consistent(t, 3, rest...)
}
