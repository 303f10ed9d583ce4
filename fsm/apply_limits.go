package fsm

import (
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

func (s *state) putLimits(c *fsmpb.PutLimits, r *fsmpb.Result) {
	if _, code := s.judge(c.Authority, 0); code != fsmpb.Code_CODE_OK {
		fail(r, code, "authority")
		return
	}
	if c.ExpectedVersion != nil && *c.ExpectedVersion != s.limits.Version {
		fail(r, fsmpb.Code_CODE_VERSION_MISMATCH, "limits")
		return
	}
	next := s.limits
	if c.MaxSessions != nil {
		next.MaxSessions = int(*c.MaxSessions)
	}
	if c.OnLimit != fsmpb.OnLimit_ON_LIMIT_UNSPECIFIED {
		next.OnLimit = onLimitFrom(uint64(c.OnLimit) - 1)
	}
	if field := invalidField(next.Validate()); field != "" {
		fail(r, fsmpb.Code_CODE_INVALID, field)
		return
	}
	next.Version = s.nextVersion()
	if s.events != nil {
		before, after := s.limits, next
		s.events.add(Event{Kind: EventLimitsChanged, Version: next.Version, LimitsBefore: &before, LimitsAfter: &after})
	}
	s.limits = next
	setVersion(r, next.Version)
}

// parsePolicyLimits lays a PutPolicy's limits over a policy's. In a new policy what is absent is no limit.
func parsePolicyLimits(c *fsmpb.PutPolicy, to *session.PolicyLimits) {
	for _, limit := range []struct {
		from *uint32
		to   *int
	}{
		{c.MaxSessionsPerUser, &to.MaxSessionsPerUser},
		{c.MaxSessionsPerAddress, &to.MaxSessionsPerAddress},
		{c.MaxSessions, &to.MaxSessions},
	} {
		if limit.from != nil {
			*limit.to = int(*limit.from)
		}
	}
	if c.SingleSession != nil {
		to.SingleSession = *c.SingleSession
	}
	if c.PermanentCounted != nil {
		to.PermanentCounted = *c.PermanentCounted
	}
	switch {
	case c.OnLimit != fsmpb.OnLimit_ON_LIMIT_UNSPECIFIED:
		to.OnLimit = onLimitFrom(uint64(c.OnLimit) - 1)
	case to.OnLimit == "":
		to.OnLimit = session.OnLimitRefuse
	}
}

// onLimits are in the order of the log's and the snapshot's numbers.
var onLimits = [...]session.OnLimit{session.OnLimitRefuse, session.OnLimitOldest, session.OnLimitIdle}

// onLimitFrom gives "" for a number that stands for nothing.
func onLimitFrom(n uint64) session.OnLimit {
	if n >= uint64(len(onLimits)) {
		return ""
	}
	return onLimits[n]
}

func onLimitByte(o session.OnLimit) byte {
	for i, known := range onLimits {
		if known == o {
			return byte(i)
		}
	}
	return 0
}

// Beside the number of on_limit.
const (
	limitSingle     = 1 << 7
	limitPermanents = 1 << 6
)

func appendPolicyLimits(out []byte, l session.PolicyLimits) []byte {
	out = appendUints(out, uint64(l.MaxSessionsPerUser), uint64(l.MaxSessionsPerAddress), uint64(l.MaxSessions))
	flags := onLimitByte(l.OnLimit)
	if l.SingleSession {
		flags |= limitSingle
	}
	if l.PermanentCounted {
		flags |= limitPermanents
	}
	return append(out, flags)
}

func (f *fields) policyLimits() session.PolicyLimits {
	l := session.PolicyLimits{MaxSessionsPerUser: int(f.uint()), MaxSessionsPerAddress: int(f.uint()), MaxSessions: int(f.uint())}
	flags := f.byte()
	l.SingleSession, l.PermanentCounted = flags&limitSingle != 0, flags&limitPermanents != 0
	l.OnLimit = onLimitFrom(uint64(flags &^ (limitSingle | limitPermanents)))
	return l
}
