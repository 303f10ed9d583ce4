package fsm_test

import (
	"slices"

	"github.com/hydrastore/hydrastore/fsm/fsmpb"
)

func (m *model) putPolicy(c *fsmpb.PutPolicy, r *fsmpb.Result) {
	if _, code := m.judge(c.Authority, nil); code != 0 {
		set(r, code, "authority")
		return
	}
	old := m.policies[c.Name]
	switch {
	case c.Mode == fsmpb.PutPolicy_MODE_CREATE && old != nil && old.version != 0:
		set(r, fsmpb.Code_CODE_EXISTS, "policy")
		return
	case c.Mode == fsmpb.PutPolicy_MODE_MERGE && old == nil:
		set(r, fsmpb.Code_CODE_NOT_FOUND, "policy")
		return
	case c.ExpectedVersion != nil && (old == nil || *c.ExpectedVersion != old.version):
		set(r, fsmpb.Code_CODE_VERSION_MISMATCH, "policy")
		return
	case c.Mode == 0:
		set(r, fsmpb.Code_CODE_INVALID, "mode")
		return
	case c.Mode != fsmpb.PutPolicy_MODE_MERGE && (c.IdleMs == nil || c.AbsoluteMs == nil || c.RotateGraceMs == nil):
		set(r, fsmpb.Code_CODE_INVALID, "policy")
		return
	}
	next := modelPolicy{name: c.Name, window: c.GetTouchWindowMs()}
	next.bearer = c.AttributesWrite == fsmpb.AttributesWriter_ATTRIBUTES_WRITER_BEARER
	if c.Mode == fsmpb.PutPolicy_MODE_MERGE {
		next.idle, next.absolute, next.limits = old.idle, old.absolute, old.limits
		next.inactivity, next.noTickle, next.mayPermanent, next.bind = old.inactivity, old.noTickle, old.mayPermanent, old.bind
		next.mayLonger = old.mayLonger
		next.grace, next.keys, next.local = old.grace, old.keys, old.local
		if c.TouchWindowMs == nil {
			next.window = old.window
		}
		if c.AttributesWrite == 0 {
			next.bearer = old.bearer
		}
	} else {
		next.limits.onLimit = refuse
	}
	if c.RotateGraceMs != nil {
		next.grace = *c.RotateGraceMs
	}
	next.takeRules(c)
	limitField := next.limits.change(c)
	if c.IdleMs != nil {
		next.idle = *c.IdleMs
	}
	if c.AbsoluteMs != nil {
		next.absolute = *c.AbsoluteMs
	}
	switch {
	case next.idle == 0 && next.absolute == 0 && next.inactivity == 0:
		set(r, fsmpb.Code_CODE_INVALID, "idle_timeout_s")
		return
	case next.window > next.shortest():
		set(r, fsmpb.Code_CODE_INVALID, "touch_window_s")
		return
	case next.keys > fsmpb.KeyFormat_KEY_FORMAT_WS:
		set(r, fsmpb.Code_CODE_INVALID, "key_format")
		return
	case limitField != "":
		set(r, fsmpb.Code_CODE_INVALID, limitField)
		return
	}
	next.version = m.nextVersion()
	if old == nil {
		old = &modelPolicy{}
		*old = next
		m.policies[c.Name] = old
	} else {
		m.changePolicy(old, next)
	}
	r.Payload = &fsmpb.Result_Version{Version: old.version}
}

func (p *modelPolicy) takeRules(c *fsmpb.PutPolicy) {
	if c.InactivityMs != nil {
		p.inactivity = *c.InactivityMs
	}
	if c.NoTickle != nil {
		p.noTickle = *c.NoTickle
	}
	if c.PermanentAllowed != nil {
		p.mayPermanent = *c.PermanentAllowed
	}
	if c.LongerIdleAllowed != nil {
		p.mayLonger = *c.LongerIdleAllowed
	}
	if c.BindAddress != 0 {
		p.bind = c.BindAddress
	}
	if p.bind == 0 {
		p.bind = fsmpb.AddressBinding_ADDRESS_BINDING_OFF
	}
	if c.AttributesLocal != nil {
		p.local = *c.AttributesLocal
	}
	if c.KeyFormat != 0 {
		p.keys = c.KeyFormat
	}
	if p.keys == 0 {
		p.keys = fsmpb.KeyFormat_KEY_FORMAT_NATIVE
	}
}

