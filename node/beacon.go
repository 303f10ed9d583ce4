package node

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/hydrastore/hydrastore/cluster"
	"github.com/hydrastore/hydrastore/node/nodepb"
)

const (
	// beaconInterval is how often the leader tells every node its time and how far it has committed.
	beaconInterval = 100 * time.Millisecond
	beaconTimeout  = 2 * time.Second
	// steerInterval is how often leader time is pulled towards the voters' wall clocks.
	steerInterval = 10 * time.Second
)

// beacons sends the leader's beacons and learns from the replies: that it still leads, and what the nodes' clocks say.
type beacons struct {
	node *Node

	mu        sync.Mutex
	inFlight  map[string]bool // nodes that have not answered the last beacon
	confirmed confirmation
	offsets   map[string]int64       // how far the wall clock is ahead of leader time, µs, by voter
	clocks    map[string]remoteClock // as last heard
}

// confirmation says that this node led at a moment, what was committed then, and what the other nodes' clocks had shown before.
type confirmation struct {
	at     time.Duration // own monotonic clock
	commit uint64
	clocks map[string]remoteClock
	ok     bool
}

// remoteClock is a node's monotonic clock as it showed in an answer.
type remoteClock struct {
	incarnation uint64
	us          int64
}

// round is one moment at which all nodes were sent a beacon.
type round struct {
	confirmation
	voters int
	votes  int
}

func newBeacons(n *Node) *beacons { return &beacons{node: n} }

