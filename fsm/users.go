package fsm

import (
	"bytes"

	"github.com/google/btree"
)

const (
	roleUser = 1 << iota
	roleService
	roleAdmin
)

const (
	userStored   = 1 << iota // an account; otherwise a shell
	userDisabled             // opens nothing
	userMD5                  // log-ins by the MD5 of its password are taken, once there is a verifier
)

// userRec is a user as snapshots see it: plain data.
type userRec struct {
	serial      uint64 // order of the records' making; 0 = free
	version     uint64
	lastNumber  uint64
	createdMS   int64
	name        blobRef
	password    blobRef
	verifier    blobRef // the sealed MD5 of the password
	policies    blobRef // their indexes
	preferences blobRef // the user's own, in the form of attributes
	condemned   blobRef // condemnations
	endings     blobRef // of its sessions at nodes
	roles       uint8
	flags       uint8
}

func (u *userRec) stored() bool   { return u.flags&userStored != 0 }
func (u *userRec) disabled() bool { return u.flags&userDisabled != 0 }
func (u *userRec) md5() bool      { return u.flags&userMD5 != 0 }

// userLinks are what can be computed from sessions and user records, and so is no part of a snapshot.
type userLinks struct {
	heads    [2]uint32 // the user's oldest session, in a ring in the order of creation; then the same of its permanent ones
	livings  [2]uint32 // recorded and not condemned: the same two
	recorded uint32    // both
	roots    [2]uint32 // of the trees of those that are not condemned: the same two
	nextReap uint32    // also the list of free slots
}

func (l *userLinks) head(permanent bool) *uint32   { return &l.heads[ring(permanent)] }
func (l *userLinks) living(permanent bool) *uint32 { return &l.livings[ring(permanent)] }
func (l *userLinks) root(permanent bool) *uint32   { return &l.roots[ring(permanent)] }

// ring tells which of a user's two rings holds a session.
func ring(permanent bool) int {
	if permanent {
		return 1
	}
	return 0
}

// users holds the user records.
type users struct {
	recs     chunked[userRec]
	links    chunked[userLinks]
	free     uint32
	byName   table
	accounts *btree.BTreeG[accountKey] // in the order of names
	admins   int
	enabled  int // of them
	shells   int
	serial   uint64

	bare *btree.BTreeG[bareUser]

	// floor is where the session numbers of new records begin: no less than any number of a user that is gone.
	floor uint64
	// endingFloor is the version at which sessions at nodes were last ended of users that have no record.
	endingFloor uint64

	reapHead, reapTail uint32
	reapTurn           uint64
	reaps              int
}

// accountKey is an account's slot, or a name to search for.
type accountKey struct {
	slot  uint32
	probe []byte // of slot 0
}

const accountsDegree = 32

func (s *state) initUsers() {
	name := func(k accountKey) []byte {
		if k.slot == 0 {
			return k.probe
		}
		return s.userName(k.slot)
	}
	s.users.bare = newBareUsers()
	s.users.accounts = btree.NewG(accountsDegree, func(a, b accountKey) bool { return bytes.Compare(name(a), name(b)) < 0 })
}

func (s *state) userName(slot uint32) []byte { return s.arena.get(s.users.recs.at(slot).name) }

// findUser returns a user's slot, 0 when there is no record.
func (s *state) findUser(name string) uint32 {
	return s.users.byName.find(s.hasher.bytes([]byte(name)), func(slot uint32) bool { return string(s.userName(slot)) == name })
}

// hasAccount tells accounts from shells, and from no user at all (slot 0).
func (s *state) hasAccount(slot uint32) bool { return slot != 0 && s.users.recs.at(slot).stored() }

func (s *state) mutUser(slot uint32) *userRec { return s.users.recs.mut(slot, s.shared) }

// addUser makes a shell record with role user.
func (s *state) addUser(name string) uint32 {
	u := &s.users
	u.serial++
	slot := s.placeUser(userRec{serial: u.serial, lastNumber: u.floor, createdMS: s.clock, roles: roleUser}, []byte(name))
	s.setEndings(s.mutUser(slot), u.forgotten())
	return slot
}

// placeUser stores a record and indexes it.
func (s *state) placeUser(rec userRec, name []byte) uint32 {
	u := &s.users
	slot := u.free
	if slot != 0 {
		u.free = u.links.at(slot).nextReap
	} else {
		slot = u.recs.grow(s.shared)
		u.links.grow(0)
	}
	rec.name = s.arena.put(name)
	*s.mutUser(slot) = rec
	*u.links.at(slot) = userLinks{}
	u.byName.insert(s.hasher.bytes(name), slot)
	s.countUser(slot, 1)
	return slot
}

// countUser adds a record to the counters and the list of accounts, or with -1 takes it out.
func (s *state) countUser(slot uint32, n int) {
	rec := s.users.recs.at(slot)
	if !rec.stored() {
		s.users.shells += n
		return
	}
	if rec.roles&roleAdmin != 0 {
		s.users.admins += n
		if !rec.disabled() {
			s.users.enabled += n
		}
	}
	if n > 0 {
		s.users.accounts.ReplaceOrInsert(accountKey{slot: slot})
	} else {
		s.users.accounts.Delete(accountKey{slot: slot})
	}
	for _, index := range s.arena.get(rec.policies) {
		s.policies.byIndex[index].users += n
	}
}

// isLastAdmin tells whether nobody else could change users and policies.
func (s *state) isLastAdmin(slot uint32) bool {
	u := s.users.recs.at(slot)
	return u.stored() && !u.disabled() && u.roles&roleAdmin != 0 && s.users.enabled == 1
}

// dropIfForgotten removes a shell that has no session left. Its numbers are never given out again.
func (s *state) dropIfForgotten(slot uint32) {
	rec, u := s.users.recs.at(slot), &s.users
	if rec.stored() || s.waits(rec) || slot == s.pinned || u.links.at(slot).recorded != 0 || s.remembers(rec) && !s.forgetIfTooMany(rec) {
		return
	}
	s.clothe(slot)
	s.countUser(slot, -1)
	u.floor = max(u.floor, rec.lastNumber)
	u.byName.remove(s.hasher.bytes(s.userName(slot)), slot)
	s.arena.drop(rec.name, s.shared)
	s.arena.drop(rec.condemned, s.shared)
	s.arena.drop(rec.endings, s.shared)
	s.arena.drop(rec.preferences, s.shared)
	*s.mutUser(slot) = userRec{}
	*u.links.at(slot) = userLinks{nextReap: u.free}
	u.free = slot
}
