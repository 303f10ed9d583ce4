package api

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/hydrastore/hydrastore/api/protocol"
	"github.com/hydrastore/hydrastore/session"
)

// mounted is one route of a protocol beside REST.
type mounted struct {
	protocol.Route
	name       string   // of the protocol
	operations []string // that have series
}

// spokenKey is where a request's operation waits for the log line.
const spokenKey = "hydrastore.operation"

func validateProtocols(protocols []protocol.Protocol) error {
	var errs []error
	taken := map[string]string{}
	for _, p := range protocols {
		if err := p.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("api: %w", err))
		}
		for _, r := range p.Routes {
			if other, found := taken[r.Path]; found {
				errs = append(errs, fmt.Errorf("api: the path %s is asked for by %s and by %s", r.Path, other, p.Name))
			}
			taken[r.Path] = p.Name
		}
	}
	return errors.Join(errs...)
}

// mount puts the protocols' routes on a router, in every method: whoever comes with a wrong one is told in the protocol's words.
func (h *handlers) mount(e *echo.Echo, protocols []protocol.Protocol) {
	h.mounted = map[string]*mounted{}
	for _, p := range protocols {
		for _, r := range p.Routes {
			m := &mounted{Route: r, name: p.Name, operations: p.Operations}
			h.mounted[r.Path] = m
			speak := func(c echo.Context) error { return h.speak(c, m) }
			e.Match(r.Methods, r.Path, speak)
			e.RouteNotFound(r.Path, speak)
		}
	}
}

// speak hands one request to its protocol.
func (h *handlers) speak(c echo.Context, m *mounted) error {
	r := c.Request()
	if !slices.Contains(m.Methods, r.Method) {
		c.Response().Header().Set(echo.HeaderAllow, strings.Join(m.Methods, ", "))
		return &statusError{http.StatusMethodNotAllowed, session.Invalid("", "takes %s only", strings.Join(m.Methods, ", "))}
	}
	if encoding := r.Header.Get(echo.HeaderContentEncoding); encoding != "" && encoding != "identity" {
		return unsupported(echo.HeaderContentEncoding, "compressed bodies are not taken")
	}
	buffer := h.server.buffers.get()
	defer h.server.buffers.put(buffer)
	if err := h.server.readAll(r, buffer); err != nil {
		return err
	}
	response, err := m.Serve(r.Context(), &protocol.Request{
		Method: r.Method, Query: r.URL.RawQuery, Header: r.Header, Body: *buffer, ID: c.Response().Header().Get(headerRequestID),
		Call: session.Call{Address: h.server.addresses.client(r), UserAgent: userAgent(r.UserAgent())},
	})
	if err != nil {
		return err
	}
	if response.Err != nil {
		h.noteFailure(c, response.Err)
	}
	return writeSpoken(c, m, response)
}

// failureKey is where the code of a failure waits that a protocol has told itself.
const failureKey = "hydrastore.failure"

func (h *handlers) noteFailure(c echo.Context, err error) {
	_, shown := problemOf(err)
	h.logDefect(c, shown, err)
	setRetryAfter(c, shown)
	c.Set(failureKey, shown.Code)
}

// fail answers an error in the protocol's own form.
func (m *mounted) fail(c echo.Context, status int, shown *session.Error, err error) error {
	told := *shown
	told.Field, told.Message, told.Err = redact(told.Field), redact(told.Message), nil
	setRetryAfter(c, shown)
	return writeSpoken(c, m, m.Fail(protocol.Failure{Err: err, Shown: &told, Status: status}))
}

func writeSpoken(c echo.Context, m *mounted, r protocol.Response) error {
	operation := protocol.OtherOperation
	if slices.Contains(m.operations, r.Operation) {
		operation = r.Operation
	}
	c.Set(spokenKey, operation)
	header := c.Response().Header()
	for name, values := range r.Header {
		header[http.CanonicalHeaderKey(name)] = values
	}
	return writeBlob(c, r.Status, r.ContentType, r.Body)
}

// countSpoken counts a protocol's operations: their HTTP statuses tell little, most protocols answer 200 whatever happens.
func (h *handlers) countSpoken(c echo.Context, m *mounted, code session.Code) []slog.Attr {
	operation, _ := c.Get(spokenKey).(string)
	if operation == "" {
		operation = protocol.OtherOperation
	}
	result := "ok"
	if code != "" {
		result = string(code)
	}
	h.server.metrics.operations.WithLabelValues(m.name, operation, result).Inc()
	return []slog.Attr{slog.String("protocol", m.name), slog.String("operation", operation)}
}
