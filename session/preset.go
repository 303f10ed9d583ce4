package session

import (
	"slices"
	"strings"
	"time"
)

// The presets whose names other rooms use: blocks of the configuration file give first values to policies of these names.
const (
	PresetNetX             = "netx"
	PresetFlowTraq         = "flowtraq"
	PresetFairCom          = "faircom"
	PresetTokenizer        = "tokenizer"
	PresetLiveJournalShort = "livejournal-short"
	PresetLiveJournalLong  = "livejournal-long"
)

// Presets returns sets of rules to begin a policy with, in the order of their names. Those that mirror another system have its
// defaults; their windows are a second, or nothing, because their users count in whole seconds (docs/adr/0011).
func Presets() []Policy {
	presets := []Policy{
		mirror(PresetNetX, Policy{IdleTimeout: 30 * time.Minute, InactivityTimeout: time.Hour, TouchWindow: time.Second, KeyFormat: KeyAlnum25, Attributes: AttributesLocal}),
		mirror(PresetFlowTraq, Policy{IdleTimeout: 2 * time.Minute, TouchWindow: time.Second, BindAddress: BindStrict, KeyFormat: KeyHex32}),
		mirror(PresetFairCom, Policy{IdleTimeout: time.Hour, LongerIdleAllowed: true, KeyFormat: KeyHex64,
			PolicyLimits: PolicyLimits{MaxSessions: 1024, MaxSessionsPerAddress: 50, MaxSessionsPerUser: 50, PermanentCounted: true}}),
		mirror(PresetTokenizer, Policy{IdleTimeout: 20 * time.Minute, TouchWindow: time.Second, KeyFormat: KeyHex64, PolicyLimits: PolicyLimits{SingleSession: true}}),
		mirror(PresetLiveJournalShort, Policy{IdleTimeout: 24 * time.Hour, TouchWindow: time.Second, KeyFormat: KeyWS}),
		mirror(PresetLiveJournalLong, Policy{IdleTimeout: 30 * 24 * time.Hour, TouchWindow: time.Second, KeyFormat: KeyWS}),
		// OWASP's session management cheat sheet: 2 to 5 minutes for applications of high value, 15 to 30 for those of low risk; 4 to 8
		// hours for a working day.
		owasp("high-value", 5*time.Minute, 4*time.Hour, BindLog),
		owasp("low-risk", 30*time.Minute, 8*time.Hour, BindOff),
	}
	slices.SortFunc(presets, func(a, b Policy) int { return strings.Compare(a.Name, b.Name) })
	return presets
}

// mirror completes the preset of another system: no absolute lifetime, no touch window beside the one that p has.
func mirror(name string, p Policy) Policy {
	whole := DefaultPolicy()
	whole.Name, whole.IdleTimeout, whole.InactivityTimeout, whole.AbsoluteLifetime, whole.TouchWindow = name, p.IdleTimeout, p.InactivityTimeout, 0, p.TouchWindow
	whole.KeyFormat = p.KeyFormat
	whole.PolicyLimits = p.PolicyLimits
	whole.OnLimit = OnLimitRefuse
	whole.LongerIdleAllowed = p.LongerIdleAllowed
	if p.Attributes != "" {
		whole.Attributes = p.Attributes
	}
	if p.BindAddress != "" {
		whole.BindAddress = p.BindAddress
	}
	return whole
}

func owasp(name string, idle, absolute time.Duration, bind AddressBinding) Policy {
	p := DefaultPolicy()
	p.Name, p.IdleTimeout, p.AbsoluteLifetime, p.BindAddress = name, idle, absolute, bind
	return p
}

// Preset returns the preset of this name; false when there is none.
func Preset(name string) (Policy, bool) {
	for _, p := range Presets() {
		if p.Name == name {
			return p, true
		}
	}
	return Policy{}, false
}

// PresetNames lists the presets.
func PresetNames() []string {
	var names []string
	for _, p := range Presets() {
		names = append(names, p.Name)
	}
	return names
}

// AsChange returns the change that gives any policy the rules of p.
func (p Policy) AsChange() PolicyChange {
	return PolicyChange{
		IdleTimeout: &p.IdleTimeout, AbsoluteLifetime: &p.AbsoluteLifetime, TouchWindow: &p.TouchWindow, Attributes: &p.Attributes, AttributesWrite: &p.AttributesWrite,
		InactivityTimeout: &p.InactivityTimeout, NoTickle: &p.NoTickle, BindAddress: &p.BindAddress, PermanentAllowed: &p.PermanentAllowed,
		LongerIdleAllowed: &p.LongerIdleAllowed,
		RotateGrace:       &p.RotateGrace,
		KeyFormat:         &p.KeyFormat,
		LimitsChange:      p.asChange(),
	}
}

// SameRules tells whether p and q treat sessions alike, whatever their names and versions.
func (p Policy) SameRules(q Policy) bool {
	p.Name, p.Version = q.Name, q.Version
	return p == q
}
