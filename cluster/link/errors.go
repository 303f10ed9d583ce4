package link

import (
	"errors"
	"fmt"
)

// A failed Call is one of three things, told apart with errors.Is and errors.As:
//
//   - *CallError: the remote handler ran and answered with an error.
//   - ErrUnreachable: the request was certainly not executed; sending it again is safe.
//   - ErrUnknownOutcome: the request was sent and no answer came; it may have been executed, or may yet be.
//
// The context's own error is in the chain as well when it ended the call.
var (
	// ErrUnreachable: the request was certainly not executed.
	ErrUnreachable = errors.New("peer unreachable, nothing was executed")
	// ErrUnknownOutcome: the request was sent and no answer came.
	ErrUnknownOutcome = errors.New("no answer from the peer, the outcome is unknown")
	// ErrRefused: the handshake failed (another cluster, another key, a certificate that does not fit). Always together with
	// ErrUnreachable.
	ErrRefused = errors.New("peer handshake refused")
	// ErrWrongNode: another node than the expected one answered at the address. Always together with ErrUnreachable.
	ErrWrongNode = errors.New("another node answers at this address")
	// ErrTooLarge: the request exceeds MaxFrameBytes. Always together with ErrUnreachable.
	ErrTooLarge = errors.New("request exceeds the frame limit")
	// ErrClosed: this Link is closed.
	ErrClosed = errors.New("link closed")
)

// Codes that the package itself gives to a CallError. Handlers choose their own for everything else.
const (
	CodeInternal      = "internal"        // the handler returned an error without a code
	CodeDeadline      = "deadline"        // the handler gave up at the caller's deadline
	CodeCanceled      = "canceled"        // the handler gave up because the caller or the connection went away
	CodeReplyTooLarge = "reply_too_large" // the handler ran, its answer exceeds MaxFrameBytes
	CodeNoMethod      = "no_method"       // not executed: nothing is registered under that name and purpose
	CodeOverloaded    = "overloaded"      // not executed: too many calls in flight
	CodeClosing       = "closing"         // not executed: the peer is shutting down
)

// Bounds of what a CallError carries over the wire; longer texts are cut.
const (
	maxCodeBytes    = 64
	maxMessageBytes = 1 << 10
)

// CallError is an error that a handler returned at the other side. Code is stable and for programs, Message for people.
type CallError struct {
	Code    string
	Message string
}

// Error implements error.
func (e *CallError) Error() string {
	if e.Message == "" {
		return e.Code
	}
	return e.Code + ": " + e.Message
}

// Error makes the error that a Handler returns to send a stable code to its caller.
func Error(code, message string) error { return &CallError{Code: code, Message: message} }

// linkError is a failure of the link itself: what was attempted, of what kind it is and why.
type linkError struct {
	op    string
	kind  error // ErrUnreachable or ErrUnknownOutcome
	cause error
}

func (e *linkError) Error() string   { return fmt.Sprintf("%s: %v: %v", e.op, e.kind, e.cause) }
func (e *linkError) Unwrap() []error { return []error{e.kind, e.cause} }
