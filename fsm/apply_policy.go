package fsm

import (
	"errors"
	"time"

	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

func (s *state) putPolicy(c *fsmpb.PutPolicy, r *fsmpb.Result) {
	if _, code := s.judge(c.Authority, 0); code != fsmpb.Code_CODE_OK {
		fail(r, code, "authority")
		return
	}
	_, old := s.policies.find(c.Name)
	// A policy of version 0 is this package's, not yet anybody's.
	exists := old != nil && old.Version != 0
	switch {
	case c.Mode == fsmpb.PutPolicy_MODE_CREATE && exists:
		fail(r, fsmpb.Code_CODE_EXISTS, "policy")
		return
	case c.Mode == fsmpb.PutPolicy_MODE_MERGE && old == nil:
		fail(r, fsmpb.Code_CODE_NOT_FOUND, "policy")
		return
	case c.ExpectedVersion != nil && (old == nil || *c.ExpectedVersion != old.Version):
		fail(r, fsmpb.Code_CODE_VERSION_MISMATCH, "policy")
		return
	}
	var base session.Policy
	if c.Mode == fsmpb.PutPolicy_MODE_MERGE {
		base = old.Policy
	}
	p, field := parsePolicy(c, base)
	if field != "" {
		fail(r, fsmpb.Code_CODE_INVALID, field)
		return
	}
	s.storePolicy(old, p, r)
}

// storePolicy puts a valid policy in force.
func (s *state) storePolicy(old *policy, p session.Policy, r *fsmpb.Result) {
	var before *session.Policy
	switch {
	case old != nil:
		if was := old.Policy; was.Version != 0 {
			before = &was
		}
		p.Version = max(s.index, s.version+1)
		if !old.change(p, s.clock, s.home.Node) {
			fail(r, fsmpb.Code_CODE_CONFLICT, "absolute_lifetime_s")
			return
		}
		s.room.backlog = true // what the change has made due
		s.nextVersion()
	case s.policies.n == session.MaxPolicies:
		fail(r, fsmpb.Code_CODE_TOO_LARGE, "policies")
		return
	default:
		p.Version = s.nextVersion()
		s.policies.add(newPolicy(p, &s.sessions))
	}
	setVersion(r, p.Version)
	s.reportPolicy(before, &p, p.Version)
}

// parsePolicy lays the command's fields over base; field names what is wrong.
func parsePolicy(c *fsmpb.PutPolicy, base session.Policy) (p session.Policy, field string) {
	merge := c.Mode == fsmpb.PutPolicy_MODE_MERGE
	switch {
	case c.Mode < fsmpb.PutPolicy_MODE_CREATE || c.Mode > fsmpb.PutPolicy_MODE_MERGE:
		return p, "mode"
	case !merge && (c.IdleMs == nil || c.AbsoluteMs == nil || c.TouchWindowMs == nil || c.AttributesWrite == 0 ||
		c.RotateGraceMs == nil):
		return p, "policy"
	}
	p = base
	p.Name = c.Name
	for _, timer := range []struct {
		name  string
		ms    *int64
		least int64
		to    *time.Duration
		auto  time.Duration
	}{
		{"idle_timeout_s", c.IdleMs, 0, &p.IdleTimeout, 0},
		{"absolute_lifetime_s", c.AbsoluteMs, 0, &p.AbsoluteLifetime, 0},
		{"touch_window_s", c.TouchWindowMs, -1, &p.TouchWindow, session.TouchWindowAuto},
		{"inactivity_timeout_s", c.InactivityMs, 0, &p.InactivityTimeout, 0},
		{"rotate_grace_s", c.RotateGraceMs, 0, &p.RotateGrace, 0},
	} {
		if timer.ms == nil {
			continue
		}
		if *timer.ms < timer.least || *timer.ms > session.MaxTimeout.Milliseconds() {
			return p, timer.name
		}
		*timer.to = time.Duration(*timer.ms) * time.Millisecond
		if *timer.ms < 0 {
			*timer.to = timer.auto
		}
	}
	switch c.AttributesWrite {
	case fsmpb.AttributesWriter_ATTRIBUTES_WRITER_UNSPECIFIED:
	case fsmpb.AttributesWriter_ATTRIBUTES_WRITER_SERVICE:
		p.AttributesWrite = session.WriteByService
	case fsmpb.AttributesWriter_ATTRIBUTES_WRITER_BEARER:
		p.AttributesWrite = session.WriteByBearer
	default:
		return p, "attributes_write"
	}
	if field := parseRules(c, &p); field != "" {
		return p, field
	}
	parsePolicyLimits(c, &p.PolicyLimits)
	return p, invalidField(p.Validate())
}

// parseRules lays what is no timer over p; field names what is wrong.
func parseRules(c *fsmpb.PutPolicy, p *session.Policy) (field string) {
	if c.NoTickle != nil {
		p.NoTickle = *c.NoTickle
	}
	if c.PermanentAllowed != nil {
		p.PermanentAllowed = *c.PermanentAllowed
	}
	if c.LongerIdleAllowed != nil {
		p.LongerIdleAllowed = *c.LongerIdleAllowed
	}
	switch c.BindAddress {
	case fsmpb.AddressBinding_ADDRESS_BINDING_UNSPECIFIED:
		if p.BindAddress == "" {
			p.BindAddress = session.BindOff
		}
	case fsmpb.AddressBinding_ADDRESS_BINDING_OFF:
		p.BindAddress = session.BindOff
	case fsmpb.AddressBinding_ADDRESS_BINDING_LOG:
		p.BindAddress = session.BindLog
	case fsmpb.AddressBinding_ADDRESS_BINDING_STRICT:
		p.BindAddress = session.BindStrict
	default:
		return "bind_address"
	}
	if c.AttributesLocal != nil || p.Attributes == "" {
		p.Attributes = attributesPlace(c.GetAttributesLocal())
	}
	if p.KeyFormat == "" || c.KeyFormat != fsmpb.KeyFormat_KEY_FORMAT_UNSPECIFIED {
		p.KeyFormat = keyFormat(c.KeyFormat)
	}
	return ""
}

// invalidField names the field that a rule of the domain is broken by.
func invalidField(err error) string {
	if err == nil {
		return ""
	}
	var e *session.Error
	if errors.As(err, &e) && e.Field != "" {
		return e.Field
	}
	return "policy"
}

func (s *state) deletePolicy(c *fsmpb.DeletePolicy, r *fsmpb.Result) {
	if _, code := s.judge(c.Authority, 0); code != fsmpb.Code_CODE_OK {
		fail(r, code, "authority")
		return
	}
	index, p := s.policies.find(c.Name)
	switch {
	case p == nil:
		fail(r, fsmpb.Code_CODE_NOT_FOUND, "policy")
	case c.ExpectedVersion != nil && *c.ExpectedVersion != p.Version:
		fail(r, fsmpb.Code_CODE_VERSION_MISMATCH, "policy")
	case c.Name == session.DefaultPolicyName || p.users > 0 || p.absolute.n > 0 || p.permanents > 0:
		fail(r, fsmpb.Code_CODE_CONFLICT, "policy")
	default:
		s.policies.remove(index)
		version := s.nextVersion()
		setVersion(r, version)
		s.reportPolicy(&p.Policy, nil, version)
	}
}
