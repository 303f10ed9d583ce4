package fsm

import (
	"cmp"
	"slices"

	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

const (
	// maxBirthLeadMS is how far the instant of a session's creation may be ahead of the clock. Each change of a policy within one
	// millisecond adds one: see policy.birth.
	maxBirthLeadMS = 60_000
	// maxMovedLifetimes bounds what is said of one policy's past: homes may know more of it than means something for any session.
	maxMovedLifetimes = 4 * maxLifetimeSteps
)

func (s *state) importPast(c *fsmpb.ImportPast, r *fsmpb.Result) {
	if !s.isFilledBy(c.Filling, c.Origin, r) {
		return
	}
	pasts := make(map[*policy][]lifetimeStep, len(c.Policies))
	fresh := make([]*policy, 0, len(c.Policies)) // a map has no order
	for _, m := range c.Policies {
		p, steps, code, field := s.parseMovedPast(m)
		if _, twice := pasts[p]; code == fsmpb.Code_CODE_OK && twice {
			code, field = fsmpb.Code_CODE_INVALID, "past"
		}
		if code != fsmpb.Code_CODE_OK {
			fail(r, code, field)
			return
		}
		switch pasts[p] = steps; {
		case slices.Equal(p.steps, steps):
		case len(p.steps) > 0:
			fail(r, fsmpb.Code_CODE_CONFLICT, "past")
			return
		default:
			fresh = append(fresh, p)
		}
	}
	if len(fresh) > 0 && s.sessions.n > 0 {
		fail(r, fsmpb.Code_CODE_CONFLICT, "sessions")
		return
	}
	for _, p := range fresh {
		p.steps = pasts[p]
	}
	setCount(r, uint64(len(fresh)))
}

// parseMovedPast gives the steps that a policy's past means.
func (s *state) parseMovedPast(m *fsmpb.MovedPast) (p *policy, steps []lifetimeStep, code fsmpb.Code, field string) {
	if _, p = s.policies.find(m.Policy); p == nil {
		return nil, nil, fsmpb.Code_CODE_INVALID, "past"
	}
	if len(m.Lifetimes) > maxMovedLifetimes {
		return nil, nil, fsmpb.Code_CODE_TOO_LARGE, "past"
	}
	var past []lifetimeStep
	for _, l := range m.Lifetimes {
		switch {
		case l.UntilMs < 0 || l.LifetimeMs < 0 || l.LifetimeMs > session.MaxTimeout.Milliseconds():
			return nil, nil, fsmpb.Code_CODE_INVALID, "past"
		case l.UntilMs > s.clock+maxBirthLeadMS:
			return nil, nil, fsmpb.Code_CODE_INVALID, "until_ms"
		case l.LifetimeMs > 0:
			past = append(past, lifetimeStep{throughMS: l.UntilMs, lifetime: l.LifetimeMs})
		}
	}
	if steps = stepsOf(past, p.lifetime); len(steps) > maxLifetimeSteps {
		return nil, nil, fsmpb.Code_CODE_TOO_LARGE, "past"
	}
	return p, steps, fsmpb.Code_CODE_OK, ""
}

// stepsOf gives the steps by which every session has the least of the lifetimes that hold for it.
func stepsOf(past []lifetimeStep, lifetime int64) (steps []lifetimeStep) {
	slices.SortFunc(past, func(a, b lifetimeStep) int {
		return cmp.Or(cmp.Compare(b.throughMS, a.throughMS), cmp.Compare(a.lifetime, b.lifetime))
	})
	for _, step := range past { // from the latest: what holds for later sessions holds for earlier ones
		if step.lifetime < lifetime {
			steps, lifetime = append(steps, step), step.lifetime
		}
	}
	slices.Reverse(steps)
	return steps
}
