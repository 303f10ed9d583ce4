package session

import (
	"errors"
	"fmt"
	"time"
)

// Code is the stable, machine-readable kind of an Error. Codes are part of the API: they are never renamed.
type Code string

const (
	// CodeInvalid: the request is malformed or breaks a rule that does not depend on the cluster's state.
	CodeInvalid Code = "invalid_request"
	// CodeTooLarge: a named limit on a size or count was exceeded.
	CodeTooLarge Code = "too_large"
	// CodeUnauthenticated: no key, or one that is unknown, expired, revoked or malformed; which of them is never said.
	// Also a wrong user name or password.
	CodeUnauthenticated Code = "unauthenticated"
	// CodeReauthenticate: the key is good, but its user proved who it is longer ago than the caller accepts.
	CodeReauthenticate Code = "reauthenticate"
	// CodeForbidden: the caller is known and may not do this.
	CodeForbidden Code = "forbidden"
	// CodeNotFound: the named session, user, policy or member does not exist.
	CodeNotFound Code = "not_found"
	// CodeExists: what should be created exists already.
	CodeExists Code = "already_exists"
	// CodeConflict: the state has changed in between (a user was edited during a log-in), or forbids the change.
	CodeConflict Code = "conflict"
	// CodeVersionMismatch: If-Match named another version than the current one.
	CodeVersionMismatch Code = "version_mismatch"
	// CodeHistoryMismatch: an index token of another history (before a restore) or of another cluster.
	CodeHistoryMismatch Code = "history_mismatch"
	// CodeIdempotencyMismatch: the Idempotency-Key was used before with another request.
	CodeIdempotencyMismatch Code = "idempotency_mismatch"
	// CodeThrottled: too many passwords were tried for this user or from this address; this one was not looked at.
	CodeThrottled Code = "throttled"
	// CodeSessionLimit: as many sessions live as a policy or the cluster allows, and its rule is to refuse. The field names the limit.
	CodeSessionLimit Code = "session_limit"
	// CodeOverloaded: a queue is full, or ended sessions are in the way of a log-in; certainly not done.
	CodeOverloaded Code = "overloaded"
	// CodeNoQuorum: no majority could be reached in time; certainly not done.
	CodeNoQuorum Code = "no_quorum"
	// CodeOutcomeUnknown: the write may or may not have been done.
	CodeOutcomeUnknown Code = "outcome_unknown"
	// CodeIndexTimeout: the node did not reach min_index within the request timeout.
	CodeIndexTimeout Code = "index_timeout"
	// CodeTooStale: a local read was refused because the node's data is older than max_stale.
	CodeTooStale Code = "too_stale"
	// CodeUnavailable: the node is starting, draining or stopped; certainly not done.
	CodeUnavailable Code = "unavailable"
	// CodeInternal: a defect of Hydrastore; the log has the cause under the request id.
	CodeInternal Code = "internal"
)

// Error is the only error type that leaves a Service. Message is a sentence for a person and holds no secret.
type Error struct {
	Code       Code
	Message    string
	Field      string        // the offending field, parameter or header; "" when none
	RetryAfter time.Duration // how long to wait before asking again; 0 = waiting does not help
	Err        error         // the cause, for logs only: it never reaches a client
}

// Error gives code, field and message, and the cause for the log.
func (e *Error) Error() string {
	text := string(e.Code) + ": " + e.Message
	if e.Field != "" {
		text = string(e.Code) + ": " + e.Field + ": " + e.Message
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is matches by code, so that errors.Is(err, &Error{Code: c}) works.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code && t.Message == "" && t.Field == ""
}

// CodeOf returns the code of err, CodeInternal when it carries none, "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}

// Errorf makes an Error with a formatted message.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Invalid makes a CodeInvalid error about one field.
func Invalid(field, format string, args ...any) *Error {
	return &Error{Code: CodeInvalid, Field: field, Message: fmt.Sprintf(format, args...)}
}

// TooLarge makes a CodeTooLarge error about one field.
func TooLarge(field, format string, args ...any) *Error {
	return &Error{Code: CodeTooLarge, Field: field, Message: fmt.Sprintf(format, args...)}
}

// ErrUnauthenticated is the one answer for every key that does not open a session, whatever the reason.
func ErrUnauthenticated() *Error {
	return &Error{Code: CodeUnauthenticated, Message: "the session key is missing or not valid"}
}

// ErrWrongCredentials is the one answer for every failed log-in, whatever the reason.
func ErrWrongCredentials() *Error {
	return &Error{Code: CodeUnauthenticated, Message: "the user name or password is not right"}
}
