package protocol_test

import (
	"context"
	"strings"
	"testing"

	"github.com/hydrastore/hydrastore/api/protocol"
)

func TestValidatePath(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/api", "/x7/json", "/x7/v1.2/json", "/interface/flat", "/v1.2", "/V1/x", "/" + strings.Repeat("a", 127)} {
		if err := protocol.ValidatePath(path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	for _, path := range []string{"", "/", "api", "/api/", "//api", "/a//b", "/a/../b", "/./a", "/a/:b", "/a*", "/a b", "/ä", "/a?b", "/a%2fb",
		"/v1", "/v1/sessions", "/v1/x", "/livez", "/readyz", "/metrics", "/openapi.yaml", "/console", "/console/x", "/" + strings.Repeat("a", 128)} {
		if err := protocol.ValidatePath(path); err == nil {
			t.Errorf("%q was taken", path)
		}
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	serve := func(context.Context, *protocol.Request) (protocol.Response, error) { return protocol.Response{}, nil }
	fail := func(protocol.Failure) protocol.Response { return protocol.Response{} }
	good := protocol.Protocol{Name: "parrot", Routes: []protocol.Route{{Path: "/parrot", Methods: []string{"POST"}, Serve: serve, Fail: fail}}}
	if err := good.Validate(); err != nil {
		t.Errorf("got %v", err)
	}
	for name, change := range map[string]func(*protocol.Protocol){
		"no name":    func(p *protocol.Protocol) { p.Name = "" },
		"a bad name": func(p *protocol.Protocol) { p.Name = "Parrot 2" },
		"no route":   func(p *protocol.Protocol) { p.Routes = nil },
		"no method":  func(p *protocol.Protocol) { p.Routes[0].Methods = nil },
		"no serve":   func(p *protocol.Protocol) { p.Routes[0].Serve = nil },
		"no fail":    func(p *protocol.Protocol) { p.Routes[0].Fail = nil },
		"a bad path": func(p *protocol.Protocol) { p.Routes[0].Path = "/v1/x" },
	} {
		p := good
		p.Routes = append([]protocol.Route(nil), good.Routes...)
		change(&p)
		if err := p.Validate(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
