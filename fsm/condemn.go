package fsm

import "encoding/binary"

// condemnation is what a change of a user has killed: sessions of a lower sequence number than notBefore, except one (0 = none).
type condemnation struct{ notBefore, exempt uint64 }

func (c condemnation) holds(seq uint64) bool { return seq < c.notBefore && seq != c.exempt }

// condemnations are what a user's changes have killed, and its place among the users whose dead sessions are to be removed. Few users have any:
// they are one blob beside the record.
type condemnations struct {
	sessions, permanents condemnation
	reapTurn             uint64 // 0 = no session waits for its removal
}

const condemnationsBytes = 5 * 8

func parseCondemnations(b []byte) (c condemnations) {
	if len(b) != condemnationsBytes {
		return c
	}
	at := func(i int) uint64 { return binary.LittleEndian.Uint64(b[8*i:]) }
	return condemnations{condemnation{at(0), at(1)}, condemnation{at(2), at(3)}, at(4)}
}

func (c condemnations) of(permanent bool) condemnation {
	if permanent {
		return c.permanents
	}
	return c.sessions
}

func (s *state) condemnationsOf(u *userRec) condemnations {
	if u.condemned == 0 {
		return condemnations{}
	}
	return parseCondemnations(s.arena.get(u.condemned))
}

func (s *state) setCondemnations(u *userRec, c condemnations) {
	s.arena.drop(u.condemned, s.shared)
	u.condemned = 0
	if c != (condemnations{}) {
		u.condemned = s.arena.put(appendUints(nil, c.sessions.notBefore, c.sessions.exempt, c.permanents.notBefore, c.permanents.exempt, c.reapTurn))
	}
}

// waits tells whether dead sessions of a user are to be removed.
func (s *state) waits(u *userRec) bool { return s.condemnationsOf(u).reapTurn != 0 }

// condemned tells whether a change of its user has killed a session.
func (s *state) condemned(u *userRec, r *sessionRec) bool {
	return u.condemned != 0 && s.condemnationsOf(u).of(r.permanent()).holds(r.seq)
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
	c := s.condemnationsOf(rec)
	if permanent {
		c.permanents = condemnation{s.sessions.lastSeq + 1, exempt}
	} else {
		c.sessions = condemnation{s.sessions.lastSeq + 1, exempt}
	}
	if c.reapTurn == 0 {
		s.users.reapTurn++
		c.reapTurn = s.users.reapTurn
		s.queueReap(slot)
	}
	s.setCondemnations(rec, c)
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
