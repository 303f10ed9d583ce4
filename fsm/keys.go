package fsm

import "github.com/hydrastore/hydrastore/session"

// keyState is what a presented key turns out to be.
type keyState uint8

const (
	keyUnknown keyState = iota // or its session is dead
	keyCurrent
	keyInGrace // rotated, and works still
	keySpent   // rotated, and works no more: whoever presents it has stolen it, or was stolen from
)

// findRetired finds the session that a retired key belongs to, 0 when it is none.
func (s *state) findRetired(h session.KeyHash) uint32 {
	if s.sessions.byRetired.n == 0 {
		return 0
	}
	return s.sessions.byRetired.find(s.hasher.random(h[:]), func(slot uint32) bool {
		p := s.pastOf(slot)
		return p.find(h) >= 0
	})
}

// keyTaken tells whether a key is, or was lately, some session's.
func (s *state) keyTaken(h session.KeyHash) bool { return s.findKey(h) != 0 || s.findRetired(h) != 0 }

// look judges a key at the clock.
func (s *state) look(h session.KeyHash) (uint32, keyState) {
	slot, state := s.findKey(h), keyCurrent
	if slot == 0 {
		if slot = s.findRetired(h); slot == 0 {
			return 0, keyUnknown
		}
		state = keySpent
		if p := s.pastOf(slot); s.clock < p.retired[p.find(h)].graceMS {
			state = keyInGrace
		}
	}
	if !s.alive(slot) {
		return 0, keyUnknown
	}
	return slot, state
}

// live finds the session that a key opens now: 0 when there is none.
func (s *state) live(h session.KeyHash) (uint32, keyState) {
	slot, state := s.look(h)
	if state == keySpent {
		return 0, keyUnknown
	}
	return slot, state
}

// present is live for a key that a command presents, from an address, which must not be wrong for the session.
func (s *state) present(h session.KeyHash, address []byte, judged bool) (uint32, keyState) {
	slot, state := s.presentAnywhere(h, address, judged)
	if slot == 0 || !s.bound(slot, address) {
		return 0, keyUnknown
	}
	return slot, state
}

// presentAnywhere is present for what may be asked from everywhere. A spent key ends its session, wherever it turns up and
// whatever becomes of the command, unless it was judged good when it was presented.
func (s *state) presentAnywhere(h session.KeyHash, address []byte, judged bool) (uint32, keyState) {
	slot, state := s.look(h)
	if state != keySpent {
		return slot, state
	}
	if !judged {
		s.events.stranger(address)
		s.endByCommand(slot, CauseReused)
	}
	return 0, keyUnknown
}

// endByCommand ends a session beside what a command is for, and reports it.
func (s *state) endByCommand(slot uint32, cause Cause) {
	deadline := s.deadline(s.sessions.recs.at(slot))
	s.endedByCommands = append(s.endedByCommands, s.endedEvent(slot, deadline, cause))
	s.removeSession(slot, cause)
}
