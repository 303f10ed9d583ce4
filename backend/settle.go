package backend

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

const (
	// firstAdmin is the name of the user that AdminPassword creates.
	firstAdmin  = "admin"
	settlePause = 250 * time.Millisecond
)

// settle writes what the store should have and does not, and tries again until the store can be reached. False: it gave up, for ctx has ended or
// this process may not serve.
func (s *Service) settle(ctx context.Context) bool {
	for told := ""; ; {
		err := s.settleOnce(ctx)
		var bad *misfit
		switch {
		case err == nil:
			s.settled.Store(true)
			return true
		case ctx.Err() != nil:
			return false
		case errors.As(err, &bad), session.CodeOf(err) == session.CodeInvalid:
			s.config.Fatal(err)
			return false
		}
		if text := err.Error(); text != told {
			told = text
			s.log.Warn("the store is not ready yet; trying again", slog.String("error", text))
		}
		select {
		case <-time.After(settlePause):
		case <-ctx.Done():
			return false
		}
	}
}

// settleOnce bounds what it asks of the store. Deriving keys and hashing passwords in between takes as long as it takes: a slow machine must become ready, too.
func (s *Service) settleOnce(ctx context.Context) error {
	if s.config.Directory != nil {
		if err := s.bounded(ctx, s.settleWithDirectory); err != nil {
			return err
		}
		return s.settleSeals(ctx)
	}
	if err := s.bounded(ctx, s.found); err != nil {
		return err
	}
	if err := s.bounded(ctx, s.seedPolicies); err != nil {
		return err
	}
	if err := s.settleSeals(ctx); err != nil {
		return err
	}
	return s.seedAdmin(ctx)
}

// bounded does f within the request timeout.
func (s *Service) bounded(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	return f(ctx)
}

// found writes the cluster's record, if there is none.
func (s *Service) found(ctx context.Context) error {
	if moving, _, err := isMoving(ctx, s.store); err != nil || moving != "" {
		if err != nil {
			return asError("read the store", err)
		}
		return &session.Error{Code: session.CodeUnavailable, Message: errHalfMoved.Error()}
	}
	snapshot, err := s.read(ctx, clusterName())
	if err != nil || snapshot.Records[0].Version != "" {
		return err
	}
	var id [16]byte
	if _, err := io.ReadFull(s.config.Random, id[:]); err != nil {
		return fmt.Errorf("draw the store's id: %w", err)
	}
	first := &clusterRecord{ID: hex.EncodeToString(id[:])}
	if _, err := s.put(ctx, clusterName(), first, "", time.Time{}); err != nil && !errors.Is(err, ErrChanged) {
		return err
	}
	return nil
}

// seedPolicies writes the policies that are missing, and refuses those of others that this release's promises do not hold for.
func (s *Service) seedPolicies(ctx context.Context) error {
	return s.changeCluster(ctx, func(c *clusterRecord, nowMS int64) error {
		changed := false
		for _, p := range s.config.Policies {
			if c.policy(p.Name) != nil {
				continue
			}
			if err := s.putPolicy(c, &p, nowMS); err != nil {
				return err
			}
			changed = true
		}
		for _, p := range c.Policies {
			if err := s.features.supports(p); err != nil {
				return err
			}
		}
		if !changed {
			return errKeep
		}
		return nil
	})
}

func (s *Service) seedAdmin(ctx context.Context) error {
	var record *clusterRecord
	err := s.bounded(ctx, func(ctx context.Context) (err error) { record, _, _, err = s.readCluster(ctx); return err })
	if err != nil || s.config.AdminPassword == "" || len(record.Admins) > 0 {
		return err
	}
	hash, err := s.hasher.Hash(ctx, s.config.AdminPassword)
	if err != nil {
		return err
	}
	ctx, cancel := s.limit(ctx)
	defer cancel()
	roles, policies := []session.Role{session.RoleAdmin}, []string{session.DefaultPolicyName}
	_, err = s.writeUser(ctx, firstAdmin, &accountChange{create: true, hash: &hash, roles: &roles, policies: &policies})
	if session.CodeOf(err) == session.CodeExists {
		s.enlistAdmin(ctx, firstAdmin)
		return nil
	}
	return err
}