func (b *beacons) run(ctx context.Context, epoch uint64) {
	b.mu.Lock()
	b.inFlight, b.offsets, b.clocks, b.confirmed = map[string]bool{}, map[string]int64{}, map[string]remoteClock{}, confirmation{}
	b.mu.Unlock()
	var sending sync.WaitGroup
	defer sending.Wait()
	ticker := time.NewTicker(beaconInterval)
	defer ticker.Stop()
	steered := b.node.config.Clock.Monotonic()
	for {
		b.send(ctx, epoch, &sending)
		if now := b.node.config.Clock.Monotonic(); now-steered >= steerInterval {
			steered = now
			b.steer(epoch)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// send sends one beacon to every node that has answered its last one.
func (b *beacons) send(ctx context.Context, epoch uint64, sending *sync.WaitGroup) {
	nowMS, ok := b.node.time.now(epoch)
	if !ok {
		return
	}
	members := b.node.cluster.Members()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forgetLocked(members)
	r := &round{confirmation: confirmation{
		at: b.node.config.Clock.Monotonic(), commit: b.node.cluster.CommitIndex(), clocks: maps.Clone(b.clocks), ok: true,
	}}
	for _, m := range members {
		if m.Suffrage == cluster.Voter {
			r.voters++
		}
	}
	for _, m := range members {
		switch {
		case m.ID == b.node.cluster.NodeID():
			b.countLocked(r, epoch, m)
		case !b.inFlight[m.ID]:
			b.inFlight[m.ID] = true
			beacon := &nodepb.Beacon{Epoch: epoch, TimeMs: nowMS}
			if clock, known := b.confirmed.clocks[m.ID]; known {
				beacon.Confirmed, beacon.CommitIndex = true, b.confirmed.commit
				beacon.Incarnation, beacon.ClockUs = clock.incarnation, clock.us
			}
			sending.Go(func() { b.sendOne(ctx, epoch, m, r, beacon) })
		}
	}
}

// forgetLocked drops what is remembered of nodes that are no members any more.
func (b *beacons) forgetLocked(members []cluster.Member) {
	gone := func(id string) bool {
		return !slices.ContainsFunc(members, func(m cluster.Member) bool { return m.ID == id })
	}
	maps.DeleteFunc(b.offsets, func(id string, _ int64) bool { return gone(id) })
	maps.DeleteFunc(b.clocks, func(id string, _ remoteClock) bool { return gone(id) })
	b.node.peers.keep(func(id string) bool { return !gone(id) })
}

func (b *beacons) sendOne(ctx context.Context, epoch uint64, m cluster.Member, r *round, beacon *nodepb.Beacon) {
	ctx, cancel := context.WithTimeout(ctx, beaconTimeout)
	defer cancel()
	asked, _, _ := b.node.time.continuation()
	reply, err := b.ask(ctx, m.ID, beacon)
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.inFlight, m.ID)
	if err != nil {
		return
	}
	if answered, _, ok := b.node.time.continuation(); ok && m.Suffrage == cluster.Voter {
		b.offsets[m.ID] = wallOffset(reply.WallUs, asked, answered)
	}
	b.clocks[m.ID] = remoteClock{incarnation: reply.Incarnation, us: reply.ClockUs}
	b.node.peers.heard(m.ID, reply, b.node.config.Clock.Monotonic())
	if reply.Term == epoch {
		b.countLocked(r, epoch, m)
	}
}

func (b *beacons) ask(ctx context.Context, id string, beacon *nodepb.Beacon) (*nodepb.BeaconReply, error) {
	payload, err := proto.Marshal(beacon)
	if err != nil {
		return nil, err
	}
	answer, err := b.node.cluster.Call(ctx, id, methodBeacon, payload)
	if err != nil {
		return nil, err
	}
	reply := new(nodepb.BeaconReply)
	return reply, proto.Unmarshal(answer, reply)
}

// countLocked counts a voter's word, given after the round began, that no later leader was elected.
func (b *beacons) countLocked(r *round, epoch uint64, m cluster.Member) {
	if m.Suffrage != cluster.Voter {
		return
	}
	if r.votes++; r.votes != r.voters/2+1 {
		return
	}
	if leads, ok := b.node.cluster.Leading(); ok && leads == epoch && (!b.confirmed.ok || r.at > b.confirmed.at) {
		b.confirmed = r.confirmation
		b.node.freshness.confirm(r.at, r.commit)
	}
}

// wallOffset tells how far a wall clock is certainly ahead of leader time, or behind when negative. It was read between asked and answered, of leader time, in
// µs: what it showed may have been right at any moment between the two. Taking the answer's for the moment of reading would call every clock late, the
// more so the busier the nodes are, and slow time down.
func wallOffset(wall, asked, answered int64) int64 {
	switch {
	case wall < asked:
		return wall - asked
	case wall > answered:
		return wall - answered
	}
	return 0
}

// steer pulls leader time towards the median of the voters' wall clocks, this node's own included.
func (b *beacons) steer(epoch uint64) {
	us, _, ok := b.node.time.continuation()
	if !ok {
		return
	}
	b.mu.Lock()
	all := []int64{b.node.config.Clock.Wall().UnixMicro() - us}
	for _, offset := range b.offsets {
		all = append(all, offset)
	}
	b.mu.Unlock()
	slices.Sort(all)
	b.node.time.steer(epoch, all[(len(all)-1)/2], steerInterval)
	b.node.metrics.clockSpread.Set((time.Duration(all[len(all)-1]-all[0]) * time.Microsecond).Seconds())
}

// handleBeacon takes the leader's beacon. How fresh it makes this node's data is measured by this node's own clock over a round
// trip: the beacon gives back what this clock showed before the leader was confirmed. So a beacon that was held up on its
// way, or by a process that stood still, makes nothing look fresher than it is.
func (n *Node) handleBeacon(beacon *nodepb.Beacon) *nodepb.BeaconReply {
	n.time.hear(beacon.Epoch, beacon.TimeMs*1000)
	if beacon.Confirmed && beacon.Incarnation == n.cluster.Incarnation() {
		n.freshness.confirm(time.Duration(beacon.ClockUs)*time.Microsecond, beacon.CommitIndex)
	}
	return &nodepb.BeaconReply{
		Term: n.cluster.Term(), WallUs: n.config.Clock.Wall().UnixMicro(), Applied: n.cluster.AppliedIndex(), Version: n.config.Version,
		Incarnation: n.cluster.Incarnation(), ClockUs: n.config.Clock.Monotonic().Microseconds(),
	}
}
