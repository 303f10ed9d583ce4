package session

import (
	"regexp"
	"time"
)

const (
	// DefaultPolicyName is the policy of a user for whom none is named.
	DefaultPolicyName = "default"
	// DefaultIdleTimeout and DefaultAbsoluteLifetime are the first values of the policy "default".
	DefaultIdleTimeout      = 30 * time.Minute
	DefaultAbsoluteLifetime = 12 * time.Hour
	// MaxTouchWindow and TouchWindowFraction give a policy's touch window when it names none: idle/32, at most a minute.
	MaxTouchWindow      = time.Minute
	TouchWindowFraction = 32
	// TouchWindowAuto in Policy.TouchWindow asks for that default.
	TouchWindowAuto time.Duration = -1
	// PromptPeriod is the last part of a session's life that ends through inactivity: its user is asked to stay, and any activity
	// is the answer.
	PromptPeriod = time.Minute
	// DefaultRotateGrace is how long a rotated key works on when a policy does not say: time enough for the requests that a
	// client has under way, and for a repetition of one whose answer was lost.
	DefaultRotateGrace = 30 * time.Second
)

// AttributesWriter says who may change a session's attributes.
type AttributesWriter string

const (
	WriteByService AttributesWriter = "service" // the default: the application, not the browser that holds the key
	WriteByBearer  AttributesWriter = "bearer"  // also whoever presents the session's own key
)

// AttributesPlace says where a session's attributes are.
type AttributesPlace string

const (
	AttributesShared AttributesPlace = "shared" // the default: in the log, and at every node
	// AttributesLocal are in the memory of the node that wrote them, and of no other. They go with it, or with the session.
	AttributesLocal AttributesPlace = "local"
)

// AddressBinding says what the address at log-in means for a session's later use.
type AddressBinding string

const (
	BindOff    AddressBinding = "off"    // the default: nothing
	BindLog    AddressBinding = "log"    // uses at another address are counted and logged
	BindStrict AddressBinding = "strict" // at another address the key is unknown; nothing there keeps it alive
)

// Policy is a named, replicated set of timers and rules. All durations are whole milliseconds.
type Policy struct {
	Name             string
	IdleTimeout      time.Duration // 0 = none
	AbsoluteLifetime time.Duration // since log-in; 0 = none
	TouchWindow      time.Duration // TouchWindowAuto = idle/32, at most one minute; 0 = every use is written
	Attributes       AttributesPlace
	AttributesWrite  AttributesWriter
	// InactivityTimeout ends a session that nothing but tickles has used, a PromptPeriod after it has passed; 0 = none.
	InactivityTimeout time.Duration
	NoTickle          bool // tickles are accepted and move no timer
	BindAddress       AddressBinding
	PermanentAllowed  bool          // sessions without timers may be made
	LongerIdleAllowed bool          // users may ask for a longer idle timeout than the policy's, or none
	RotateGrace       time.Duration // how long a key works after its rotation; 0 = not at all
	KeyFormat         KeyFormat     // of keys that log-ins are given from now on; a rotated key's successor has the format of that key
	PolicyLimits
	Version uint64 // log index of its last change; 0 before it is stored
}

// DefaultPolicy returns the first values of the policy "default".
func DefaultPolicy() Policy {
	return Policy{
		Name: DefaultPolicyName, IdleTimeout: DefaultIdleTimeout, AbsoluteLifetime: DefaultAbsoluteLifetime,
		TouchWindow: TouchWindowAuto, Attributes: AttributesShared, AttributesWrite: WriteByService, BindAddress: BindOff, RotateGrace: DefaultRotateGrace,
		KeyFormat:    KeyNative,
		PolicyLimits: PolicyLimits{OnLimit: OnLimitRefuse},
	}
}

// EffectiveTouchWindow resolves TouchWindowAuto: a share of the shorter one of the timers that use moves.
func (p Policy) EffectiveTouchWindow() time.Duration {
	if p.TouchWindow != TouchWindowAuto {
		return p.TouchWindow
	}
	return autoWindow(p.shortestTimer())
}

func autoWindow(timer time.Duration) time.Duration {
	return min(timer/TouchWindowFraction, MaxTouchWindow).Truncate(time.Millisecond)
}

// shortestTimer is the shorter of idle and inactivity timeout, 0 when there is neither.
func (p Policy) shortestTimer() time.Duration {
	if p.IdleTimeout == 0 || p.InactivityTimeout > 0 && p.InactivityTimeout < p.IdleTimeout {
		return p.InactivityTimeout
	}
	return p.IdleTimeout
}

