package apitest

import (
	"context"
	"encoding/json"
	"maps"
	"slices"

	"github.com/hydrastore/hydrastore/session"
)

// admin is enter for what only admins may do.
func (s *Service) admin(ctx context.Context, method string, c session.Call) (leave func(), err error) {
	leave, err = s.enter(ctx, method, c)
	if err != nil {
		return nil, err
	}
	if _, err := s.caller(c, session.RoleAdmin); err != nil {
		leave()
		return nil, err
	}
	return leave, nil
}

// CreateUser implements session.Users.
func (s *Service) CreateUser(ctx context.Context, c session.Call, u session.NewUser) (session.UserResult, error) {
	leave, err := s.admin(ctx, "CreateUser", c)
	if err != nil {
		return session.UserResult{}, err
	}
	defer leave()
	made := &user{password: u.Password, User: session.User{Policies: u.Policies, Disabled: u.Disabled, HasPassword: u.Password != "", MD5Login: u.MD5Login, CreatedAt: s.now}}
	if made.Name, err = session.FoldUserName(u.Name); err != nil {
		return session.UserResult{}, err
	}
	if made.Roles, err = session.NormalRoles(u.Roles); err != nil {
		return session.UserResult{}, err
	}
	if u.Password != "" {
		if err := session.ValidatePassword(u.Password); err != nil {
			return session.UserResult{}, err
		}
	}
	if s.users[made.Name] != nil {
		return session.UserResult{}, session.Errorf(session.CodeExists, "there is such a user")
	}
	if len(made.Policies) == 0 {
		made.Policies = []string{session.DefaultPolicyName}
	}
	meta := s.written()
	made.Version = s.index
	s.users[made.Name] = made
	return session.UserResult{User: made.User, Meta: meta}, nil
}

func (s *Service) find(name string) (*user, error) {
	folded, err := session.FoldUserName(name)
	if err != nil {
		return nil, err
	}
	if u := s.users[folded]; u != nil {
		return u, nil
	}
	return nil, session.Errorf(session.CodeNotFound, "there is no such user")
}

// GetUser implements session.Users.
func (s *Service) GetUser(ctx context.Context, c session.Call, name string) (session.UserResult, error) {
	leave, err := s.admin(ctx, "GetUser", c)
	if err != nil {
		return session.UserResult{}, err
	}
	defer leave()
	u, err := s.find(name)
	if err != nil {
		return session.UserResult{}, err
	}
	return session.UserResult{User: u.User, Meta: s.meta(c)}, nil
}

// ListUsers implements session.Users. A cursor is the last name shown.
func (s *Service) ListUsers(ctx context.Context, c session.Call, p session.Page) (session.UserList, error) {
	leave, err := s.admin(ctx, "ListUsers", c)
	if err != nil {
		return session.UserList{}, err
	}
	defer leave()
	if p.Limit == 0 {
		p.Limit = session.DefaultPageSize
	}
	list := session.UserList{Meta: s.meta(c)}
	for _, name := range slices.Sorted(maps.Keys(s.users)) {
		if name <= p.Cursor {
			continue
		}
		if len(list.Items) == p.Limit {
			list.NextCursor = list.Items[p.Limit-1].Name
			break
		}
		list.Items = append(list.Items, s.users[name].User)
	}
	return list, nil
}

// UpdateUser implements session.Users.
func (s *Service) UpdateUser(ctx context.Context, c session.Call, name string, ch session.UserChange) (session.UserResult, error) {
	leave, err := s.admin(ctx, "UpdateUser", c)
	if err != nil {
		return session.UserResult{}, err
	}
	defer leave()
	u, err := s.find(name)
	if err != nil {
		return session.UserResult{}, err
	}
	if ch.CurrentPassword != nil && *ch.CurrentPassword != u.password {
		return session.UserResult{}, &session.Error{Code: session.CodeForbidden, Field: "current_password", Message: "the present password is not right"}
	}
	if ch.IfMatch != nil && *ch.IfMatch != u.Version {
		return session.UserResult{}, session.Errorf(session.CodeVersionMismatch, "another version")
	}
	changed := *u
	if ch.Roles != nil {
		if changed.Roles, err = session.NormalRoles(*ch.Roles); err != nil {
			return session.UserResult{}, err
		}
	}
	if ch.Password != nil {
		if err := session.ValidatePassword(*ch.Password); err != nil {
			return session.UserResult{}, err
		}
		changed.password, changed.HasPassword = *ch.Password, true
	}
	if ch.Policies != nil {
		changed.Policies = *ch.Policies
	}
	if ch.Disabled != nil {
		changed.Disabled = *ch.Disabled
	}
	if ch.MD5Login != nil {
		changed.MD5Login = *ch.MD5Login
	}
	meta := s.written()
	changed.Version = s.index
	*u = changed
	return session.UserResult{User: u.User, Meta: meta}, nil
}

