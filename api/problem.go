package api

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/hydrastore/hydrastore/api/internal/rest"
	"github.com/hydrastore/hydrastore/session"
)

// kinds maps each code to its status and title: the one place where codes become HTTP. The client has the way back.
var kinds = map[session.Code]struct {
	status int
	title  string
}{
	session.CodeInvalid:             {http.StatusBadRequest, "The request is not valid"},
	session.CodeTooLarge:            {http.StatusBadRequest, "A limit is exceeded"}, // of the body as a whole: 413, see statusOf
	session.CodeUnauthenticated:     {http.StatusUnauthorized, "Not authenticated"},
	session.CodeReauthenticate:      {http.StatusUnauthorized, "Proof of identity too old"},
	session.CodeForbidden:           {http.StatusForbidden, "Not allowed"},
	session.CodeNotFound:            {http.StatusNotFound, "Not found"},
	session.CodeExists:              {http.StatusConflict, "It exists already"},
	session.CodeConflict:            {http.StatusConflict, "Conflict with the current state"},
	session.CodeSessionLimit:        {http.StatusConflict, "As many sessions as allowed"},
	session.CodeHistoryMismatch:     {http.StatusConflict, "Index of another history"},
	session.CodeVersionMismatch:     {http.StatusPreconditionFailed, "Not the current version"},
	session.CodeIdempotencyMismatch: {http.StatusUnprocessableEntity, "Idempotency key used before"},
	session.CodeThrottled:           {http.StatusTooManyRequests, "Too many attempts"},
	session.CodeOverloaded:          {http.StatusServiceUnavailable, "Overloaded"},
	session.CodeNoQuorum:            {http.StatusServiceUnavailable, "No majority of nodes"},
	session.CodeTooStale:            {http.StatusServiceUnavailable, "Data too old"},
	session.CodeUnavailable:         {http.StatusServiceUnavailable, "Not available"},
	session.CodeOutcomeUnknown:      {http.StatusGatewayTimeout, "Outcome unknown"},
	session.CodeIndexTimeout:        {http.StatusGatewayTimeout, "Index not reached in time"},
	session.CodeInternal:            {http.StatusInternalServerError, "Internal error"},
}

const (
	problemType = "application/problem+json"
	typePrefix  = "urn:hydrastore:problem:"
)

// statusError is a session.Error whose status HTTP itself prescribes: 405, 413, 415.
type statusError struct {
	status int
	coded  *session.Error
}

func (e *statusError) Error() string { return e.coded.Error() }
func (e *statusError) Unwrap() error { return e.coded }

// problemOf makes err fit to be shown: whatever is not a coded error is internal, and its text stays inside.
func problemOf(err error) (status int, shown *session.Error) {
	var withStatus *statusError
	if errors.As(err, &withStatus) {
		return withStatus.status, withStatus.coded
	}
	var ofEcho *echo.HTTPError
	if errors.As(err, &ofEcho) {
		return ofRouter(ofEcho)
	}
	var coded *session.Error
	if !errors.As(err, &coded) || coded.Code == session.CodeInternal {
		return http.StatusInternalServerError, internal(err)
	}
	kind, known := kinds[coded.Code]
	if !known {
		return http.StatusInternalServerError, internal(err)
	}
	return kind.status, coded
}

func internal(err error) *session.Error {
	return &session.Error{Code: session.CodeInternal, Message: "a defect of the server; its log has the cause under this request id", Err: err}
}

// ofRouter translates what Echo's router and net/http say by themselves.
func ofRouter(err *echo.HTTPError) (int, *session.Error) {
	switch err.Code {
	case http.StatusNotFound:
		return err.Code, session.Errorf(session.CodeNotFound, "there is no such route; /openapi.yaml lists them")
	case http.StatusMethodNotAllowed:
		return err.Code, session.Errorf(session.CodeInvalid, "this route does not take this method; Allow lists those that it takes")
	}
	return http.StatusInternalServerError, internal(err)
}

// writeProblem answers with a problem document. Nothing of err but code, message and field is shown.
func writeProblem(c echo.Context, requestID string, status int, shown *session.Error) error {
	field := redact(shown.Field)
	problem := rest.Problem{
		Type: typePrefix + string(shown.Code), Title: kinds[shown.Code].title, Status: status, Detail: redact(shown.Message),
		Code: rest.ProblemCode(shown.Code), RequestID: requestID,
	}
	if field != "" {
		problem.Field = &field
	}
	if shown.RetryAfter > 0 {
		seconds := shown.RetryAfter.Seconds()
		problem.RetryAfterS = &seconds
		setRetryAfter(c, shown)
	}
	header := c.Response().Header()
	if status == http.StatusUnauthorized {
		header.Set(echo.HeaderWWWAuthenticate, challenge(shown.Code))
	}
	body, err := json.Marshal(problem)
	if err != nil {
		return err
	}
	return writeBlob(c, status, problemType, body)
}

func setRetryAfter(c echo.Context, e *session.Error) {
	if e.RetryAfter > 0 {
		c.Response().Header().Set(echo.HeaderRetryAfter, strconv.Itoa(wholeSeconds(e.RetryAfter)))
	}
}

// challenge is how a 401 tells programs what is missing; RFC 9470 has the word for a proof that is too old.
func challenge(code session.Code) string {
	if code == session.CodeReauthenticate {
		return `Bearer realm="hydrastore", error="insufficient_user_authentication"`
	}
	return `Bearer realm="hydrastore"`
}

// wholeSeconds rounds up: asking a little later is right, a little earlier is not.
func wholeSeconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }
