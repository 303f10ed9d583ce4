package fsm

import "github.com/google/btree"

// Users without account and without session are bare. An import brings some, for it records all users before their sessions. They stay until the
// cluster is open, and then go one by one.

// bareUser orders bare users by the making of their records.
type bareUser struct {
	serial uint64
	slot   uint32
}

func newBareUsers() *btree.BTreeG[bareUser] {
	return btree.NewG(accountsDegree, func(a, b bareUser) bool { return a.serial < b.serial })
}

func (s *state) addBare(slot uint32) {
	s.users.bare.ReplaceOrInsert(bareUser{serial: s.users.recs.at(slot).serial, slot: slot})
}

// clothe notes that a user is not bare any more.
func (s *state) clothe(slot uint32) {
	if s.users.bare.Len() > 0 {
		s.users.bare.Delete(bareUser{serial: s.users.recs.at(slot).serial})
	}
}

// dropBare removes the first bare user; false when there is none.
func (s *state) dropBare() bool {
	first, ok := s.users.bare.Min()
	if ok {
		s.dropIfForgotten(first.slot)
	}
	return ok
}