// DeleteUser implements session.Users.
func (s *Service) DeleteUser(ctx context.Context, c session.Call, name string) (session.Meta, error) {
	leave, err := s.admin(ctx, "DeleteUser", c)
	if err != nil {
		return session.Meta{}, err
	}
	defer leave()
	u, err := s.find(name)
	if err != nil {
		return session.Meta{}, err
	}
	delete(s.users, u.Name)
	s.endAll(func(h *held) bool { return h.User == u.Name })
	return s.written(), nil
}

// ListPolicies implements session.Policies.
func (s *Service) ListPolicies(ctx context.Context, c session.Call) (session.PolicyList, error) {
	leave, err := s.admin(ctx, "ListPolicies", c)
	if err != nil {
		return session.PolicyList{}, err
	}
	defer leave()
	list := session.PolicyList{Meta: s.meta(c)}
	for _, name := range slices.Sorted(maps.Keys(s.policies)) {
		list.Items = append(list.Items, s.policies[name])
	}
	return list, nil
}

// GetPolicy implements session.Policies.
func (s *Service) GetPolicy(ctx context.Context, c session.Call, name string) (session.PolicyResult, error) {
	leave, err := s.admin(ctx, "GetPolicy", c)
	if err != nil {
		return session.PolicyResult{}, err
	}
	defer leave()
	policy, known := s.policies[name]
	if !known {
		return session.PolicyResult{}, session.Errorf(session.CodeNotFound, "there is no such policy")
	}
	return session.PolicyResult{Policy: policy, Meta: s.meta(c)}, nil
}

// PutPolicy implements session.Policies.
func (s *Service) PutPolicy(ctx context.Context, c session.Call, name string, ch session.PolicyChange) (session.PolicyResult, error) {
	leave, err := s.admin(ctx, "PutPolicy", c)
	if err != nil {
		return session.PolicyResult{}, err
	}
	defer leave()
	return s.putPolicy(session.DefaultPolicy(), name, ch)
}

// PatchPolicy implements session.Policies.
func (s *Service) PatchPolicy(ctx context.Context, c session.Call, name string, ch session.PolicyChange) (session.PolicyResult, error) {
	leave, err := s.admin(ctx, "PatchPolicy", c)
	if err != nil {
		return session.PolicyResult{}, err
	}
	defer leave()
	policy, known := s.policies[name]
	if !known {
		return session.PolicyResult{}, session.Errorf(session.CodeNotFound, "there is no such policy")
	}
	return s.putPolicy(policy, name, ch)
}

func (s *Service) putPolicy(p session.Policy, name string, ch session.PolicyChange) (session.PolicyResult, error) {
	if ch.IfMatch != nil && *ch.IfMatch != s.policies[name].Version {
		return session.PolicyResult{}, session.Errorf(session.CodeVersionMismatch, "another version")
	}
	p.Name = name
	if ch.IdleTimeout != nil {
		p.IdleTimeout = *ch.IdleTimeout
	}
	if ch.AbsoluteLifetime != nil {
		p.AbsoluteLifetime = *ch.AbsoluteLifetime
	}
	if ch.TouchWindow != nil {
		p.TouchWindow = *ch.TouchWindow
	}
	if ch.Attributes != nil {
		p.Attributes = *ch.Attributes
	}
	if ch.AttributesWrite != nil {
		p.AttributesWrite = *ch.AttributesWrite
	}
	if ch.InactivityTimeout != nil {
		p.InactivityTimeout = *ch.InactivityTimeout
	}
	if ch.NoTickle != nil {
		p.NoTickle = *ch.NoTickle
	}
	if ch.BindAddress != nil {
		p.BindAddress = *ch.BindAddress
	}
	if ch.PermanentAllowed != nil {
		p.PermanentAllowed = *ch.PermanentAllowed
	}
	if ch.LongerIdleAllowed != nil {
		p.LongerIdleAllowed = *ch.LongerIdleAllowed
	}
	if ch.RotateGrace != nil {
		p.RotateGrace = *ch.RotateGrace
	}
	if ch.KeyFormat != nil {
		p.KeyFormat = *ch.KeyFormat
	}
	p.PolicyLimits = ch.LimitsChange.Over(p.PolicyLimits)
	if err := p.Validate(); err != nil {
		return session.PolicyResult{}, err
	}
	meta := s.written()
	p.Version = s.index
	s.policies[name] = p
	return session.PolicyResult{Policy: p, Meta: meta}, nil
}

