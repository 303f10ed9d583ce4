package redis_test

import (
	"log/slog"
	"os"
	"testing"

	"github.com/hydrastore/hydrastore/e2e/leftover"

	"github.com/hydrastore/hydrastore/backend/redis"
)

func TestMain(m *testing.M) {
	redis.LogTo(slog.New(slog.DiscardHandler))
	os.Exit(leftover.Verify(m))
}
