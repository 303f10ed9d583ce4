package backend

import (
	"context"
	"slices"
	"strings"

	"github.com/hydrastore/hydrastore/session"
)

// ListPolicies implements session.Policies.
func (s *Service) ListPolicies(ctx context.Context, c session.Call) (session.PolicyList, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	p, err := s.authenticateAs(ctx, c, session.RoleAdmin)
	if err != nil {
		return session.PolicyList{}, err
	}
	return session.PolicyList{Items: slices.Clone(p.cluster.Policies), Meta: s.meta()}, nil
}

// GetPolicy implements session.Policies.
func (s *Service) GetPolicy(ctx context.Context, c session.Call, name string) (session.PolicyResult, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	if err := session.ValidatePolicyName(name); err != nil {
		return session.PolicyResult{}, err
	}
	p, err := s.authenticateAs(ctx, c, session.RoleAdmin)
	if err != nil {
		return session.PolicyResult{}, err
	}
	policy := p.cluster.policy(name)
	if policy == nil {
		return session.PolicyResult{}, session.ErrNoSuchPolicy()
	}
	return session.PolicyResult{Policy: *policy, Meta: s.meta()}, nil
}

// PutPolicy implements session.Policies.
func (s *Service) PutPolicy(ctx context.Context, c session.Call, name string, ch session.PolicyChange) (session.PolicyResult, error) {
	return s.changePolicy(ctx, c, name, ch, false)
}

// PatchPolicy implements session.Policies.
func (s *Service) PatchPolicy(ctx context.Context, c session.Call, name string, ch session.PolicyChange) (session.PolicyResult, error) {
	return s.changePolicy(ctx, c, name, ch, true)
}

func (s *Service) changePolicy(ctx context.Context, c session.Call, name string, ch session.PolicyChange, merge bool) (session.PolicyResult, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	if err := session.ValidatePolicyName(name); err != nil {
		return session.PolicyResult{}, err
	}
	if _, err := s.authenticateAs(ctx, c, session.RoleAdmin); err != nil {
		return session.PolicyResult{}, err
	}
	var whole session.Policy
	err := s.changeCluster(ctx, func(c *clusterRecord, nowMS int64) error {
		old, base := c.policy(name), session.DefaultPolicy()
		base.Name = name
		switch {
		case merge && old == nil:
			return session.ErrNoSuchPolicy()
		case ch.IfMatch != nil && (old == nil || *ch.IfMatch != old.Version):
			return session.ErrVersion("policy")
		case merge:
			base = *old
		}
		whole = ch.Over(base)
		return s.putPolicy(c, &whole, nowMS)
	})
	if err != nil {
		return session.PolicyResult{}, err
	}
	return session.PolicyResult{Policy: whole, Meta: s.meta()}, nil
}

// putPolicy puts a policy into the cluster's record.
func (s *Service) putPolicy(c *clusterRecord, p *session.Policy, nowMS int64) error {
	if err := p.Validate(); err != nil {
		return err
	}
	if err := s.features.supports(*p); err != nil {
		return err
	}
	old := c.policy(p.Name)
	if old == nil && len(c.Policies) >= session.MaxPolicies {
		return session.TooLarge("policies", "there are at most %d policies", session.MaxPolicies)
	}
	c.Version = nextVersion(c.Version, nowMS)
	p.Version = c.Version
	if old != nil {
		if err := c.remember(*old, *p, nowMS); err != nil {
			return err
		}
		*old = *p
		return nil
	}
	c.Policies = append(c.Policies, *p)
	slices.SortFunc(c.Policies, func(a, b session.Policy) int { return strings.Compare(a.Name, b.Name) })
	return nil
}

// maxPast bounds how many earlier timers of one policy are in force at once.
const maxPast = 64

// remember keeps the timers of a policy that is changed, as long as they end sessions sooner than what comes after.
func (c *clusterRecord) remember(old, now session.Policy, nowMS int64) error {
	count := 0
	past := append(slices.Clone(c.Past), pastOf(old, nowMS))
	c.Past = slices.DeleteFunc(past, func(p pastPolicy) bool {
		if p.Name != now.Name {
			return false
		}
		if redundant(p.timers, pastOf(now, nowMS).timers) {
			return true
		}
		count++
		return false
	})
	if count > maxPast {
		return &session.Error{Code: session.CodeConflict, Field: "idle_timeout_s", Message: "the policy's timers were extended too often; make another policy"}
	}
	return nil
}

