package transport_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/hydrastore/hydrastore/cluster/transport"
)

// A follower of raft v1.7.3 commits its own divergent tail when a message without entries carries a commit index that lies
// in that tail. The sender's guard cuts the commit index.
func TestCommitIndexStaysWithinTheMessage(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		join func(*transport.Network) raft.Transport
		want string
	}{
		"guarded":   {func(n *transport.Network) raft.Transport { return n.Join("leader") }, "common"},
		"unguarded": {func(n *transport.Network) raft.Transport { return n.JoinUnguarded("leader") }, "divergent"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				network := transport.NewNetwork(time.Second)
				sender := c.join(network)
				follower := followerWithTail(t, network.Join("follower"))
				defer stop(t, follower)

				// Entry 4 of term 2 is committed by others at this moment; this message was made before and does not bring it.
				req := &raft.AppendEntriesRequest{
					RPCHeader: raft.RPCHeader{ProtocolVersion: 3, ID: []byte("leader"), Addr: []byte("leader")},
					Term:      2, PrevLogEntry: 3, PrevLogTerm: 1, LeaderCommitIndex: 4,
				}
				var resp raft.AppendEntriesResponse
				if err := sender.AppendEntries("follower", "follower", req, &resp); err != nil || !resp.Success {
					t.Fatalf("append: %+v, %v", resp, err)
				}
				synctest.Wait()
				if got := follower.state.last(); got != c.want {
					t.Errorf("the follower applied the %s entry last, want the %s", got, c.want)
				}
				if req.LeaderCommitIndex != 4 {
					t.Errorf("the guard changed raft's own request")
				}
			})
		})
	}
}

// followerWithTail is a node whose log ends with an entry that no other node has.
func followerWithTail(t *testing.T, tr raft.Transport) *member {
	t.Helper()
	cfg := raft.DefaultConfig()
	cfg.LocalID = "follower"
	cfg.Logger = hclog.NewNullLogger()
	m := &member{addr: "follower", state: &machine{}, log: raft.NewInmemStore()}
	servers := raft.Configuration{Servers: []raft.Server{{ID: "leader", Address: "leader"}, {ID: "follower", Address: "follower"}}}
	if err := raft.BootstrapCluster(cfg, m.log, m.log, raft.NewDiscardSnapshotStore(), tr, servers); err != nil {
		t.Fatal(err)
	}
	for i, data := range []string{"first", "common", "divergent"} {
		if err := m.log.StoreLog(&raft.Log{Index: uint64(i + 2), Term: 1, Data: []byte(data)}); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if m.Raft, err = raft.NewRaft(cfg, m.state, m.log, m.log, raft.NewDiscardSnapshotStore(), tr); err != nil {
		t.Fatal(err)
	}
	return m
}
