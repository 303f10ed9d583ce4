package dynamodb

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/session"
)

const (
	attempts   = 6
	firstPause = 25 * time.Millisecond // before the second attempt, at most; twice as long before each further one
	retryAfter = time.Second           // what clients are told
)

// write sends a conditional write, again when it may not have been done. done asks the item whether an earlier try was, when the
// condition fails after an answer was lost; what was done and then changed by others cannot be told from what was not done.
func (s *Store) write(ctx context.Context, try func(context.Context) error, done func(context.Context) (bool, error)) error {
	unknown := false
	for attempt := 1; ; attempt++ {
		sent, err := s.attempt(ctx, try)
		var failed *types.ConditionalCheckFailedException
		switch {
		case err == nil:
			return nil
		case errors.As(err, &failed) && !unknown:
			return backend.ErrChanged
		case errors.As(err, &failed):
			if mine, err := done(ctx); err == nil && mine {
				return nil
			}
			return fault{cause: errors.New("the record has changed since the answer was lost")}.err(true)
		}
		f := judge(err, sent)
		unknown = unknown || !f.notDone
		if attempt == attempts || !f.again || !pause(ctx, attempt) {
			return f.err(unknown)
		}
	}
}

// read asks again where that may help.
func (s *Store) read(ctx context.Context, ask func(context.Context) error) error {
	for attempt := 1; ; attempt++ {
		sent, err := s.attempt(ctx, ask)
		if err == nil {
			return nil
		}
		f := judge(err, sent)
		if attempt == attempts || !f.again || !pause(ctx, attempt) {
			return f.err(false)
		}
	}
}

// attempt makes one request and tells whether anything of it has left this machine.
func (s *Store) attempt(ctx context.Context, ask func(context.Context) error) (sent bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	var left atomic.Bool // the transport may still be writing when the request is given up
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaderField: func(string, []string) { left.Store(true) }})
	err = ask(ctx)
	return left.Load(), err
}

// pause waits a random part of a time that doubles, so that many that were throttled together do not come back together.
func pause(ctx context.Context, attempt int) bool {
	t := time.NewTimer(rand.N(firstPause << (attempt - 1)))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// fault is what an error of DynamoDB or of the way to it means.
type fault struct {
	code    session.Code // when certainly nothing was done
	message string
	notDone bool // the request did nothing
	again   bool // asking again soon may help
	cause   error
}

// err is what the store's caller gets; unknown = a write may have been done.
func (f fault) err(unknown bool) error {
	if unknown {
		return &session.Error{Code: session.CodeOutcomeUnknown, Message: "DynamoDB did not answer; the change may have been done", RetryAfter: retryAfter, Err: f.cause}
	}
	e := &session.Error{Code: f.code, Message: f.message, RetryAfter: retryAfter, Err: f.cause}
	if e.Code == session.CodeInternal {
		e.RetryAfter = 0
	}
	return e
}

// judge reads an error of a request of which something was sent or not.
func judge(err error, sent bool) fault {
	var own *session.Error
	if errors.As(err, &own) {
		return fault{code: own.Code, message: own.Message, cause: own.Err}
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		var answer *smithyhttp.ResponseError
		return judgeAnswer(api, errors.As(err, &answer) && answer.HTTPStatusCode() < http.StatusInternalServerError)
	}
	f := fault{code: session.CodeUnavailable, message: "DynamoDB cannot be reached", notDone: !sent, again: true, cause: err}
	if errors.Is(err, context.Canceled) {
		f.message, f.again = "DynamoDB did not answer in time", false
	}
	return f
}

// judgeAnswer is about errors that DynamoDB itself gives; refused = it took the request for wrong.
func judgeAnswer(api smithy.APIError, refused bool) fault {
	f := fault{code: session.CodeUnavailable, notDone: true, cause: api}
	switch api.ErrorCode() {
	case "ProvisionedThroughputExceededException", "ThrottlingException", "Throttling", "RequestLimitExceeded", "LimitExceededException":
		f.code, f.message, f.again = session.CodeOverloaded, "DynamoDB throttles this table: it needs more capacity", true
	case "ResourceNotFoundException":
		f.message = "DynamoDB has no such table, or it is being made: hydrastore backend create-table makes it"
	case "AccessDeniedException", "UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException", "MissingAuthenticationTokenException", "IncompleteSignatureException", "KMSAccessDeniedException":
		f.message = "DynamoDB refuses this node (" + api.ErrorCode() + "): its credentials or permissions are not right"
	case "ItemCollectionSizeLimitExceededException":
		f.code, f.message = session.CodeTooLarge, "the record is larger than DynamoDB takes"
	case "ValidationException":
		f.code, f.message = session.CodeInternal, "DynamoDB does not take the request: is the table's only key a partition key named "+keyAttribute+" of type string?"
	case "InternalServerError", "ServiceUnavailable", "InternalFailure", "TransactionInProgressException":
		f.message, f.notDone, f.again = "DynamoDB does not serve at the moment", false, true
	default:
		f.code, f.message, f.notDone = session.CodeInternal, "DynamoDB gave an error that is not expected", refused
	}
	return f
}
