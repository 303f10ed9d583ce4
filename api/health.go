package api

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/hydrastore/hydrastore/api/internal/rest"
	"github.com/hydrastore/hydrastore/session"
)

// Livez answers GET /livez: whoever can answer lives.
func (h *handlers) Livez(c echo.Context) error {
	return writeModel(c, http.StatusOK, rest.Health{Status: "ok"})
}

// Readyz answers GET /readyz.
func (h *handlers) Readyz(c echo.Context, p rest.ReadyzParams) error {
	if h.server.draining.Load() {
		return session.Errorf(session.CodeUnavailable, "the node is draining: it stops soon")
	}
	if err := h.service.Ready(p.For != nil); err != nil {
		return err
	}
	return writeModel(c, http.StatusOK, rest.Health{Status: "ready"})
}

// Metrics answers GET /metrics.
func (h *handlers) Metrics(c echo.Context) error {
	h.server.metricsHandler.ServeHTTP(c.Response(), c.Request())
	return nil
}

// OpenAPI answers GET /openapi.yaml.
func (h *handlers) OpenAPI(c echo.Context) error {
	return writeBlob(c, http.StatusOK, "application/yaml", document)
}