// changePolicy writes the change's consequences into every session of the policy.
func (m *model) changePolicy(p *modelPolicy, next modelPolicy) {
	under := m.of(func(s *modelSession) bool { return s.policy == p && !s.permanent })
	if !slices.ContainsFunc(under, func(s *modelSession) bool { return s.lapsed }) {
		p.lapsedSpan = never
	}
	if next.span() > p.span() {
		for _, s := range under {
			if s.own == nil && s.idleEnd() <= m.clock {
				s.lapsed = true
			}
		}
		if slices.ContainsFunc(under, func(s *modelSession) bool { return s.lapsed }) {
			p.lapsedSpan = min(p.lapsedSpan, p.span())
		}
	}
	p.lapseQuiet(under, next.quietSpan(), m.clock)
	for _, s := range under {
		s.absoluteEnd = min(s.absoluteEnd, plus(s.created, next.lifetime()))
	}
	p.raise(under, next.lifetime(), m.clock, m.home.Node)
	p.limits = next.limits
	p.idle, p.absolute, p.window, p.bearer, p.version = next.idle, next.absolute, next.window, next.bearer, next.version
	p.inactivity, p.noTickle, p.mayPermanent, p.bind, p.grace, p.keys = next.inactivity, next.noTickle, next.mayPermanent, next.bind, next.grace, next.keys
	p.mayLonger, p.local = next.mayLonger, next.local
}

// lapseQuiet keeps dead what was due through inactivity when that timeout got longer.
func (p *modelPolicy) lapseQuiet(under []*modelSession, span, clock int64) {
	lapsed := func(s *modelSession) bool { return s.lapsedQuiet }
	if !slices.ContainsFunc(under, lapsed) {
		p.lapsedQuietSpan = never
	}
	if span <= p.quietSpan() {
		return
	}
	for _, s := range under {
		if s.quietEnd() <= clock {
			s.lapsedQuiet = true
		}
	}
	if slices.ContainsFunc(under, lapsed) {
		p.lapsedQuietSpan = min(p.lapsedQuietSpan, p.quietSpan())
	}
}

// raise notes from when on new sessions have the longer lifetime: it shows in their instant of creation.
func (p *modelPolicy) raise(under []*modelSession, lifetime, clock int64, atNodes bool) {
	if atNodes {
		p.born = max(p.born, clock)
	}
	p.raises = slices.DeleteFunc(p.raises, func(r modelRaise) bool {
		return r.lifetime >= lifetime || !atNodes && !slices.ContainsFunc(under, func(s *modelSession) bool { return s.created <= r.through })
	})
	n := len(p.raises)
	if lifetime > p.lifetime() && (len(under) > 0 || atNodes) && (n == 0 || p.raises[n-1].through < p.born) {
		p.raises = append(p.raises, modelRaise{p.born, p.lifetime()})
	}
}

func (m *model) deletePolicy(c *fsmpb.DeletePolicy, r *fsmpb.Result) {
	if _, code := m.judge(c.Authority, nil); code != 0 {
		set(r, code, "authority")
		return
	}
	p := m.policies[c.Name]
	used := len(m.of(func(s *modelSession) bool { return s.policy == p })) > 0
	for _, u := range m.users {
		used = used || slices.Contains(u.policies, c.Name)
	}
	switch {
	case p == nil:
		set(r, fsmpb.Code_CODE_NOT_FOUND, "policy")
	case c.ExpectedVersion != nil && *c.ExpectedVersion != p.version:
		set(r, fsmpb.Code_CODE_VERSION_MISMATCH, "policy")
	case c.Name == "default" || used:
		set(r, fsmpb.Code_CODE_CONFLICT, "policy")
	default:
		delete(m.policies, c.Name)
		r.Payload = &fsmpb.Result_Version{Version: m.nextVersion()}
	}
}
