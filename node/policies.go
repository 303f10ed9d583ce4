package node

import (
	"context"

	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// ListPolicies implements session.Policies.
func (n *Node) ListPolicies(ctx context.Context, c session.Call) (session.PolicyList, error) {
	ctx, cancel := n.limit(ctx)
	defer cancel()
	p, err := n.authenticateAs(ctx, c, session.RoleAdmin)
	if err != nil {
		return session.PolicyList{}, err
	}
	return session.PolicyList{Items: n.fsm.Policies(), Meta: n.writeMeta(p.point.index)}, nil
}

// GetPolicy implements session.Policies.
func (n *Node) GetPolicy(ctx context.Context, c session.Call, name string) (session.PolicyResult, error) {
	ctx, cancel := n.limit(ctx)
	defer cancel()
	if err := session.ValidatePolicyName(name); err != nil {
		return session.PolicyResult{}, err
	}
	p, err := n.authenticateAs(ctx, c, session.RoleAdmin)
	if err != nil {
		return session.PolicyResult{}, err
	}
	return n.policyNow(name, n.writeMeta(p.point.index))
}

func (n *Node) policyNow(name string, m session.Meta) (session.PolicyResult, error) {
	policy, ok := n.fsm.Policy(name)
	if !ok {
		return session.PolicyResult{}, session.ErrNoSuchPolicy()
	}
	return session.PolicyResult{Policy: policy, Meta: m}, nil
}

// PutPolicy implements session.Policies.
func (n *Node) PutPolicy(ctx context.Context, c session.Call, name string, ch session.PolicyChange) (session.PolicyResult, error) {
	policy := session.DefaultPolicy()
	policy.Name = name
	return n.changePolicy(ctx, c, policy, ch, fsmpb.PutPolicy_MODE_PUT)
}

// PatchPolicy implements session.Policies.
func (n *Node) PatchPolicy(ctx context.Context, c session.Call, name string, ch session.PolicyChange) (session.PolicyResult, error) {
	return n.changePolicy(ctx, c, session.Policy{Name: name}, ch, fsmpb.PutPolicy_MODE_MERGE)
}

// changePolicy writes the whole policy, or with MODE_MERGE only the given fields: apply merges them, so that two
// changes at once lose nothing.
func (n *Node) changePolicy(ctx context.Context, c session.Call, base session.Policy, ch session.PolicyChange, mode fsmpb.PutPolicy_Mode) (session.PolicyResult, error) {
	ctx, cancel := n.limit(ctx)
	defer cancel()
	if err := session.ValidatePolicyName(base.Name); err != nil {
		return session.PolicyResult{}, err
	}
	p, err := n.authenticateAs(ctx, c, session.RoleAdmin)
	if err != nil {
		return session.PolicyResult{}, err
	}
	if mode == fsmpb.PutPolicy_MODE_MERGE {
		current, err := n.policyNow(base.Name, session.Meta{})
		if err != nil {
			return session.PolicyResult{}, err
		}
		base = current.Policy
	}
	whole := ch.Over(base)
	if err := whole.Validate(); err != nil {
		return session.PolicyResult{}, err
	}
	var put *fsmpb.PutPolicy
	if mode == fsmpb.PutPolicy_MODE_MERGE {
		put = mergePolicy(base.Name, ch)
	} else {
		put = putPolicy(whole, mode)
	}
	put.ExpectedVersion, put.Authority = ch.IfMatch, p.authority(false, fsmpb.Role_ROLE_ADMIN)
	index, err := n.writeAt(ctx, "change policies", &fsmpb.Command{Kind: &fsmpb.Command_PutPolicy{PutPolicy: put}})
	if err != nil {
		return session.PolicyResult{}, err
	}
	if err := n.cluster.WaitApplied(ctx, index); err != nil {
		return session.PolicyResult{}, errOutcomeUnknown() // written, but what it looks like now is not known
	}
	return n.policyNow(base.Name, n.writeMeta(index))
}

// putPolicy writes all fields.
func putPolicy(p session.Policy, mode fsmpb.PutPolicy_Mode) *fsmpb.PutPolicy {
	idle, absolute, window := p.IdleTimeout.Milliseconds(), p.AbsoluteLifetime.Milliseconds(), windowMS(p.TouchWindow.Milliseconds(), p.TouchWindow == session.TouchWindowAuto)
	return &fsmpb.PutPolicy{
		Name: p.Name, Mode: mode, IdleMs: &idle, AbsoluteMs: &absolute, TouchWindowMs: &window, AttributesWrite: writerTo(p.AttributesWrite), AttributesLocal: ptr(p.Attributes == session.AttributesLocal),
		InactivityMs: ptr(p.InactivityTimeout.Milliseconds()), NoTickle: &p.NoTickle, BindAddress: bindingTo(p.BindAddress),
		PermanentAllowed:   &p.PermanentAllowed,
		LongerIdleAllowed:  &p.LongerIdleAllowed,
		RotateGraceMs:      ptr(p.RotateGrace.Milliseconds()),
		KeyFormat:          keyFormatTo(p.KeyFormat),
		MaxSessionsPerUser: ptr(uint32(p.MaxSessionsPerUser)), MaxSessionsPerAddress: ptr(uint32(p.MaxSessionsPerAddress)),
		MaxSessions: ptr(uint32(p.MaxSessions)), OnLimit: onLimitTo(p.OnLimit), SingleSession: &p.SingleSession,
		PermanentCounted: &p.PermanentCounted,
	}
}

// mergePolicy writes the fields that ch names.
func mergePolicy(name string, ch session.PolicyChange) *fsmpb.PutPolicy {
	put := &fsmpb.PutPolicy{Name: name, Mode: fsmpb.PutPolicy_MODE_MERGE}
	if ch.IdleTimeout != nil {
		put.IdleMs = ptr(ch.IdleTimeout.Milliseconds())
	}
	if ch.AbsoluteLifetime != nil {
		put.AbsoluteMs = ptr(ch.AbsoluteLifetime.Milliseconds())
	}
	if ch.TouchWindow != nil {
		put.TouchWindowMs = ptr(windowMS(ch.TouchWindow.Milliseconds(), *ch.TouchWindow == session.TouchWindowAuto))
	}
	if ch.Attributes != nil {
		put.AttributesLocal = ptr(*ch.Attributes == session.AttributesLocal)
	}
	if ch.AttributesWrite != nil {
		put.AttributesWrite = writerTo(*ch.AttributesWrite)
	}
	if ch.InactivityTimeout != nil {
		put.InactivityMs = ptr(ch.InactivityTimeout.Milliseconds())
	}
	if ch.BindAddress != nil {
		put.BindAddress = bindingTo(*ch.BindAddress)
	}
	put.NoTickle, put.PermanentAllowed, put.LongerIdleAllowed = ch.NoTickle, ch.PermanentAllowed, ch.LongerIdleAllowed
	if ch.RotateGrace != nil {
		put.RotateGraceMs = ptr(ch.RotateGrace.Milliseconds())
	}
	if ch.KeyFormat != nil {
		put.KeyFormat = keyFormatTo(*ch.KeyFormat)
	}
	put.MaxSessionsPerUser, put.MaxSessionsPerAddress = countTo(ch.MaxSessionsPerUser), countTo(ch.MaxSessionsPerAddress)
	put.MaxSessions, put.SingleSession, put.PermanentCounted = countTo(ch.MaxSessions), ch.SingleSession, ch.PermanentCounted
	if ch.OnLimit != nil {
		put.OnLimit = onLimitTo(*ch.OnLimit)
	}
	return put
}

func windowMS(ms int64, auto bool) int64 {
	if auto {
		return -1
	}
	return ms
}

func ptr[T any](v T) *T { return &v }

// DeletePolicy implements session.Policies.
func (n *Node) DeletePolicy(ctx context.Context, c session.Call, name string) (session.Meta, error) {
	ctx, cancel := n.limit(ctx)
	defer cancel()
	if err := session.ValidatePolicyName(name); err != nil {
		return session.Meta{}, err
	}
	p, err := n.authenticateAs(ctx, c, session.RoleAdmin)
	if err != nil {
		return session.Meta{}, err
	}
	return n.write(ctx, "delete this policy", &fsmpb.Command{Kind: &fsmpb.Command_DeletePolicy{DeletePolicy: &fsmpb.DeletePolicy{
		Name: name, Authority: p.authority(false, fsmpb.Role_ROLE_ADMIN),
	}}})
}
