package cluster

import (
	"context"
	"net"
)

// Faults are the hooks of tests that cut, delay and fail. The zero value does
// nothing.
type Faults struct {
	// Dial, if set, opens every TCP connection to a peer port.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
}
