package livejournal

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/hydrastore/hydrastore/api/livejournal/xmlrpc"
	"github.com/hydrastore/hydrastore/api/protocol"
)

const methodPrefix = "LJ.XMLRPC."

// serveXMLRPC answers one call of XML-RPC.
func (d *desk) serveXMLRPC(ctx context.Context, in *protocol.Request) (protocol.Response, error) {
	if err := limitBody(in.Body); err != nil {
		return protocol.Response{}, err
	}
	call, err := xmlrpc.Parse(in.Body, xmlrpc.Limits{Values: MaxArguments})
	if err != nil {
		return protocol.Response{}, refused(codeArguments, err.Error())
	}
	mode, known := strings.CutPrefix(call.Method, methodPrefix)
	if !known || !slices.Contains(modes(), mode) {
		return protocol.Response{}, refused(codeMethod, "")
	}
	r := &request{mode: mode, call: in.Call, headers: in.Header}
	out, err := d.called(ctx, r, call.Params)
	if err != nil {
		return protocol.Response{}, &asked{err: err, mode: mode}
	}
	return protocol.Response{
		Status: http.StatusOK, ContentType: "text/xml", Body: xmlrpc.Response(out.value()), Header: out.header(), Operation: mode,
	}, nil
}

// called reads the one parameter and answers.
func (d *desk) called(ctx context.Context, r *request, params []xmlrpc.Value) (reply, error) {
	if err := r.read(params); err != nil {
		return reply{}, err
	}
	if r.mode == modeChallenge {
		return d.answer(ctx, r)
	}
	name, sent := r.args["username"]
	if !sent || name == "" {
		return reply{}, refused(codeMissing, "")
	}
	var ok bool
	if r.user, ok = d.config.canonicalUser(name); !ok {
		return reply{}, refused(codeUserName, "")
	}
	out, err := d.answer(ctx, r)
	delete(out.texts, "name") // of the flat form
	return out, err
}

// read takes the arguments out of the parameter. Structures within it are none of what is understood here, and are passed over.
func (r *request) read(params []xmlrpc.Value) error {
	r.args = map[string]string{}
	switch {
	case len(params) > 1:
		return refused(codeTooMany, "")
	case len(params) == 0:
		return nil
	case params[0].Kind != xmlrpc.Struct:
		return refused(codeArguments, "the parameter must be a struct")
	}
	for name, v := range params[0].Members {
		switch {
		case v.Kind == xmlrpc.Scalar:
			r.args[name] = v.Text
		case v.Kind == xmlrpc.Array && name == "expire":
			for _, id := range v.Items {
				if id.Kind == xmlrpc.Scalar {
					r.ids = append(r.ids, id.Text)
				}
			}
		}
	}
	if id, single := r.args["expire"]; single { // not documented, and clear
		r.ids = append(r.ids, id)
	}
	return nil
}

// value makes a reply what XML-RPC has for it.
func (r reply) value() xmlrpc.Out {
	out := xmlrpc.Out{}
	for name, text := range r.texts {
		out[name] = text
	}
	for name, n := range r.numbers {
		out[name] = n
	}
	for _, name := range r.lists {
		out[name] = nil
	}
	return out
}

func failXMLRPC(f protocol.Failure) protocol.Response {
	var a *asked
	if !errors.As(f.Err, &a) {
		a = &asked{}
	}
	told := faultOf(f)
	return protocol.Response{Status: status(f), ContentType: "text/xml", Body: xmlrpc.Fault(told.code, told.text), Operation: a.mode}
}
