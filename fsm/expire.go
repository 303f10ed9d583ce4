package fsm

// endDue ends the session that ends first, when its time has come.
func (s *state) endDue(ended []Ended) ([]Ended, bool) {
	d, ok := s.policies.first()
	if !ok || d.deadline > s.clock {
		return ended, false
	}
	ended = append(ended, s.endedEvent(d))
	s.removeSession(d.slot, d.cause)
	return ended, true
}

func (s *state) endedEvent(d due) Ended {
	r := s.sessions.recs.at(d.slot)
	switch d.cause {
	case CauseIdle:
		s.ended.idle++
	case CauseAbsolute:
		s.ended.absolute++
	case CauseUser:
		s.ended.user++
	}
	e := Ended{ID: r.id, Number: r.number, User: string(s.userName(r.user)), Cause: d.cause}
	if d.deadline != forever {
		e.DeadlineMS = d.deadline
	}
	return e
}

// nextDeadline is the earliest instant at which the state has something to end.
func (s *state) nextDeadline() (int64, bool) {
	if s.users.reapHead != 0 {
		return s.clock, true
	}
	d, ok := s.policies.first()
	return d.deadline, ok
}