func pastOf(p session.Policy, untilMS int64) pastPolicy {
	return pastPolicy{p.Name, pastForm{Version: p.Version, UntilMS: untilMS, timers: timers{
		IdleMS: p.IdleTimeout.Milliseconds(), InactivityMS: p.InactivityTimeout.Milliseconds(), AbsoluteEndMS: p.AbsoluteLifetime.Milliseconds(),
	}}}
}

// redundant tells whether earlier timers end nothing that later ones do not end: no timer of theirs is shorter.
func redundant(earlier, later timers) bool {
	return sooner(earlier.IdleMS, later.IdleMS) == later.IdleMS && sooner(earlier.InactivityMS, later.InactivityMS) == later.InactivityMS &&
		sooner(earlier.AbsoluteEndMS, later.AbsoluteEndMS) == later.AbsoluteEndMS
}

// DeletePolicy implements session.Policies. It looks through all users and sessions for one that has the policy. A log-in that is under way meanwhile
// may make one nevertheless: it keeps the timers that it was made with, and is bound to its address.
func (s *Service) DeletePolicy(ctx context.Context, c session.Call, name string) (session.Meta, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	if err := session.ValidatePolicyName(name); err != nil {
		return session.Meta{}, err
	}
	p, err := s.authenticateAs(ctx, c, session.RoleAdmin)
	if err != nil {
		return session.Meta{}, err
	}
	if p.cluster.policy(name) == nil {
		return session.Meta{}, session.ErrNoSuchPolicy()
	}
	used, err := s.policyUsed(ctx, name)
	if err != nil {
		return session.Meta{}, err
	}
	if used || name == session.DefaultPolicyName {
		return session.Meta{}, &session.Error{Code: session.CodeConflict, Field: "policy", Message: "it is in use or was changed by another request meanwhile; look at its present state and ask again"}
	}
	err = s.changeCluster(ctx, func(c *clusterRecord, nowMS int64) error {
		if c.policy(name) == nil {
			return session.ErrNoSuchPolicy()
		}
		c.Version = nextVersion(c.Version, nowMS)
		c.Policies = slices.DeleteFunc(c.Policies, func(p session.Policy) bool { return p.Name == name })
		c.Past = slices.DeleteFunc(c.Past, func(p pastPolicy) bool { return p.Name == name })
		return nil
	})
	return s.meta(), err
}

// policyUsed tells whether an account names the policy, or a session that is not ended has it.
func (s *Service) policyUsed(ctx context.Context, name string) (bool, error) {
	for next, more := "", true; more; more = next != "" {
		page, err := s.store.Scan(ctx, KindUser, next, MaxScan)
		if err != nil {
			return false, asError("look through the users", err)
		}
		for _, r := range page.Records {
			u := userRecord{}
			if err := decode(r.Value, &u); err != nil {
				return false, internalError("read a user", err)
			}
			if u.Account != nil && slices.Contains(u.Account.Policies, name) {
				return true, nil
			}
			// An id stays in the list until what an ended session leaves is taken away. Its record tells: one that is dead by its policy alone must not
			// lose that.
			all, err := s.readListed(ctx, &userChange{user: &u}, func(l listed) bool { return l.Policy == name })
			if err != nil {
				return false, err
			}
			if slices.ContainsFunc(all, func(f *found) bool { return f.session != nil }) {
				return true, nil
			}
		}
		next = page.Next
	}
	return false, nil
}

// GetLimits implements session.Policies: there are none.
func (s *Service) GetLimits(ctx context.Context, c session.Call) (session.ClusterLimitsResult, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	if _, err := s.authenticateAs(ctx, c, session.RoleAdmin); err != nil {
		return session.ClusterLimitsResult{}, err
	}
	return session.ClusterLimitsResult{ClusterLimits: session.ClusterLimits{OnLimit: session.OnLimitRefuse}, Meta: s.meta()}, nil
}

// PatchLimits implements session.Policies.
func (s *Service) PatchLimits(ctx context.Context, c session.Call, ch session.ClusterLimitsChange) (session.ClusterLimitsResult, error) {
	current, err := s.GetLimits(ctx, c)
	if err != nil {
		return session.ClusterLimitsResult{}, err
	}
	wanted := ch.Over(current.ClusterLimits)
	if err := wanted.Validate(); err != nil {
		return session.ClusterLimitsResult{}, err
	}
	if ch.IfMatch != nil && *ch.IfMatch != 0 {
		return session.ClusterLimitsResult{}, session.ErrVersion("limits")
	}
	if err := s.features.supportsLimit(wanted.MaxSessions); err != nil {
		return session.ClusterLimitsResult{}, err
	}
	return current, nil
}
