package netx

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/hydrastore/hydrastore/api/protocol"
	"github.com/hydrastore/hydrastore/session"
)

// JSON-RPC 2.0, section 5.1.
const (
	codeParse    = -32700
	codeRequest  = -32600
	codeMethod   = -32601
	codeParams   = -32602
	codeInternal = -32603
)

// Ours, of those that JSON-RPC leaves to servers.
const (
	codeKey         = -32001 // the session key is not valid, whatever the reason
	codeForbidden   = -32002
	codeLimit       = -32003 // a limit of preferences or sessions, or too many attempts
	codeUnavailable = -32004 // certainly not done
	codeUnknown     = -32005 // may have been done
)

// failure is an error and what is known of the request that met it.
type failure struct {
	request *request
	err     error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func errInvalid(message string) error {
	return &session.Error{Code: session.CodeInvalid, Message: message}
}

func invalidRequest(message string) error { return &rpcError{codeRequest, errInvalid(message)} }

func errNoMethod() error {
	return &rpcError{codeMethod, &session.Error{Code: session.CodeNotFound, Message: "there is no such method here"}}
}

// reply is every answer, in the order of NetX's examples.
type reply struct {
	ID      json.RawMessage `json:"id"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *errorObject    `json:"error,omitempty"`
	JSONRPC string          `json:"jsonrpc"`
}

type errorObject struct {
	Code    int       `json:"code"`
	Message string    `json:"message"`
	Data    errorData `json:"data"`
}

// errorData has the word that REST uses for the failure.
type errorData struct {
	Code session.Code `json:"code"`
}

// succeed answers with a result; told is a failure that the result tells of in NetX's way.
func (r *request) succeed(result any, told error) protocol.Response {
	var response protocol.Response
	if r.notification {
		response = protocol.Response{Status: http.StatusNoContent, Operation: r.method}
	} else {
		response = r.respond(reply{Result: encoded(result)})
	}
	response.Err = told
	return response
}

// fail tells a failure. f.Err says of which request, when one was understood.
func fail(f protocol.Failure) protocol.Response {
	r := &request{id: json.RawMessage("null")}
	var known *failure
	if errors.As(f.Err, &known) {
		r = known.request
	}
	code := codeOf(f)
	if r.notification && code != codeParse && code != codeRequest {
		return r.succeed(nil, nil)
	}
	text := f.Shown.Message
	if f.Shown.Field != "" {
		text = f.Shown.Field + ": " + text
	}
	response := r.respond(reply{Error: &errorObject{Code: code, Message: text, Data: errorData{f.Shown.Code}}})
	if f.Status == http.StatusMethodNotAllowed || f.Status == http.StatusRequestEntityTooLarge || f.Status == http.StatusUnsupportedMediaType {
		response.Status = f.Status
	}
	return response
}

// codeOf finds the number for a failure.
func codeOf(f protocol.Failure) int {
	var prescribed *rpcError
	if errors.As(f.Err, &prescribed) {
		return prescribed.code
	}
	switch f.Shown.Code {
	case session.CodeUnauthenticated:
		return codeKey
	case session.CodeForbidden:
		return codeForbidden
	case session.CodeTooLarge, session.CodeSessionLimit, session.CodeThrottled:
		return codeLimit
	case session.CodeNoQuorum, session.CodeOverloaded, session.CodeUnavailable, session.CodeTooStale:
		return codeUnavailable
	case session.CodeOutcomeUnknown:
		return codeUnknown
	case session.CodeInternal:
		return codeInternal
	}
	return codeRequest
}

func (r *request) respond(answer reply) protocol.Response {
	answer.ID, answer.JSONRPC = r.id, "2.0"
	return protocol.Response{Status: http.StatusOK, ContentType: "application/json", Body: encoded(answer), Operation: r.method}
}

// encoded writes what nothing can fail to be written of.
func encoded(v any) json.RawMessage {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		panic(err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}
