package netx

import (
	"bytes"
	"encoding/json"

	"github.com/hydrastore/hydrastore/api/internal/strictjson"
	"github.com/hydrastore/hydrastore/api/protocol"
)

// request is one JSON-RPC request.
type request struct {
	id           json.RawMessage // as it came; null when it is not known
	notification bool            // it came without id: nobody waits for an answer
	method       string
	params       []strictjson.Value
}

// rpcError is an error whose code JSON-RPC prescribes.
type rpcError struct {
	code int
	err  error
}

func (e *rpcError) Error() string { return e.err.Error() }
func (e *rpcError) Unwrap() error { return e.err }

// parseRequest reads a request. With an error it returns what it has understood until then, so that the answer can name the request.
func parseRequest(body []byte) (*request, error) {
	r := &request{id: json.RawMessage("null"), notification: true}
	if trimmed := bytes.TrimLeft(body, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '[' {
		return r, invalidRequest("batches are not taken: send one request at a time")
	}
	var wrong error // in the request's form: told when all of it has been read, id included
	note := func(err error) {
		if wrong == nil {
			wrong = err
		}
	}
	version := ""
	err := strictjson.ReadObject(body, func(name string, v strictjson.Value) error {
		switch name {
		case "jsonrpc":
			version = textOf(v)
		case "method":
			if r.method = textOf(v); r.method == "" {
				note(invalidRequest("method must be a string that is not empty"))
			}
		case "id":
			note(r.takeID(v))
		case "params":
			note(r.takeParams(v))
		case "dataContext":
			if textOf(v) != "json" {
				note(invalidRequest(`dataContext, where it is given, must be "json"`))
			}
		default:
			note(invalidRequest("a request has jsonrpc, method, params, id and dataContext, no other member"))
		}
		return nil
	})
	switch {
	case err != nil:
		return r, &rpcError{codeParse, protocol.BodyError(err)}
	case version != "2.0":
		wrong = invalidRequest(`jsonrpc must be "2.0"`)
	case wrong == nil && r.method == "":
		wrong = invalidRequest("method is missing")
	}
	return r, wrong
}

func textOf(v strictjson.Value) string {
	text, err := v.Text()
	if err != nil {
		return ""
	}
	return text
}

func (r *request) takeID(v strictjson.Value) error {
	r.notification = false
	switch v.Kind() {
	case strictjson.String, strictjson.Number, strictjson.Null:
	default:
		return invalidRequest("id must be a string, a number or null")
	}
	raw := v.Raw()
	if len(raw) > MaxIDBytes {
		return invalidRequest("id is too long")
	}
	r.id = raw
	return nil
}

func (r *request) takeParams(v strictjson.Value) error {
	if v.Kind() == strictjson.Object {
		return &rpcError{codeParams, errInvalid("parameters go by their position, in an array")}
	}
	if v.Kind() != strictjson.Array {
		return invalidRequest("params must be an array")
	}
	err := v.Elements(MaxParams, func(v strictjson.Value) error {
		r.params = append(r.params, v)
		return nil
	})
	if err != nil {
		return &rpcError{codeParams, protocol.BodyError(err)}
	}
	return nil
}
