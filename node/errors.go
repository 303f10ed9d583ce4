package node

import (
	"context"
	"errors"
	"time"

	"github.com/hydrastore/hydrastore/cluster"
	"github.com/hydrastore/hydrastore/fsm"
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// electionPause is what clients are told to wait when there is no leader: about as long as an election takes.
const electionPause = time.Second

func errNoQuorum() *session.Error {
	return &session.Error{
		Code: session.CodeNoQuorum, RetryAfter: electionPause,
		Message: "no majority of the cluster's nodes could be reached in time; nothing was changed",
	}
}

func errOutcomeUnknown() *session.Error {
	return &session.Error{
		Code:    session.CodeOutcomeUnknown,
		Message: "the change was sent, but its outcome did not become known in time: it may have been made or not",
	}
}

func errStopping() *session.Error {
	return &session.Error{Code: session.CodeUnavailable, Message: "this node is stopping; ask another one", RetryAfter: electionPause}
}

func errStarting(why string) *session.Error {
	return &session.Error{Code: session.CodeUnavailable, Message: "this node is starting: " + why, RetryAfter: electionPause}
}

func internalError(what string, err error) *session.Error {
	return &session.Error{Code: session.CodeInternal, Message: "an internal error; the node's log tells more under the request id", Err: wrapped{what, err}}
}

// wrapped says what failed without formatting the cause until somebody asks.
type wrapped struct {
	what string
	err  error
}

func (w wrapped) Error() string { return w.what + ": " + w.err.Error() }
func (w wrapped) Unwrap() error { return w.err }

// asError makes any error fit to leave the Service.
func asError(what string, err error) error {
	var e *session.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e):
		return e
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return &session.Error{Code: session.CodeUnavailable, Message: "the request took too long and was given up; nothing was changed", RetryAfter: electionPause, Err: err}
	default:
		return internalError(what, err)
	}
}

// clusterError translates the cluster's errors.
func clusterError(err error) error {
	var e *cluster.Error
	if !errors.As(err, &e) {
		return asError("change the cluster", err)
	}
	code := session.CodeInternal
	switch e.Code {
	case cluster.CodeNotLeader, cluster.CodeNoLeader:
		return errNoQuorum()
	case cluster.CodeOutcomeUnknown:
		return errOutcomeUnknown()
	case cluster.CodeNotBorn, cluster.CodeClosed, cluster.CodeRemoved:
		code = session.CodeUnavailable
	case cluster.CodeUnknownNode:
		code = session.CodeNotFound
	case cluster.CodeQuorum, cluster.CodeConflict:
		code = session.CodeConflict
	case cluster.CodeInvalid:
		code = session.CodeInvalid
	}
	return &session.Error{Code: code, Message: e.Message, Err: e.Err}
}

// resultError translates what apply has decided.
func resultError(r *fsmpb.Result, what string) error {
	switch r.Code {
	case fsmpb.Code_CODE_OK:
		return nil
	case fsmpb.Code_CODE_CLOSED:
		return errClosed(fsm.Moving{})
	case fsmpb.Code_CODE_UNAUTHENTICATED:
		return session.ErrUnauthenticated()
	case fsmpb.Code_CODE_FORBIDDEN:
		return &session.Error{Code: session.CodeForbidden, Field: r.Field, Message: "not permitted to " + what}
	case fsmpb.Code_CODE_NOT_FOUND:
		return &session.Error{Code: session.CodeNotFound, Field: r.Field, Message: "it does not exist, or not any more"}
	case fsmpb.Code_CODE_EXISTS:
		return &session.Error{Code: session.CodeExists, Field: r.Field, Message: "it exists already"}
	case fsmpb.Code_CODE_CONFLICT:
		return &session.Error{Code: session.CodeConflict, Field: r.Field, Message: "it is in use or was changed by another request meanwhile; look at its present state and ask again"}
	case fsmpb.Code_CODE_VERSION_MISMATCH:
		return session.ErrVersion(r.Field)
	case fsmpb.Code_CODE_IDEMPOTENCY_MISMATCH:
		return session.ErrRequestMismatch()
	case fsmpb.Code_CODE_TOO_LARGE:
		return &session.Error{Code: session.CodeTooLarge, Field: r.Field, Message: tooLarge(r.Field)}
	default:
		return &session.Error{Code: session.CodeInvalid, Field: r.Field, Message: "the state machine refused this as malformed"}
	}
}

func tooLarge(field string) string {
	if field == "attributes" {
		return session.ErrAttributesFull().Message
	}
	if field == "preferences" {
		return session.TooLarge(field, "a user has at most %d preferences with %d bytes in all; delete some first", session.MaxAttributes, session.MaxAttributesBytes).Message
	}
	return "a limit of the cluster is reached: docs/configuration.md lists them"
}
