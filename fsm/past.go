package fsm

import (
	"encoding/binary"

	"github.com/google/btree"

	"github.com/hydrastore/hydrastore/session"
)

// past is what a session remembers of itself: nothing, for most. It is one blob beside the session's record, so that a session
// without it costs nothing.
type past struct {
	authMS  int64        // when its user last proved who it is; 0 = when it was created
	retired []retiredKey // its earlier keys, oldest first, at most session.MaxRetiredKeys
}

// retiredKey is a key that has been rotated. Graces never fall from one to the next: where a key works, so do those after it.
type retiredKey struct {
	hash    session.KeyHash
	graceMS int64 // it works before this instant; 0 = not any more
	sealed  [session.SealedKeyBytes]byte
}

const (
	pastHead       = 8      // authMS
	retiredHead    = 32 + 8 // hash, graceMS; the sealed successor follows while there is a grace
	maxPastBytes   = pastHead + session.MaxRetiredKeys*(retiredHead+session.SealedKeyBytes)
	gracesPerEntry = 512 // how many sessions' graces one entry ends: that they are over is judged, this only forgets
	gracesDegree   = 32
)

func (p *past) encode() []byte {
	if p.authMS == 0 && len(p.retired) == 0 {
		return nil
	}
	out := appendUints(nil, uint64(p.authMS))
	for i := range p.retired {
		k := &p.retired[i]
		out = appendUints(append(out, k.hash[:]...), uint64(k.graceMS))
		if k.graceMS != 0 {
			out = append(out, k.sealed[:]...)
		}
	}
	return out
}

// decodePast reads what encode wrote; false when it cannot have.
func decodePast(blob []byte) (p past, ok bool) {
	if len(blob) == 0 {
		return p, true
	}
	f := fields{b: blob}
	p.authMS = f.instant()
	for len(f.b) > 0 {
		p.retired = append(p.retired, f.retiredKey())
	}
	return p, !f.bad && len(p.retired) <= session.MaxRetiredKeys && (p.authMS != 0 || len(p.retired) > 0)
}

func (f *fields) retiredKey() (k retiredKey) {
	copy(k.hash[:], f.take(len(k.hash)))
	if k.graceMS = f.instant(); k.graceMS != 0 {
		copy(k.sealed[:], f.take(len(k.sealed)))
	}
	return k
}

// possible tells whether a log can have made this past, at the clock.
func (p *past) possible(clock int64) bool {
	last := int64(0)
	for i := range p.retired {
		grace := p.retired[i].graceMS
		if grace < last || grace > clock+session.MaxRotateGrace.Milliseconds() {
			return false
		}
		last = grace
	}
	return p.authMS <= clock
}

// firstGrace is when the first grace ends; 0 = there is none.
func (p *past) firstGrace() int64 {
	for i := range p.retired {
		if g := p.retired[i].graceMS; g != 0 {
			return g
		}
	}
	return 0
}

// capGraces lets no grace last beyond end, and forgets the successors of those that are over.
func (p *past) capGraces(end, clock int64) {
	for i := range p.retired {
		k := &p.retired[i]
		if k.graceMS = min(k.graceMS, end); k.graceMS <= clock {
			k.graceMS, k.sealed = 0, [session.SealedKeyBytes]byte{}
		}
	}
}

// find returns the place of a retired key, -1 when it is none.
func (p *past) find(h session.KeyHash) int {
	for i := range p.retired {
		if p.retired[i].hash.Equal(h) {
			return i
		}
	}
	return -1
}

func (s *state) pastOf(slot uint32) past {
	p, _ := decodePast(s.arena.get(s.sessions.recs.at(slot).past))
	return p
}

// setPast stores a session's past. What it retires and forgets is indexed by the caller.
func (s *state) setPast(slot uint32, p *past) {
	s.unqueueGrace(slot)
	rec := s.mutSession(slot)
	s.arena.drop(rec.past, s.shared)
	rec.past = s.arena.put(p.encode())
	s.queueGrace(slot, p)
}

// graceEnd is a session that has keys in their grace, and when the first of these graces ends.
type graceEnd struct {
	ms   int64
	seq  uint64
	slot uint32
}

func newGraces() *btree.BTreeG[graceEnd] {
	return btree.NewG(gracesDegree, func(a, b graceEnd) bool { return a.ms < b.ms || a.ms == b.ms && a.seq < b.seq })
}

func (s *state) queueGrace(slot uint32, p *past) {
	if ms := p.firstGrace(); ms != 0 {
		s.sessions.graces.ReplaceOrInsert(graceEnd{ms: ms, seq: s.sessions.recs.at(slot).seq, slot: slot})
	}
}

func (s *state) unqueueGrace(slot uint32) {
	p := s.pastOf(slot)
	if ms := p.firstGrace(); ms != 0 {
		s.sessions.graces.Delete(graceEnd{ms: ms, seq: s.sessions.recs.at(slot).seq})
	}
}

// endGraces forgets the successors of keys whose grace is over.
func (s *state) endGraces() {
	for range gracesPerEntry {
		first, ok := s.sessions.graces.Min()
		if !ok || first.ms > s.clock {
			return
		}
		p := s.pastOf(first.slot)
		p.capGraces(forever, s.clock)
		s.setPast(first.slot, &p)
	}
}

// indexPast lets the keys of a session's past be found.
func (s *state) indexPast(slot uint32) {
	if s.sessions.recs.at(slot).past == 0 {
		return
	}
	p := s.pastOf(slot)
	for i := range p.retired {
		s.sessions.byRetired.insert(s.hasher.random(p.retired[i].hash[:]), slot)
	}
	s.queueGrace(slot, &p)
}

// dropPast forgets a session's past.
func (s *state) dropPast(slot uint32) {
	if s.sessions.recs.at(slot).past == 0 {
		return
	}
	p := s.pastOf(slot)
	for i := range p.retired {
		s.sessions.byRetired.remove(s.hasher.random(p.retired[i].hash[:]), slot)
	}
	s.setPast(slot, &past{})
}

// authMS is when the session's user last proved who it is.
func (s *state) authMS(slot uint32) int64 {
	rec := s.sessions.recs.at(slot)
	if blob := s.arena.get(rec.past); len(blob) > 0 {
		if ms := int64(binary.LittleEndian.Uint64(blob)); ms != 0 {
			return ms
		}
	}
	return rec.createdMS
}
