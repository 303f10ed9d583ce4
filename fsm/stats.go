package fsm

// Stats are figures for metrics. The Ended counters count since this process built the state, the others are the state's.
type Stats struct {
	Sessions           int // recorded: those due but not ended yet are among them
	Users              int // accounts
	ShellUsers         int // users known only through their sessions
	Addresses          int // different client addresses
	Policies           int
	BlobBytes          int64 // memory that names, user agents, password hashes and attributes occupy
	IdempotencyRecords int
	AttemptCounters    int // of the login throttle
	UsedChallenges     int // that are remembered
	PendingReaps       int // users whose ended sessions wait for their removal
	RetiredKeys        int // keys that were rotated, of recorded sessions
	GraceSessions      int // sessions with a rotated key that works still

	EndedIdle     uint64
	EndedInactive uint64
	EndedAbsolute uint64
	EndedUser     uint64 // through a change of their user
	EndedReused   uint64 // by the use of a spent key
	EndedReplaced uint64 // by a log-in in their place
	EndedByName   uint64 // by commands that named them
	EndedEvicted  uint64 // to make room under a limit
}

// Stats returns figures for metrics.
func (m *Machine) Stats() Stats {
	return reading(m, func(s *state) Stats {
		return Stats{
			Sessions: s.sessions.n, Users: s.users.accounts.Len(), ShellUsers: s.users.shells, Addresses: s.sessions.byAddress.n,
			Policies: s.policies.n, BlobBytes: s.arena.bytes, IdempotencyRecords: s.idem.n, AttemptCounters: s.attempts.n, UsedChallenges: s.challenges.n, PendingReaps: s.users.reaps,
			RetiredKeys: s.sessions.byRetired.n, GraceSessions: s.sessions.graces.Len(),
			EndedIdle: s.ended.idle, EndedInactive: s.ended.inactive, EndedAbsolute: s.ended.absolute, EndedUser: s.ended.user,
			EndedReused: s.ended.reused, EndedReplaced: s.ended.replaced, EndedByName: s.ended.named, EndedEvicted: s.ended.evicted,
		}
	})
}
