package ownsessions

import (
	"context"
	"strings"

	"github.com/hydrastore/hydrastore/session"
)

// asked asks the node's own sessions, after a read of the cluster, whose meta the answer gets.
func asked[T any](ctx context.Context, s *Service, setMeta func(*T, session.Meta), ask func(context.Context) (T, error)) (out T, err error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	meta, err := s.now(ctx)
	if err == nil {
		out, err = ask(ctx)
	}
	setMeta(&out, meta)
	return out, err
}

func issued(out *session.Issued, m session.Meta)   { out.Meta = m }
func checked(out *session.Checked, m session.Meta) { out.Meta = m }

// Login implements session.Sessions.
func (s *Service) Login(ctx context.Context, c session.Call, l session.Login) (session.Issued, error) {
	return asked(ctx, s, issued, func(ctx context.Context) (session.Issued, error) { return s.own.Login(ctx, c, l) })
}

// Check implements session.Sessions.
func (s *Service) Check(ctx context.Context, c session.Call, look bool) (out session.Checked, err error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	meta, err := s.read(ctx, c)
	if err == nil {
		out, err = s.own.Check(ctx, c, look)
	}
	out.Meta = meta
	return out, err
}

// Touch implements session.Sessions.
func (s *Service) Touch(ctx context.Context, c session.Call) (session.Checked, error) {
	return asked(ctx, s, checked, func(ctx context.Context) (session.Checked, error) { return s.own.Touch(ctx, c) })
}

// Rotate implements session.Sessions.
func (s *Service) Rotate(ctx context.Context, c session.Call) (session.Issued, error) {
	return asked(ctx, s, issued, func(ctx context.Context) (session.Issued, error) { return s.own.Rotate(ctx, c) })
}

// Reauthenticate implements session.Sessions.
func (s *Service) Reauthenticate(ctx context.Context, c session.Call, p session.Proof) (session.Issued, error) {
	return asked(ctx, s, issued, func(ctx context.Context) (session.Issued, error) { return s.own.Reauthenticate(ctx, c, p) })
}

// PatchAttributes implements session.Sessions.
func (s *Service) PatchAttributes(ctx context.Context, c session.Call, p session.AttributePatch, ifMatch *uint64) (session.Checked, error) {
	return asked(ctx, s, checked, func(ctx context.Context) (session.Checked, error) { return s.own.PatchAttributes(ctx, c, p, ifMatch) })
}

// SealAttributes implements session.Sessions.
func (s *Service) SealAttributes(ctx context.Context, c session.Call, p session.AttributePatch, ifMatch *uint64) (session.Checked, error) {
	return asked(ctx, s, checked, func(ctx context.Context) (session.Checked, error) { return s.own.SealAttributes(ctx, c, p, ifMatch) })
}

// Alter implements session.Sessions.
func (s *Service) Alter(ctx context.Context, c session.Call, a session.Alteration) (session.Checked, error) {
	return asked(ctx, s, checked, func(ctx context.Context) (session.Checked, error) { return s.own.Alter(ctx, c, a) })
}

// Preferences implements session.Sessions. Those of an account are the cluster's; of a user without one they are kept with its sessions.
func (s *Service) Preferences(ctx context.Context, c session.Call) (out session.Preferences, err error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	meta, err := s.read(ctx, c)
	if err != nil {
		return session.Preferences{Meta: meta}, err
	}
	bearer, err := s.own.Bearer(ctx, c)
	if err != nil {
		return session.Preferences{Meta: meta}, err
	}
	values := s.accounts.Preferences(bearer.User)
	out, err = s.own.Preferences(ctx, c) // looks again: what was read is of the account that the session still has
	if bearer.Version != 0 {
		out.Values = values
	}
	out.Meta = meta
	return out, err
}

