package ownsessions

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/session"
)

// asCaller does at the node what a caller asks for whose key only this node's sessions know. When the caller's account has changed between the two, it finds out
// anew who asks, once.
func asCaller[T any](ctx context.Context, s *Service, c session.Call, do func(ctx context.Context, c session.Call) (T, error)) (T, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	var none T
	if c.Operator || c.Credentials != nil {
		return do(ctx, c)
	}
	if c.Key.IsZero() {
		return none, session.ErrUnauthenticated()
	}
	for again := false; ; again = true {
		if _, err := s.now(ctx); err != nil {
			return none, err
		}
		known, err := s.identified(ctx, c)
		if err != nil {
			return none, err
		}
		out, err := do(known, session.Call{Address: c.Address, UserAgent: c.UserAgent})
		if session.CodeOf(err) != session.CodeUnauthenticated || again {
			return out, err
		}
	}
}

// identified gives a context that tells the node who asks.
func (s *Service) identified(ctx context.Context, c session.Call) (context.Context, error) {
	id, err := s.own.Authenticate(ctx, c)
	if err != nil {
		return nil, err
	}
	return withCaller(ctx, id, c), nil
}

func withCaller(ctx context.Context, id backend.Identified, c session.Call) context.Context {
	return node.WithCaller(ctx, node.Caller{User: id.User, Roles: id.Roles, Session: id.Session, Version: id.Version, Address: c.Address})
}

// CreateUser implements session.Users.
func (s *Service) CreateUser(ctx context.Context, c session.Call, u session.NewUser) (session.UserResult, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	out, err := asCaller(ctx, s, c, func(ctx context.Context, c session.Call) (session.UserResult, error) {
		return s.node.CreateUser(ctx, c, u)
	})
	return s.done(ctx, out, err)
}

// GetUser implements session.Users.
func (s *Service) GetUser(ctx context.Context, c session.Call, name string) (session.UserResult, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	out, err := asCaller(ctx, s, c, func(ctx context.Context, c session.Call) (session.UserResult, error) {
		return s.node.GetUser(ctx, c, name)
	})
	return s.counted(ctx, out, err)
}

// UpdateUser implements session.Users. The sessions that another password spares are written as alive, so that the next one finds them so; until that is done the
// cluster remembers the caller's.
func (s *Service) UpdateUser(ctx context.Context, c session.Call, name string, ch session.UserChange) (session.UserResult, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	out, err := asCaller(ctx, s, c, func(ctx context.Context, c session.Call) (session.UserResult, error) {
		return s.node.UpdateUser(ctx, c, name, ch)
	})
	if err == nil && ch.Password != nil {
		if err := s.own.Confirm(ctx, out.Name); err != nil {
			return out, s.unknown(err)
		}
	}
	if err == nil {
		s.ended(ctx, out.Name)
	}
	return s.done(ctx, out, err)
}

// done is counted after a change, which is done whatever comes of that.
func (s *Service) done(ctx context.Context, out session.UserResult, err error) (session.UserResult, error) {
	if err != nil {
		return out, err
	}
	if out, err = s.counted(ctx, out, nil); err != nil {
		err = s.unknown(err)
	}
	return out, err
}

// unknown says that a change of a user was made, and that this node has failed in what follows from it.
func (s *Service) unknown(err error) error {
	s.log.Error("a user was changed, but not what this node keeps of its sessions", slog.Any("error", err))
	return &session.Error{Code: session.CodeOutcomeUnknown, Message: "the user was changed in the cluster, but this node could not read or write what it keeps of the user's sessions: look at the user before asking again"}
}

// counted completes an answer about a user with the number of its sessions here.
func (s *Service) counted(ctx context.Context, out session.UserResult, err error) (session.UserResult, error) {
	if err != nil {
		return out, err
	}
	out.Node = s.node.NodeID()
	out.Sessions, err = s.own.CountOfUser(ctx, out.Name)
	return out, err
}

