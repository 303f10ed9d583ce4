package cluster

import (
	"maps"
	"slices"
	"sync"

	"github.com/hydrastore/hydrastore/cluster/clusterpb"
	"google.golang.org/protobuf/proto"
)

// memberTable is the replicated table of what members announced about
// themselves, and of the ids that were removed. It is written by the goroutine
// that applies the log; the messages in it are never changed.
type memberTable struct {
	mu      sync.RWMutex
	members map[string]*clusterpb.Member
	removed []string // oldest first, at most maxRemovedIDs
}

func newMemberTable() *memberTable {
	return &memberTable{members: map[string]*clusterpb.Member{}}
}

// put adds or replaces a record; a removed id stays removed.
func (t *memberTable) put(m *clusterpb.Member) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if m.GetId() == "" || slices.Contains(t.removed, m.GetId()) {
		return
	}
	t.members[m.GetId()] = proto.CloneOf(m)
}

// remove deletes a record and remembers the id.
func (t *memberTable) remove(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.members, id)
	if slices.Contains(t.removed, id) {
		return
	}
	t.removed = append(t.removed, id)
	if over := len(t.removed) - maxRemovedIDs; over > 0 {
		t.removed = slices.Clone(t.removed[over:])
	}
}

// get returns the record of id, or nil.
func (t *memberTable) get(id string) *clusterpb.Member {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.members[id]
}

// isRemoved reports whether id was removed for good.
func (t *memberTable) isRemoved(id string) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return slices.Contains(t.removed, id)
}

// all returns the records by id.
func (t *memberTable) all() []*clusterpb.Member {
	t.mu.RLock()
	defer t.mu.RUnlock()
	out := make([]*clusterpb.Member, 0, len(t.members))
	for _, id := range slices.Sorted(maps.Keys(t.members)) {
		out = append(out, t.members[id])
	}
	return out
}

// removedIDs returns the removed ids, oldest first.
func (t *memberTable) removedIDs() []string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return slices.Clone(t.removed)
}

// restore replaces the whole table.
func (t *memberTable) restore(members []*clusterpb.Member, removed []string) {
	next := make(map[string]*clusterpb.Member, len(members))
	for _, m := range members {
		next[m.GetId()] = m
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.members, t.removed = next, slices.Clone(removed)
}
