package backend

import (
	"context"
	"encoding/json"

	"github.com/hydrastore/hydrastore/session"
)

// noCluster answers what is asked of a cluster, to admins: where sessions are kept elsewhere there is none.
func (s *Service) noCluster(ctx context.Context, c session.Call) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	if _, err := s.authenticateAs(ctx, c, session.RoleAdmin); err != nil {
		return err
	}
	return session.Errorf(session.CodeConflict, "this server keeps its sessions in %s (tokenizer.type) and belongs to no cluster: there are no members, no leader and no log", s.features.Name)
}

// ClusterStatus implements session.Cluster.
func (s *Service) ClusterStatus(ctx context.Context, c session.Call) (session.ClusterStatus, error) {
	return session.ClusterStatus{}, s.noCluster(ctx, c)
}

// AddMember implements session.Cluster.
func (s *Service) AddMember(ctx context.Context, c session.Call, _ string) (session.Meta, error) {
	return session.Meta{}, s.noCluster(ctx, c)
}

// RemoveMember implements session.Cluster.
func (s *Service) RemoveMember(ctx context.Context, c session.Call, _ string) (session.Meta, error) {
	return session.Meta{}, s.noCluster(ctx, c)
}

// TransferLeadership implements session.Cluster.
func (s *Service) TransferLeadership(ctx context.Context, c session.Call, _ string) (session.Meta, error) {
	return session.Meta{}, s.noCluster(ctx, c)
}

// Moving implements session.Moves. What has no log is moved from one store to another, without a server: see MoveStore.
func (s *Service) Moving(ctx context.Context, c session.Call) (session.Moving, error) {
	return session.Moving{}, s.noCluster(ctx, c)
}

// Move implements session.Moves.
func (s *Service) Move(ctx context.Context, c session.Call, _ session.MoveStep) (session.Moving, error) {
	return session.Moving{}, s.noCluster(ctx, c)
}

// ExportRecords implements session.Moves.
func (s *Service) ExportRecords(ctx context.Context, c session.Call, _ string) (session.PortableRecords, error) {
	return session.PortableRecords{}, s.noCluster(ctx, c)
}

// ImportRecords implements session.Moves.
func (s *Service) ImportRecords(ctx context.Context, c session.Call, _ session.Filling, _ []json.RawMessage) (session.Moving, error) {
	return session.Moving{}, s.noCluster(ctx, c)
}
