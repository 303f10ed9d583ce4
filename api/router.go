package api

import (
	"io"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/hydrastore/hydrastore/api/internal/rest"
	"github.com/hydrastore/hydrastore/session"
)

// handlers implements the generated server interface, one file per noun.
type handlers struct {
	server   *Server
	service  session.Service
	operator bool                 // behind the node's own socket
	series   map[seriesKey]series // of this router's routes; not changed after newRouter
	mounted  map[string]*mounted  // protocols beside REST, by path; not changed after newRouter
}

var _ rest.ServerInterface = (*handlers)(nil)

func newRouter(h *handlers) *echo.Echo {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.Logger.SetOutput(io.Discard) // everything worth a line goes through slog
	e.IPExtractor = h.server.addresses.extract
	e.SchemeExtractor = echo.ExtractSchemeDirect()
	e.HTTPErrorHandler = func(error, echo.Context) {} // observe has answered already
	e.Use(h.observe)
	rest.RegisterHandlers(e, h)
	if !h.operator {
		h.mount(e, h.server.config.Protocols)
	}
	h.series = h.server.metrics.allSeries(e.Routes())
	return e
}

// takesBody tells the routes that read a body, as openapi.yaml has it; the others refuse one.
func takesBody(method, route string) bool {
	switch method {
	case http.MethodPatch, http.MethodPut:
		return true
	case http.MethodPost:
		return route != "/v1/session/touch" && route != "/v1/session/rotate" && route != "/v1/cluster/reseal"
	}
	return false
}
