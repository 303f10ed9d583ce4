package redis_test

import (
	"testing"

	"github.com/hydrastore/hydrastore/backend/backendtest"
	"github.com/hydrastore/hydrastore/backend/redis"
	"github.com/hydrastore/hydrastore/backend/redis/redistest"
)

func TestMove(t *testing.T) {
	t.Parallel()
	server := startServer(t, redistest.Options{})
	backendtest.MoveThrough(t, open(t, redis.Config{Address: server.Address(), Prefix: "move"}))
	backendtest.MovePast(t, open(t, redis.Config{Address: server.Address(), Prefix: "past"}))
}
