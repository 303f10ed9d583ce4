package redis_test

import (
	"log/slog"
	"testing"

	"go.uber.org/goleak"

	"github.com/hydrastore/hydrastore/backend/redis"
)

func TestMain(m *testing.M) {
	redis.LogTo(slog.New(slog.DiscardHandler))
	goleak.VerifyTestMain(m)
}
