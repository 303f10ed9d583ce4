package auth

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

// Throttle bounds how often passwords may be tried. Wrong ones are counted where all nodes see it, so that it does not
// matter which nodes are asked; a right one is not counted in the end.
type Throttle struct {
	// Window is the time over which attempts come back, evenly. Longer is harder on guessers and on people who
	// have forgotten their password. Default 5 min.
	Window time.Duration
	// PerUser is how many attempts a user has from one address (IPv6: one /64). 0 = no such limit. Default 10.
	PerUser int
	// PerAddress is how many attempts all users have together from one address. Many people may share one, and behind an application
	// that names no client address all do. 0 = no such limit. Default 100.
	PerAddress int
	// PerNode is how many attempts wait at this node for their turn before others are refused. Nothing is written for
	// those that wait. Default 256, as many as two processors check in three seconds.
	PerNode int
}

// DefaultThrottle returns the defaults that the fields of Throttle name.
func DefaultThrottle() Throttle {
	return Throttle{Window: 5 * time.Minute, PerUser: 10, PerAddress: 100, PerNode: 256}
}

// Validate tells the first field that cannot work.
func (t Throttle) Validate() error {
	within := func(field string, n int) error {
		if n < 0 || n > session.MaxAttempts {
			return session.Invalid(field, "must be between 0 (no such limit) and %d", session.MaxAttempts)
		}
		if int64(n) > t.Window.Milliseconds() {
			return session.Invalid(field, "the window of %v is too short for %d attempts: at least a millisecond for each", t.Window, n)
		}
		return nil
	}
	switch {
	case t.Window < time.Second || t.Window > session.MaxAttemptWindow:
		return session.Invalid("throttle.window", "must be between 1s and %v", session.MaxAttemptWindow)
	case t.PerNode < 1 || t.PerNode > session.MaxAttempts:
		return session.Invalid("throttle.per_node", "must be between 1 and %d", session.MaxAttempts)
	}
	if err := within("throttle.per_user", t.PerUser); err != nil {
		return err
	}
	return within("throttle.per_address", t.PerAddress)
}

// Refusal is the error for an attempt that was not looked at: byUser tells whose counter was full.
func (t Throttle) Refusal(byUser bool, wait time.Duration) *session.Error {
	e := &session.Error{Code: session.CodeThrottled, RetryAfter: wait}
	if byUser {
		e.Field = "user"
		e.Message = fmt.Sprintf("%d log-ins of this user from this address have failed within %v; this one was not looked at. Ask again later", t.PerUser, t.Window)
	} else {
		e.Message = fmt.Sprintf("%d log-ins from this address have failed within %v; this one was not looked at. Ask again later", t.PerAddress, t.Window)
	}
	return e
}

// turnsPerHash is how many checks are under way for each hash that is computed at once: enough to write the attempts of the next
// while the processors are busy with these.
const turnsPerHash = 4

// directoryTurns is how many log-ins are under way at directories. They wait and do not compute, so they have turns of their own: a
// slow directory keeps nobody else waiting.
const directoryTurns = 64

// NewTurns makes the turns of password checks, and of those that directories make.
func (t Throttle) NewTurns(h *Hasher) (local, remote *Turns) {
	return NewTurns(turnsPerHash*h.Concurrent(), t.PerNode), NewTurns(directoryTurns, t.PerNode)
}

// NetworkOf is session.Network, under which throttles count.
func NetworkOf(a netip.Addr) netip.Addr { return session.Network(a) }
