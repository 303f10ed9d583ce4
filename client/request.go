package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/hydrastore/hydrastore/session"
)

// request is one call to be sent to one node after the other.
type request struct {
	method     string
	path       string // escaped
	key        session.Key
	headers    http.Header
	parameters url.Values
	body       []byte // nil = none
	// idempotent requests may be repeated although an earlier one may have been done.
	idempotent bool
	// gone is how a repeated deletion succeeds: it finds nothing because the first one was done.
	gone bool
}

func (c *Client) request(method, path string, options []Option) *request {
	r := &request{method: method, path: path, key: c.config.Key, idempotent: method == http.MethodGet || method == http.MethodDelete}
	for _, option := range options {
		option(r)
	}
	return r
}

func (r *request) header(canonicalName, value string) {
	if r.headers == nil {
		r.headers = make(http.Header, 4)
	}
	r.headers[canonicalName] = []string{value}
}

func (r *request) query(name, value string) {
	if r.parameters == nil {
		r.parameters = make(url.Values, 4)
	}
	r.parameters.Set(name, value)
}

// json sets the body. It runs before anything is sent.
func (r *request) json(value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return session.Invalid("body", "cannot be written as JSON: %v", err)
	}
	r.body = body
	return nil
}

// build makes a fresh http.Request for one node.
func (r *request) build(ctx context.Context, base, userAgent string) (*http.Request, error) {
	target := base + r.path
	if len(r.parameters) > 0 {
		target += "?" + r.parameters.Encode()
	}
	var h *http.Request
	var err error
	if r.body != nil {
		h, err = http.NewRequestWithContext(ctx, r.method, target, bytes.NewReader(r.body))
	} else {
		h, err = http.NewRequestWithContext(ctx, r.method, target, nil)
	}
	if err != nil {
		return nil, fmt.Errorf("build request: %w", err)
	}
	for name, values := range r.headers {
		h.Header[name] = values
	}
	if r.body != nil {
		h.Header["Content-Type"] = []string{"application/json"}
	}
	if !r.key.IsZero() {
		h.Header["Authorization"] = []string{"Bearer " + r.key.Reveal()}
	}
	h.Header["User-Agent"] = []string{userAgent}
	return h, nil
}
