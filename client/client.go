package client

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

// Client asks a cluster. It is safe for concurrent use; clients made by With share its connections.
type Client struct {
	config Config
	http   *http.Client
	nodes  []string // base URLs
	// preferred is the index of the node that is asked first: the last one that answered.
	preferred *atomic.Uint32
}

// New makes a client. It connects when it is used.
func New(config Config) (*Client, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	config = config.withDefaults()
	config.Addresses = append([]string(nil), config.Addresses...)
	nodes, err := config.nodes()
	if err != nil {
		return nil, err
	}
	return &Client{config: config, http: newHTTPClient(config), nodes: nodes, preferred: new(atomic.Uint32)}, nil
}

// With returns a client with another key and the same connections.
func (c *Client) With(key session.Key) *Client {
	other := *c
	other.config.Key = key
	return &other
}

// Close drops idle connections. The client may still be used.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// nameOf is how errors name a node: behind a socket its base URL says nothing.
func (c *Client) nameOf(node string) string {
	if c.config.Socket != "" {
		return c.config.Socket
	}
	return node
}

func newHTTPClient(config Config) *http.Client {
	var own http.Client
	if config.HTTPClient != nil {
		own = *config.HTTPClient
	} else {
		own.Transport = newTransport(config)
	}
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // keys go to the named nodes only
	return &own
}

// newTransport keeps connections shorter than the server does (90 s), so that a request seldom meets one that is being closed.
func newTransport(config Config) *http.Transport {
	const (
		dialTimeout = 2 * time.Second
		idleTimeout = 60 * time.Second
	)
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}
	transport := &http.Transport{
		DialContext: dialer.DialContext, TLSHandshakeTimeout: 2 * dialTimeout, TLSClientConfig: config.TLS.Clone(),
		MaxIdleConnsPerHost: config.Connections, IdleConnTimeout: idleTimeout, DisableCompression: true, ForceAttemptHTTP2: true,
	}
	if config.Socket != "" {
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", config.Socket)
		}
	}
	return transport
}
