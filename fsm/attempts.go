package fsm

import (
	"encoding/binary"

	"github.com/hydrastore/hydrastore/session"
)

// attemptDrops bounds how many dry counters one entry removes. Two for each attempt of a full entry would do; whatever is
// left over is bounded by session.MaxAttemptCounters.
const attemptDrops = 2048

// attemptKey says what a counter counts.
type attemptKey struct {
	network [16]byte // an IPv4 address, or the first 64 bits of another; zero = unknown
	user    uint32   // attemptByUser and 16 bits of the user's hash; 0 = all attempts from the network
}

const attemptByUser = 1 << 16

// attemptRec is one counter of the login throttle. It is a leaking bucket: each attempt pours in one share, full is the
// window, and a millisecond leaks in a millisecond. So all of it is one instant: the one at which the bucket will be dry.
type attemptRec struct {
	attemptKey
	serial uint64 // order of the counters' last attempts; 0 = free
	run    uint64 // serial of the first attempt since the counter was dry, which names that time
	dryMS  int64
}

type attemptLinks struct{ older, newer uint32 } // newer is also the list of free slots

// attempts holds the counters in the order of their last attempts.
type attempts struct {
	recs           chunked[attemptRec]
	links          chunked[attemptLinks]
	free           uint32
	oldest, newest uint32
	byKey          table
	serial         uint64
	n              int
}

func (s *state) hashAttempt(k attemptKey) uint64 {
	var b [20]byte
	copy(b[:], k.network[:])
	binary.LittleEndian.PutUint32(b[16:], k.user)
	return s.hasher.bytes(b[:])
}

func (s *state) findAttempts(k attemptKey) uint32 {
	return s.attempts.byKey.find(s.hashAttempt(k), func(slot uint32) bool { return s.attempts.recs.at(slot).attemptKey == k })
}

// attemptWait tells how long it is until the counter has room for one more share.
func (s *state) attemptWait(k attemptKey, l attemptLimit, clock int64) int64 {
	if l.shareMS == 0 {
		return 0
	}
	slot := s.findAttempts(k)
	if slot == 0 {
		return 0
	}
	return max(0, s.attempts.recs.at(slot).dryMS-clock+l.shareMS-l.windowMS)
}

// countAttempt pours one share in and returns the counter's run. The counter whose last attempt is the oldest makes room
// for a new one when there are too many.
func (s *state) countAttempt(k attemptKey, l attemptLimit) uint64 {
	a := &s.attempts
	a.serial++
	rec := attemptRec{attemptKey: k, serial: a.serial, run: a.serial, dryMS: s.clock + l.shareMS}
	if slot := s.findAttempts(k); slot != 0 {
		if old := a.recs.at(slot); old.dryMS > s.clock {
			rec.run, rec.dryMS = old.run, old.dryMS+l.shareMS
		}
		s.unlinkAttempts(slot)
		s.linkAttempts(slot, rec)
		return rec.run
	}
	if a.n >= session.MaxAttemptCounters {
		s.dropOldestAttempts()
	}
	s.placeAttempts(rec)
	return rec.run
}

// uncountAttempt takes a share out again, unless it has leaked out with all else since.
func (s *state) uncountAttempt(k attemptKey, run uint64, shareMS int64) {
	if slot := s.findAttempts(k); slot != 0 && s.attempts.recs.at(slot).run == run {
		rec := s.attempts.recs.mut(slot, s.shared)
		rec.dryMS = max(0, rec.dryMS-shareMS)
	}
}

// placeAttempts stores a new counter.
func (s *state) placeAttempts(rec attemptRec) {
	a := &s.attempts
	slot := a.free
	if slot != 0 {
		a.free = a.links.at(slot).newer
	} else {
		slot = a.recs.grow(s.shared)
		a.links.grow(0)
	}
	a.byKey.insert(s.hashAttempt(rec.attemptKey), slot)
	a.n++
	s.linkAttempts(slot, rec)
}

// linkAttempts writes a counter and makes it the newest.
func (s *state) linkAttempts(slot uint32, rec attemptRec) {
	a := &s.attempts
	*a.recs.mut(slot, s.shared) = rec
	*a.links.at(slot) = attemptLinks{older: a.newest}
	if a.newest == 0 {
		a.oldest = slot
	} else {
		a.links.at(a.newest).newer = slot
	}
	a.newest = slot
}

func (s *state) unlinkAttempts(slot uint32) {
	a := &s.attempts
	l := *a.links.at(slot)
	if l.older == 0 {
		a.oldest = l.newer
	} else {
		a.links.at(l.older).newer = l.newer
	}
	if l.newer == 0 {
		a.newest = l.older
	} else {
		a.links.at(l.newer).older = l.older
	}
}

func (s *state) dropOldestAttempts() {
	a := &s.attempts
	slot := a.oldest
	s.unlinkAttempts(slot)
	a.byKey.remove(s.hashAttempt(a.recs.at(slot).attemptKey), slot)
	*a.recs.mut(slot, s.shared) = attemptRec{}
	*a.links.at(slot) = attemptLinks{newer: a.free}
	a.free = slot
	a.n--
}

// forgetDryAttempts removes counters that count nothing any more. Whether one is dry is judged where it is used: this only
// gives back memory.
func (s *state) forgetDryAttempts() {
	for range attemptDrops {
		if s.attempts.oldest == 0 || s.attempts.recs.at(s.attempts.oldest).dryMS > s.clock {
			return
		}
		s.dropOldestAttempts()
	}
}
