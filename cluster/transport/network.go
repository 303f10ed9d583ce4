package transport

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// ErrCut is what a sender gets whose message was lost between two nodes of a Network.
var ErrCut = errors.New("no way to that node")

// Network is the in-memory twin of a network: the nodes of one process, and the ways between them, each of which can be cut
// or slowed in one direction. It works in a testing/synctest bubble. Safe for concurrent use.
type Network struct {
	timeout time.Duration

	mu    sync.RWMutex
	nodes map[raft.ServerAddress]*raft.InmemTransport
	cut   map[way]bool
	delay map[way]time.Duration
	drop  func(Message) bool
}

// way is one direction between two nodes.
type way struct{ from, to raft.ServerAddress }

// NewNetwork is an empty network. A node that does not answer is given up after timeout.
func NewNetwork(timeout time.Duration) *Network {
	return &Network{
		timeout: timeout,
		nodes:   make(map[raft.ServerAddress]*raft.InmemTransport),
		cut:     make(map[way]bool),
		delay:   make(map[way]time.Duration),
	}
}

// Join adds a node, connected to all others. A node that joins again under its address, as after a restart, takes the place of the old one.
func (n *Network) Join(addr raft.ServerAddress) *Transport {
	return New(n.JoinUnguarded(addr), n)
}

// JoinUnguarded adds a node without guards or faults, for tests of what happens without them.
func (n *Network) JoinUnguarded(addr raft.ServerAddress) *raft.InmemTransport {
	_, joined := raft.NewInmemTransportWithTimeout(addr, n.timeout)
	n.mu.Lock()
	defer n.mu.Unlock()
	for other, node := range n.nodes {
		if other == addr {
			continue
		}
		joined.Connect(other, node)
		node.Connect(addr, joined)
	}
	n.nodes[addr] = joined
	return joined
}

// Cut stops all messages from one node to another, answers included; the other direction stays.
func (n *Network) Cut(from, to raft.ServerAddress) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[way{from, to}] = true
}

// Partition cuts all ways between nodes of different groups. Ways inside a group, and of nodes in no group, stay as they are.
func (n *Network) Partition(groups ...[]raft.ServerAddress) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, group := range groups {
		for j, other := range groups {
			if i != j {
				n.cutAll(group, other)
			}
		}
	}
}

// Isolate cuts a node off from all others, both ways.
func (n *Network) Isolate(addr raft.ServerAddress) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for other := range n.nodes {
		if other != addr {
			n.cut[way{addr, other}], n.cut[way{other, addr}] = true, true
		}
	}
}

// Delay slows all messages from one node to another, answers included.
func (n *Network) Delay(from, to raft.ServerAddress, by time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.delay[way{from, to}] = by
}

// Drop loses the requests for which lose is true; nil loses none. lose is called by many goroutines at once.
func (n *Network) Drop(lose func(Message) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.drop = lose
}

// Heal takes back every cut and delay; what Drop was told stays.
func (n *Network) Heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.cut)
	clear(n.delay)
}

// Request implements Faults.
func (n *Network) Request(m Message) error {
	n.mu.RLock()
	drop := n.drop
	n.mu.RUnlock()
	if drop != nil && drop(m) {
		return fmt.Errorf("%s to %s: %w", m.Kind, m.To, ErrCut)
	}
	return n.pass(m, way{m.From, m.To})
}

// Response implements Faults.
func (n *Network) Response(m Message) error { return n.pass(m, way{m.To, m.From}) }

func (n *Network) pass(m Message, w way) error {
	n.mu.RLock()
	delay := n.delay[w]
	n.mu.RUnlock()
	if delay > 0 {
		time.Sleep(delay)
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	if n.cut[w] {
		return fmt.Errorf("%s from %s to %s: %w", m.Kind, w.from, w.to, ErrCut)
	}
	return nil
}

func (n *Network) cutAll(group, other []raft.ServerAddress) {
	for _, from := range group {
		for _, to := range other {
			n.cut[way{from, to}] = true
		}
	}
}
