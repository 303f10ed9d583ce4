package redis

import (
	"context"
	"fmt"
	"log/slog"

	goredis "github.com/redis/go-redis/v9"
)

// LogTo takes what go-redis itself has to say, which has one logger for the whole process: at level debug, because what operators must know
// each Store logs by itself. Call it before the first Open.
func LogTo(l *slog.Logger) { goredis.SetLogger(clientLog{l}) }

type clientLog struct{ to *slog.Logger }

// Printf is what go-redis calls.
func (c clientLog) Printf(ctx context.Context, format string, v ...any) {
	if c.to.Enabled(ctx, slog.LevelDebug) {
		c.to.DebugContext(ctx, "Redis client: "+fmt.Sprintf(format, v...))
	}
}
