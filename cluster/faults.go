package cluster

import (
	"context"
	"net"

	"github.com/hydrastore/hydrastore/cluster/storage"
	"github.com/hydrastore/hydrastore/cluster/transport"
)

// Faults are the hooks of tests that cut, delay and fail. Each may be nil.
type Faults struct {
	// Dial opens every TCP connection to a peer port.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
	// Raft stands between Raft and its messages.
	Raft transport.Faults
	// Disk stands between Raft and its disk.
	Disk storage.Faults
	// Apply is called before committed entries are applied.
	Apply func()
}
