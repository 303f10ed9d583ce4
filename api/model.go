package api

import (
	"time"

	"github.com/hydrastore/hydrastore/api/internal/rest"
	"github.com/hydrastore/hydrastore/session"
)

// touchWindowDefault is how the API spells session.TouchWindowAuto: -1 second.
const touchWindowDefault = -time.Second

// idleOfPermanent is how the API spells the idle timeout of a permanent session: -1 second.
const idleOfPermanent = -time.Second

func userModel(u session.User) rest.User {
	roles := make([]rest.Role, len(u.Roles))
	for i, role := range u.Roles {
		roles[i] = rest.Role(role)
	}
	return rest.User{
		User: u.Name, Roles: roles, Policies: append([]string{}, u.Policies...), Disabled: u.Disabled, HasPassword: u.HasPassword, Md5Login: u.MD5Login,
		Sessions: u.Sessions, CreatedAt: rest.Timestamp{Time: u.CreatedAt}, Version: u.Version,
	}
}

func userPageModel(list session.UserList) rest.UserPage {
	items := make([]rest.User, len(list.Items))
	for i, u := range list.Items {
		items[i] = userModel(u)
	}
	return rest.UserPage{Items: items, NextCursor: unlessZero(list.NextCursor), SessionsNode: present(list.Node)}
}

func policyModel(p session.Policy) rest.Policy {
	window := p.TouchWindow
	if window == session.TouchWindowAuto {
		window = touchWindowDefault
	}
	return rest.Policy{
		Name: p.Name, IdleTimeoutS: inSeconds(p.IdleTimeout), AbsoluteLifetimeS: inSeconds(p.AbsoluteLifetime),
		TouchWindowS: inSeconds(window), EffectiveTouchWindowS: inSeconds(p.EffectiveTouchWindow()),
		Attributes: rest.AttributesPlace(p.Attributes), AttributesWrite: rest.AttributesWrite(p.AttributesWrite), InactivityTimeoutS: inSeconds(p.InactivityTimeout), NoTickle: p.NoTickle,
		BindAddress: rest.BindAddress(p.BindAddress), PermanentAllowed: p.PermanentAllowed, LongerIdleAllowed: p.LongerIdleAllowed, RotateGraceS: inSeconds(p.RotateGrace), KeyFormat: rest.KeyFormat(p.KeyFormat), Version: p.Version,
		MaxSessionsPerUser: p.MaxSessionsPerUser, MaxSessionsPerAddress: p.MaxSessionsPerAddress, MaxSessions: p.MaxSessions,
		OnLimit: rest.OnLimit(p.OnLimit), SingleSession: p.SingleSession, PermanentCounted: p.PermanentCounted,
	}
}

func limitsModel(l session.ClusterLimits) rest.Limits {
	return rest.Limits{MaxSessions: l.MaxSessions, OnLimit: rest.OnLimit(l.OnLimit), Version: l.Version}
}

func policyPageModel(list session.PolicyList) rest.PolicyPage {
	items := make([]rest.Policy, len(list.Items))
	for i, p := range list.Items {
		items[i] = policyModel(p)
	}
	return rest.PolicyPage{Items: items}
}

func clusterModel(s session.ClusterStatus) rest.ClusterStatus {
	members := make([]rest.Member, len(s.Members))
	for i, m := range s.Members {
		members[i] = memberModel(m)
	}
	var since *rest.Timestamp
	if !s.PhaseSince.IsZero() {
		since = &rest.Timestamp{Time: s.PhaseSince}
	}
	return rest.ClusterStatus{
		ClusterID: s.ClusterID, NodeID: s.NodeID, LeaderID: unlessZero(s.LeaderID), Term: s.Term, CommitIndex: s.CommitIndex,
		AppliedIndex: s.Applied, FormatLevel: s.FormatLevel, Time: rest.Timestamp{Time: s.Time}, Sessions: s.Sessions, SessionsNode: present(s.SessionsOf),
		Healthy: s.Healthy, FailuresTolerated: s.Failures, Phase: rest.MovePhase(s.Phase), PhaseSince: since, Members: members,
	}
}

func memberModel(m session.Member) rest.Member {
	model := rest.Member{
		ID: m.ID, Name: m.Name, PeerAddress: m.PeerAddress, APIAddress: m.APIAddress, GossipAddress: m.GossipAddress, Role: m.Role,
		Healthy: m.Healthy, State: m.State, AppliedIndex: unlessZero(m.Applied), Version: m.Version, FormatLevel: m.FormatLevel,
	}
	if m.Applied != 0 {
		model.Lag = &m.Lag
	}
	if m.LastContact >= 0 {
		contact := inSeconds(m.LastContact)
		model.LastContactS = &contact
	}
	return model
}

// present gives a text that is left out when it is empty.
func present(text string) *rest.SessionsNode { return unlessZero(text) }

// unlessZero spells "none" as null.
func unlessZero[T comparable](value T) *T {
	var zero T
	if value == zero {
		return nil
	}
	return &value
}
