package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hydrastore/hydrastore/cluster/clusterpb"
	"github.com/hydrastore/hydrastore/cluster/link"
)

// Bounds of the search for fellows.
const (
	probeInterval = 200 * time.Millisecond // between rounds, plus up to half of it at random
	newsInterval  = 10 * time.Millisecond  // between rounds of which the first had news
	mostHaste     = 32                     // rounds that news bring at once; each one that was waited for allows one more
	probeTimeout  = 2 * time.Second        // for one answer
	joinTimeout   = 15 * time.Second       // for one attempt to be let in
	maxKnown      = 64                     // unborn nodes remembered
	knownFor      = 30 * time.Second       // without hearing of them again
)

// birth is the life of a node before it belongs to a cluster. DESIGN.md tells the
// protocol; in short: the nodes ask each other where they stand; when
// bootstrap_expect of them see exactly each other, the one with the lowest id
// proposes them as the cluster; each stores that durably and never another; when
// a node has heard from all of them that they have stored it, the cluster exists.
type birth struct {
	c *Cluster

	said []string // what this round has to tell an operator; guarded by mu

	mu         sync.Mutex // held across the store of a proposal, so that only one is accepted
	entering   bool       // a cluster is being asked to let this node in: no birth is agreed to meanwhile
	candidates []birthplace
	known      map[string]knownPeer
	invited    []string // addresses to ask beside Config.Join

	news  chan struct{} // of this node or of another one: the next round need not wait
	haste int           // rounds that news may bring; where nodes are set up wrongly it does not end. Used by run only
}

type knownPeer struct {
	birthplace
	heard time.Time
	stand string // where it said that it stands; "" = it has not been heard, only heard of
}

func newBirth(c *Cluster) *birth {
	return &birth{c: c, known: map[string]knownPeer{}, news: make(chan struct{}, 1), haste: mostHaste}
}

// run searches until this node belongs to a cluster, and returns nil then.
func (b *birth) run(ctx context.Context) error {
	for {
		done, err := b.round(ctx)
		if done || err != nil {
			return err
		}
		if err := b.pause(ctx); err != nil {
			return err
		}
	}
}

// pause waits for the next round.
func (b *birth) pause(ctx context.Context) error {
	rest := time.After(probeInterval + rand.N(probeInterval/2))
	select {
	case <-time.After(newsInterval):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	news := b.news
	if b.haste == 0 {
		news = nil
	}
	select {
	case <-news:
		b.haste--
	case <-rest:
		b.haste = min(b.haste+1, mostHaste)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// spread lets the next round come at once.
func (b *birth) spread() {
	select {
	case b.news <- struct{}{}:
	default: // it does already
	}
}

// say adds a sentence to what this round tells an operator.
func (b *birth) say(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.said = append(b.said, fmt.Sprintf(format, args...))
}

// tell publishes what was said in this round.
func (b *birth) tell() {
	b.mu.Lock()
	said := b.said
	b.said = nil
	b.mu.Unlock()
	slices.Sort(said) // answers come in any order
	b.c.note.set("%s", strings.Join(slices.Compact(said), "; "))
}

// round asks everyone once and takes the step that the answers allow. Its error
// is fatal: the disk did not take the identity, or the cluster does not take a
// node with these terms.
func (b *birth) round(ctx context.Context) (born bool, err error) {
	defer b.tell()
	answers := b.probeAll(ctx)
	for _, a := range answers {
		if p := fromProposal(a.GetProposal()); p.has(b.self().ID) {
			if _, err := b.accept(p); err != nil {
				return false, err
			}
		}
	}
	if p := b.c.ident.get().Proposal; p != nil {
		return b.complete(ctx, p, answers)
	}
	switch clusters := existing(answers); len(clusters) {
	case 0:
		return false, b.found(answers)
	case 1:
		for id, members := range clusters {
			return b.enter(ctx, id, members)
		}
	default:
		b.say("the join addresses belong to different clusters (%s): list nodes of one cluster only", strings.Join(slices.Sorted(maps.Keys(clusters)), ", "))
	}
	return false, nil
}

// complete finishes the birth that this node has agreed to, when all others say
// that they have agreed too; those who have not are sent the proposal.
func (b *birth) complete(ctx context.Context, p *proposedBirth, answers map[string]*clusterpb.Probe) (bool, error) {
	var missing []string
	for _, peer := range p.Peers {
		if peer.ID == b.self().ID {
			continue
		}
		a, answered := answers[peer.ID]
		switch agreed := cmp.Or(a.GetClusterId(), a.GetProposal().GetClusterId()); {
		case answered && agreed == p.ClusterID:
			continue
		case answered && agreed != "":
			b.say("node %s has agreed to cluster %s and this node to %s, so neither can come to be: stop these nodes, empty their data folders and start them again", peer.ID, agreed, p.ClusterID)
			return false, nil
		case answered:
			b.offer(ctx, peer, p)
		}
		missing = append(missing, peer.PeerAddress)
	}
	if len(missing) > 0 {
		b.say("waiting for %s to agree to cluster %s", strings.Join(missing, ", "), p.ClusterID)
		return false, nil
	}
	return true, b.c.ident.update(func(id *identity) { id.ClusterID = p.ClusterID })
}

// offer sends the proposal to a node that has none. What comes of it shows in
// the next round.
func (b *birth) offer(ctx context.Context, to birthplace, p *proposedBirth) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var a clusterpb.Accepted
	err := b.c.ask(ctx, link.Peer{Addr: to.PeerAddress, NodeID: to.ID}, link.PurposeBirth, methodAccept, &clusterpb.Accept{Proposal: toProposal(p)}, &a)
	if err != nil {
		b.c.log.Debug("offer of a birth failed", "member", to.ID, "address", to.PeerAddress, "error", err)
	}
}

// existing returns the clusters that the answers name, each with those of its
// nodes that answered.
func existing(answers map[string]*clusterpb.Probe) map[string][]*clusterpb.Peer {
	clusters := map[string][]*clusterpb.Peer{}
	for _, a := range answers {
		if id := a.GetClusterId(); id != "" {
			clusters[id] = append(clusters[id], a.GetPeer())
		}
	}
	return clusters
}

// enter asks the cluster that exists to let this node in, by any of its nodes.
// While it asks, this node agrees to no birth: it would belong to two clusters.
func (b *birth) enter(ctx context.Context, clusterID string, members []*clusterpb.Peer) (bool, error) {
	if !b.reserve() {
		return false, nil // a birth was agreed to meanwhile
	}
	defer b.release()
	for _, m := range members {
		err := b.enterBy(ctx, clusterID, m)
		if err == nil {
			return true, b.c.ident.update(func(id *identity) { id.ClusterID = clusterID })
		}
		if errors.Is(err, ErrTerms) {
			return false, err // its settings do not change while it runs
		}
		b.say("cluster %s at %s did not let this node in: %v", clusterID, m.GetPeerAddress(), err)
	}
	return false, nil
}

// reserve keeps births away until release, unless one is agreed to already.
func (b *birth) reserve() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.entering = b.c.ident.get().Proposal == nil
	return b.entering
}

func (b *birth) release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.entering = false
}

