package session

// OnLimit says what a log-in does that would exceed a limit on sessions.
type OnLimit string

const (
	OnLimitRefuse OnLimit = "refuse"       // the default: CodeSessionLimit
	OnLimitOldest OnLimit = "evict_oldest" // end the session that was created first
	OnLimitIdle   OnLimit = "evict_idle"   // end the session that was used longest ago, exact to the touch window
)

// Evicts tells whether a log-in makes room for itself.
func (o OnLimit) Evicts() bool { return o == OnLimitOldest || o == OnLimitIdle }

func (o OnLimit) validate() error {
	if o != OnLimitRefuse && !o.Evicts() {
		return Invalid("on_limit", "must be %q, %q or %q", OnLimitRefuse, OnLimitOldest, OnLimitIdle)
	}
	return nil
}

// PolicyLimits say how many sessions may live under a policy; they count this policy's sessions only. 0 = no such limit.
// Limits are judged when somebody logs in: a lowered one ends nobody by itself.
type PolicyLimits struct {
	MaxSessionsPerUser    int // at most MaxSessionsPerOwner
	MaxSessionsPerAddress int // likewise; sessions without a client address are not counted
	MaxSessions           int // at most MaxSessions
	OnLimit               OnLimit
	SingleSession         bool // a log-in ends the user's other sessions under this policy
	PermanentCounted      bool // permanent sessions count, and meet these limits when they are made; nothing evicts them
}

func (l PolicyLimits) validate() error {
	for _, limit := range []struct {
		field       string
		value, most int
	}{
		{"max_sessions_per_user", l.MaxSessionsPerUser, MaxSessionsPerOwner},
		{"max_sessions_per_address", l.MaxSessionsPerAddress, MaxSessionsPerOwner},
		{"max_sessions", l.MaxSessions, MaxSessions},
	} {
		if limit.value < 0 || limit.value > limit.most {
			return Invalid(limit.field, "must be between 0 (no limit) and %d", limit.most)
		}
	}
	return l.OnLimit.validate()
}

func (l PolicyLimits) asChange() LimitsChange {
	return LimitsChange{
		MaxSessionsPerUser: &l.MaxSessionsPerUser, MaxSessionsPerAddress: &l.MaxSessionsPerAddress, MaxSessions: &l.MaxSessions,
		OnLimit: &l.OnLimit, SingleSession: &l.SingleSession, PermanentCounted: &l.PermanentCounted,
	}
}

// LimitsChange is the part of a PolicyChange that is about limits; nil fields stay.
type LimitsChange struct {
	MaxSessionsPerUser    *int
	MaxSessionsPerAddress *int
	MaxSessions           *int
	OnLimit               *OnLimit
	SingleSession         *bool
	PermanentCounted      *bool
}

// Over lays a change over l.
func (ch LimitsChange) Over(l PolicyLimits) PolicyLimits {
	set(&l.MaxSessionsPerUser, ch.MaxSessionsPerUser)
	set(&l.MaxSessionsPerAddress, ch.MaxSessionsPerAddress)
	set(&l.MaxSessions, ch.MaxSessions)
	set(&l.OnLimit, ch.OnLimit)
	set(&l.SingleSession, ch.SingleSession)
	set(&l.PermanentCounted, ch.PermanentCounted)
	return l
}

func set[T any](field *T, value *T) {
	if value != nil {
		*field = *value
	}
}

// ClusterLimits cap the whole cluster, whatever the policies say.
type ClusterLimits struct {
	MaxSessions int // 0 = no limit, up to the hard one of the same name
	OnLimit     OnLimit
	Version     uint64 // log index of the last change; 0 = never changed
}

// Validate tells the first rule that l breaks.
func (l ClusterLimits) Validate() error {
	return PolicyLimits{MaxSessions: l.MaxSessions, OnLimit: l.OnLimit}.validate()
}

// ClusterLimitsChange is a merge patch of the cluster's limits; nil fields stay.
type ClusterLimitsChange struct {
	MaxSessions *int
	OnLimit     *OnLimit
	IfMatch     *uint64
}

// Over lays a change over l.
func (ch ClusterLimitsChange) Over(l ClusterLimits) ClusterLimits {
	set(&l.MaxSessions, ch.MaxSessions)
	set(&l.OnLimit, ch.OnLimit)
	return l
}

// ClusterLimitsResult answers with the cluster's limits.
type ClusterLimitsResult struct {
	ClusterLimits
	Meta
}