// GetLimits implements session.Policies.
func (s *Service) GetLimits(ctx context.Context, c session.Call) (session.ClusterLimitsResult, error) {
	leave, err := s.admin(ctx, "GetLimits", c)
	if err != nil {
		return session.ClusterLimitsResult{}, err
	}
	defer leave()
	return session.ClusterLimitsResult{ClusterLimits: s.limits, Meta: s.meta(c)}, nil
}

// PatchLimits implements session.Policies.
func (s *Service) PatchLimits(ctx context.Context, c session.Call, ch session.ClusterLimitsChange) (session.ClusterLimitsResult, error) {
	leave, err := s.admin(ctx, "PatchLimits", c)
	if err != nil {
		return session.ClusterLimitsResult{}, err
	}
	defer leave()
	if ch.IfMatch != nil && *ch.IfMatch != s.limits.Version {
		return session.ClusterLimitsResult{}, session.Errorf(session.CodeVersionMismatch, "another version")
	}
	limits := ch.Over(s.limits)
	if err := limits.Validate(); err != nil {
		return session.ClusterLimitsResult{}, err
	}
	meta := s.written()
	limits.Version = s.index
	s.limits = limits
	return session.ClusterLimitsResult{ClusterLimits: limits, Meta: meta}, nil
}

// DeletePolicy implements session.Policies.
func (s *Service) DeletePolicy(ctx context.Context, c session.Call, name string) (session.Meta, error) {
	leave, err := s.admin(ctx, "DeletePolicy", c)
	if err != nil {
		return session.Meta{}, err
	}
	defer leave()
	if _, known := s.policies[name]; !known {
		return session.Meta{}, session.Errorf(session.CodeNotFound, "there is no such policy")
	}
	delete(s.policies, name)
	return s.written(), nil
}

// ClusterStatus implements session.Cluster.
func (s *Service) ClusterStatus(ctx context.Context, c session.Call) (session.ClusterStatus, error) {
	leave, err := s.admin(ctx, "ClusterStatus", c)
	if err != nil {
		return session.ClusterStatus{}, err
	}
	defer leave()
	moving := s.moving(session.Meta{})
	return session.ClusterStatus{
		ClusterID: "c1", NodeID: "n1", LeaderID: "n1", Term: 3, CommitIndex: s.index, Applied: s.index, FormatLevel: 1, Time: s.now,
		Sessions: len(s.sessions), SessionsOf: s.own, Healthy: true, Failures: 1, Phase: moving.Phase, PhaseSince: moving.At, Members: slices.Clone(s.members),
	}, nil
}

// AddMember implements session.Cluster.
func (s *Service) AddMember(ctx context.Context, c session.Call, peerAddress string) (session.Meta, error) {
	leave, err := s.admin(ctx, "AddMember", c)
	if err != nil {
		return session.Meta{}, err
	}
	defer leave()
	s.members = append(s.members, session.Member{ID: "n" + peerAddress, PeerAddress: peerAddress, Role: "non-voter"})
	return s.written(), nil
}

// RemoveMember implements session.Cluster.
func (s *Service) RemoveMember(ctx context.Context, c session.Call, nodeID string) (session.Meta, error) {
	leave, err := s.admin(ctx, "RemoveMember", c)
	if err != nil {
		return session.Meta{}, err
	}
	defer leave()
	left := slices.DeleteFunc(slices.Clone(s.members), func(m session.Member) bool { return m.ID == nodeID })
	if len(left) == len(s.members) {
		return session.Meta{}, session.Errorf(session.CodeNotFound, "there is no such member")
	}
	s.members = left
	return s.written(), nil
}

// TransferLeadership implements session.Cluster.
func (s *Service) TransferLeadership(ctx context.Context, c session.Call, nodeID string) (session.Meta, error) {
	leave, err := s.admin(ctx, "TransferLeadership", c)
	if err != nil {
		return session.Meta{}, err
	}
	defer leave()
	if nodeID != "" && !slices.ContainsFunc(s.members, func(m session.Member) bool { return m.ID == nodeID }) {
		return session.Meta{}, session.Errorf(session.CodeNotFound, "there is no such member")
	}
	return s.written(), nil
}

