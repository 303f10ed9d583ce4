package link

import (
	"net"
	"strings"
	"time"

	"github.com/hashicorp/raft"
)

// raftBacklog is how many accepted Raft connections may wait for Raft to take them; it takes none before it runs.
const raftBacklog = 64

// RaftStreams returns the stream layer for raft.NewNetworkTransportWithConfig. Every call returns the same one. Connections that
// arrive before Raft accepts wait in a bounded queue. Closing it ends its Accept, not the Link.
func (l *Link) RaftStreams() raft.StreamLayer { return l.streams }

// ExpectNode returns an address for the stream layer's Dial that is satisfied only by the node that proves nodeID: Raft
// names servers by id but its transport dials by address, and a vote from another node at that address must not count.
func ExpectNode(nodeID string, addr raft.ServerAddress) raft.ServerAddress {
	return raft.ServerAddress(nodeID) + "@" + addr
}

// Expected undoes ExpectNode; without a node id, anybody may answer. A node id may hold an @, a host:port does not.
func Expected(addr raft.ServerAddress) Peer {
	s := string(addr)
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		return Peer{Addr: s[i+1:], NodeID: s[:i]}
	}
	return Peer{Addr: s}
}

// raftStreams is the raft.StreamLayer over the peer port.
type raftStreams struct {
	link    *Link
	arrived chan net.Conn
	closed  *onceChan
}

// Accept implements net.Listener.
func (s *raftStreams) Accept() (net.Conn, error) {
	if s.closed.isClosed() {
		return nil, net.ErrClosed
	}
	select {
	case conn := <-s.arrived:
		return conn, nil
	case <-s.closed.ch:
		return nil, net.ErrClosed
	}
}

// offer hands an accepted connection over; false = Raft is closed or takes none.
func (s *raftStreams) offer(conn net.Conn) bool {
	if s.closed.isClosed() {
		return false
	}
	select {
	case s.arrived <- conn:
		return true
	default:
		return false
	}
}

// Close implements net.Listener. Connections that Raft has taken are Raft's to close.
func (s *raftStreams) Close() error {
	s.closed.close()
	for {
		select {
		case conn := <-s.arrived:
			conn.Close() // nobody will ever use it
		default:
			return nil
		}
	}
}

// Addr implements net.Listener with the advertised address, which Raft writes into its messages.
func (s *raftStreams) Addr() net.Addr { return advertised(s.link.Addr()) }

// Dial implements raft.StreamLayer. address may come from ExpectNode. timeout bounds the TCP connect.
func (s *raftStreams) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	if timeout <= 0 {
		timeout = s.link.cfg.DialTimeout
	}
	c, err := s.link.connect(s.link.ctx, Expected(address), PurposeRaft, timeout)
	if err != nil {
		return nil, err
	}
	return c.conn, nil
}

// advertised is a net.Addr whose text is exactly what was configured, DNS names included.
type advertised string

// Network implements net.Addr.
func (advertised) Network() string { return "tcp" }

// String implements net.Addr.
func (a advertised) String() string { return string(a) }
