// Package attempt asks a store that is reached over a network again where that may help, and says what is known of a write whose answer was lost. The store
// says what its errors mean.
package attempt

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/session"
)

// retryAfter is what clients are told.
const retryAfter = time.Second

// Attempts says how often a store is asked, and how long a request waits in between.
type Attempts struct {
	Store string // as errors name it
	Most  int
	Pause func(attempt int) time.Duration // before the attempt after this one; the first is 1

	once bool // a write is tried no more once it may have been done
}

// At are the attempts at a Put. The record of a session is made once: a try whose answer was lost may still be on its way, and would bring the session back if it came after
// the session's end. Its maker takes another id. What replaces a record comes too late by its version, and records of other kinds end nothing when they are gone.
func (a Attempts) At(name backend.Name, was backend.Version) Attempts {
	a.once = name.Kind == backend.KindSession && was == ""
	return a
}

// Fault is what an error of a store, or of the way to it, means.
type Fault struct {
	Code    session.Code // when certainly nothing was done
	Message string
	Unknown string // when something may have been done; "" = that the store did not answer
	NotDone bool   // the request did nothing
	Again   bool   // asking again soon may help
	Cause   error
}

// Error implements error.
func (f *Fault) Error() string { return f.Message }

// Unwrap gives the cause.
func (f *Fault) Unwrap() error { return f.Cause }

// Refusal is what the store's caller gets when certainly nothing was done.
func (f *Fault) Refusal() error {
	e := &session.Error{Code: f.Code, Message: f.Message, RetryAfter: retryAfter, Err: f.Cause}
	if e.Code == session.CodeInternal {
		e.RetryAfter = 0
	}
	return e
}

// Read asks, again where that may help: reading twice does no harm. ask answers nil or a *Fault.
func (a Attempts) Read(ctx context.Context, ask func() error) error {
	return a.repeat(ctx, ask, func(f *Fault) error { return f.Refusal() })
}

// Write tries a conditional write, again where that may help. try answers nil, backend.ErrChanged, or a *Fault. mine tells, when the
// condition fails after an answer was lost, whether it was an earlier try of its own that did it; nil = a try knows that by itself. What was done and then changed by
// others cannot be told from what was not done: then the outcome is unknown.
func (a Attempts) Write(ctx context.Context, try func() error, mine func() (bool, error)) error {
	unknown := false // an earlier try may have been done
	return a.repeat(ctx, func() error {
		err := try()
		if f := (*Fault)(nil); a.once && errors.As(err, &f) && !f.NotDone {
			last := *f
			last.Again = false
			return &last
		}
		if !unknown || !errors.Is(err, backend.ErrChanged) {
			return err
		}
		if mine != nil {
			if done, err := mine(); err == nil && done {
				return nil
			}
		}
		return &Fault{Cause: errors.New("the record has changed since the answer was lost")}
	}, func(f *Fault) error {
		if unknown = unknown || !f.NotDone; !unknown {
			return f.Refusal()
		}
		told := cmp.Or(f.Unknown, a.Store+" did not answer; the change may have been done")
		return &session.Error{Code: session.CodeOutcomeUnknown, Message: told, RetryAfter: retryAfter, Err: f.Cause}
	})
}

// repeat asks until there is an answer, or asking again does not help. meaning is told of each fault, and says what the last one means.
func (a Attempts) repeat(ctx context.Context, ask func() error, meaning func(f *Fault) error) error {
	for n := 1; ; n++ {
		err := ask()
		var f *Fault
		if !errors.As(err, &f) {
			return err
		}
		if told := meaning(f); n == a.Most || !f.Again || !a.pause(ctx, n) {
			return told
		}
	}
}

func (a Attempts) pause(ctx context.Context, attempt int) bool {
	t := time.NewTimer(a.Pause(attempt))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