// PatchPreferences implements session.Sessions.
func (s *Service) PatchPreferences(ctx context.Context, c session.Call, p session.AttributePatch) (out session.Checked, err error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	c.Consistency, c.MinIndex = session.Linearizable, ""
	if c.Subject != nil {
		return out, session.ErrMayNotPresent()
	}
	for again := false; ; again = true {
		meta, err := s.now(ctx)
		if err != nil {
			return out, err
		}
		bearer, err := s.own.Bearer(ctx, c)
		if err != nil {
			return out, err
		}
		if bearer.Version == 0 {
			out, err = s.own.PatchPreferences(ctx, c, p)
			out.Meta = meta
			return out, err
		}
		_, err = s.node.PatchPreferences(withCaller(ctx, bearer, c), session.Call{Address: c.Address}, p)
		if session.CodeOf(err) == session.CodeUnauthenticated && !again {
			continue // the account has changed since it was looked at
		}
		if err != nil {
			return out, err
		}
		out, err = s.own.Touch(ctx, c)
		out.Meta = meta
		return out, err
	}
}

// Logout implements session.Sessions.
func (s *Service) Logout(ctx context.Context, c session.Call) (session.Meta, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	meta, err := s.now(ctx)
	if err == nil {
		_, err = s.own.Logout(ctx, c)
	}
	return meta, err
}

// ListSessions implements session.Sessions: those of this node.
func (s *Service) ListSessions(ctx context.Context, c session.Call, f session.Filter, p session.Page) (out session.SessionList, err error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	meta, err := s.read(ctx, c)
	if err != nil {
		return out, err
	}
	if p.Cursor, err = s.ownCursor(p.Cursor); err != nil {
		return out, err
	}
	out, err = s.own.ListSessions(ctx, c, f, p)
	if out.NextCursor != "" {
		out.NextCursor = s.node.NodeID() + cursorMark + out.NextCursor
	}
	out.Meta = meta
	return out, err
}

// cursorMark parts the node that made a cursor from the place in its list.
const cursorMark = "."

// ownCursor refuses the cursor of another node's list: a list that went on here would be of neither.
func (s *Service) ownCursor(cursor string) (string, error) {
	if cursor == "" {
		return "", nil
	}
	of, place, found := strings.Cut(cursor, cursorMark)
	switch {
	case !found || place == "":
		return "", session.ErrCursor()
	case of != s.node.NodeID():
		return "", errOtherNode()
	}
	return place, nil
}

func errOtherNode() error {
	return session.Invalid("cursor", "is of another node's list: each node keeps its own sessions. Ask that one, or begin anew here")
}

// RevokeSessions implements session.Sessions: those of this node.
func (s *Service) RevokeSessions(ctx context.Context, c session.Call, f session.Filter) (out session.Revoked, err error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	meta, err := s.now(ctx)
	if err == nil {
		out, err = s.own.RevokeSessions(ctx, c, f)
	}
	out.Meta = meta
	return out, err
}

// GetSession implements session.Sessions.
func (s *Service) GetSession(ctx context.Context, c session.Call, id session.ID) (out session.Checked, err error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	meta, err := s.read(ctx, c)
	if err == nil {
		out, err = s.own.GetSession(ctx, c, id)
	}
	out.Meta = meta
	return out, err
}

// RevokeSession implements session.Sessions.
func (s *Service) RevokeSession(ctx context.Context, c session.Call, id session.ID) (session.Meta, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	meta, err := s.now(ctx)
	if err == nil {
		_, err = s.own.RevokeSession(ctx, c, id)
	}
	return meta, err
}

// RevokeUserSessions implements session.Sessions: those of this node.
func (s *Service) RevokeUserSessions(ctx context.Context, c session.Call, user string, which session.UserSessions) (out session.Revoked, err error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	meta, err := s.now(ctx)
	if err == nil {
		out, err = s.own.RevokeUserSessions(ctx, c, user, which)
	}
	out.Meta = meta
	return out, err
}

// IssueChallenge implements session.Proofs: every node can check it.
func (s *Service) IssueChallenge(ctx context.Context, c session.Call) (session.Challenge, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	return s.node.IssueChallenge(ctx, c)
}

// Identify implements session.Proofs.
func (s *Service) Identify(ctx context.Context, c session.Call) (out session.Identity, err error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	meta, err := s.read(ctx, c)
	if err == nil {
		out, err = s.own.Identify(ctx, c)
	}
	out.Meta = meta
	return out, err
}
