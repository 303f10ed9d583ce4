package apitest

import (
	"context"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

// proves tells whether a password is the user's. There are no digests here.
func (u *user) proves(password string, d *session.Digest) bool {
	return u != nil && u.password != "" && d == nil && u.password == password
}

// IssueChallenge implements session.Proofs.
func (s *Service) IssueChallenge(ctx context.Context, c session.Call) (session.Challenge, error) {
	leave, err := s.enter(ctx, "IssueChallenge", c)
	if err != nil {
		return session.Challenge{}, err
	}
	defer leave()
	at := s.now.Truncate(time.Second)
	return session.Challenge{Text: "c0:0:0:60:aaaaaaaaaaaaaaaaaaaa:00000000000000000000000000000000", IssuedAt: at,
		ExpiresAt: at.Add(session.ChallengeLifetime), Meta: s.meta(c)}, nil
}

// Identify implements session.Proofs.
func (s *Service) Identify(ctx context.Context, c session.Call) (session.Identity, error) {
	leave, err := s.enter(ctx, "Identify", c)
	if err != nil {
		return session.Identity{}, err
	}
	defer leave()
	own, err := s.caller(c)
	if err != nil {
		return session.Identity{}, err
	}
	return session.Identity{User: own.User, Roles: own.roles, Meta: s.meta(c)}, nil
}
