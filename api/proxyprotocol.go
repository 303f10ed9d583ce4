package api

import (
	"errors"
	"net"
	"time"

	"github.com/pires/go-proxyproto"
)

// proxied makes connections from trusted proxies those of the clients that their PROXY protocol header (version 2) names. Such a
// connection must begin with one: if it were optional, a proxy that sends none would pass on what its clients make up. Other
// connections are left as they are, so that a header on them is no HTTP.
func (a addresses) proxied(l net.Listener, patience time.Duration) net.Listener {
	return &proxyproto.Listener{
		Listener: l, ReadHeaderTimeout: patience, ValidateHeader: namesTheClient,
		ConnPolicy: func(c proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) {
			if a.isTrusted(peer(c.Upstream.String())) {
				return proxyproto.REQUIRE, nil
			}
			return proxyproto.SKIP, nil
		},
	}
}

// namesTheClient refuses headers that leave the address open: the connection would count as the proxy's own, and what the client says in
// X-Forwarded-For would be believed. The proxy's own connections (LOCAL) are its health checks.
func namesTheClient(h *proxyproto.Header) error {
	const version = 2
	switch {
	case h.Version != version:
		return errors.New("PROXY protocol: only version 2 is taken")
	case h.Command.IsLocal(), h.TransportProtocol == proxyproto.TCPv4, h.TransportProtocol == proxyproto.TCPv6:
		return nil
	}
	return errors.New("PROXY protocol: the header names no TCP client")
}
