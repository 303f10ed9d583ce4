package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/hydrastore/hydrastore/client/internal/wire"
	"github.com/hydrastore/hydrastore/session"
)

// codeOf maps an answer back to a code: the one place where HTTP becomes codes. A problem document names its code; the
// status speaks for what load balancers answer in a node's place, and for codes of a newer server.
func codeOf(status int, told wire.ProblemCode) session.Code {
	if told.Valid() {
		return session.Code(told)
	}
	switch status {
	case http.StatusUnauthorized:
		return session.CodeUnauthenticated
	case http.StatusForbidden:
		return session.CodeForbidden
	case http.StatusNotFound:
		return session.CodeNotFound
	case http.StatusConflict:
		return session.CodeConflict
	case http.StatusPreconditionFailed:
		return session.CodeVersionMismatch
	case http.StatusRequestEntityTooLarge, http.StatusRequestHeaderFieldsTooLarge:
		return session.CodeTooLarge
	case http.StatusUnprocessableEntity:
		return session.CodeIdempotencyMismatch
	case http.StatusTooManyRequests:
		return session.CodeOverloaded
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		// A node may have got the request: some proxies answer 503 to a connection that was lost after it was sent.
		return session.CodeOutcomeUnknown
	}
	if status >= http.StatusBadRequest && status < http.StatusInternalServerError {
		return session.CodeInvalid
	}
	return session.CodeInternal
}

// certainlyNotDone tells the codes after which any request may be sent again, here or elsewhere.
func certainlyNotDone(code session.Code) bool {
	switch code {
	case session.CodeOverloaded, session.CodeNoQuorum, session.CodeTooStale, session.CodeUnavailable, session.CodeIndexTimeout:
		return true
	}
	return false
}

// answerError reads the error that an answer tells of.
func answerError(r *http.Response, body []byte, node string) *session.Error {
	var problem wire.Problem
	mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if mediaType != "application/problem+json" || json.Unmarshal(body, &problem) != nil {
		problem = wire.Problem{Detail: fmt.Sprintf("answered %s, without a problem document", r.Status)}
	}
	cause := errors.New(node)
	if id := r.Header.Get("X-Request-Id"); id != "" {
		cause = fmt.Errorf("request %s at %s", id, node)
	}
	e := &session.Error{
		Code: codeOf(r.StatusCode, problem.Code), Message: problem.Detail, RetryAfter: retryAfter(r.Header, problem.RetryAfterS), Err: cause,
	}
	if problem.Field != nil {
		e.Field = *problem.Field
	}
	return e
}

// retryAfter prefers the exact form; of the header only the form in seconds is read.
func retryAfter(header http.Header, exact *float64) time.Duration {
	const most = 3600
	if exact != nil && *exact >= 0 && *exact <= most {
		return time.Duration(*exact * float64(time.Second))
	}
	if whole, err := strconv.Atoi(header.Get("Retry-After")); err == nil && whole >= 0 && whole <= most {
		return time.Duration(whole) * time.Second
	}
	return 0
}
