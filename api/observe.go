package api

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/hydrastore/hydrastore/session"
)

// unmatched is the route of requests that no route takes: their paths are the client's invention.
const unmatched = "unmatched"

// observe surrounds every request, matched or not: the headers that all answers have, errors and panics as problem
// documents, metrics, and one line in the log. It is the only middleware.
func (h *handlers) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		started := time.Now()
		h.server.metrics.inFlight.Inc()
		defer h.server.metrics.inFlight.Dec()

		id := h.server.requestIDs.of(c.Request())
		header := c.Response().Header()
		header[headerRequestID] = []string{id}
		header[echo.HeaderCacheControl] = valueNoStore
		header[echo.HeaderXContentTypeOptions] = valueNoSniff

		var code session.Code
		if err := h.guarded(c, next); err != nil {
			code = h.answerError(c, id, err)
		}
		h.finished(c, id, code, time.Since(started))
		return nil
	}
}

// guarded makes a panic an error. http.ErrAbortHandler goes on: it asks for a broken connection.
func (h *handlers) guarded(c echo.Context, next echo.HandlerFunc) (err error) {
	defer func() {
		switch cause := recover(); cause {
		case nil:
		case http.ErrAbortHandler:
			panic(cause)
		default:
			err = fmt.Errorf("panic: %v\n%s", cause, debug.Stack())
		}
	}()
	if h.mounted[c.Path()] == nil && !takesBody(c.Request().Method, c.Path()) {
		if err := refuseBody(c.Request()); err != nil {
			return err
		}
	}
	return next(c)
}

// answerError writes the problem document, or what a protocol has in its place, and for a defect the cause into the log.
func (h *handlers) answerError(c echo.Context, id string, err error) session.Code {
	status, shown := problemOf(err)
	h.logDefect(c, shown, err)
	if c.Response().Committed {
		panic(http.ErrAbortHandler) // half an answer must not look like a whole one
	}
	if m := h.mounted[c.Path()]; m != nil {
		err = m.fail(c, status, shown, err)
	} else {
		err = writeProblem(c, id, status, shown)
	}
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return shown.Code
}

// logDefect writes the cause of an internal error into the log: clients see the request's id alone.
func (h *handlers) logDefect(c echo.Context, shown *session.Error, err error) {
	if shown.Code == session.CodeInternal {
		h.server.config.Logger.LogAttrs(c.Request().Context(), slog.LevelError, "internal error",
			slog.String("request_id", c.Response().Header().Get(headerRequestID)), slog.String("route", routeOf(c)), slog.String("cause", redact(err.Error())))
	}
}

// finished counts and logs one request. Neither path nor query is logged: they name users, and could hold a secret that
// somebody put there by mistake.
func (h *handlers) finished(c echo.Context, id string, code session.Code, took time.Duration) {
	s, r, status := h.server, c.Request(), c.Response().Status
	route := routeOf(c)
	h.count(route, r.Method, status, took)
	var spoken []slog.Attr
	m := h.mounted[route]
	if m != nil {
		if told, failed := c.Get(failureKey).(session.Code); failed && code == "" {
			code = told
		}
		spoken = h.countSpoken(c, m, code)
	}

	level := s.accessLevel(route, status, m != nil)
	if !s.config.Logger.Enabled(context.Background(), level) {
		return
	}
	attrs := make([]slog.Attr, 0, 11)
	attrs = append(attrs, slog.String("request_id", id), slog.String("method", knownMethod(r.Method)), slog.String("route", route),
		slog.Int("status", status), slog.Float64("duration_ms", float64(took.Microseconds())/1000))
	if address := h.clientAddress(r); address.IsValid() {
		attrs = append(attrs, slog.String("client_ip", address.String()))
	}
	if s.config.Term != nil {
		attrs = append(attrs, slog.Uint64("term", s.config.Term()))
	}
	if code != "" {
		attrs = append(attrs, slog.String("code", string(code)))
	}
	if h.operator {
		attrs = append(attrs, slog.Bool("operator", true))
	}
	attrs = append(attrs, spoken...)
	s.config.Logger.LogAttrs(r.Context(), level, "request", attrs...)
}

// accessLevel keeps what load balancers and scrapers ask all the time out of the usual log.
func (s *Server) accessLevel(route string, status int, ofProtocol bool) slog.Level {
	switch {
	case status == http.StatusInternalServerError:
		return slog.LevelError
	case !strings.HasPrefix(route, "/v1/") && route != unmatched && !ofProtocol:
		return slog.LevelDebug
	case status > http.StatusInternalServerError:
		return slog.LevelWarn
	}
	return s.config.AccessLevel
}

// clientAddress is the caller's; none over the node's own socket.
func (h *handlers) clientAddress(r *http.Request) netip.Addr {
	if h.operator {
		return netip.Addr{}
	}
	return h.server.addresses.client(r)
}

func routeOf(c echo.Context) string {
	if route := c.Path(); route != "" && c.Handler() != nil {
		return route
	}
	return unmatched
}
