package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"

	"github.com/hydrastore/hydrastore/session"
)

// maxAnswerBytes bounds what a node may make the client read.
const maxAnswerBytes = 32 << 20

// answer is a 2xx answer, read to its end.
type answer struct {
	header http.Header
	body   []byte
}

// failure of one attempt.
type failure struct {
	*session.Error
	// repeatable without harm even for requests that are not idempotent: it was certainly not done.
	notDone bool
	// unknown: it may have been done.
	unknown bool
	// answered: it is what the node said, not what its silence was taken for.
	answered bool
}

// attempt asks one node once.
func (c *Client) attempt(ctx context.Context, node string, r *request) (answer, *failure) {
	ctx, cancel := context.WithTimeout(ctx, c.config.AttemptTimeout)
	defer cancel()
	var connected atomic.Bool // from then on the node may have got the request
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }})
	h, err := r.build(ctx, node, c.config.UserAgent)
	if err != nil {
		return answer{}, &failure{Error: &session.Error{Code: session.CodeInvalid, Message: "the request cannot be built", Err: err}}
	}
	response, err := c.http.Do(h)
	if err != nil {
		return answer{}, lost(c.nameOf(node), connected.Load() && r.method != http.MethodGet, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes+1))
	switch {
	case err != nil:
		return answer{}, lost(c.nameOf(node), r.method != http.MethodGet, err)
	case len(body) > maxAnswerBytes:
		return answer{}, lost(c.nameOf(node), r.method != http.MethodGet, fmt.Errorf("the answer has more than %d bytes", maxAnswerBytes))
	case response.StatusCode/100 == 2:
		return answer{header: response.Header, body: body}, nil
	}
	return answer{}, refused(r, answerError(response, body, c.nameOf(node)))
}

// refused is a request with an answer that says no. A read, unlike a change, has no outcome that could stay unknown.
func refused(r *request, e *session.Error) *failure {
	if e.Code == session.CodeOutcomeUnknown && r.method == http.MethodGet {
		e.Code = session.CodeUnavailable
	}
	return &failure{Error: e, answered: true, notDone: certainlyNotDone(e.Code), unknown: e.Code == session.CodeOutcomeUnknown}
}

// lost is a request without an answer. When it was a change and had a connection, nobody knows what became of it.
func lost(node string, mayBeDone bool, err error) *failure {
	// http.Client wraps the URL with its query into the error; the cause is enough.
	var wrapped interface{ Unwrap() error }
	if errors.As(err, &wrapped) && wrapped.Unwrap() != nil {
		err = wrapped.Unwrap()
	}
	cause := fmt.Errorf("%s: %w", node, err)
	if mayBeDone {
		return &failure{unknown: true, Error: &session.Error{Code: session.CodeOutcomeUnknown,
			Message: "the connection was lost or the node was silent before it answered; a change may have been done", Err: cause}}
	}
	return &failure{notDone: true, Error: &session.Error{Code: session.CodeUnavailable, Message: "the node cannot be reached or was silent", Err: cause}}
}
