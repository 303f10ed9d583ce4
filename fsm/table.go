package fsm

const (
	tableShards   = 256
	tableMinSize  = 8
	tableLoadNum  = 4 // a shard grows beyond 4/5 full,
	tableLoadDen  = 5
	tableGrowthBy = 4 // by a quarter
)

// table maps hashes to slots: open addressing with linear probing, in shards, so that growth rehashes one 256th of it
// and stalls nobody. An entry keeps 32 bits of its hash, so that probing and growing look at no record.
type table struct {
	shards [tableShards]tableShard
	n      int
}

type tableShard struct {
	entries []uint64 // hash's low half << 32 | slot; 0 = empty
	n       int
}

func (t *table) shard(hash uint64) *tableShard { return &t.shards[hash>>56] }

// home spreads the low half of the hash over a size that is no power of two.
func (s *tableShard) home(tag uint32) int { return int(uint64(tag) * uint64(len(s.entries)) >> 32) }

// find returns the first slot under hash that match accepts, or 0.
func (t *table) find(hash uint64, match func(slot uint32) bool) uint32 {
	s := t.shard(hash)
	if len(s.entries) == 0 {
		return 0
	}
	tag := uint32(hash)
	for i := s.home(tag); ; {
		e := s.entries[i]
		if e == 0 {
			return 0
		}
		if uint32(e>>32) == tag && match(uint32(e)) {
			return uint32(e)
		}
		if i++; i == len(s.entries) {
			i = 0
		}
	}
}

// insert adds a slot that is not there yet.
func (t *table) insert(hash uint64, slot uint32) {
	s := t.shard(hash)
	if (s.n+1)*tableLoadDen > len(s.entries)*tableLoadNum {
		s.grow()
	}
	s.place(uint64(uint32(hash))<<32 | uint64(slot))
	s.n++
	t.n++
}

func (s *tableShard) place(entry uint64) {
	i := s.home(uint32(entry >> 32))
	for s.entries[i] != 0 {
		if i++; i == len(s.entries) {
			i = 0
		}
	}
	s.entries[i] = entry
}

func (s *tableShard) grow() {
	old := s.entries
	s.entries = make([]uint64, max(tableMinSize, len(old)+len(old)/tableGrowthBy))
	for _, e := range old {
		if e != 0 {
			s.place(e)
		}
	}
}

// locate returns the position of a slot that is there.
func (s *tableShard) locate(hash uint64, slot uint32) int {
	entry := uint64(uint32(hash))<<32 | uint64(slot)
	i := s.home(uint32(hash))
	for s.entries[i] != entry {
		if i++; i == len(s.entries) {
			i = 0
		}
	}
	return i
}

// replace puts another slot of the same key in the place of one that is there.
func (t *table) replace(hash uint64, slot, by uint32) {
	s := t.shard(hash)
	s.entries[s.locate(hash, slot)] = uint64(uint32(hash))<<32 | uint64(by)
}

// remove takes out a slot that is there, and closes the gap, so that no tombstones gather.
func (t *table) remove(hash uint64, slot uint32) {
	s := t.shard(hash)
	gap := s.locate(hash, slot)
	size := len(s.entries)
	for i := gap; ; {
		if i++; i == size {
			i = 0
		}
		e := s.entries[i]
		if e == 0 {
			break
		}
		// e may fill the gap unless its home lies behind the gap, on the way to i.
		home := s.home(uint32(e >> 32))
		if (i-home+size)%size >= (i-gap+size)%size {
			s.entries[gap] = e
			gap = i
		}
	}
	s.entries[gap] = 0
	s.n--
	t.n--
}