// ListUsers implements session.Users.
func (s *Service) ListUsers(ctx context.Context, c session.Call, p session.Page) (session.UserList, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	out, err := asCaller(ctx, s, c, func(ctx context.Context, c session.Call) (session.UserList, error) {
		return s.node.ListUsers(ctx, c, p)
	})
	if err != nil {
		return out, err
	}
	out.Node = s.node.NodeID()
	for i := range out.Items {
		if out.Items[i].Sessions, err = s.own.CountOfUser(ctx, out.Items[i].Name); err != nil {
			return session.UserList{}, err
		}
	}
	return out, nil
}

// DeleteUser implements session.Users.
func (s *Service) DeleteUser(ctx context.Context, c session.Call, name string) (session.Meta, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	meta, err := asCaller(ctx, s, c, func(ctx context.Context, c session.Call) (session.Meta, error) {
		return s.node.DeleteUser(ctx, c, name)
	})
	if folded, fold := session.FoldUserName(name); err == nil && fold == nil {
		s.ended(ctx, folded)
	}
	return meta, err
}

// ended tells of this node's sessions that a change of an account has ended. What fails here is told by whoever meets them.
func (s *Service) ended(ctx context.Context, name string) {
	if err := s.own.Ended(ctx, name); err != nil {
		s.log.Debug("a user's ended sessions are not reported yet", slog.Any("error", err))
	}
}

// ListPolicies implements session.Policies.
func (s *Service) ListPolicies(ctx context.Context, c session.Call) (session.PolicyList, error) {
	return asCaller(ctx, s, c, s.node.ListPolicies)
}

// GetPolicy implements session.Policies.
func (s *Service) GetPolicy(ctx context.Context, c session.Call, name string) (session.PolicyResult, error) {
	return asCaller(ctx, s, c, func(ctx context.Context, c session.Call) (session.PolicyResult, error) {
		return s.node.GetPolicy(ctx, c, name)
	})
}

// PutPolicy implements session.Policies.
func (s *Service) PutPolicy(ctx context.Context, c session.Call, name string, ch session.PolicyChange) (session.PolicyResult, error) {
	return s.changePolicy(ctx, c, name, ch, s.node.PutPolicy)
}

// PatchPolicy implements session.Policies.
func (s *Service) PatchPolicy(ctx context.Context, c session.Call, name string, ch session.PolicyChange) (session.PolicyResult, error) {
	return s.changePolicy(ctx, c, name, ch, s.node.PatchPolicy)
}

func (s *Service) changePolicy(ctx context.Context, c session.Call, name string, ch session.PolicyChange,
	change func(context.Context, session.Call, string, session.PolicyChange) (session.PolicyResult, error),
) (session.PolicyResult, error) {
	return asCaller(ctx, s, c, func(ctx context.Context, c session.Call) (session.PolicyResult, error) {
		base := session.DefaultPolicy()
		base.Name = name
		if err := backend.SupportsAtNode(ch.Over(base)); err != nil { // each thing that is not supported stands in the change itself
			return session.PolicyResult{}, err
		}
		return change(ctx, c, name, ch)
	})
}

// DeletePolicy implements session.Policies. Sessions of this node keep it; those of others, of which nobody here knows, do not.
func (s *Service) DeletePolicy(ctx context.Context, c session.Call, name string) (session.Meta, error) {
	return asCaller(ctx, s, c, func(ctx context.Context, c session.Call) (session.Meta, error) {
		if _, err := s.node.GetPolicy(ctx, c, name); err != nil {
			return session.Meta{}, err
		}
		used, err := s.own.PolicyUsed(ctx, name)
		if err != nil {
			return session.Meta{}, err
		}
		if used {
			return session.Meta{}, &session.Error{Code: session.CodeConflict, Field: "policy", Message: "sessions of this node have it; look at them, and ask again when they have ended"}
		}
		return s.node.DeletePolicy(ctx, c, name)
	})
}

