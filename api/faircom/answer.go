package faircom

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/hydrastore/hydrastore/api/protocol"
	"github.com/hydrastore/hydrastore/session"
)

// codeNoSession and its texts are FairCom's.
const (
	codeNoSession      = 12031
	textNoSessionShort = "'authToken' does not match any existing session. Use a valid 'authToken'."
	textNoSession      = "'authToken' does not match any existing session. Use a valid 'authToken' or use 'createSession' to create a valid 'authToken'."
)

// FairCom's codes for everything else are not public. Ours are 90000 and the status that REST has for the same failure, so that no code
// can be taken for one of FairCom's. docs/protocols/faircom.md lists them.
const (
	ownCodes     = 90000
	codeTooLarge = ownCodes + http.StatusRequestEntityTooLarge
)

// failure is an error and what is known of the request that met it.
type failure struct {
	envelope *envelope
	err      error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func errTokenNeeded() error {
	return &session.Error{Code: session.CodeUnauthenticated, Field: "authToken", Message: "this action needs an authToken; createSession gives one"}
}

func errUnknownAction() error {
	return &session.Error{Code: session.CodeNotFound, Field: "action", Message: "there is no such action here; there are " + actionList()}
}

// reply is every answer.
type reply struct {
	RequestID    json.RawMessage `json:"requestId,omitempty"`
	Result       any             `json:"result,omitempty"`
	ErrorCode    int             `json:"errorCode"`
	ErrorMessage string          `json:"errorMessage"`
	AuthToken    *string         `json:"authToken,omitempty"`
	DebugInfo    *debugInfo      `json:"debugInfo,omitempty"`
}

type debugInfo struct {
	Request  map[string]json.RawMessage `json:"request"`
	Warnings []warning                  `json:"warnings"`
}

type warning struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

func (e *envelope) succeed(result any, c *call) protocol.Response {
	answer := reply{Result: result, AuthToken: e.echoedToken()}
	if c.issued != "" {
		answer.AuthToken = &c.issued
	}
	return e.respond(answer, c.warnings)
}

// fail tells a failure. f.Err says of which request, when one was understood.
func fail(f protocol.Failure) protocol.Response {
	e := &envelope{}
	var known *failure
	if errors.As(f.Err, &known) {
		e = known.envelope
	}
	code, text := e.codeOf(f)
	response := e.respond(reply{ErrorCode: code, ErrorMessage: text, AuthToken: e.echoedToken()}, nil)
	if f.Status == http.StatusMethodNotAllowed || f.Status == http.StatusRequestEntityTooLarge || f.Status == http.StatusUnsupportedMediaType {
		response.Status = f.Status
	}
	return response
}

// codeOf gives a failure its number and sentence.
func (e *envelope) codeOf(f protocol.Failure) (int, string) {
	if f.Shown.Code == session.CodeUnauthenticated && e.authToken != nil && e.action != actionCreate {
		return codeNoSession, textNoSession
	}
	text := f.Shown.Message
	if f.Shown.Field != "" {
		text = "'" + f.Shown.Field + "' " + text
	}
	return ownCodes + f.Status, text
}

// echoedToken is the token of the request, unless it is too long for one.
func (e *envelope) echoedToken() *string {
	if e.authToken == nil || len(*e.authToken) > maxTokenBytes {
		return nil
	}
	return e.authToken
}

func (e *envelope) respond(answer reply, warnings []warning) protocol.Response {
	answer.RequestID = e.requestID
	if e.debug {
		answer.DebugInfo = &debugInfo{Request: e.echo, Warnings: append([]warning{}, warnings...)}
	}
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(answer); err != nil {
		panic(err) // nothing in a reply can fail to be written
	}
	return protocol.Response{Status: http.StatusOK, ContentType: "application/json", Body: body.Bytes(), Operation: e.action}
}
