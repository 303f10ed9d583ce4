package storage

import (
	"sync"

	"github.com/hashicorp/raft"
)

// The newest entries are kept in memory, for the replicators of a leader and the apply loop of a follower read each of them
// once more right after it was written. Bounded in entries and in bytes: an entry may have 256 KiB, so that raft's own
// LogCache of 512 would pin up to 128 MiB.
const (
	cacheEntries = 1024
	cacheBytes   = 16 << 20
)

// cache is a raft.LogStore that answers for the newest entries. It relies on what snapshotLog ensures: entries are
// appended at the end only and deleted from either end. Entries are shared with raft and never changed.
type cache struct {
	raft.LogStore

	mu    sync.RWMutex
	ring  [cacheEntries]*raft.Log // by index modulo size
	first uint64                  // the oldest kept; first > last: empty
	last  uint64
	bytes int
}

func newCache(store raft.LogStore) *cache { return &cache{LogStore: store, first: 1} }

// GetLog implements raft.LogStore.
func (c *cache) GetLog(index uint64, log *raft.Log) error {
	c.mu.RLock()
	if c.first <= index && index <= c.last {
		*log = *c.ring[index%cacheEntries]
		c.mu.RUnlock()
		return nil
	}
	c.mu.RUnlock()
	return c.LogStore.GetLog(index, log)
}

// StoreLog implements raft.LogStore.
func (c *cache) StoreLog(log *raft.Log) error { return c.StoreLogs([]*raft.Log{log}) }

// StoreLogs implements raft.LogStore.
func (c *cache) StoreLogs(logs []*raft.Log) error {
	if err := c.LogStore.StoreLogs(logs); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, log := range logs {
		c.push(log)
	}
	return nil
}

// DeleteRange implements raft.LogStore.
func (c *cache) DeleteRange(first, last uint64) error {
	c.mu.Lock()
	c.drop(first, last)
	c.mu.Unlock()
	return c.LogStore.DeleteRange(first, last)
}

// push adds one entry at the end; the caller holds mu.
func (c *cache) push(log *raft.Log) {
	if log.Index != c.last+1 {
		c.clear()
		c.first = log.Index
	}
	c.last = log.Index
	if c.last-c.first == cacheEntries {
		c.shift()
	}
	c.ring[log.Index%cacheEntries] = log
	c.bytes += entryBytes(log)
	for c.bytes > cacheBytes && c.first < c.last {
		c.shift()
	}
}

// shift forgets the oldest entry; the caller holds mu.
func (c *cache) shift() {
	slot := &c.ring[c.first%cacheEntries]
	c.bytes -= entryBytes(*slot)
	*slot = nil
	c.first++
}

// drop forgets a deleted range, and all of the cache if the range cuts it in two; the caller holds mu.
func (c *cache) drop(first, last uint64) {
	switch {
	case last < c.first || first > c.last:
	case first <= c.first:
		for c.first <= min(last, c.last) {
			c.shift()
		}
	default:
		for ; c.last >= first; c.last-- {
			slot := &c.ring[c.last%cacheEntries]
			c.bytes -= entryBytes(*slot)
			*slot = nil
		}
	}
}

// clear forgets everything; the caller holds mu.
func (c *cache) clear() {
	for c.first <= c.last {
		c.shift()
	}
}

// entryBytes is the size of an entry's payload, the measure of every byte count in this package.
func entryBytes(log *raft.Log) int { return len(log.Data) + len(log.Extensions) }
