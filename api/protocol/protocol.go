// Package protocol is what the API's server and the protocols beside REST know of each other.
//
// A protocol translates requests into calls of session.Service and answers into its own form. Everything else is the server's: the
// listener and its limits, who asks from where, ids, errors and panics, metrics and the log. A protocol sees no net/http request, and the server
// no word of the protocol.
package protocol

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/hydrastore/hydrastore/session"
)

// Protocol is mounted on the public listener by the server's Config. It is not changed afterwards.
type Protocol struct {
	// Name is the value of a metric's label and of an attribute in the log: lower-case letters.
	Name   string
	Routes []Route
	// Operations are the values that Response.Operation may have; any other is counted as "other", so that no client makes series.
	Operations []string
}

// Route is one path, in all methods: the answer to a method that it does not take is the protocol's too.
type Route struct {
	// Path is literal: no parameters. Below /v1/ and at the server's own paths nothing can be mounted.
	Path    string
	Methods []string
	// Serve answers. It is called by many goroutines at once and must keep no part of Request.Body. ctx ends when the client is gone.
	Serve func(ctx context.Context, r *Request) (Response, error)
	// Fail makes the answer to what Serve failed with, and to what the server refused before. It never fails itself.
	Fail func(f Failure) Response
}

// Request is what the server has read and found out.
type Request struct {
	Method string
	Query  string // raw, without "?"
	Header http.Header
	Body   []byte // whole, within the server's limit
	ID     string // as in the log and in X-Request-Id
	// Call has address and user agent of the client, and no key: where that stands is the protocol's to know.
	Call session.Call
}

// Failure is an error that is to be told.
type Failure struct {
	// Err is as Serve returned it, for errors.As. Its text may hold causes and secrets and is not for clients.
	Err error
	// Shown has what may be told: its text is free of native keys, and of causes within the server.
	Shown *session.Error
	// Status is what REST would answer. Those that HTTP itself prescribes (405, 413, 415) are so given.
	Status int
}

// Response is one whole answer.
type Response struct {
	Status      int
	ContentType string
	Header      http.Header // further ones; nil = none
	Body        []byte
	// Operation is what was asked for, as far as it was understood, for metrics and the log.
	Operation string
	// Err is the failure that this answer tells of, where the protocol has its own way to tell it; nil = none. It is counted and logged.
	Err error
}

// OtherOperation is what a request is counted as whose operation is not known.
const OtherOperation = "other"

// Validate tells everything that is wrong.
func (p Protocol) Validate() error {
	var errs []error
	if p.Name == "" || strings.Trim(p.Name, "abcdefghijklmnopqrstuvwxyz") != "" {
		errs = append(errs, fmt.Errorf("protocol %q: a name has lower-case letters", p.Name))
	}
	if len(p.Routes) == 0 {
		errs = append(errs, fmt.Errorf("protocol %s has no route", p.Name))
	}
	for _, r := range p.Routes {
		if err := ValidatePath(r.Path); err != nil {
			errs = append(errs, fmt.Errorf("protocol %s: %w", p.Name, err))
		}
		if len(r.Methods) == 0 || r.Serve == nil || r.Fail == nil {
			errs = append(errs, fmt.Errorf("protocol %s: the route %s lacks something", p.Name, r.Path))
		}
	}
	return errors.Join(errs...)
}

// ReservedPaths belong to the server; those that end in a slash with all that is below.
func ReservedPaths() []string {
	return []string{"/v1", "/v1/", "/livez", "/readyz", "/metrics", "/openapi.yaml", "/console", "/console/"}
}

// ValidatePath tells whether a protocol can be mounted at path.
func ValidatePath(path string) error {
	const most = 128
	segments := strings.Split(path, "/")
	switch {
	case len(path) > most:
		return fmt.Errorf("a path has at most %d bytes", most)
	case len(path) < 2 || segments[0] != "" || strings.Trim(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/") != "":
		return fmt.Errorf("the path %q must begin with a slash and have letters, digits, '-', '.', '_', '~' and '/' behind it", path)
	case slices.ContainsFunc(segments[1:], func(s string) bool { return s == "" || s == "." || s == ".." }):
		return fmt.Errorf("the path %q must not end with a slash, nor have empty parts, '.' or '..'", path)
	}
	for _, reserved := range ReservedPaths() {
		if path == reserved || strings.HasSuffix(reserved, "/") && strings.HasPrefix(path, reserved) {
			return fmt.Errorf("the path %q belongs to the server", path)
		}
	}
	return nil
}
