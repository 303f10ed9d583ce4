package node

import (
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/session"
)

// mismatchPause is the least time between two log lines about keys at wrong addresses: whoever holds one must not fill the log.
const mismatchPause = time.Second

// mismatches counts and logs keys that are presented at another address than that of their log-in.
type mismatches struct {
	node *Node

	mu      sync.Mutex
	last    time.Duration // on the monotonic clock
	omitted int           // since the last line
	begun   bool
}

// find looks up the living session of a presented key and holds it to its address. An address that is wrong for a strict policy gets
// the answer of an unknown key.
func (n *Node) find(p session.Presented) (fsm.Record, bool) {
	record, ok := n.sessionOf(p.Key)
	if !ok || !elsewhere(record, p.Address) {
		return record, ok
	}
	n.mismatches.note(record, p.Address)
	if record.BindAddress == session.BindStrict {
		return fsm.Record{}, false
	}
	return record, true
}

// elsewhere tells whether a session that is bound to its address is presented at another one, or at none that is known. A session
// whose own address is not known is bound to nothing.
func elsewhere(r fsm.Record, address netip.Addr) bool {
	return r.BindAddress != session.BindOff && r.Address.IsValid() && r.Address != address.Unmap().WithZone("")
}

func (m *mismatches) note(r fsm.Record, address netip.Addr) {
	m.node.metrics.elsewhere.WithLabelValues(string(r.BindAddress)).Inc()
	now := m.node.config.Clock.Monotonic()
	m.mu.Lock()
	if m.begun && now-m.last < mismatchPause {
		m.omitted++
		m.mu.Unlock()
		return
	}
	omitted := m.omitted
	m.begun, m.last, m.omitted = true, now, 0
	m.mu.Unlock()
	m.node.log.Warn("a session key was presented at another address than its log-in's",
		slog.String("session", r.ID.String()), slog.String("user", r.User), slog.String("login_address", r.Address.String()),
		slog.String("address", addressText(address)), slog.String("bind_address", string(r.BindAddress)),
		slog.Bool("refused", r.BindAddress == session.BindStrict), slog.Int("omitted", omitted))
}

func addressText(a netip.Addr) string {
	if !a.IsValid() {
		return "unknown"
	}
	return a.String()
}
