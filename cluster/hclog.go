package cluster

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"

	"github.com/hashicorp/go-hclog"
)

// raftLogger is an hclog.Logger that writes to slog, so that the libraries' lines
// come out like everyone's. Levels are slog's to decide.
type raftLogger struct {
	out  *slog.Logger
	name string
	args []any
}

// newRaftLogger returns a logger for a library, named name.
func newRaftLogger(out *slog.Logger, name string) hclog.Logger {
	return &raftLogger{out: out.With("part", name), name: name}
}

var levels = map[hclog.Level]slog.Level{
	hclog.Trace: slog.LevelDebug - 4,
	hclog.Debug: slog.LevelDebug,
	hclog.Info:  slog.LevelInfo,
	hclog.Warn:  slog.LevelWarn,
	hclog.Error: slog.LevelError,
}

// Log is hclog.Logger's, as are the methods below.
func (l *raftLogger) Log(level hclog.Level, msg string, args ...any) {
	at, ok := levels[level]
	if !ok || !l.out.Enabled(context.Background(), at) {
		return
	}
	attrs := make([]any, len(args))
	for i, a := range args {
		if f, ok := a.(hclog.Format); ok && len(f) > 0 {
			a = fmt.Sprintf(fmt.Sprint(f[0]), f[1:]...)
		}
		attrs[i] = a
	}
	l.out.Log(context.Background(), at, msg, attrs...)
}

// Trace logs at a level below debug.
func (l *raftLogger) Trace(msg string, args ...any) { l.Log(hclog.Trace, msg, args...) }

// Debug logs what only a developer wants.
func (l *raftLogger) Debug(msg string, args ...any) { l.Log(hclog.Debug, msg, args...) }

// Info logs what happens normally.
func (l *raftLogger) Info(msg string, args ...any) { l.Log(hclog.Info, msg, args...) }

// Warn logs what may need attention.
func (l *raftLogger) Warn(msg string, args ...any) { l.Log(hclog.Warn, msg, args...) }

// Error logs what went wrong.
func (l *raftLogger) Error(msg string, args ...any) { l.Log(hclog.Error, msg, args...) }

func (l *raftLogger) enabled(level hclog.Level) bool {
	return l.out.Enabled(context.Background(), levels[level])
}

// IsTrace reports whether such lines are written.
func (l *raftLogger) IsTrace() bool { return l.enabled(hclog.Trace) }

// IsDebug reports whether such lines are written.
func (l *raftLogger) IsDebug() bool { return l.enabled(hclog.Debug) }

// IsInfo reports whether such lines are written.
func (l *raftLogger) IsInfo() bool { return l.enabled(hclog.Info) }

// IsWarn reports whether such lines are written.
func (l *raftLogger) IsWarn() bool { return l.enabled(hclog.Warn) }

// IsError reports whether such lines are written.
func (l *raftLogger) IsError() bool { return l.enabled(hclog.Error) }

// ImpliedArgs returns what With was given.
func (l *raftLogger) ImpliedArgs() []any { return l.args }

// With returns a logger that adds args to every line.
func (l *raftLogger) With(args ...any) hclog.Logger {
	return &raftLogger{out: l.out.With(args...), name: l.name, args: append(l.args[:len(l.args):len(l.args)], args...)}
}

// Name returns the logger's name.
func (l *raftLogger) Name() string { return l.name }

// Named returns a logger for a part of this one's.
func (l *raftLogger) Named(name string) hclog.Logger { return l.ResetNamed(l.name + "." + name) }

// ResetNamed returns a logger of another name.
func (l *raftLogger) ResetNamed(name string) hclog.Logger {
	return &raftLogger{out: l.out, name: name, args: l.args}
}

// SetLevel does nothing: slog decides.
func (l *raftLogger) SetLevel(hclog.Level) {}

// GetLevel returns the lowest level that is written.
func (l *raftLogger) GetLevel() hclog.Level {
	for _, level := range []hclog.Level{hclog.Trace, hclog.Debug, hclog.Info, hclog.Warn} {
		if l.enabled(level) {
			return level
		}
	}
	return hclog.Error
}

// StandardLogger returns a log.Logger whose lines come out at info.
func (l *raftLogger) StandardLogger(*hclog.StandardLoggerOptions) *log.Logger {
	return slog.NewLogLogger(l.out.Handler(), slog.LevelInfo)
}

// StandardWriter returns a writer whose lines come out at info.
func (l *raftLogger) StandardWriter(opts *hclog.StandardLoggerOptions) io.Writer {
	return l.StandardLogger(opts).Writer()
}
