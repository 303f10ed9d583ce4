package fsm

import (
	"github.com/hydrastore/hydrastore/fsm/fsmpb"
	"github.com/hydrastore/hydrastore/session"
)

// Applied is the outcome of one entry. It is the caller's.
type Applied struct {
	Index   uint64
	ClockMS int64 // the replicated clock after the entry
	// Ignored: the entry was meant for another epoch than the log's term. It has changed nothing, not even the clock.
	Ignored bool
	Batches []AppliedBatch
	Ended   []Ended // in the order in which they ended: first those that were due, then what commands ended beside their purpose
	// Emptied: a filling began, and all users and sessions that there were are forgotten, none of them among Ended.
	Emptied bool
	Events  []Event // in the order in which they happened; nil unless Options.Events asks for them
}

// AppliedBatch has the results of one batch's commands, in their order. What Options.Awaited does not ask for has no payload of sessions.
type AppliedBatch struct {
	Origin      string
	Incarnation uint64
	Number      uint64
	Results     []*fsmpb.Result
}

// ErrorCode gives the domain's code of a result; "" for CODE_OK.
func ErrorCode(c fsmpb.Code) session.Code {
	switch c {
	case fsmpb.Code_CODE_OK:
		return ""
	case fsmpb.Code_CODE_INVALID:
		return session.CodeInvalid
	case fsmpb.Code_CODE_TOO_LARGE:
		return session.CodeTooLarge
	case fsmpb.Code_CODE_UNAUTHENTICATED:
		return session.CodeUnauthenticated
	case fsmpb.Code_CODE_FORBIDDEN:
		return session.CodeForbidden
	case fsmpb.Code_CODE_NOT_FOUND:
		return session.CodeNotFound
	case fsmpb.Code_CODE_EXISTS:
		return session.CodeExists
	case fsmpb.Code_CODE_CONFLICT:
		return session.CodeConflict
	case fsmpb.Code_CODE_VERSION_MISMATCH:
		return session.CodeVersionMismatch
	case fsmpb.Code_CODE_IDEMPOTENCY_MISMATCH:
		return session.CodeIdempotencyMismatch
	case fsmpb.Code_CODE_THROTTLED:
		return session.CodeThrottled
	case fsmpb.Code_CODE_SESSION_LIMIT:
		return session.CodeSessionLimit
	case fsmpb.Code_CODE_CLOSED:
		return session.CodeUnavailable
	case fsmpb.Code_CODE_BUSY:
		return session.CodeOverloaded
	}
	return session.CodeInternal
}
