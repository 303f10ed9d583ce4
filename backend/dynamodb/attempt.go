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
	"github.com/hydrastore/hydrastore/backend/attempt"
	"github.com/hydrastore/hydrastore/session"
)

const (
	mostAttempts = 6
	firstPause   = 25 * time.Millisecond // before the second attempt, at most; twice as long before each further one
)

// attempts says how often DynamoDB is asked. A pause is a random part of a time that doubles, so that many that were throttled together do not come back
// together.
func attempts() attempt.Attempts {
	return attempt.Attempts{Store: "DynamoDB", Most: mostAttempts, Pause: func(n int) time.Duration { return rand.N(firstPause << (n - 1)) }}
}

// write sends a conditional write, again when it may not have been done. done asks the item whether an earlier try was, when the condition fails after
// an answer was lost.
func (s *Store) write(ctx context.Context, by attempt.Attempts, try func(context.Context) error, done func(context.Context) (bool, error)) error {
	return by.Write(ctx, func() error {
		sent, err := s.attempt(ctx, try)
		var failed *types.ConditionalCheckFailedException
		switch {
		case err == nil:
			return nil
		case errors.As(err, &failed):
			return backend.ErrChanged
		}
		return judge(err, sent)
	}, func() (bool, error) { return done(ctx) })
}

// read asks, again where that may help.
func (s *Store) read(ctx context.Context, ask func(context.Context) error) error {
	return attempts().Read(ctx, func() error {
		sent, err := s.attempt(ctx, ask)
		if err == nil {
			return nil
		}
		return judge(err, sent)
	})
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

// judge reads an error of a request of which something was sent or not.
func judge(err error, sent bool) *attempt.Fault {
	var own *session.Error
	if errors.As(err, &own) {
		return &attempt.Fault{Code: own.Code, Message: own.Message, Cause: own.Err}
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		var answer *smithyhttp.ResponseError
		return judgeAnswer(api, errors.As(err, &answer) && answer.HTTPStatusCode() < http.StatusInternalServerError)
	}
	f := &attempt.Fault{Code: session.CodeUnavailable, Message: "DynamoDB cannot be reached", NotDone: !sent, Again: true, Cause: err}
	if errors.Is(err, context.Canceled) {
		f.Message, f.Again = "DynamoDB did not answer in time", false
	}
	return f
}

// judgeAnswer is about errors that DynamoDB itself gives; refused = it took the request for wrong.
func judgeAnswer(api smithy.APIError, refused bool) *attempt.Fault {
	f := &attempt.Fault{Code: session.CodeUnavailable, NotDone: true, Cause: api}
	switch api.ErrorCode() {
	case "ProvisionedThroughputExceededException", "ThrottlingException", "Throttling", "RequestLimitExceeded", "LimitExceededException":
		f.Code, f.Message, f.Again = session.CodeOverloaded, "DynamoDB throttles this table: it needs more capacity", true
	case "ResourceNotFoundException":
		f.Message = "DynamoDB has no such table, or it is being made: hydrastore backend create-table makes it"
	case "AccessDeniedException", "UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException", "MissingAuthenticationTokenException", "IncompleteSignatureException", "KMSAccessDeniedException":
		f.Message = "DynamoDB refuses this node (" + api.ErrorCode() + "): its credentials or permissions are not right"
	case "ItemCollectionSizeLimitExceededException":
		f.Code, f.Message = session.CodeTooLarge, "the record is larger than DynamoDB takes"
	case "ValidationException":
		f.Code, f.Message = session.CodeInternal, "DynamoDB does not take the request: is the table's only key a partition key named "+keyAttribute+" of type string?"
	case "InternalServerError", "ServiceUnavailable", "InternalFailure", "TransactionInProgressException":
		f.Message, f.NotDone, f.Again = "DynamoDB does not serve at the moment", false, true
	default:
		f.Code, f.Message, f.NotDone = session.CodeInternal, "DynamoDB gave an error that is not expected", refused
	}
	return f
}