// GetLimits implements session.Policies.
func (s *Service) GetLimits(ctx context.Context, c session.Call) (session.ClusterLimitsResult, error) {
	return asCaller(ctx, s, c, s.node.GetLimits)
}

// PatchLimits implements session.Policies.
func (s *Service) PatchLimits(ctx context.Context, c session.Call, ch session.ClusterLimitsChange) (session.ClusterLimitsResult, error) {
	return asCaller(ctx, s, c, func(ctx context.Context, c session.Call) (session.ClusterLimitsResult, error) {
		if ch.MaxSessions != nil {
			if err := backend.SupportsLimitAtNode(*ch.MaxSessions); err != nil {
				return session.ClusterLimitsResult{}, err
			}
		}
		return s.node.PatchLimits(ctx, c, ch)
	})
}

// statusPatience is how long the page about the cluster waits for the newest knowledge: it must come without a majority, too.
const statusPatience = time.Second

// ClusterStatus implements session.Cluster. Its sessions are those of this node.
func (s *Service) ClusterStatus(ctx context.Context, c session.Call) (session.ClusterStatus, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	if !c.Operator {
		if c.Key.IsZero() {
			return session.ClusterStatus{}, session.ErrUnauthenticated()
		}
		readable, cancel := context.WithTimeout(ctx, statusPatience)
		_, _ = s.now(readable)
		cancel()
		var err error
		if ctx, err = s.identified(ctx, c); err != nil {
			return session.ClusterStatus{}, err
		}
		c = session.Call{Address: c.Address}
	}
	out, err := s.node.ClusterStatus(ctx, c)
	if err != nil {
		return out, err
	}
	out.Sessions, out.SessionsOf = s.Sessions(), s.node.NodeID()
	return out, nil
}

// AddMember implements session.Cluster.
func (s *Service) AddMember(ctx context.Context, c session.Call, peerAddress string) (session.Meta, error) {
	return asCaller(ctx, s, c, func(ctx context.Context, c session.Call) (session.Meta, error) {
		return s.node.AddMember(ctx, c, peerAddress)
	})
}

// RemoveMember implements session.Cluster.
func (s *Service) RemoveMember(ctx context.Context, c session.Call, nodeID string) (session.Meta, error) {
	return asCaller(ctx, s, c, func(ctx context.Context, c session.Call) (session.Meta, error) {
		return s.node.RemoveMember(ctx, c, nodeID)
	})
}

// TransferLeadership implements session.Cluster.
func (s *Service) TransferLeadership(ctx context.Context, c session.Call, nodeID string) (session.Meta, error) {
	return asCaller(ctx, s, c, func(ctx context.Context, c session.Call) (session.Meta, error) {
		return s.node.TransferLeadership(ctx, c, nodeID)
	})
}

// ownPages begins the cursors of the pages that are about this node's sessions.
const ownPages = "o."

// Reseal implements session.Cluster: first what the cluster keeps sealed of its users, then this node's sessions, which nobody counts.
func (s *Service) Reseal(ctx context.Context, c session.Call, cursor string) (out session.Resealed, err error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	at, own := strings.CutPrefix(cursor, ownPages)
	if own {
		if at, own = strings.CutPrefix(at, s.node.NodeID()+cursorMark); !own {
			return out, errOtherNode()
		}
		meta, err := s.now(ctx)
		if err == nil {
			out, err = s.own.Reseal(ctx, c, at)
		}
		if out.NextCursor != "" {
			out.NextCursor = ownPages + s.node.NodeID() + cursorMark + out.NextCursor
		}
		out.Meta = meta
		return out, err
	}
	out, err = asCaller(ctx, s, c, func(ctx context.Context, c session.Call) (session.Resealed, error) {
		return s.node.Reseal(ctx, c, cursor)
	})
	if err == nil && out.NextCursor == "" {
		out.NextCursor = ownPages + s.node.NodeID() + cursorMark
	}
	out.Left, out.Node = session.LeftUnknown, s.node.NodeID() // what the cluster counts is not all
	return out, err
}
