package faircom

import (
	"encoding/json"
	"slices"

	"github.com/hydrastore/hydrastore/api/internal/strictjson"
	"github.com/hydrastore/hydrastore/api/protocol"
	"github.com/hydrastore/hydrastore/session"
)

// envelope is what all requests have in common.
type envelope struct {
	action    string
	authToken *string         // nil = not given
	requestID json.RawMessage // as it came; nil = not given
	debug     bool
	params    *strictjson.Value // an object; nil = not given
	echo      map[string]json.RawMessage
}

// apiVersions are those whose session actions are spoken here.
func apiVersions() []string { return []string{"1.0"} }

// parseEnvelope reads a request. With an error it returns what it has understood until then, so that the answer can name the request.
func parseEnvelope(body []byte) (*envelope, error) {
	e := &envelope{echo: map[string]json.RawMessage{}}
	err := strictjson.ReadObject(body, func(name string, v strictjson.Value) error {
		if err := e.take(name, v); err != nil {
			return err
		}
		return nil
	})
	switch {
	case err != nil:
		return e, protocol.BodyError(err)
	case e.action == "":
		return e, session.Invalid("action", "is needed: one of %s", actionList())
	}
	return e, nil
}

func (e *envelope) take(name string, v strictjson.Value) (err error) {
	if name != "params" && v.Kind() == strictjson.Null {
		return nil
	}
	switch name {
	case "api":
		err = oneOf(v, "admin")
	case "apiVersion":
		err = oneOf(v, apiVersions()...)
	case "action":
		e.action, err = v.Text()
	case "authToken":
		var token string
		token, err = v.Text()
		e.authToken = &token
	case "requestId":
		err = e.takeRequestID(v)
	case "debug":
		var level string
		level, err = bounded(v, MaxSettingBytes)
		e.debug = level != "none" && level != ""
	case "responseOptions":
		err = v.Object(func(string, strictjson.Value) error { return nil }) // how results of queries are written; there are none
	case "params":
		if v.Kind() != strictjson.Object {
			return v.Errorf("must be an object")
		}
		e.params = &v
		return nil
	default:
		return v.Errorf("unknown member; a request has api, action, params, authToken, requestId, responseOptions, apiVersion and debug")
	}
	e.echo[name] = v.Raw()
	return err
}

func (e *envelope) takeRequestID(v strictjson.Value) error {
	if k := v.Kind(); k != strictjson.String && k != strictjson.Number {
		return v.Errorf("must be a string or a number")
	}
	raw := v.Raw()
	if len(raw) > MaxRequestIDBytes {
		return v.Errorf("has at most %d bytes", MaxRequestIDBytes)
	}
	e.requestID = raw
	return nil
}

func oneOf(v strictjson.Value, allowed ...string) error {
	text, err := v.Text()
	if err == nil && !slices.Contains(allowed, text) {
		err = v.Errorf("must be %q", allowed)
	}
	return err
}

// bounded reads a text of at most most bytes.
func bounded(v strictjson.Value, most int) (string, error) {
	text, err := v.Text()
	if err == nil && len(text) > most {
		err = v.Errorf("has at most %d bytes", most)
	}
	return text, err
}

// flag reads true, false and their names: the documents have both.
func flag(v strictjson.Value) (bool, error) {
	if v.Kind() != strictjson.String {
		return v.Boolean()
	}
	switch text, _ := v.Text(); text {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, v.Errorf("must be true or false")
}

// members hands out the members of params, of which there may be none. unknown is told of those that are not among known.
func (e *envelope) members(known map[string]func(strictjson.Value) error, names string) error {
	if e.params == nil {
		return nil
	}
	shown := map[string]json.RawMessage{}
	err := e.params.Object(func(name string, v strictjson.Value) error {
		take, found := known[name]
		if !found {
			return v.Errorf("unknown member; this action takes %s", names)
		}
		if name != "password" {
			shown[name] = v.Raw()
		}
		return take(v)
	})
	if err != nil {
		return protocol.BodyError(err)
	}
	e.echo["params"], err = json.Marshal(shown)
	return err
}
