package cli

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hydrastore/hydrastore/session"
	"github.com/hydrastore/hydrastore/session/portable"
)

// lastLook is how long a move that fails asks a cluster what it has become.
const lastLook = 3 * time.Second

// moveFailure is why a move ended before its end, and what it leaves behind at both sides.
type moveFailure struct {
	cause error
	left  []string // one line each
}

func (f *moveFailure) Error() string {
	cause := f.cause.Error()
	if errors.Is(f.cause, context.Canceled) {
		cause = "interrupted"
	}
	return strings.Join(append([]string{"migrate: " + cause}, f.left...), "\n")
}

func (f *moveFailure) Unwrap() error { return f.cause }

// moveFailed says what a failed move leaves behind. A cluster that it has closed serves again where nothing has arrived at the new home.
func moveFailed(ctx context.Context, from, to *moveSide, err error) error {
	if ctx.Err() != nil {
		err = errors.Join(context.Canceled, err)
	}
	if c, ok := from.cluster(); ok && to.untouched(ctx, err) {
		c.reopen(ctx)
	}
	f := &moveFailure{cause: err}
	f.left = append(f.left, "The old home, "+from.name+", "+from.leftSource(ctx, err)+".")
	f.left = append(f.left, "The new home, "+to.name+", "+to.leftTarget(ctx, err)+".")
	return f
}

// moveSide is one side of a move, and what the command line calls it.
type moveSide struct {
	portable.Target
	name  string
	close func() error
}

func (m *moveSide) cluster() (*clusterSide, bool) {
	c, ok := m.Target.(*clusterSide)
	return c, ok
}

// leftSource says what the home is now from which everything was to be moved.
func (m *moveSide) leftSource(ctx context.Context, err error) string {
	if c, ok := m.cluster(); ok {
		return c.leftSource(ctx)
	}
	if errors.Is(err, errMovedBefore) {
		return "is as it was, and must not serve again while the new home does"
	}
	if filepath.Ext(m.name) == linesFile {
		return "is as it was"
	}
	return "is as it was: where the move is given up, its servers may serve again, if the new home does not"
}

// leftTarget says what the home is now into which everything was to be moved.
func (m *moveSide) leftTarget(ctx context.Context, err error) string {
	switch c, ok := m.cluster(); {
	case errors.Is(err, errMovedBefore):
		return "was not changed: it serves what was moved before"
	case ok:
		return c.leftTarget(ctx)
	case filepath.Ext(m.name) == linesFile:
		return "is not written: a file is there when all of it is. Repeat the command"
	}
	if store, ok := m.Target.(interface{ Underway() bool }); ok && !store.Underway() {
		return "was not changed"
	}
	return "holds a part, and no server serves that: repeat the command, which brings the rest and takes away what the old home has no more"
}

// untouched tells whether the home into which everything was to be moved certainly holds nothing of it, from this move or an earlier one.
func (m *moveSide) untouched(ctx context.Context, err error) bool {
	if errors.Is(err, errMovedBefore) {
		return false
	}
	switch target := m.Target.(type) {
	case *clusterSide:
		return target.untouched(ctx)
	case *portable.File:
		_, err := os.Lstat(m.name)
		return errors.Is(err, fs.ErrNotExist)
	case interface{ Begun() bool }:
		return !target.Begun()
	}
	return false
}

func (s *clusterSide) untouched(ctx context.Context) bool {
	if !s.beginning {
		return true
	}
	now, err := s.now(ctx)
	return err == nil && s.filling.Number == 0 && now.Phase == session.MoveOpen
}

func (s *clusterSide) leftSource(ctx context.Context) string {
	const open = "if it is to serve again, and no other home does: "
	if !s.closing {
		return "was not changed"
	}
	switch now, err := s.now(ctx); {
	case err != nil:
		return "is closed, or may be, and then serves nobody (it cannot be asked: " + messageOf(err) + "); " + open + s.howToOpen()
	case now.Phase == session.MoveOpen:
		return "is open, and serves"
	}
	return "is closed and serves nobody; " + open + s.howToOpen()
}

func (s *clusterSide) leftTarget(ctx context.Context) string {
	const repeat = "serves nobody until a move into it is complete: repeat the command, which begins anew"
	if !s.beginning {
		return "was not changed"
	}
	switch now, err := s.now(ctx); {
	case err != nil:
		return "is being filled, or may be, and then " + repeat + " (it cannot be asked: " + messageOf(err) + ")"
	case now.Phase == session.MoveFilling && s.filling.Number != 0 && now.Number != s.filling.Number:
		return "is being filled by another move, which has ended this one"
	case now.Phase == session.MoveFilling:
		return "is being filled, and " + repeat
	case now.Phase == session.MoveClosed:
		return "is closed, because its own sessions were moved out"
	}
	return "is open, and was not changed"
}
