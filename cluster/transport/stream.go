package transport

import (
	"errors"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// StreamConfig says how to speak Raft over connections. The zero value of a field with a default means that default.
type StreamConfig struct {
	// Streams makes and accepts connections; required. The transport closes it.
	Streams raft.StreamLayer
	// Addresses finds a peer's address by its id, so that a peer may move; default: the address in Raft's configuration.
	Addresses raft.ServerAddressProvider
	// MaxPool is how many idle connections are kept to each peer; default 3: heartbeats, entries, and one for the rest.
	MaxPool int
	// Timeout is how long one message may take; default 10 s. A snapshot gets this for each 256 KiB of it. Lower: a peer that
	// has gone silent is noticed sooner, a peer with a slow disk is sent the same entries twice.
	Timeout time.Duration
	// Logger is for the library; default: nothing is logged.
	Logger hclog.Logger
	// Faults is for tests; default: none.
	Faults Faults
}

// OverStreams is a guarded raft.NetworkTransport. It starts a goroutine that accepts connections until Close.
func OverStreams(cfg StreamConfig) (*Transport, error) {
	if cfg.Streams == nil {
		return nil, errors.New("transport.StreamConfig.Streams is required")
	}
	if cfg.MaxPool == 0 {
		cfg.MaxPool = 3
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 10 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = hclog.NewNullLogger()
	}
	return New(raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream:                  cfg.Streams,
		ServerAddressProvider:   cfg.Addresses,
		MaxPool:                 cfg.MaxPool,
		MaxRPCsInFlight:         1, // says the same as AppendEntriesPipeline
		Timeout:                 cfg.Timeout,
		MsgpackUseNewTimeFormat: true,
		Logger:                  cfg.Logger,
	}), cfg.Faults), nil
}
