package cluster

import (
	"errors"
	"fmt"
)

// Code names a failure in a form that stays the same across releases and nodes.
// Codes travel in peer RPC answers.
type Code string

// The codes of this package's errors.
const (
	// CodeNotLeader: this node does not lead, or not in the epoch asked for. The
	// proposal or change is certainly not in the log.
	CodeNotLeader Code = "not_leader"
	// CodeOutcomeUnknown: leadership was lost, or the answer was, while a change
	// was under way; it may or may not take effect.
	CodeOutcomeUnknown Code = "outcome_unknown"
	// CodeNoLeader: no leader is known or reachable within the time given.
	CodeNoLeader Code = "no_leader"
	// CodeNotBorn: this node belongs to no cluster yet.
	CodeNotBorn Code = "not_born"
	// CodeClosed: this Cluster has been shut down.
	CodeClosed Code = "closed"
	// CodeUnknownNode: no member has this id.
	CodeUnknownNode Code = "unknown_node"
	// CodeRemoved: the node with this id has been removed from the cluster; it
	// can come back only with an empty data folder, under a new id.
	CodeRemoved Code = "removed"
	// CodeQuorum: the change would cost the cluster its quorum, or leave fewer
	// voters than bootstrap_expect.
	CodeQuorum Code = "quorum"
	// CodeConflict: the change contradicts a live member or another cluster (a
	// name or address in use, another cluster id).
	CodeConflict Code = "conflict"
	// CodeTerms: the node that wants to join has other terms than the cluster; see
	// Config.Terms.
	CodeTerms Code = "terms"
	// CodeInvalid: the request itself is wrong.
	CodeInvalid Code = "invalid"
)

// Error is a failure with a stable code. Every error that this package returns
// for a reason of the cluster, and not of the caller's context, is or wraps one.
type Error struct {
	// Code is what programs look at.
	Code Code
	// Message is for people; it says what to do next where that is known.
	Message string
	// Err is the cause, if any.
	Err error
}

// Error returns the message, and the cause behind it.
func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %v", e.Message, e.Err)
	}
	return e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is an *Error with the same code, so that
// errors.Is(err, ErrNotLeader) holds for every error of that code.
func (e *Error) Is(target error) bool {
	var t *Error
	return errors.As(target, &t) && t.Code == e.Code
}

// The errors to compare with, by errors.Is.
var (
	ErrNotLeader      = &Error{Code: CodeNotLeader, Message: "this node is not the leader"}
	ErrOutcomeUnknown = &Error{Code: CodeOutcomeUnknown, Message: "the outcome is unknown"}
	ErrNoLeader       = &Error{Code: CodeNoLeader, Message: "no leader is known"}
	ErrNotBorn        = &Error{Code: CodeNotBorn, Message: "this node belongs to no cluster yet"}
	ErrClosed         = &Error{Code: CodeClosed, Message: "the cluster is shut down on this node"}
	ErrUnknownNode    = &Error{Code: CodeUnknownNode, Message: "no member has this id"}
	ErrRemoved        = &Error{Code: CodeRemoved, Message: "this node has been removed from the cluster"}
	ErrTerms          = &Error{Code: CodeTerms, Message: "this node has other terms than the cluster"}
	ErrQuorum         = &Error{Code: CodeQuorum, Message: "the change would cost the quorum"}
	ErrConflict       = &Error{Code: CodeConflict, Message: "the change contradicts a live member"}
	ErrInvalid        = &Error{Code: CodeInvalid, Message: "the request is invalid"}
)

// newError returns an *Error with a formatted message.
func newError(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// codeError returns an *Error with a formatted message and a cause.
func codeError(code Code, cause error, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Err: cause}
}