// Uncounted is a cursor of Reseal, as of a home that does not count what is left.
const Uncounted = "uncounted"

// Reseal implements session.Cluster: two pages, one value each.
func (s *Service) Reseal(ctx context.Context, c session.Call, cursor string) (session.Resealed, error) {
	leave, err := s.admin(ctx, "Reseal", c)
	if err != nil {
		return session.Resealed{}, err
	}
	defer leave()
	switch cursor {
	case "":
		return session.Resealed{Count: 1, Left: 1, NextCursor: "second", Meta: s.written()}, nil
	case "second":
		return session.Resealed{Count: 1, Meta: s.written()}, nil
	case Uncounted:
		return session.Resealed{Count: 1, Left: session.LeftUnknown, Meta: s.written()}, nil
	}
	return session.Resealed{}, session.Invalid("cursor", "is not one of this list")
}

// operator lets operators through, and tells the others what they lack.
func (s *Service) operator(ctx context.Context, method string, c session.Call) (leave func(), err error) {
	leave, err = s.admin(ctx, method, c)
	if err == nil && !c.Operator {
		leave()
		err = session.ErrOperatorOnly()
	}
	return leave, err
}

// Moving implements session.Moves.
func (s *Service) Moving(ctx context.Context, c session.Call) (session.Moving, error) {
	leave, err := s.operator(ctx, "Moving", c)
	if err != nil {
		return session.Moving{}, err
	}
	defer leave()
	return s.moving(s.meta(c)), nil
}

func (s *Service) moving(m session.Meta) session.Moving {
	out := session.Moving{Phase: s.phase, Origin: s.origin, Users: len(s.users), Sessions: len(s.sessions), Meta: m}
	if s.phase != session.MoveOpen {
		out.At = s.now
	}
	switch s.phase {
	case session.MoveFilling:
		out.Number = s.fillings
	case session.MoveClosed:
		out.Number = s.closings
	}
	return out
}

// Move implements session.Moves: the phases change, and nothing hangs on them.
func (s *Service) Move(ctx context.Context, c session.Call, step session.MoveStep) (session.Moving, error) {
	leave, err := s.operator(ctx, "Move", c)
	if err != nil {
		return session.Moving{}, err
	}
	defer leave()
	switch step.Kind {
	case session.MoveClose:
		s.phase = session.MoveClosed
		s.closings++
	case session.MoveBegin:
		s.phase, s.origin = session.MoveFilling, string(step.Cluster)
		s.fillings++
	case session.MoveReopen:
		if s.phase == session.MoveClosed && step.Filling.Number != 0 && step.Filling.Number != s.closings {
			return session.Moving{}, session.Errorf(session.CodeConflict, "it was closed again")
		}
		s.phase = session.MoveOpen
	case session.MoveFinish:
		if (step.Filling != session.Filling{Origin: s.origin, Number: s.fillings}) || step.Users != len(s.users) || step.Sessions != len(s.sessions) {
			return session.Moving{}, session.Errorf(session.CodeConflict, "there are others")
		}
		s.phase = session.MoveOpen
	default:
		return session.Moving{}, session.Invalid("step", "is none")
	}
	return s.moving(s.written()), nil
}

// ExportRecords implements session.Moves: two pages, of what was imported.
func (s *Service) ExportRecords(ctx context.Context, c session.Call, cursor string) (session.PortableRecords, error) {
	leave, err := s.operator(ctx, "ExportRecords", c)
	if err != nil {
		return session.PortableRecords{}, err
	}
	defer leave()
	half := len(s.records) / 2
	switch cursor {
	case "":
		return session.PortableRecords{Records: s.records[:half], NextCursor: "second", Meta: s.meta(c)}, nil
	case "second":
		return session.PortableRecords{Records: s.records[half:], Meta: s.meta(c)}, nil
	}
	return session.PortableRecords{}, session.Invalid("cursor", "is not one of this list")
}

// ImportRecords implements session.Moves.
func (s *Service) ImportRecords(ctx context.Context, c session.Call, f session.Filling, records []json.RawMessage) (session.Moving, error) {
	leave, err := s.operator(ctx, "ImportRecords", c)
	if err != nil {
		return session.Moving{}, err
	}
	defer leave()
	if (f != session.Filling{Origin: s.origin, Number: s.fillings}) {
		return session.Moving{}, session.Errorf(session.CodeConflict, "another home fills this one")
	}
	s.records = append(s.records, records...)
	return s.moving(s.written()), nil
}
