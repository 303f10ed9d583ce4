package node

import (
	"maps"
	"sync"
	"time"

	"github.com/hydrastore/hydrastore/node/nodepb"
)

// peers remembers, at the leader, what the other nodes last answered to its beacons.
type peers struct {
	mu   sync.Mutex
	last map[string]peer
}

type peer struct {
	applied uint64
	version string
	at      time.Duration // of the answer, by the leader's monotonic clock
}

func newPeers() *peers { return &peers{last: map[string]peer{}} }

func (p *peers) heard(id string, r *nodepb.BeaconReply, at time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last[id] = peer{applied: r.Applied, version: r.Version, at: at}
}

// report lists what is known at the given moment.
func (p *peers) report(now time.Duration) *nodepb.PeersReply {
	p.mu.Lock()
	defer p.mu.Unlock()
	reply := &nodepb.PeersReply{}
	for id, known := range p.last {
		reply.Peers = append(reply.Peers, &nodepb.PeersReply_Peer{
			Id: id, Applied: known.applied, Version: known.version, SilentUs: (now - known.at).Microseconds(),
		})
	}
	return reply
}

// keep forgets the nodes for which it is false.
func (p *peers) keep(member func(id string) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.last, func(id string, _ peer) bool { return !member(id) })
}