func (b *birth) enterBy(ctx context.Context, clusterID string, member *clusterpb.Peer) error {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	var a clusterpb.Announced
	err := b.c.ask(ctx, link.Peer{Addr: member.GetPeerAddress(), NodeID: member.GetId()}, link.PurposeBirth, methodAnnounce, b.c.announcement(), &a)
	if err == nil && a.GetClusterId() != clusterID {
		err = newError(CodeConflict, "it answered for cluster %s", a.GetClusterId())
	}
	return err
}

// found proposes a cluster if this node is the one to do so.
func (b *birth) found(answers map[string]*clusterpb.Probe) error {
	expect := b.c.cfg.BootstrapExpect
	list := b.view(answers)
	b.mu.Lock()
	if !slices.Equal(b.candidates, list) {
		b.candidates = list
		b.spread()
	}
	b.mu.Unlock()
	switch {
	case expect == 0:
		b.say("waiting for a cluster to join at %s", strings.Join(b.c.cfg.Join, ", "))
		return nil
	case len(list) < expect:
		b.say("waiting for %d nodes to found a cluster, %d are here", expect, len(list))
		return nil
	case list[0].ID != b.self().ID:
		b.say("waiting for node %s to propose a cluster", list[0].ID)
		return nil
	}
	for _, peer := range list[1:] {
		if !slices.Equal(fromPeers(answers[peer.ID].GetCandidates()), list) {
			b.say("waiting for node %s to see the same %d nodes", peer.ID, expect)
			return nil
		}
	}
	_, err := b.accept(&proposedBirth{ClusterID: newID(), Peers: list})
	return err
}

// view returns the nodes with which this one would found a cluster: of itself
// and of those who answered and are free, the ones with the lowest ids.
func (b *birth) view(answers map[string]*clusterpb.Probe) []birthplace {
	expect := b.c.cfg.BootstrapExpect
	list := []birthplace{b.self()}
	for id, a := range answers {
		switch {
		case a.GetProposal() != nil || a.GetClusterId() != "":
		case int(a.GetBootstrapExpect()) != expect:
			b.c.log.Warn("a node expects another number of nodes to found the cluster", "member", id, "address", a.GetPeer().GetPeerAddress(), "bootstrap_expect", a.GetBootstrapExpect(), "here", expect)
		default:
			list = append(list, fromPeer(a.GetPeer()))
		}
	}
	slices.SortFunc(list, func(x, y birthplace) int { return cmp.Compare(x.ID, y.ID) })
	return list[:min(len(list), max(expect, 1))]
}

// accept stores a proposal if none is stored, and returns the one that is; nil
// if this node does not agree, or not now.
func (b *birth) accept(p *proposedBirth) (*proposedBirth, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	id := b.c.ident.get()
	if id.Proposal != nil || id.ClusterID != "" {
		return id.Proposal, nil
	}
	if b.entering {
		return nil, nil
	}
	if err := b.check(p); err != nil {
		b.c.log.Warn("a proposed birth was refused", "error", err)
		return nil, nil
	}
	if err := b.c.ident.update(func(id *identity) { id.Proposal = p }); err != nil {
		return nil, err
	}
	b.spread()
	b.c.log.Info("agreed to found a cluster", "cluster", p.ClusterID, "nodes", len(p.Peers))
	return p, nil
}

// check reports what is wrong with a proposal, seen from this node.
func (b *birth) check(p *proposedBirth) error {
	switch {
	case p.ClusterID == "" || len(p.ClusterID) > link.MaxIDBytes:
		return fmt.Errorf("its cluster id has %d bytes, must have 1 to %d", len(p.ClusterID), link.MaxIDBytes)
	case len(p.Peers) != b.c.cfg.BootstrapExpect:
		return fmt.Errorf("it lists %d nodes, bootstrap_expect is %d here", len(p.Peers), b.c.cfg.BootstrapExpect)
	case !slices.Contains(p.Peers, b.self()):
		return errors.New("it does not list this node with its present name and address")
	}
	return nil
}
