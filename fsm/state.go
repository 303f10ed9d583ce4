package fsm

import (
	"github.com/hydrastore/hydrastore/session"
)

// state is everything that the log has made. Apply writes it, reads read it, a restore replaces it as a whole.
type state struct {
	index   uint64 // of the last applied entry
	clock   int64
	level   uint32
	history uint64
	version uint64 // the highest version that a user or a policy was given

	sessions   sessions
	users      users
	policies   policies
	idem       idempotency
	attempts   attempts
	seals      seals
	challenges challenges
	home       Home
	arena      arena

	sharing sharing
	shared  uint64 // the newest snapshot that ran when the present entry began
	hasher  hasher
	roles   roleSets
	methods methodSets
	ended   endedCounters
	by      authorized
	events  *recorder // nil = nobody asks
	removed func(session.ID)
	awaited bool // somebody waits for the results of the present batch

	moving moving
	limits session.ClusterLimits
	room   roomWork
	pinned uint32 // a user that stays though its last session goes: the one that logs in

	endedByCommands []Ended // in the present entry
	emptied         bool    // by it
}

type endedCounters struct{ idle, inactive, absolute, user, reused, replaced, evicted, named uint64 }

// newState is the state before the first entry: a policy "default", nobody and nothing else.
func newState(seed uint64) *state {
	s := emptyState(seed)
	s.level, s.history = 1, 1
	s.policies.add(newPolicy(session.DefaultPolicy(), &s.sessions))
	return s
}

func emptyState(seed uint64) *state {
	s := &state{hasher: hasher(seed), roles: newRoleSets(), methods: newMethodSets(), limits: session.ClusterLimits{OnLimit: session.OnLimitRefuse}}
	s.sessions.graces = newGraces()
	s.initUsers()
	return s
}

// nextVersion gives the version of a changed user or policy: the index of the entry, or more when earlier changes have
// used that up. So it only grows, and two changes in one entry never share a version.
func (s *state) nextVersion() uint64 {
	s.version = max(s.index, s.version+1)
	return s.version
}
