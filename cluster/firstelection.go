package cluster

import (
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"
)

// Where there can be no leader yet, nobody waits for one: of a cluster that has just been born the node that proposed it stands for election at once, and so does a
// node that is the only voter when it starts. It is an election like any other, with its pre-vote, and if it comes to nothing the timeouts of all nodes
// go on as ever.

// headroom is what the timeouts of a node that may stand at once have too much until it does.
const headroom = time.Nanosecond

// standAtOnce makes Raft look now whether it hears a leader, and stand for election where it does not: that is what it does when its
// timeouts become shorter, by however little.
func (c *Cluster) standAtOnce(r *raft.Raft) error {
	reload := r.ReloadableConfig()
	reload.HeartbeatTimeout, reload.ElectionTimeout = c.cfg.ElectionTimeout, c.cfg.ElectionTimeout
	if err := r.ReloadConfig(reload); err != nil {
		return fmt.Errorf("set the election timeout: %w", err)
	}
	return nil
}

// mayStandAtOnce tells whether there can be no leader that this node would have to wait for. justBorn: its log holds the first configuration and nothing else.
func (c *Cluster) mayStandAtOnce(justBorn bool) bool {
	if justBorn && c.ident.get().Proposal.Peers[0].ID == c.NodeID() {
		return true
	}
	return slices.Equal(c.voters(), []string{c.NodeID()})
}
