package session

import "slices"

// Over lays a change over p.
func (ch PolicyChange) Over(p Policy) Policy {
	set(&p.IdleTimeout, ch.IdleTimeout)
	set(&p.AbsoluteLifetime, ch.AbsoluteLifetime)
	set(&p.TouchWindow, ch.TouchWindow)
	set(&p.Attributes, ch.Attributes)
	set(&p.AttributesWrite, ch.AttributesWrite)
	set(&p.InactivityTimeout, ch.InactivityTimeout)
	set(&p.NoTickle, ch.NoTickle)
	set(&p.BindAddress, ch.BindAddress)
	set(&p.PermanentAllowed, ch.PermanentAllowed)
	set(&p.LongerIdleAllowed, ch.LongerIdleAllowed)
	set(&p.RotateGrace, ch.RotateGrace)
	set(&p.KeyFormat, ch.KeyFormat)
	p.PolicyLimits = ch.LimitsChange.Over(p.PolicyLimits)
	return p
}

// NormalPolicyNames validates the list of policies that a user may log in under; none means DefaultPolicyName.
func NormalPolicyNames(names []string) ([]string, error) {
	if len(names) == 0 {
		return []string{DefaultPolicyName}, nil
	}
	if len(names) > MaxPoliciesPerUser {
		return nil, TooLarge("policies", "a user has at most %d policies", MaxPoliciesPerUser)
	}
	for i, name := range names {
		if err := ValidatePolicyName(name); err != nil {
			return nil, err
		}
		if slices.Contains(names[:i], name) {
			return nil, Invalid("policies", "%q is named twice", name)
		}
	}
	return names, nil
}

// Size is how many items the page has at most.
func (p Page) Size() (int, error) {
	switch {
	case p.Limit == 0:
		return DefaultPageSize, nil
	case p.Limit < 0 || p.Limit > MaxPageSize:
		return 0, Invalid("limit", "must be between 1 and %d", MaxPageSize)
	}
	return p.Limit, nil
}
