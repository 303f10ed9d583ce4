package fsm

import "encoding/binary"

// condemnation is what a change of a user has killed: sessions of a lower sequence number than notBefore, except one (0 = none).
type condemnation struct{ notBefore, exempt uint64 }

func (c condemnation) holds(seq uint64) bool { return seq < c.notBefore && seq != c.exempt }

const condemnationBytes = 2 * 8

// condemnationOf is what holds for the user's permanent sessions, or for the others.
func (s *state) condemnationOf(u *userRec, permanent bool) condemnation {
	if !permanent {
		return u.condemnation
	}
	return parseCondemnation(s.arena.get(u.permanents))
}

func parseCondemnation(b []byte) condemnation {
	if len(b) != condemnationBytes {
		return condemnation{}
	}
	return condemnation{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])}
}

func (s *state) setCondemnation(u *userRec, permanent bool, c condemnation) {
	if !permanent {
		u.condemnation = c
		return
	}
	s.arena.drop(u.permanents, s.shared)
	u.permanents = 0
	if c != (condemnation{}) {
		u.permanents = s.arena.put(appendUints(nil, c.notBefore, c.exempt))
	}
}

// condemned tells whether a change of its user has killed a session.
func (s *state) condemned(u *userRec, r *sessionRec) bool {
	return s.condemnationOf(u, r.permanent()).holds(r.seq)
}

// condemn kills a user's permanent sessions, or all others, at once, except the one numbered exempt (0 = none), and queues their
// removal. An exempt number of the other kind exempts nothing. It returns how many it has killed.
func (s *state) condemn(slot uint32, permanent bool, exempt uint64) uint64 {
	living := s.users.links.at(slot).living(permanent)
	if at := s.sessions.order.find(exempt); at == 0 || s.sessions.recs.at(at).permanent() != permanent {
		exempt = 0
	}
	survivors := uint32(0)
	if exempt != 0 {
		survivors = 1
	}
	killed := *living - survivors
	if killed == 0 {
		return 0
	}
	s.leaveInTree(s.users.links.at(slot), permanent, exempt)
	*living = survivors
	rec := s.mutUser(slot)
	s.setCondemnation(rec, permanent, condemnation{s.sessions.lastSeq + 1, exempt})
	if rec.reapTurn == 0 {
		s.users.reapTurn++
		rec.reapTurn = s.users.reapTurn
		s.queueReap(slot)
	}
	return uint64(killed)
}

// leaveInTree takes a user's permanent sessions, or all others, out of what limits count, but for the one numbered exempt, in as many
// steps as there are policies.
func (s *state) leaveInTree(links *userLinks, permanent bool, exempt uint64) {
	tree, root := s.sessions.tree(ofUser), links.root(permanent)
	take := func(p *policy, n int) {
		if permanent {
			p.lasting -= n
			s.sessions.doomed += n
			return
		}
		p.standing -= n
		s.sessions.standing -= n
		s.sessions.condemned += n
	}
	for i, p := range s.policies.all() {
		if p != nil {
			take(p, int(tree.under(*root, kinOf(uint8(i), permanent)).count))
		}
	}
	*root = 0
	if exempt != 0 {
		survivor := s.sessions.order.find(exempt)
		*root = tree.insert(0, survivor)
		take(s.policies.byIndex[s.sessions.recs.at(survivor).policy], -1)
	}
}

// condemnAll kills all of a user's sessions.
func (s *state) condemnAll(slot uint32) {
	s.condemn(slot, false, 0)
	s.condemn(slot, true, 0)
}
