package node_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/cluster/storage"
	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/session"
)

// hangingDisk takes nothing into the log for as long as hangs says so, until it is mended.
type hangingDisk struct {
	hangs  atomic.Pointer[func() bool]
	mended chan struct{}
}

func (d *hangingDisk) BeforeWrite(op storage.Op) error {
	for op == storage.OpAppend {
		if hangs := d.hangs.Load(); hangs == nil || !(*hangs)() {
			return nil
		}
		select {
		case <-d.mended:
			return nil
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}

func (d *hangingDisk) AfterWrite(storage.Op) error { return nil }

// A node whose disk hangs, once it knows what time it is, still answers while the others remove what has ended: it has applied all that
// decides who lives, and reads do not wait for what only clears away the dead.
func TestReadsDoNotWaitForRemovals(t *testing.T) {
	t.Parallel()
	const ending = 2000
	disks := make([]*hangingDisk, 3)
	c := startTrio(t, 3, func(i int, config *node.Config) {
		disks[i] = &hangingDisk{mended: make(chan struct{})}
		config.Cluster.Faults.Disk = disks[i]
	})
	app := c.service(0)
	c.policy(0, "hour", session.PolicyChange{IdleTimeout: ptr(time.Hour)})
	c.policy(0, "day", session.PolicyChange{IdleTimeout: ptr(24 * time.Hour), AbsoluteLifetime: ptr(48 * time.Hour)})
	kept := c.vouch(app, 0, "day")
	ended := c.vouch(app, 0, "hour")
	var work sync.WaitGroup
	for range 100 {
		work.Go(func() {
			for range ending / 100 {
				if _, err := c.nodes[0].Login(t.Context(), app, session.Login{User: "ada", Vouched: true, Policy: "hour"}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	work.Wait()

	lead := c.leader()
	slow := (lead + 1) % 3
	past := c.nodes[slow].ReplicatedMS() + time.Hour.Milliseconds()
	nodes := slices.Clone(c.nodes)
	knows := func(i int) bool { return nodes[i].ReplicatedMS() > past }
	for i, disk := range disks {
		hangs := func() bool { return knows(slow) }
		if i != slow { // no removal follows until the slow one knows: it would get both at once
			hangs = func() bool { return knows(i) && !knows(slow) }
		}
		disk.hangs.Store(&hangs)
		defer close(disk.mended)
	}
	c.freeze() // time that goes on is brought into the log while the removals last, and a node whose disk hangs cannot learn it
	c.advance(2 * time.Hour)
	eventually(t, "the leader has removed all that ended", func() error {
		if n := c.nodes[lead].Recorded(); n > ending/2 {
			return fmt.Errorf("%d sessions are left", n)
		}
		return nil
	})
	if n := c.nodes[slow].Recorded(); n < ending/2 {
		t.Fatalf("the node whose disk hangs has %d sessions left: it does not hang", n)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := c.nodes[slow].Check(ctx, with(kept.Key), true); err != nil {
		t.Errorf("a living session at the node whose disk hangs: %v", err)
	}
	if _, err := c.nodes[slow].Check(ctx, with(ended.Key), true); session.CodeOf(err) != session.CodeUnauthenticated {
		t.Errorf("an ended session, not removed yet: %v, want %s", err, session.CodeUnauthenticated)
	}
}
