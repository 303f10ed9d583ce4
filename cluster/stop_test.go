package cluster_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hydrastore/hydrastore/cluster/storage"
)

// stallingDisk holds up writes while it is told to.
type stallingDisk struct {
	armed   atomic.Bool
	stalled chan struct{} // closed when the first one is held up
	once    sync.Once
	release chan struct{}
}

func newStallingDisk() *stallingDisk {
	return &stallingDisk{stalled: make(chan struct{}), release: make(chan struct{})}
}

func (d *stallingDisk) BeforeWrite(storage.Op) error {
	if d.armed.Load() {
		d.once.Do(func() { close(d.stalled) })
		<-d.release
	}
	return nil
}

func (d *stallingDisk) AfterWrite(storage.Op) error { return nil }

// TestNodesThatStopTogether: a node that stops waits for no answer of another one that stops too, for a Raft that is ending gives none, and the time in which it must come
// is long here. The other one has its question, and a disk that lets it answer only when the first has stopped.
func TestNodesThatStopTogether(t *testing.T) {
	t.Parallel()
	nodes := several(t, nil, 3)
	disks := map[*node]*stallingDisk{}
	for _, n := range nodes {
		n.kill()
		disks[n] = newStallingDisk()
		n.cfg.ElectionTimeout, n.disk = longWait, disks[n]
		n.reopen()
		n.start()
	}
	leader := leaderOf(t, nodes...)
	settled(t, nodes...)
	var slow *node
	for _, n := range nodes {
		if n != leader {
			slow = n
		}
	}
	disks[slow].armed.Store(true)
	write(t, 1, leader)
	<-disks[slow].stalled

	notGraceful, cancel := context.WithCancel(t.Context())
	cancel()
	slow.dead, leader.dead = true, true
	stopped := make(chan error, 1)
	go func() { stopped <- slow.Shutdown(notGraceful) }()
	if err := leader.Shutdown(notGraceful); err != nil {
		t.Errorf("the one that has asked: %v", err)
	}
	close(disks[slow].release)
	if err := <-stopped; err != nil {
		t.Errorf("the one that was asked: %v", err)
	}
}
