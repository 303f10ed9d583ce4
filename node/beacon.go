package node

import (
	"context"
	"log/slog"
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
	offsets   map[string]int64 // wall clock less leader time, µs, by voter
}

// confirmation says that this node led at a moment, and what was committed then.
type confirmation struct {
	at     time.Duration // monotonic
	commit uint64
	ok     bool
}

// round is one moment at which all nodes were sent a beacon.
type round struct {
	at     time.Duration
	commit uint64
	voters int
	votes  int
}

func newBeacons(n *Node) *beacons { return &beacons{node: n} }

func (b *beacons) run(ctx context.Context, epoch uint64) {
	b.mu.Lock()
	b.inFlight, b.offsets, b.confirmed = map[string]bool{}, map[string]int64{}, confirmation{}
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
	r := &round{at: b.node.config.Clock.Monotonic(), commit: b.node.cluster.CommitIndex()}
	beacon := &nodepb.Beacon{Epoch: epoch, TimeMs: nowMS}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.confirmed.ok {
		beacon.Confirmed, beacon.CommitIndex = true, b.confirmed.commit
		beacon.ConfirmedAgeUs = uint64((r.at - b.confirmed.at).Microseconds())
	}
	payload, err := proto.Marshal(beacon)
	if err != nil {
		b.node.log.Error("encode beacon", slog.Any("error", err))
		return
	}
	members := b.node.cluster.Members()
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
			sending.Go(func() { b.sendOne(ctx, epoch, m, r, payload) })
		}
	}
}

func (b *beacons) sendOne(ctx context.Context, epoch uint64, m cluster.Member, r *round, payload []byte) {
	ctx, cancel := context.WithTimeout(ctx, beaconTimeout)
	defer cancel()
	answer, err := b.node.cluster.Call(ctx, m.ID, methodBeacon, payload)
	var reply nodepb.BeaconReply
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.inFlight, m.ID)
	if err != nil || proto.Unmarshal(answer, &reply) != nil {
		return
	}
	if us, ok := b.node.time.continuation(); ok && m.Suffrage == cluster.Voter {
		b.offsets[m.ID] = reply.WallUs - us
	}
	b.node.peers.heard(m.ID, &reply, b.node.config.Clock.Monotonic())
	if reply.Term == epoch {
		b.countLocked(r, epoch, m)
	}
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
		b.confirmed = confirmation{at: r.at, commit: r.commit, ok: true}
		b.node.freshness.confirm(r.at, r.commit)
	}
}

// steer pulls leader time towards the median of the voters' wall clocks, this node's own included.
func (b *beacons) steer(epoch uint64) {
	us, ok := b.node.time.continuation()
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

// handleBeacon takes the leader's beacon.
func (n *Node) handleBeacon(beacon *nodepb.Beacon) *nodepb.BeaconReply {
	now := n.config.Clock.Monotonic()
	n.time.hear(beacon.Epoch, beacon.TimeMs*1000)
	if beacon.Confirmed {
		n.freshness.confirm(now-time.Duration(beacon.ConfirmedAgeUs)*time.Microsecond, beacon.CommitIndex)
	}
	return &nodepb.BeaconReply{
		Term: n.cluster.Term(), WallUs: n.config.Clock.Wall().UnixMicro(), Applied: n.cluster.AppliedIndex(), Version: n.config.Version,
	}
}
