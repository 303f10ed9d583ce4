package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hydrastore/hydrastore/cluster/clusterpb"
	"github.com/hydrastore/hydrastore/cluster/link"
)

// probeAll asks every known address where it stands; the answers are by node id,
// those of differently named clusters and of this node itself left out.
func (b *birth) probeAll(ctx context.Context) map[string]*clusterpb.Probe {
	var (
		mu      sync.Mutex
		wg      sync.WaitGroup
		answers = map[string]*clusterpb.Probe{}
	)
	for _, addr := range b.targets() {
		wg.Go(func() {
			a, err := b.probe(ctx, addr)
			if err != nil {
				b.c.log.Debug("no answer before birth", "address", addr, "error", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			answers[a.GetPeer().GetId()] = a
		})
	}
	wg.Wait()
	delete(answers, b.self().ID)
	return answers
}

func (b *birth) probe(ctx context.Context, addr string) (*clusterpb.Probe, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	a := new(clusterpb.Probe)
	if err := b.c.ask(ctx, link.Peer{Addr: addr}, link.PurposeBirth, methodProbe, b.standing(), a); err != nil {
		return nil, err
	}
	if a.GetClusterName() != b.c.cfg.ClusterName {
		b.say("the node at %s belongs to a cluster named %q, this one to %q: correct the join list or the name", addr, a.GetClusterName(), b.c.cfg.ClusterName)
		return nil, errors.New("cluster name differs")
	}
	b.hear(a)
	return a, nil
}

// standing says where this node stands.
func (b *birth) standing() *clusterpb.Probe {
	id := b.c.ident.get()
	p := &clusterpb.Probe{
		Peer:            toPeer(b.self()),
		ClusterName:     b.c.cfg.ClusterName,
		BootstrapExpect: uint32(b.c.cfg.BootstrapExpect),
		ClusterId:       id.ClusterID,
		Proposal:        toProposal(id.Proposal),
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	p.Candidates = toPeers(b.candidates)
	for _, k := range b.known {
		if k.stand != "" { // or nodes would keep a dead one known by telling each other of it
			p.Known = append(p.Known, toPeer(k.birthplace))
		}
	}
	return p
}

// hear remembers the unborn nodes that a message names, to ask them too.
func (b *birth) hear(m *clusterpb.Probe) {
	if m.GetClusterId() != "" {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	maps.DeleteFunc(b.known, func(_ string, k knownPeer) bool { return now.Sub(k.heard) > knownFor })
	for i, peer := range append([]*clusterpb.Peer{m.GetPeer()}, m.GetKnown()...) {
		known, old := b.known[peer.GetId()]
		if !wellFormed(&clusterpb.Member{Id: peer.GetId(), Name: peer.GetName(), PeerAddress: peer.GetPeerAddress()}) || peer.GetId() == b.c.NodeID() || (!old && len(b.known) >= maxKnown) || (old && i > 0) {
			continue // at first hand it counts as heard again, at second hand only if it is new
		}
		heard := knownPeer{birthplace: fromPeer(peer), heard: now}
		if i == 0 {
			heard.stand = stand(m)
		}
		if !old || heard.stand != known.stand {
			b.spread()
		}
		b.known[peer.GetId()] = heard
	}
}

// stand is the same for a node as long as it has come no further.
func stand(m *clusterpb.Probe) string {
	return fmt.Sprint(fromPeers(m.GetCandidates()), m.GetProposal().GetClusterId())
}

// targets returns the addresses to ask.
func (b *birth) targets() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := append(slices.Clone(b.c.cfg.Join), b.invited...)
	for _, k := range b.known {
		list = append(list, k.PeerAddress)
	}
	if p := b.c.ident.get().Proposal; p != nil {
		for _, peer := range p.Peers {
			list = append(list, peer.PeerAddress)
		}
	}
	slices.Sort(list)
	list = slices.Compact(list)
	return slices.DeleteFunc(list, func(a string) bool { return a == b.self().PeerAddress })
}

// self is this node, as a proposal lists it.
func (b *birth) self() birthplace {
	return birthplace{ID: b.c.NodeID(), Name: b.c.name, PeerAddress: b.c.PeerAddress()}
}
