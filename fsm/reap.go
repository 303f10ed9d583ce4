package fsm

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
	links := s.users.links.at(slot)
	for _, permanent := range [...]bool{false, true} {
		if victim := s.victim(slot, permanent); victim != 0 {
			ended = append(ended, s.endedEvent(victim, s.deadline(s.sessions.recs.at(victim)), CauseUser))
			s.removeSession(victim, CauseUser)
			return ended, true
		}
	}
	s.users.reapHead = links.nextReap
	if s.users.reapHead == 0 {
		s.users.reapTail = 0
	}
	links.nextReap = 0
	s.users.reaps--
	u := s.mutUser(slot)
	c := s.condemnationsOf(u)
	c.reapTurn = 0
	s.setCondemnations(u, c)
	s.dropIfForgotten(slot)
	return ended, true
}

// victim finds the first condemned session in one of the user's rings, 0 when there is none.
func (s *state) victim(user uint32, permanent bool) uint32 {
	slot := *s.users.links.at(user).head(permanent)
	condemned := s.condemnationsOf(s.users.recs.at(user)).of(permanent)
	if slot != 0 && !condemned.holds(s.sessions.recs.at(slot).seq) {
		// At most one survivor stands before condemned sessions: the exempt one.
		slot = s.sessions.links.at(slot).userNext
	}
	if slot == 0 || !condemned.holds(s.sessions.recs.at(slot).seq) {
		return 0
	}
	return slot
}
