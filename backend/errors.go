package backend

import (
	"context"
	"errors"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

// retryPause is what clients are told to wait when the store does not answer.
const retryPause = time.Second

func errStarting() *session.Error {
	return &session.Error{Code: session.CodeUnavailable, Message: "this server is starting: it has not reached its store yet", RetryAfter: retryPause}
}

func internalError(what string, err error) *session.Error {
	return &session.Error{Code: session.CodeInternal, Message: "an internal error; the server's log tells more under the request id", Err: wrapped{what, err}}
}

// wrapped says what failed without formatting the cause until somebody asks.
type wrapped struct {
	what string
	err  error
}

func (w wrapped) Error() string { return w.what + ": " + w.err.Error() }
func (w wrapped) Unwrap() error { return w.err }

// asError makes any error of a read fit to leave the Service.
func asError(what string, err error) error {
	var e *session.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e):
		return e
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return &session.Error{Code: session.CodeUnavailable, Message: "the request took too long and was given up; nothing was changed", RetryAfter: retryPause, Err: wrapped{what, err}}
	default:
		return internalError(what, err)
	}
}

// undecided makes an error of a write that decides nothing fit to leave the Service: whatever became of it, nothing was done.
func undecided(what string, err error) error {
	err = asError(what, err)
	if session.CodeOf(err) == session.CodeOutcomeUnknown {
		return &session.Error{Code: session.CodeUnavailable, Message: "the store did not answer in time; nothing was done", RetryAfter: retryPause, Err: wrapped{what, err}}
	}
	return err
}

// writeError makes an error of the write that decides fit to leave the Service. ErrChanged passes.
func writeError(what string, err error) error {
	var e *session.Error
	switch {
	case err == nil, errors.Is(err, ErrChanged), errors.As(err, &e):
		return err
	default:
		return &session.Error{Code: session.CodeOutcomeUnknown, Err: wrapped{what, err},
			Message: "the change was sent, but its outcome did not become known: it may have been made or not"}
	}
}

func errBusy() *session.Error {
	return &session.Error{Code: session.CodeOverloaded, RetryAfter: retryPause,
		Message: "too many requests change the same user or session at once; nothing was done"}
}
