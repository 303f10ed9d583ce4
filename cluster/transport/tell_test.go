package transport_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/hydrastore/hydrastore/cluster/transport"
)

// Without further entries a follower learns of a commit after CommitTimeout; a leader that tells it does not wait for that.
func TestTellCommitDoesNotWaitForCommitTimeout(t *testing.T) {
	t.Parallel()
	const commitTimeout = 400 * time.Millisecond
	for name, tell := range map[string]bool{"told": true, "untold": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				network := transport.NewNetwork(time.Second)
				transports := map[raft.ServerAddress]*transport.Transport{}
				var members []*member
				for _, addr := range []raft.ServerAddress{"a", "b", "c"} {
					transports[addr] = network.Join(addr)
					members = append(members, start(t, transports[addr], func(c *raft.Config) { c.CommitTimeout = commitTimeout }))
				}
				bootstrap(t, members...)
				defer stop(t, members...)
				lead := leader(t, members...)
				if err := lead.Apply([]byte("one"), time.Second).Error(); err != nil {
					t.Fatal(err)
				}
				applied := time.Now()
				if tell {
					transports[lead.addr].TellCommit(lead.CurrentTerm(), lead.CommitIndex())
				}
				eventually(t, "all have applied", func() bool {
					for _, m := range members {
						if m.state.last() != "one" {
							return false
						}
					}
					return true
				})
				took := time.Since(applied)
				if tell && took > commitTimeout/8 {
					t.Errorf("a follower that was told took %v", took)
				}
				if !tell && took < commitTimeout/8 {
					t.Errorf("a follower that was not told took %v: this test proves nothing", took)
				}
			})
		})
	}
}

// A follower whose acknowledgement comes after the commit is told then.
func TestTellCommitReachesALateFollower(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		network := transport.NewNetwork(time.Second)
		sender := network.Join("leader")
		follower := followerWithTail(t, network.Join("follower"))
		defer stop(t, follower)
		sender.TellCommit(2, 3)
		request := &raft.AppendEntriesRequest{
			RPCHeader: raft.RPCHeader{ProtocolVersion: 3, ID: []byte("leader"), Addr: []byte("leader")},
			Term:      2, PrevLogEntry: 3, PrevLogTerm: 1, LeaderCommitIndex: 1,
		}
		var response raft.AppendEntriesResponse
		if err := sender.AppendEntries("follower", "follower", request, &response); err != nil || !response.Success {
			t.Fatalf("append: %+v, %v", response, err)
		}
		synctest.Wait()
		if got := follower.CommitIndex(); got != 3 {
			t.Errorf("commit index %d, want 3", got)
		}
	})
}

// A commit index is told only as far as the follower is known to have the leader's entries.
func TestTellCommitStaysWithinWhatIsAcknowledged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		network := transport.NewNetwork(time.Second)
		sender := network.Join("leader")
		follower := followerWithTail(t, network.Join("follower"))
		defer stop(t, follower)

		// The follower acknowledges entry 3, which it shares with the leader; its entry 4 is another one than the leader's.
		request := &raft.AppendEntriesRequest{
			RPCHeader: raft.RPCHeader{ProtocolVersion: 3, ID: []byte("leader"), Addr: []byte("leader")},
			Term:      2, PrevLogEntry: 3, PrevLogTerm: 1, LeaderCommitIndex: 2,
		}
		var response raft.AppendEntriesResponse
		if err := sender.AppendEntries("follower", "follower", request, &response); err != nil || !response.Success {
			t.Fatalf("append: %+v, %v", response, err)
		}
		sender.TellCommit(2, 4)
		synctest.Wait()
		if got := follower.state.last(); got != "common" {
			t.Errorf("the follower applied the %s entry last, want the common one", got)
		}
		sender.TellCommit(1, 4) // of another term: not sent at all
		synctest.Wait()
		if got := follower.CommitIndex(); got != 3 {
			t.Errorf("commit index %d, want 3", got)
		}
	})
}
