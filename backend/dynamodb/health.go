package dynamodb

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/session"
)

// health is what is known of the table; nil = it serves.
type health struct{ state atomic.Pointer[session.Error] }

// Ready implements backend.Store.
func (s *Store) Ready() error {
	if e := s.health.state.Load(); e != nil {
		return e
	}
	return s.usable(context.Background())
}

func (s *Store) watchHealth(ctx context.Context) {
	every := time.NewTicker(s.config.HealthInterval)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
			s.checkHealth(ctx)
		}
	}
}

// checkHealth reads an item that is not there, and logs when the answer changes.
func (s *Store) checkHealth(ctx context.Context) {
	_, err := s.getOne(ctx, backend.Name{Kind: backend.KindCluster, ID: "health"})
	if err == nil && s.clock.skew() != 0 {
		err = s.usable(ctx)
	}
	before := s.health.state.Load()
	var e *session.Error
	switch {
	case err == nil:
		if s.health.state.Store(nil); before != nil {
			s.config.Logger.Info("DynamoDB serves")
		}
	case errors.As(err, &e) && ctx.Err() == nil:
		if s.health.state.Store(e); before == nil || before.Message != e.Message {
			s.config.Logger.Error("DynamoDB does not serve", "reason", e.Message, "err", err)
		}
	}
}
