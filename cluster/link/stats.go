package link

import "sync/atomic"

// Stats are counters since Open and gauges of now.
type Stats struct {
	BytesRead, BytesWritten uint64 // on the wire, TLS and handshakes included, Raft streams included
	CallsSent               uint64 // calls begun by this node
	CallsUnreachable        uint64 // of them, failed as certainly not executed
	CallsUnknown            uint64 // of them, failed with an unknown outcome
	CallsServed             uint64 // handlers begun
	CallsRefused            uint64 // requests answered as not executed
	Dials, DialErrors       uint64 // attempts, and those that gave no usable connection
	HandshakesRefused       uint64 // accepted connections that gave no usable one
	Connections             int64  // open now, both directions
	CallsInFlight           int64  // calls of this node that wait now
	HandlersRunning         int64  // handlers that run now
}

// counters are what Stats reads.
type counters struct {
	bytesRead, bytesWritten                    atomic.Uint64
	callsSent, callsUnreachable, callsUnknown  atomic.Uint64
	callsServed, callsRefused                  atomic.Uint64
	dials, dialErrors, handshakesRefused       atomic.Uint64
	connections, callsInFlight, handlersActive atomic.Int64
}

// Stats returns a snapshot; the values are read one after another, not atomically together.
func (l *Link) Stats() Stats {
	n := &l.counters
	return Stats{
		BytesRead:         n.bytesRead.Load(),
		BytesWritten:      n.bytesWritten.Load(),
		CallsSent:         n.callsSent.Load(),
		CallsUnreachable:  n.callsUnreachable.Load(),
		CallsUnknown:      n.callsUnknown.Load(),
		CallsServed:       n.callsServed.Load(),
		CallsRefused:      n.callsRefused.Load(),
		Dials:             n.dials.Load(),
		DialErrors:        n.dialErrors.Load(),
		HandshakesRefused: n.handshakesRefused.Load(),
		Connections:       n.connections.Load(),
		CallsInFlight:     n.callsInFlight.Load(),
		HandlersRunning:   n.handlersActive.Load(),
	}
}