// OwnTouchWindow is the touch window of a session with an idle timeout of its own.
func (p Policy) OwnTouchWindow(idle time.Duration) time.Duration {
	if p.TouchWindow == TouchWindowAuto {
		return autoWindow(idle)
	}
	return min(p.TouchWindow, idle)
}

// ValidateOwnIdleTimeout tells what is wrong with a session's own idle timeout; 0 = none.
func ValidateOwnIdleTimeout(idle time.Duration) error {
	if idle < 0 || idle > MaxTimeout || idle != 0 && idle < MinIdleTimeout {
		return Invalid("idle_timeout_s", "must be 0 (none) or between %.0f and %.0f seconds", MinIdleTimeout.Seconds(), MaxTimeout.Seconds())
	}
	return nil
}

var policyName = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$`)

// Validate tells the first rule that p breaks.
func (p Policy) Validate() error {
	if err := ValidatePolicyName(p.Name); err != nil {
		return err
	}
	switch {
	case p.IdleTimeout < 0 || p.IdleTimeout > MaxTimeout:
		return Invalid("idle_timeout_s", "must be between 0 (none) and %.0f seconds", MaxTimeout.Seconds())
	case p.IdleTimeout != 0 && p.IdleTimeout < MinIdleTimeout:
		return Invalid("idle_timeout_s", "must be 0 (none) or at least %.0f second", MinIdleTimeout.Seconds())
	case p.AbsoluteLifetime < 0 || p.AbsoluteLifetime > MaxTimeout:
		return Invalid("absolute_lifetime_s", "must be between 0 (none) and %.0f seconds", MaxTimeout.Seconds())
	case p.AbsoluteLifetime != 0 && p.AbsoluteLifetime < MinIdleTimeout:
		return Invalid("absolute_lifetime_s", "must be 0 (none) or at least %.0f second", MinIdleTimeout.Seconds())
	case p.InactivityTimeout < 0 || p.InactivityTimeout > MaxTimeout:
		return Invalid("inactivity_timeout_s", "must be between 0 (none) and %.0f seconds", MaxTimeout.Seconds())
	case p.InactivityTimeout != 0 && p.InactivityTimeout < MinIdleTimeout:
		return Invalid("inactivity_timeout_s", "must be 0 (none) or at least %.0f second", MinIdleTimeout.Seconds())
	case p.IdleTimeout == 0 && p.AbsoluteLifetime == 0 && p.InactivityTimeout == 0:
		return Invalid("idle_timeout_s", "a policy needs an idle timeout, an inactivity timeout or an absolute lifetime: its sessions would never end")
	case p.TouchWindow != TouchWindowAuto && p.TouchWindow < 0:
		return Invalid("touch_window_s", "must be 0 (every use is written) or more")
	case p.TouchWindow > p.shortestTimer():
		return Invalid("touch_window_s", "must not exceed the idle timeout, nor the inactivity timeout")
	case p.Attributes != AttributesShared && p.Attributes != AttributesLocal:
		return Invalid("attributes", "must be %q or %q", AttributesShared, AttributesLocal)
	case p.AttributesWrite != WriteByService && p.AttributesWrite != WriteByBearer:
		return Invalid("attributes_write", "must be %q or %q", WriteByService, WriteByBearer)
	case p.BindAddress != BindOff && p.BindAddress != BindLog && p.BindAddress != BindStrict:
		return Invalid("bind_address", "must be %q, %q or %q", BindOff, BindLog, BindStrict)
	case p.RotateGrace < 0 || p.RotateGrace > MaxRotateGrace:
		return Invalid("rotate_grace_s", "must be between 0 (a rotated key ends at once) and %.0f seconds", MaxRotateGrace.Seconds())
	}
	if err := p.KeyFormat.validate(); err != nil {
		return err
	}
	return p.PolicyLimits.validate()
}

// ValidatePolicyName tells what is wrong with a policy's name.
func ValidatePolicyName(name string) error {
	if name == "" {
		return Invalid("policy", "a policy needs a name")
	}
	if len(name) > MaxPolicyNameBytes {
		return TooLarge("policy", "a policy's name has at most %d bytes", MaxPolicyNameBytes)
	}
	if !policyName.MatchString(name) {
		return Invalid("policy", "a policy's name has lower-case letters, digits, '.', '_' and '-', and begins and ends with a letter or digit")
	}
	if formatOf(name) != "" { // names go to logs, and a key may stand where one belongs
		return Invalid("policy", "a policy's name must not have the form of a session key")
	}
	return nil
}
