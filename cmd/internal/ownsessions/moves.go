package ownsessions

import (
	"context"
	"encoding/json"

	"github.com/hydrastore/hydrastore/session"
)

// Moving implements session.Moves.
func (s *Service) Moving(ctx context.Context, c session.Call) (session.Moving, error) {
	return asCaller(ctx, s, c, s.node.Moving)
}

// Move implements session.Moves. A cluster that was closed before each node was to keep its own sessions is opened again, so that they can.
func (s *Service) Move(ctx context.Context, c session.Call, step session.MoveStep) (session.Moving, error) {
	if step.Kind != session.MoveReopen {
		return session.Moving{}, s.notMoved(ctx, c)
	}
	return asCaller(ctx, s, c, func(ctx context.Context, c session.Call) (session.Moving, error) {
		return s.node.Move(ctx, c, step)
	})
}

// ExportRecords implements session.Moves.
func (s *Service) ExportRecords(ctx context.Context, c session.Call, _ string) (session.PortableRecords, error) {
	return session.PortableRecords{}, s.notMoved(ctx, c)
}

// ImportRecords implements session.Moves.
func (s *Service) ImportRecords(ctx context.Context, c session.Call, _ session.Filling, _ []json.RawMessage) (session.Moving, error) {
	return session.Moving{}, s.notMoved(ctx, c)
}

// notMoved refuses to move what one node has and the others have not.
func (s *Service) notMoved(ctx context.Context, c session.Call) error {
	if _, err := s.Moving(ctx, c); err != nil { // who asks may not, or cannot now
		return err
	}
	return session.Errorf(session.CodeConflict, "each node keeps its own sessions (user.sessionPersistence: false): they are not moved to another home, nor from one")
}
