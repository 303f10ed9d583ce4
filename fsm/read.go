package fsm

import "github.com/hydrastore/hydrastore/session"

// reading runs f while nothing is applied. f must be short: applies wait for it.
func reading[T any](m *Machine, f func(s *state) T) T {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return f(m.state)
}

// ClockMS is the replicated clock.
func (m *Machine) ClockMS() int64 { return reading(m, func(s *state) int64 { return s.clock }) }

// Index is the log index of the last applied entry. It is visible when the entry begins to apply: whoever waits for an
// entry must wait for Apply to return.
func (m *Machine) Index() uint64 { return reading(m, func(s *state) uint64 { return s.index }) }

// FormatLevel is the replicated format level: entries are proposed at most at this level.
func (m *Machine) FormatLevel() uint32 { return reading(m, func(s *state) uint32 { return s.level }) }

// History counts the histories of this state: it begins with 1, and each restored backup begins a new one.
func (m *Machine) History() uint64 { return reading(m, func(s *state) uint64 { return s.history }) }

// LastSeq is the Seq of the session created last: the maxSeq of a list that shows what existed when it began.
func (m *Machine) LastSeq() uint64 {
	return reading(m, func(s *state) uint64 { return s.sessions.lastSeq })
}

// NextDeadlineMS is the earliest instant at which the machine has something to end; false = never, as it stands.
// While ended users' sessions wait for their removal it is the current clock.
func (m *Machine) NextDeadlineMS() (int64, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.state.nextDeadline()
}

// SessionByKey finds the living session that a key opens: its present key, or one that was rotated and is in its grace.
func (m *Machine) SessionByKey(h session.KeyHash) (Record, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	slot, state := m.state.live(h)
	if slot == 0 {
		return Record{}, false
	}
	r := m.state.record(slot)
	r.Rotate = r.Rotate || state == keyInGrace
	return r, true
}

// SessionOfSpentKey finds the living session of a key that was rotated and whose grace is over. It opens nothing, and any
// command that presents it ends the session.
func (m *Machine) SessionOfSpentKey(h session.KeyHash) (Record, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	slot, state := m.state.look(h)
	if state != keySpent {
		return Record{}, false
	}
	return m.state.record(slot), true
}

// SessionByID finds a living session.
func (m *Machine) SessionByID(id session.ID) (Record, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	slot := m.state.findID(id)
	if slot == 0 || !m.state.alive(slot) {
		return Record{}, false
	}
	return m.state.record(slot), true
}

// User finds a user by its folded name.
func (m *Machine) User(name string) (UserRecord, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	slot := m.state.findUser(name)
	if slot == 0 {
		return UserRecord{}, false
	}
	return m.state.userRecord(slot), true
}

// ListUsers returns up to limit accounts (at most one more than session.MaxPageSize, which tells that there are more) in the order of their names, those after the given one.
func (m *Machine) ListUsers(after string, limit int) []UserRecord {
	limit = min(limit, session.MaxPageSize+1)
	return reading(m, func(s *state) (out []UserRecord) {
		s.users.accounts.AscendGreaterOrEqual(accountKey{probe: []byte(after)}, func(k accountKey) bool {
			if len(out) >= limit {
				return false
			}
			if string(s.userName(k.slot)) != after {
				out = append(out, s.userRecord(k.slot))
			}
			return true
		})
		return out
	})
}

// HasAdmin tells whether any account has role admin.
func (m *Machine) HasAdmin() bool {
	return reading(m, func(s *state) bool { return s.users.admins > 0 })
}

// Policy finds a stored policy by name. Sessions can be made before "default" is stored: until then it has the values of
// session.DefaultPolicy.
func (m *Machine) Policy(name string) (session.Policy, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	_, p := m.state.policies.find(name)
	if p == nil || p.Version == 0 {
		return session.Policy{}, false
	}
	return p.Policy, true
}

// Limits are the limits of the whole cluster.
func (m *Machine) Limits() session.ClusterLimits {
	return reading(m, func(s *state) session.ClusterLimits { return s.limits })
}

// Policies returns all stored policies in the order of their names.
func (m *Machine) Policies() []session.Policy { return reading(m, (*state).storedPolicies) }

func (s *state) storedPolicies() (out []session.Policy) {
	for _, i := range s.policies.sorted() {
		if p := s.policies.byIndex[i]; p.Version != 0 {
			out = append(out, p.Policy)
		}
	}
	return out
}
