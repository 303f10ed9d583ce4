package netx

import (
	"context"
	"net/http"

	"github.com/hydrastore/hydrastore/api/protocol"
	"github.com/hydrastore/hydrastore/session"
)

// Name of the protocol, as metrics and the log have it.
const Name = "netx"

// DefaultPath of the endpoint. NetX does not document its own.
const DefaultPath = "/x7/json"

// The limits of this protocol, beside those of sessions and preferences.
const (
	MaxParams  = 16
	MaxIDBytes = 256
)

// room answers for one node. It holds no state of its own.
type room struct{ service session.Service }

// New returns the protocol at path before service.
func New(path string, service session.Service) protocol.Protocol {
	r := &room{service: service}
	return protocol.Protocol{
		Name: Name, Operations: methodNames(),
		Routes: []protocol.Route{{Path: path, Methods: []string{http.MethodPost}, Serve: r.serve, Fail: fail}},
	}
}

func (r *room) serve(ctx context.Context, hr *protocol.Request) (protocol.Response, error) {
	request, err := parseRequest(hr.Body)
	if err != nil {
		return protocol.Response{}, &failure{request: request, err: err}
	}
	m, known := methods()[request.method]
	switch {
	case !known:
		err = errNoMethod()
	case request.notification && m.needsAnswer:
		return request.succeed(nil, nil), nil // what nobody hears of is not begun
	default:
		c := &call{room: r, ctx: ctx, Call: hr.Call, request: request}
		var result any
		if err = c.bind(m); err == nil {
			if result, err = m.run(c); err == nil {
				return request.succeed(result, c.told), nil
			}
		}
	}
	return protocol.Response{}, &failure{request: request, err: err}
}
