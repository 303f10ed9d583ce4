package fsm

import "github.com/hydrastore/hydrastore/session"

// idempotencyDrops bounds how many outdated records one entry removes. It is twice what an entry can add, so that they
// do not pile up.
const idempotencyDrops = 2048

// idempotencyRec remembers which session a request made, so that its repetition makes no second one.
type idempotencyRec struct {
	scope     [32]byte
	body      [32]byte
	serial    uint64 // order of the records' making; 0 = free
	seq       uint64 // of the session; 0 = void: another record has taken its scope
	createdMS int64
}

func (r *idempotencyRec) outdated(clock int64) bool {
	return clock >= r.createdMS+session.IdempotencyLifetime.Milliseconds()
}

// idempotency holds the records in a queue, oldest first.
type idempotency struct {
	recs       chunked[idempotencyRec]
	next       chunked[uint32] // the queue, and the list of free slots
	free       uint32
	head, tail uint32
	byScope    table
	serial     uint64
	n          int
}

func (s *state) findScope(scope [32]byte) uint32 {
	return s.idem.byScope.find(s.hasher.random(scope[:]), func(slot uint32) bool { return s.idem.recs.at(slot).scope == scope })
}

// remember adds a record for a scope that has none, or only an outdated one. The oldest record makes room when there are too many.
func (s *state) remember(scope, body [32]byte, seq uint64) {
	if old := s.findScope(scope); old != 0 {
		s.idem.byScope.remove(s.hasher.random(scope[:]), old)
		s.idem.recs.mut(old, s.shared).seq = 0
	}
	if s.idem.n >= session.MaxIdempotencyRecords {
		s.dropOldestIdempotency()
	}
	s.idem.serial++
	s.placeIdempotency(idempotencyRec{scope: scope, body: body, serial: s.idem.serial, seq: seq, createdMS: s.clock})
}

func (s *state) placeIdempotency(rec idempotencyRec) {
	im := &s.idem
	slot := im.free
	if slot != 0 {
		im.free = *im.next.at(slot)
	} else {
		slot = im.recs.grow(s.shared)
		im.next.grow(0)
	}
	*im.recs.mut(slot, s.shared) = rec
	*im.next.at(slot) = 0
	if im.tail == 0 {
		im.head = slot
	} else {
		*im.next.at(im.tail) = slot
	}
	im.tail = slot
	im.n++
	if rec.seq != 0 {
		im.byScope.insert(s.hasher.random(rec.scope[:]), slot)
	}
}

func (s *state) dropOldestIdempotency() {
	im := &s.idem
	slot := im.head
	rec := im.recs.at(slot)
	if rec.seq != 0 {
		im.byScope.remove(s.hasher.random(rec.scope[:]), slot)
	}
	im.head = *im.next.at(slot)
	if im.head == 0 {
		im.tail = 0
	}
	*im.recs.mut(slot, s.shared) = idempotencyRec{}
	*im.next.at(slot) = im.free
	im.free = slot
	im.n--
}

// forgetOutdated removes records past their lifetime. That a record is outdated is judged where it is used: this only
// gives back memory.
func (s *state) forgetOutdated() {
	for range idempotencyDrops {
		if s.idem.head == 0 || !s.idem.recs.at(s.idem.head).outdated(s.clock) {
			return
		}
		s.dropOldestIdempotency()
	}
}
