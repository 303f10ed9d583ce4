package cli

import (
	"strconv"

	"github.com/hydrastore/hydrastore/session"
)

type policyView struct {
	Name                 string                   `json:"name"`
	IdleTimeout          float64                  `json:"idle_timeout_s"`
	AbsoluteLifetime     float64                  `json:"absolute_lifetime_s"`
	TouchWindow          float64                  `json:"touch_window_s"`
	EffectiveTouchWindow float64                  `json:"effective_touch_window_s"`
	Attributes           session.AttributesPlace  `json:"attributes"`
	AttributesWrite      session.AttributesWriter `json:"attributes_write"`
	InactivityTimeout    float64                  `json:"inactivity_timeout_s"`
	NoTickle             bool                     `json:"no_tickle"`
	BindAddress          session.AddressBinding   `json:"bind_address"`
	PermanentAllowed     bool                     `json:"permanent_allowed"`
	LongerIdleAllowed    bool                     `json:"longer_idle_allowed"`
	RotateGrace          float64                  `json:"rotate_grace_s"`
	KeyFormat            session.KeyFormat        `json:"key_format"`
	MaxPerUser           int                      `json:"max_sessions_per_user"`
	MaxPerAddress        int                      `json:"max_sessions_per_address"`
	MaxSessions          int                      `json:"max_sessions"`
	OnLimit              session.OnLimit          `json:"on_limit"`
	SingleSession        bool                     `json:"single_session"`
	PermanentCounted     bool                     `json:"permanent_counted"`
	Version              uint64                   `json:"version"`
}

type limitsView struct {
	MaxSessions int             `json:"max_sessions"`
	OnLimit     session.OnLimit `json:"on_limit"`
	Version     uint64          `json:"version"`
}

func viewOfPolicy(p session.Policy) policyView {
	window := p.TouchWindow.Seconds()
	if p.TouchWindow == session.TouchWindowAuto {
		window = -1
	}
	return policyView{
		Name: p.Name, IdleTimeout: p.IdleTimeout.Seconds(), AbsoluteLifetime: p.AbsoluteLifetime.Seconds(), TouchWindow: window,
		EffectiveTouchWindow: p.EffectiveTouchWindow().Seconds(), Attributes: p.Attributes, AttributesWrite: p.AttributesWrite, InactivityTimeout: p.InactivityTimeout.Seconds(),
		NoTickle: p.NoTickle, BindAddress: p.BindAddress, PermanentAllowed: p.PermanentAllowed, LongerIdleAllowed: p.LongerIdleAllowed, RotateGrace: p.RotateGrace.Seconds(), KeyFormat: p.KeyFormat, Version: p.Version,
		MaxPerUser: p.MaxSessionsPerUser, MaxPerAddress: p.MaxSessionsPerAddress, MaxSessions: p.MaxSessions,
		OnLimit: p.OnLimit, SingleSession: p.SingleSession, PermanentCounted: p.PermanentCounted,
	}
}

func policyTable(items []session.Policy) *table {
	t := &table{head: []string{"policy", "idle timeout", "absolute lifetime", "inactivity timeout", "touch window", "address", "permanent"}}
	for _, p := range items {
		t.add(p.Name, span(p.IdleTimeout), span(p.AbsoluteLifetime), span(p.InactivityTimeout), windowText(p), string(p.BindAddress), allowed(p.PermanentAllowed))
	}
	return t
}

// policyDetails shows one policy whole.
func policyDetails(p session.Policy) *table {
	t := &table{}
	tickles := "keep a session alive"
	if p.NoTickle {
		tickles = "move no timer"
	}
	t.add("policy", p.Name)
	t.add("idle timeout", span(p.IdleTimeout))
	t.add("absolute lifetime", span(p.AbsoluteLifetime))
	t.add("inactivity timeout", span(p.InactivityTimeout))
	t.add("touches", tickles)
	t.add("touch window", windowText(p))
	t.add("bound to address", string(p.BindAddress))
	t.add("permanent sessions", allowed(p.PermanentAllowed))
	t.add("longer idle timeouts", allowed(p.LongerIdleAllowed))
	t.add("attributes", string(p.Attributes))
	t.add("attributes written by", string(p.AttributesWrite))
	t.add("keys", string(p.KeyFormat))
	t.add("rotated keys work", graceText(p))
	t.add("sessions per user", perUser(p))
	t.add("sessions per address", limit(p.MaxSessionsPerAddress))
	t.add("sessions in all", limit(p.MaxSessions))
	t.add("at a limit", string(p.OnLimit))
	return t
}

func graceText(p session.Policy) string {
	if p.RotateGrace > 0 {
		return span(p.RotateGrace)
	}
	return "not at all"
}

func windowText(p session.Policy) string {
	if w := p.EffectiveTouchWindow(); w > 0 {
		return span(w)
	}
	return "every use"
}

func allowed(yes bool) string {
	if yes {
		return "allowed"
	}
	return "no"
}

// perUser shows how many sessions of one user a policy allows.
func perUser(p session.Policy) string {
	if p.SingleSession {
		return "single"
	}
	return limit(p.MaxSessionsPerUser)
}

func limit(n int) string {
	if n == 0 {
		return "any"
	}
	return strconv.Itoa(n)
}

func limitsTable(l session.ClusterLimits) *table {
	t := &table{head: []string{"sessions in all", "at the limit"}}
	t.add(limit(l.MaxSessions), string(l.OnLimit))
	return t
}
