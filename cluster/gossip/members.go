package gossip

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// State is what gossip believes of a member.
type State string

// The states of a member.
const (
	Alive State = "alive" // suspected ones too, until the pool gives them up
	Left  State = "left"  // said good-bye
	Dead  State = "dead"  // given up by the pool
)

// Member is one node as gossip knows it.
type Member struct {
	Name  string
	Addr  string // host:port of its gossip
	Meta  []byte // must not be changed
	State State
	Since time.Time     // of the state, by this node's clock
	RTT   time.Duration // of the last probe that was answered, 0 = none yet
}

// maxGone bounds the members that are remembered after they left or died.
const maxGone = 128

// table is this package's own copy of the pool. Its lock is held for map operations alone, so the delegates, which
// memberlist calls under its own lock, never wait for anything.
type table struct {
	events chan struct{} // one slot: many changes make one event

	mu      sync.Mutex
	members map[string]*entry
}

// entry is a member and whether this node's last probe of it failed.
type entry struct {
	Member
	suspect bool
}

func newTable() *table {
	return &table{events: make(chan struct{}, 1), members: make(map[string]*entry)}
}

// set records what memberlist shows. n is memberlist's own record: everything kept of it is copied.
func (t *table) set(n *memberlist.Node, state State) {
	t.mu.Lock()
	now := time.Now()
	e := t.members[n.Name]
	if e == nil {
		e = &entry{Member: Member{Name: n.Name}}
		t.members[n.Name] = e
	}
	if e.State != state {
		e.State, e.Since = state, now
	}
	e.suspect = false
	e.Addr = n.Address()
	if !isLeaving(n.Meta) && !bytes.Equal(e.Meta, n.Meta) {
		e.Meta = bytes.Clone(n.Meta)
	}
	t.forgetGone()
	t.mu.Unlock()
	select {
	case t.events <- struct{}{}:
	default: // an event is waiting already
	}
}

// forgetGone drops the longest gone members when there are too many. mu is held.
func (t *table) forgetGone() {
	var gone []*entry
	for _, e := range t.members {
		if e.State != Alive {
			gone = append(gone, e)
		}
	}
	if len(gone) <= maxGone {
		return
	}
	slices.SortFunc(gone, func(a, b *entry) int { return a.Since.Compare(b.Since) })
	for _, e := range gone[:len(gone)-maxGone] {
		delete(t.members, e.Name)
	}
}

// heard records an answered probe.
func (t *table) heard(name string, rtt time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.members[name]; e != nil {
		e.suspect, e.RTT = false, rtt
	}
}

// list returns all members by name.
func (t *table) list() []Member {
	t.mu.Lock()
	defer t.mu.Unlock()
	members := make([]Member, 0, len(t.members))
	for e := range maps.Values(t.members) {
		members = append(members, e.Member)
	}
	slices.SortFunc(members, func(a, b Member) int { return cmp.Compare(a.Name, b.Name) })
	return members
}

// suspected records a probe that nobody saw answered.
func (t *table) suspected(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.members[name]; e != nil && e.State == Alive {
		e.suspect = true
	}
}

// count returns the numbers of members.
func (t *table) count() (s Stats) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.members {
		switch e.State {
		case Alive:
			s.Alive++
		case Left:
			s.Left++
		case Dead:
			s.Dead++
		}
		if e.suspect {
			s.Suspect++
		}
	}
	return s
}
