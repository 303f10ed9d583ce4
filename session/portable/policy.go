package portable

import (
	"time"

	"github.com/hydrastore/hydrastore/session"
)

// Policy is a session.Policy with its durations in milliseconds.
type Policy struct {
	Name                  string                   `json:"name"`
	IdleMS                int64                    `json:"idle_ms,omitempty"`
	LifetimeMS            int64                    `json:"lifetime_ms,omitempty"`
	InactivityMS          int64                    `json:"inactivity_ms,omitempty"`
	WindowMS              *int64                   `json:"window_ms,omitempty"` // nil = the default share of the shortest timer
	NoTickle              bool                     `json:"no_tickle,omitempty"`
	BindAddress           session.AddressBinding   `json:"bind_address"`
	Attributes            session.AttributesPlace  `json:"attributes"`
	AttributesWrite       session.AttributesWriter `json:"attributes_write"`
	PermanentAllowed      bool                     `json:"permanent_allowed,omitempty"`
	PermanentCounted      bool                     `json:"permanent_counted,omitempty"`
	LongerIdleAllowed     bool                     `json:"longer_idle_allowed,omitempty"`
	RotateGraceMS         int64                    `json:"rotate_grace_ms,omitempty"`
	KeyFormat             session.KeyFormat        `json:"key_format"`
	MaxSessionsPerUser    int                      `json:"max_sessions_per_user,omitempty"`
	MaxSessionsPerAddress int                      `json:"max_sessions_per_address,omitempty"`
	MaxSessions           int                      `json:"max_sessions,omitempty"`
	OnLimit               session.OnLimit          `json:"on_limit"`
	SingleSession         bool                     `json:"single_session,omitempty"`
	Version               uint64                   `json:"version"`
}

// PolicyOf converts a policy.
func PolicyOf(p session.Policy) Policy {
	out := Policy{
		Name: p.Name, IdleMS: p.IdleTimeout.Milliseconds(), LifetimeMS: p.AbsoluteLifetime.Milliseconds(), InactivityMS: p.InactivityTimeout.Milliseconds(),
		NoTickle: p.NoTickle, BindAddress: p.BindAddress, Attributes: p.Attributes, AttributesWrite: p.AttributesWrite,
		PermanentAllowed: p.PermanentAllowed, PermanentCounted: p.PermanentCounted, LongerIdleAllowed: p.LongerIdleAllowed,
		RotateGraceMS: p.RotateGrace.Milliseconds(), KeyFormat: p.KeyFormat,
		MaxSessionsPerUser: p.MaxSessionsPerUser, MaxSessionsPerAddress: p.MaxSessionsPerAddress, MaxSessions: p.MaxSessions,
		OnLimit: p.OnLimit, SingleSession: p.SingleSession, Version: p.Version,
	}
	if p.TouchWindow != session.TouchWindowAuto {
		window := p.TouchWindow.Milliseconds()
		out.WindowMS = &window
	}
	return out
}

// Session converts it back.
func (p Policy) Session() session.Policy {
	out := session.Policy{
		Name: p.Name, IdleTimeout: milliseconds(p.IdleMS), AbsoluteLifetime: milliseconds(p.LifetimeMS), InactivityTimeout: milliseconds(p.InactivityMS),
		TouchWindow: session.TouchWindowAuto, NoTickle: p.NoTickle, BindAddress: p.BindAddress, Attributes: p.Attributes, AttributesWrite: p.AttributesWrite,
		PermanentAllowed: p.PermanentAllowed, LongerIdleAllowed: p.LongerIdleAllowed,
		RotateGrace: milliseconds(p.RotateGraceMS), KeyFormat: p.KeyFormat,
		PolicyLimits: session.PolicyLimits{
			MaxSessionsPerUser: p.MaxSessionsPerUser, MaxSessionsPerAddress: p.MaxSessionsPerAddress, MaxSessions: p.MaxSessions,
			OnLimit: p.OnLimit, SingleSession: p.SingleSession, PermanentCounted: p.PermanentCounted,
		},
		Version: p.Version,
	}
	if p.WindowMS != nil {
		out.TouchWindow = milliseconds(*p.WindowMS)
	}
	return out
}

func milliseconds(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }
