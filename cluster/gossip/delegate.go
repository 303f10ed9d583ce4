package gossip

import (
	"bytes"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// leavingMeta is what a node tells in place of its meta data just before it leaves. memberlist knows which nodes left and which
// died but does not say: the State of the nodes that it shows is never set (nodeState.State hides it, v0.6.0).
const leavingMeta = "\x00leaving\x00\xb5\x1f\x8e\x9c\x4a\xd3"

func isLeaving(meta []byte) bool { return string(meta) == leavingMeta }

// delegate is what memberlist calls.
type delegate struct {
	table *table
	mu    sync.Mutex
	meta  []byte // told to the others
}

// NotifyJoin implements memberlist.EventDelegate.
func (d *delegate) NotifyJoin(n *memberlist.Node) { d.table.set(n, Alive) }

// NotifyUpdate implements memberlist.EventDelegate.
func (d *delegate) NotifyUpdate(n *memberlist.Node) { d.table.set(n, Alive) }

// NotifyLeave implements memberlist.EventDelegate.
func (d *delegate) NotifyLeave(n *memberlist.Node) {
	if isLeaving(n.Meta) {
		d.table.set(n, Left)
		return
	}
	d.table.set(n, Dead)
}

// AckPayload implements memberlist.PingDelegate.
func (d *delegate) AckPayload() []byte { return nil }

// NotifyPingComplete implements memberlist.PingDelegate.
func (d *delegate) NotifyPingComplete(n *memberlist.Node, rtt time.Duration, _ []byte) {
	d.table.heard(n.Name, rtt)
}

// NodeMeta implements memberlist.Delegate.
func (d *delegate) NodeMeta(int) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.meta
}

func (d *delegate) setMeta(meta []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.meta = bytes.Clone(meta)
}

// NotifyMsg implements memberlist.Delegate; no user messages are used.
func (d *delegate) NotifyMsg([]byte) {}

// GetBroadcasts implements memberlist.Delegate.
func (d *delegate) GetBroadcasts(int, int) [][]byte { return nil }

// LocalState implements memberlist.Delegate.
func (d *delegate) LocalState(bool) []byte { return nil }

// MergeRemoteState implements memberlist.Delegate.
func (d *delegate) MergeRemoteState([]byte, bool) {}
