package transport_test

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/hydrastore/hydrastore/cluster/transport"
)

// machine is a state machine that remembers what it applied.
type machine struct {
	mu      sync.Mutex
	applied []string
}

func (m *machine) Apply(log *raft.Log) any {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.applied = append(m.applied, string(log.Data))
	return nil
}

func (m *machine) last() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.applied) == 0 {
		return ""
	}
	return m.applied[len(m.applied)-1]
}

func (m *machine) Snapshot() (raft.FSMSnapshot, error) { return nil, raft.ErrNothingNewToSnapshot }
func (m *machine) Restore(io.ReadCloser) error         { return nil }

// member is one raft node of a test.
type member struct {
	*raft.Raft
	addr  raft.ServerAddress
	state *machine
	log   *raft.InmemStore
}

// start starts a node on memory stores; its id is its address.
func start(t *testing.T, tr raft.Transport, change func(*raft.Config)) *member {
	t.Helper()
	cfg := raft.DefaultConfig()
	cfg.LocalID = raft.ServerID(tr.LocalAddr())
	cfg.Logger = hclog.NewNullLogger()
	if change != nil {
		change(cfg)
	}
	m := &member{addr: tr.LocalAddr(), state: &machine{}, log: raft.NewInmemStore()}
	node, err := raft.NewRaft(cfg, m.state, m.log, m.log, raft.NewDiscardSnapshotStore(), tr)
	if err != nil {
		t.Fatal(err)
	}
	m.Raft = node
	return m
}

// bootstrap makes a cluster of the members, all of them voters.
func bootstrap(t *testing.T, members ...*member) {
	t.Helper()
	var cfg raft.Configuration
	for _, m := range members {
		cfg.Servers = append(cfg.Servers, raft.Server{ID: raft.ServerID(m.addr), Address: m.addr})
	}
	if err := members[0].BootstrapCluster(cfg).Error(); err != nil {
		t.Fatal(err)
	}
}

// trio is a cluster of three on a network in memory.
func trio(t *testing.T, join func(raft.ServerAddress) raft.Transport) []*member {
	t.Helper()
	var members []*member
	for _, addr := range []raft.ServerAddress{"a", "b", "c"} {
		members = append(members, start(t, join(addr), nil))
	}
	bootstrap(t, members...)
	return members
}

func guarded(n *transport.Network) func(raft.ServerAddress) raft.Transport {
	return func(addr raft.ServerAddress) raft.Transport { return n.Join(addr) }
}

func stop(t *testing.T, members ...*member) {
	t.Helper()
	for _, m := range members {
		if err := m.Shutdown().Error(); err != nil {
			t.Errorf("shutdown: %v", err)
		}
	}
}

// eventually waits for a fact, for a minute at most.
func eventually(t *testing.T, what string, fact func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !fact(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

// leader waits for one of the members to lead.
func leader(t *testing.T, members ...*member) *member {
	t.Helper()
	var found *member
	eventually(t, "a leader", func() bool {
		for _, m := range members {
			if m.State() == raft.Leader {
				found = m
			}
		}
		return found != nil
	})
	return found
}

// without is the members but one.
func without(members []*member, one *member) []*member {
	var rest []*member
	for _, m := range members {
		if m != one {
			rest = append(rest, m)
		}
	}
	return rest
}

// loopback is a raft.StreamLayer over TCP on the loopback interface.
type loopback struct{ net.Listener }

func listen(t *testing.T) loopback {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return loopback{l}
}

func (loopback) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	return net.DialTimeout("tcp", string(addr), timeout)
}

// streamTimeout ends what hangs. No test waits for it.
const streamTimeout = 20 * time.Second

// overTCP is a guarded transport on the loopback interface.
func overTCP(t *testing.T) *transport.Transport {
	t.Helper()
	tr, err := transport.OverStreams(transport.StreamConfig{Streams: listen(t), Timeout: streamTimeout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close() })
	return tr
}

// bareTCP is the same without the guards, set up as raft does it by default.
func bareTCP(t *testing.T) *raft.NetworkTransport {
	t.Helper()
	tr := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: listen(t), MaxPool: 3, Timeout: streamTimeout, Logger: hclog.NewNullLogger(),
	})
	t.Cleanup(func() { _ = tr.Close() })
	return tr
}
