package livejournal

import (
	"errors"
	"net/http"

	"github.com/hydrastore/hydrastore/api/protocol"
	"github.com/hydrastore/hydrastore/session"
)

// The codes of LiveJournal's errors that can happen here.
const (
	codeUserName    = 100
	codePassword    = 101
	codeExpired     = 105
	codeMissing     = 200
	codeMethod      = 201
	codeTooMany     = 202
	codeArguments   = 203
	codeBanned      = 402
	codeInternal    = 500
	codeUnknown     = 501
	codeUnavailable = 502
	codeLock        = 503
)

var texts = map[int]string{
	codeUserName:    "Invalid username",
	codePassword:    "Invalid password",
	codeExpired:     "Challenge expired",
	codeMissing:     "Missing required argument(s)",
	codeMethod:      "Unknown method",
	codeTooMany:     "Too many arguments",
	codeArguments:   "Invalid argument(s)",
	codeBanned:      "Your IP address is temporarily banned for exceeding the login failure rate.",
	codeInternal:    "Internal server error",
	codeUnknown:     "Database error",
	codeUnavailable: "Database temporarily unavailable",
	codeLock:        "Error obtaining necessary database lock",
}

// fault is an error as clients are told it.
type fault struct {
	code int
	text string // whole
}

// newFault makes the text that LiveJournal's servers would send; detail "" = none.
func newFault(code int, detail string) fault {
	prefix := ""
	switch {
	case code >= 500:
		prefix = "Server error: "
	case code >= 200:
		prefix = "Client error: "
	}
	if detail != "" {
		detail = ": " + detail
	}
	return fault{code, prefix + texts[code] + detail}
}

// refusal is a request that no service was asked about.
type refusal struct {
	fault
	coded *session.Error // for metrics and the log
}

func (r *refusal) Error() string { return r.text }
func (r *refusal) Unwrap() error { return r.coded }

// refused makes a refusal with one of LiveJournal's codes.
func refused(code int, detail string) *refusal { return refusedAs(newFault(code, detail)) }

// refusedInWords makes one whose text has no code of its own.
func refusedInWords(text string) *refusal {
	return refusedAs(fault{codeArguments, "Client error: " + text})
}

func refusedAs(f fault) *refusal { return &refusal{f, session.Invalid("", "%s", f.text)} }

// asked is an error with what its answer has to know of the request.
type asked struct {
	err       error
	mode      string
	urlEncode bool
}

func (a *asked) Error() string { return a.err.Error() }
func (a *asked) Unwrap() error { return a.err }

// faultOf finds the words for a failure.
func faultOf(f protocol.Failure) fault {
	var r *refusal
	if errors.As(f.Err, &r) {
		return r.fault
	}
	e := f.Shown
	switch e.Code {
	case session.CodeUnauthenticated:
		if e.Field == session.FieldChallenge {
			return newFault(codeExpired, "")
		}
		return newFault(codePassword, "")
	case session.CodeThrottled:
		return newFault(codeBanned, "")
	case session.CodeConflict:
		return conflict(e)
	case session.CodeInvalid, session.CodeTooLarge, session.CodeForbidden, session.CodeNotFound, session.CodeSessionLimit:
		return newFault(codeArguments, e.Message)
	case session.CodeNoQuorum, session.CodeUnavailable, session.CodeOverloaded, session.CodeTooStale, session.CodeIndexTimeout:
		return newFault(codeUnavailable, "")
	case session.CodeOutcomeUnknown:
		return newFault(codeUnknown, "it is not known whether this was done")
	}
	return newFault(codeInternal, "")
}

func conflict(e *session.Error) fault {
	if e.Field == "md5_login" {
		return newFault(codeInternal, "log-ins by challenge are not set up on this server")
	}
	return newFault(codeLock, "ask again") // the user was changed meanwhile
}

// status is what HTTP itself prescribes, and else 200: clients look into the answer.
func status(f protocol.Failure) int {
	switch f.Status {
	case http.StatusMethodNotAllowed, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType:
		return f.Status
	}
	return http.StatusOK
}
