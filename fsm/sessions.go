package fsm

import (
	"github.com/google/btree"

	"github.com/hydrastore/hydrastore/session"
)

// maxSessions is far below what slots and blobs can name.
const maxSessions = 1 << 26

// sessionRec is a session as snapshots see it: plain data, 128 bytes.
type sessionRec struct {
	key     session.KeyHash
	id      session.ID
	address [16]byte // zero = unknown

	seq               uint64 // 0 = free
	number            uint64
	createdMS         int64
	lastUseMS         int64
	attributesVersion uint64

	user       uint32
	attributes blobRef
	agent      blobRef
	extras     blobRef
	past       blobRef // earlier keys
	policy     uint8
	flags      uint8
	roles      uint8 // that it was given; rolesOf tells which are in force
	methods    uint8 // by which its user proved who it is
}

// sessionLinks are what can be computed from the records, and so is no part of a snapshot.
type sessionLinks struct {
	userPrev, userNext       uint32                // ring of the user's sessions, or of its permanent ones, in the order of creation; userNext is also the list of free slots
	addressPrev, addressNext uint32                // ring of the address's sessions likewise
	heapPos                  [4]uint32             // in idle or own, absolute, inactive, recent
	owner                    [ownerKinds]ownerLink // in one of the user's trees, unless condemned, and in the address's
}

// sessions holds the recorded sessions, with every way to find one.
type sessions struct {
	recs      chunked[sessionRec]
	links     chunked[sessionLinks]
	free      uint32
	byKey     table
	byRetired table // retired keys, so that a session may be there many times
	byID      table
	byAddress table // the root of each address's tree
	order     seqLog
	graces    *btree.BTreeG[graceEnd]
	lastSeq   uint64
	n         int
	standing  int // neither permanent nor condemned
	condemned int // killed by a change of their user, and not permanent
	doomed    int // the same, and permanent
}

// tree gives access to the trees of a kind of owner.
func (ss *sessions) tree(kind int) ownerTree { return ownerTree{sessions: ss, kind: kind} }

func (s *state) findKey(h session.KeyHash) uint32 {
	return s.sessions.byKey.find(s.hasher.random(h[:]), func(slot uint32) bool { return s.sessions.recs.at(slot).key.Equal(h) })
}

func (s *state) findID(id session.ID) uint32 {
	return s.sessions.byID.find(s.hasher.random(id[:]), func(slot uint32) bool { return s.sessions.recs.at(slot).id == id })
}

// addressRoot returns the root of an address's tree, 0 when there is no session from there.
func (s *state) addressRoot(address [16]byte) uint32 {
	return s.sessions.byAddress.find(s.hasher.bytes(address[:]), func(slot uint32) bool {
		return s.sessions.recs.at(slot).address == address
	})
}

// findAddress returns the oldest session from an address, 0 when there is none.
func (s *state) findAddress(address [16]byte) uint32 {
	return s.sessions.tree(ofAddress).oldest(s.addressRoot(address))
}

func (s *state) mutSession(slot uint32) *sessionRec { return s.sessions.recs.mut(slot, s.shared) }

// alive judges a recorded session at the replicated clock. Removal follows later and decides nothing.
func (s *state) alive(slot uint32) bool {
	r := s.sessions.recs.at(slot)
	u := s.users.recs.at(r.user)
	return !u.disabled() && !s.condemned(u, r) && s.clock < s.deadline(r)
}

// placeSession stores a record whose sequence number is greater than all before, and indexes it.
func (s *state) placeSession(rec sessionRec) uint32 {
	ss := &s.sessions
	slot := ss.free
	if slot != 0 {
		ss.free = ss.links.at(slot).userNext
	} else {
		slot = ss.recs.grow(s.shared)
		ss.links.grow(0)
	}
	*s.mutSession(slot) = rec
	ss.byKey.insert(s.hasher.random(rec.key[:]), slot)
	ss.byID.insert(s.hasher.random(rec.id[:]), slot)
	ss.order.append(rec.seq, slot)
	s.linkUser(slot, &rec)
	s.linkAddress(slot, rec.address)
	s.arm(slot)
	s.indexPast(slot)
	ss.lastSeq = rec.seq
	ss.n++
	s.countSession(&rec, 1)
	return slot
}

// removeSession takes a session out of everything, and its user's shell with it when it was the last one. Every end passes here
// and is reported with its cause.
func (s *state) removeSession(slot uint32, cause Cause) {
	if s.events != nil {
		s.reportSession(EventSessionEnded, slot, func(e *Event) { e.Cause = cause })
	}
	ss := &s.sessions
	rec := *ss.recs.at(slot)
	if s.removed != nil {
		s.removed(rec.id)
	}
	s.countSession(&rec, -1)
	s.disarm(slot)
	s.unlinkAddress(slot, rec.address)
	s.unlinkUser(slot, &rec)
	ss.order.remove(rec.seq)
	ss.byID.remove(s.hasher.random(rec.id[:]), slot)
	ss.byKey.remove(s.hasher.random(rec.key[:]), slot)
	s.dropPast(slot)
	s.countSealed(s.arena.get(rec.attributes), -1)
	s.arena.drop(rec.attributes, s.shared)
	s.arena.drop(rec.agent, s.shared)
	s.arena.drop(rec.extras, s.shared)
	*s.mutSession(slot) = sessionRec{}
	*ss.links.at(slot) = sessionLinks{userNext: ss.free}
	ss.free = slot
	ss.n--
	s.dropIfForgotten(rec.user)
}

// countSession adds a session to the counters that limits are about, or with -1 takes it out.
func (s *state) countSession(rec *sessionRec, n int) {
	switch {
	case s.condemned(s.users.recs.at(rec.user), rec):
		if rec.permanent() {
			s.sessions.doomed += n
		} else {
			s.sessions.condemned += n
		}
	case rec.permanent():
		s.policies.byIndex[rec.policy].lasting += n
	default:
		s.policies.byIndex[rec.policy].standing += n
		s.sessions.standing += n
	}
}

// rekey lets another key open a session; the present one opens nothing any more.
func (s *state) rekey(slot uint32, key session.KeyHash) {
	rec := s.mutSession(slot)
	s.sessions.byKey.remove(s.hasher.random(rec.key[:]), slot)
	rec.key = key
	s.sessions.byKey.insert(s.hasher.random(key[:]), slot)
}
