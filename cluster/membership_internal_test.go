package cluster

import (
	"strings"
	"testing"

	"github.com/hydrastore/hydrastore/cluster/clusterpb"
)

// TestTombstoneAloneDoesNotRetire: a voter whose removal is begun goes on voting
// until the configuration has changed. Else a crash of the leader in between
// could leave the others without a majority for ever.
func TestTombstoneAloneDoesNotRetire(t *testing.T) {
	t.Parallel()
	c := openAlone(t, 1)
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	awaitLeading(t, c)
	c.table.remove(c.NodeID())
	if _, removed := c.present(t.Context()); removed {
		t.Error("a node that is still in the configuration takes itself for removed")
	}
}

// TestPromotionOfARemovedNode: autopilot found a node fit just before it was
// removed.
func TestPromotionOfARemovedNode(t *testing.T) {
	t.Parallel()
	c := openAlone(t, 1)
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	awaitLeading(t, c)
	r := pilotRaft{c.raft.Load(), c, t.Context()}
	if err := r.AddVoter("gone", "127.0.0.1:1", 0, 0).Error(); err == nil {
		t.Error("a node that is no member was given a vote")
	}
	if servers := c.servers(); len(servers) != 1 {
		t.Errorf("the configuration is %v, want this node alone", servers)
	}
}

// TestAnnouncedTextsAreBounded: what a node says of itself goes into the log.
func TestAnnouncedTextsAreBounded(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxAddressBytes+1)
	good := func() *clusterpb.Member {
		return &clusterpb.Member{Id: "id", Name: "name", PeerAddress: long[1:], ApiAddress: long[1:], GossipAddress: long[1:]}
	}
	if !wellFormed(good()) {
		t.Error("a record at the limits is refused")
	}
	for what, spoil := range map[string]func(*clusterpb.Member){
		"no id":         func(m *clusterpb.Member) { m.Id = "" },
		"long id":       func(m *clusterpb.Member) { m.Id = long },
		"long name":     func(m *clusterpb.Member) { m.Name = long },
		"no address":    func(m *clusterpb.Member) { m.PeerAddress = "" },
		"long address":  func(m *clusterpb.Member) { m.PeerAddress = long },
		"long API's":    func(m *clusterpb.Member) { m.ApiAddress = long },
		"long gossip's": func(m *clusterpb.Member) { m.GossipAddress = long },
	} {
		m := good()
		spoil(m)
		if wellFormed(m) {
			t.Errorf("%s: accepted", what)
		}
	}
}
