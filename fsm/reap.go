package fsm

// condemn kills all sessions of a user at once, except the one numbered exempt (0 = none), and queues their removal.
func (s *state) condemn(slot uint32, exempt uint64) {
	rec, links := s.mutUser(slot), s.users.links.at(slot)
	if links.living == 0 || exempt != 0 && links.living == 1 {
		return // there is nothing left to kill
	}
	rec.notBefore, rec.exempt = s.sessions.lastSeq+1, exempt
	links.living = 0
	if exempt != 0 {
		links.living = 1
	}
	if rec.reapTurn == 0 {
		s.users.reapTurn++
		rec.reapTurn = s.users.reapTurn
		s.queueReap(slot)
	}
}

// queueReap puts a user at the end of the line.
func (s *state) queueReap(slot uint32) {
	u := &s.users
	if u.reapHead == 0 {
		u.reapHead = slot
	} else {
		u.links.at(u.reapTail).nextReap = slot
	}
	u.reapTail = slot
	u.links.at(slot).nextReap = 0
	u.reaps++
}

// reap removes the next session of a condemned user, or takes the user out of the line when it was the last one: one
// step of the budget either way. It returns false when nobody waits.
func (s *state) reap(ended []Ended) ([]Ended, bool) {
	slot := s.users.reapHead
	if slot == 0 {
		return ended, false
	}
	rec, links := s.users.recs.at(slot), s.users.links.at(slot)
	victim := links.head
	if victim != 0 && !rec.condemned(s.sessions.recs.at(victim).seq) {
		// At most one survivor stands before condemned sessions: the exempt one.
		victim = s.sessions.links.at(victim).userNext
	}
	if victim != 0 && rec.condemned(s.sessions.recs.at(victim).seq) {
		r := s.sessions.recs.at(victim)
		ended = append(ended, s.endedEvent(due{slot: victim, deadline: s.policies.byIndex[r.policy].deadline(r), cause: CauseUser}))
		s.removeSession(victim, CauseUser)
		return ended, true
	}
	s.users.reapHead = links.nextReap
	if s.users.reapHead == 0 {
		s.users.reapTail = 0
	}
	links.nextReap = 0
	s.users.reaps--
	s.mutUser(slot).reapTurn = 0
	s.dropIfForgotten(slot)
	return ended, true
}
