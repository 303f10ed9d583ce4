package fsm

// The two owners of a session are its user and its address. Each has its sessions in a ring, in the order of creation, for lists, and
// in a tree, for limits. A user has one for its permanent sessions and one for the others, without the condemned ones, which condemn takes out all at once.

func (s *state) linkUser(slot uint32, rec *sessionRec) {
	u := s.users.links.at(rec.user)
	s.clothe(rec.user)
	u.recorded++
	if !s.condemned(s.users.recs.at(rec.user), rec) {
		root := u.root(rec.permanent())
		*u.living(rec.permanent())++
		*root = s.sessions.tree(ofUser).append(*root, slot)
	}
	ss, first := &s.sessions.links, u.head(rec.permanent())
	link := ss.at(slot)
	if *first == 0 {
		*first, link.userPrev, link.userNext = slot, slot, slot
		return
	}
	head := ss.at(*first)
	link.userPrev, link.userNext = head.userPrev, *first
	ss.at(head.userPrev).userNext = slot
	head.userPrev = slot
}

func (s *state) unlinkUser(slot uint32, rec *sessionRec) {
	u := s.users.links.at(rec.user)
	u.recorded--
	if !s.condemned(s.users.recs.at(rec.user), rec) {
		root := u.root(rec.permanent())
		*u.living(rec.permanent())--
		*root = s.sessions.tree(ofUser).remove(*root, slot)
	}
	ss, first := &s.sessions.links, u.head(rec.permanent())
	link := ss.at(slot)
	if link.userNext == slot {
		*first = 0
		return
	}
	ss.at(link.userPrev).userNext = link.userNext
	ss.at(link.userNext).userPrev = link.userPrev
	if *first == slot {
		*first = link.userNext
	}
}

func (s *state) linkAddress(slot uint32, address [16]byte) {
	if address == ([16]byte{}) {
		return
	}
	ss, tree := &s.sessions.links, s.sessions.tree(ofAddress)
	link := ss.at(slot)
	root := s.addressRoot(address)
	if root == 0 {
		link.addressPrev, link.addressNext = slot, slot
		s.sessions.byAddress.insert(s.hasher.bytes(address[:]), tree.insert(0, slot))
		return
	}
	first := tree.oldest(root)
	head := ss.at(first)
	link.addressPrev, link.addressNext = head.addressPrev, first
	ss.at(head.addressPrev).addressNext = slot
	head.addressPrev = slot
	s.moveRoot(address, root, tree.append(root, slot))
}

func (s *state) unlinkAddress(slot uint32, address [16]byte) {
	if address == ([16]byte{}) {
		return
	}
	ss := &s.sessions.links
	link := ss.at(slot)
	if link.addressNext == slot {
		s.sessions.byAddress.remove(s.hasher.bytes(address[:]), slot)
		return
	}
	ss.at(link.addressPrev).addressNext = link.addressNext
	ss.at(link.addressNext).addressPrev = link.addressPrev
	root := s.addressRoot(address)
	s.moveRoot(address, root, s.sessions.tree(ofAddress).remove(root, slot))
}

// moveRoot notes that an address's tree has another root.
func (s *state) moveRoot(address [16]byte, from, to uint32) {
	if from != to {
		s.sessions.byAddress.replace(s.hasher.bytes(address[:]), from, to)
	}
}

// usedAt notes the last use of a living session and moves it in the trees of its owners.
func (s *state) usedAt(slot uint32, instant int64) {
	rec := s.mutSession(slot)
	users, addresses := s.sessions.tree(ofUser), s.sessions.tree(ofAddress)
	mine, root := s.users.links.at(rec.user).root(rec.permanent()), uint32(0)
	if rec.address != ([16]byte{}) {
		root = s.addressRoot(rec.address)
	}
	// Most owners have one session, whose place does not change.
	shared, rest := addresses.size(root) > 1, root
	among := users.size(*mine) > 1
	if among {
		*mine = users.remove(*mine, slot)
	}
	if shared {
		rest = addresses.remove(root, slot)
	}
	rec.lastUseMS = instant
	if among {
		*mine = users.insert(*mine, slot)
	}
	if shared {
		s.moveRoot(rec.address, root, addresses.insert(rest, slot))
	}
}
