package gossip

import (
	"bytes"
	"context"
	"log"
	"log/slog"
	"strings"
)

// maxLineBytes bounds a log line: memberlist writes what strangers send.
const maxLineBytes = 1 << 10

// newLogger makes the logger that memberlist wants out of ours. memberlist writes no keys. suspected is told of members
// that answer no probe: memberlist has no event for that, the line it logs is the only sign.
func newLogger(to *slog.Logger, suspected func(name string)) *log.Logger {
	return log.New(&lineWriter{to, suspected}, "", 0)
}

// What memberlist v0.6.0 logs around the name of a member that failed a probe, directly and through others.
const (
	suspectPrefix = "Suspect "
	suspectSuffix = " has failed, no acks received"
)

// lineWriter gives each line of memberlist's to slog at its own level.
type lineWriter struct {
	to        *slog.Logger
	suspected func(name string)
}

// Write implements io.Writer for one line.
func (w *lineWriter) Write(line []byte) (int, error) {
	text := string(bytes.TrimSpace(line[:min(len(line), maxLineBytes)]))
	level, text := splitLevel(text)
	text = strings.TrimPrefix(text, "memberlist: ")
	if name, ok := strings.CutPrefix(text, suspectPrefix); ok {
		if name, ok = strings.CutSuffix(name, suspectSuffix); ok {
			w.suspected(name)
		}
	}
	w.to.Log(context.Background(), level, text, "part", "gossip")
	return len(line), nil
}

// splitLevel takes the level off a line; a line without one is an error that memberlist forgot to mark.
func splitLevel(line string) (slog.Level, string) {
	for _, l := range []struct {
		mark  string
		level slog.Level
	}{
		{"[DEBUG] ", slog.LevelDebug},
		{"[INFO] ", slog.LevelInfo},
		{"[WARN] ", slog.LevelWarn},
		{"[ERR] ", slog.LevelError},
		{"[ERROR] ", slog.LevelError},
	} {
		if rest, ok := strings.CutPrefix(line, l.mark); ok {
			return l.level, rest
		}
	}
	return slog.LevelError, line
}
