package fsm

// endDue ends the session that ends first, when its time has come.
func (s *state) endDue(ended []Ended) ([]Ended, bool) {
	d, ok := s.policies.first()
	if !ok || d.deadline > s.clock {
		return ended, false
	}
	cause := s.endsOf(s.sessions.recs.at(d.slot)).cause()
	ended = append(ended, s.endedEvent(d.slot, d.deadline, cause))
	s.removeSession(d.slot, cause)
	return ended, true
}

func (s *state) endedEvent(slot uint32, deadline int64, cause Cause) Ended {
	r := s.sessions.recs.at(slot)
	switch cause {
	case CauseIdle:
		s.ended.idle++
	case CauseInactive:
		s.ended.inactive++
	case CauseAbsolute:
		s.ended.absolute++
	case CauseUser:
		s.ended.user++
	case CauseReused:
		s.ended.reused++
	case CauseEvicted:
		s.ended.evicted++
	case CauseReplaced:
		s.ended.replaced++
	}
	return Ended{ID: r.id, Number: r.number, User: string(s.userName(r.user)), Cause: cause, DeadlineMS: orZero(deadline)}
}

// nextDeadline is the earliest instant at which the state has something to end, the grace of a key and the secret of an hour's challenges among
// it: what their end makes unreadable shall not wait for the next write. While the cluster is not open no session ends.
func (s *state) nextDeadline() (at int64, ok bool) {
	if s.open() {
		if s.users.reapHead != 0 || s.users.bare.Len() > 0 {
			return s.clock, true
		}
		var d due
		d, ok = s.policies.first()
		at = d.deadline
		if grace, some := s.sessions.graces.Min(); some && (!ok || grace.ms < at) {
			at, ok = grace.ms, true
		}
	}
	if secrets := s.challenges.secrets; len(secrets) > 0 && (!ok || secrets[0].endMS() < at) {
		at, ok = secrets[0].endMS(), true
	}
	return at, ok
}
