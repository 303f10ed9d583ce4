package link

import (
	"context"
	"net"

	"github.com/hashicorp/raft"
)

// Handler answers one call. It runs in its own goroutine and owns payload; the returned bytes are copied before the
// goroutine ends. from is what the peer proved in the handshake. ctx ends at the caller's deadline, when the caller gives up,
// when its connection is lost and when the Link closes. Return an error made by Error to send a stable code.
type Handler func(ctx context.Context, from Identity, payload []byte) ([]byte, error)

// Link is one node's peer port: it accepts and dials. Its methods may be called from any goroutine.
type Link struct {
	cfg Config
}

// Open listens. Nothing is accepted before Serve. It refuses to listen off loopback without TLS or key unless
// Config.InsecurePeers says so.
func Open(cfg Config) (*Link, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Link{cfg: cfg.withDefaults()}, nil
}

// Addr returns the host:port that others dial.
func (l *Link) Addr() string { return l.cfg.Advertise }

// RaftStreams returns the stream layer for raft.NewNetworkTransportWithConfig. Every call returns the same one. Connections that
// arrive before Raft accepts wait in a bounded queue. Closing it ends its Accept, not the Link.
func (l *Link) RaftStreams() raft.StreamLayer { return nil }

// Handle registers h for calls of method on connections of purpose p. It must be called before Serve; a second registration of
// the same pair panics, as does PurposeRaft, which carries no calls.
func (l *Link) Handle(method string, p Purpose, h Handler) {}

// Serve starts accepting and returns at once. It may be called once.
func (l *Link) Serve() {}

// Call sends payload to method at addr and waits for the answer, which the caller owns. It blocks until the answer, until
// ctx ends or until the connection is known to be dead; without a deadline in ctx, Config.CallTimeout applies. The remaining
// time travels with the request. payload is not kept. See ErrUnreachable for the errors.
func (l *Link) Call(ctx context.Context, addr string, p Purpose, method string, payload []byte) ([]byte, error) {
	return l.CallExpect(ctx, Peer{Addr: addr}, p, method, payload)
}

// Peer is where to call and who must answer there.
type Peer struct {
	Addr   string // host:port
	NodeID string // the identity that the remote must prove; "" = any
}

// CallExpect is Call that is sent only to the node that proved to be to.NodeID; else it fails with ErrWrongNode.
func (l *Link) CallExpect(ctx context.Context, to Peer, p Purpose, method string, payload []byte) ([]byte, error) {
	return nil, ErrClosed
}

// PeerIdentity returns what the node at addr proved about itself, dialling it when there is no connection of that purpose.
func (l *Link) PeerIdentity(ctx context.Context, addr string, p Purpose) (Identity, error) {
	return Identity{}, ErrClosed
}

// ExpectNode returns an address for the stream layer's Dial that is satisfied only by the node that proves nodeID: Raft
// names servers by id but its transport dials by address, and a vote from another node at that address must not count.
func ExpectNode(nodeID string, addr raft.ServerAddress) raft.ServerAddress {
	return raft.ServerAddress(nodeID) + "@" + addr
}

// Close stops accepting, ends running handlers through their contexts, gives their answers a moment to leave, closes
// every connection and waits for all goroutines of the Link.
func (l *Link) Close() error { return nil }

func dialTCP(ctx context.Context, addr string) (net.Conn, error) {
	d := net.Dialer{}
	return d.DialContext(ctx, "tcp", addr)
}
