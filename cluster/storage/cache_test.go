package storage

import (
	"testing"

	"github.com/hashicorp/raft"
)

// countingLog counts the reads that the cache lets through.
type countingLog struct {
	*raft.InmemStore
	reads int
}

func (l *countingLog) GetLog(index uint64, log *raft.Log) error {
	l.reads++
	return l.InmemStore.GetLog(index, log)
}

func cached(t *testing.T) (*cache, *countingLog) {
	t.Helper()
	below := &countingLog{InmemStore: raft.NewInmemStore()}
	return newCache(below), below
}

func push(t *testing.T, c *cache, first, last uint64, size int) {
	t.Helper()
	for i := first; i <= last; i++ {
		if err := c.StoreLog(&raft.Log{Index: i, Term: 1, Data: make([]byte, size)}); err != nil {
			t.Fatal(err)
		}
	}
}

// wantRead reads an entry and checks where it came from.
func wantRead(t *testing.T, c *cache, below *countingLog, index uint64, fromCache bool) {
	t.Helper()
	before := below.reads
	var log raft.Log
	if err := c.GetLog(index, &log); err != nil || log.Index != index {
		t.Errorf("entry %d: %+v, %v", index, log, err)
	}
	if got := below.reads == before; got != fromCache {
		t.Errorf("entry %d from the cache: %v, want %v", index, got, fromCache)
	}
}

func TestCacheIsBoundedInEntries(t *testing.T) {
	t.Parallel()
	c, below := cached(t)
	push(t, c, 1, cacheEntries+10, 1)
	wantRead(t, c, below, 10, false)
	wantRead(t, c, below, 11, true)
	wantRead(t, c, below, cacheEntries+10, true)
	if c.bytes != cacheEntries {
		t.Errorf("%d bytes", c.bytes)
	}
}

func TestCacheIsBoundedInBytes(t *testing.T) {
	t.Parallel()
	c, below := cached(t)
	const size = cacheBytes / 4
	push(t, c, 1, 10, size)
	wantRead(t, c, below, 6, false)
	wantRead(t, c, below, 7, true)
	push(t, c, 11, 11, 2*cacheBytes) // the newest stays, whatever its size
	wantRead(t, c, below, 10, false)
	wantRead(t, c, below, 11, true)
}

func TestCacheForgetsWhatIsDeleted(t *testing.T) {
	t.Parallel()
	for name, d := range map[string]struct{ first, last uint64 }{
		"head": {1, 20}, "tail": {80, 100}, "all": {1, 100}, "beyond": {101, 200}, "before": {0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, below := cached(t)
			push(t, c, 1, 100, 1)
			if err := c.DeleteRange(d.first, d.last); err != nil {
				t.Fatal(err)
			}
			left := 0
			for index := uint64(1); index <= 100; index++ {
				if d.first <= index && index <= d.last {
					var log raft.Log
					if err := c.GetLog(index, &log); err != raft.ErrLogNotFound {
						t.Errorf("entry %d is still there: %v", index, err)
					}
					continue
				}
				left++
				wantRead(t, c, below, index, true)
			}
			if c.bytes != left {
				t.Errorf("%d bytes, want %d", c.bytes, left)
			}
			last := max(c.last, 100) // and it goes on where the log goes on
			if name == "tail" {
				last = 79
			}
			push(t, c, last+1, last+5, 1)
			wantRead(t, c, below, last+1, true)
		})
	}
}

func TestCacheStartsAnewAfterAGap(t *testing.T) {
	t.Parallel()
	c, below := cached(t)
	push(t, c, 1, 10, 1)
	push(t, c, 50, 55, 1)
	wantRead(t, c, below, 10, false)
	wantRead(t, c, below, 50, true)
	if c.bytes != 6 {
		t.Errorf("%d bytes, want 6", c.bytes)
	}
}
