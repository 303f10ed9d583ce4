package api

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/hydrastore/hydrastore/api/internal/rest"
	"github.com/hydrastore/hydrastore/session"
)

// GetLimits answers GET /v1/limits.
func (h *handlers) GetLimits(c echo.Context, p rest.GetLimitsParams) error {
	call, err := h.readCall(c, p.Consistency, p.MinIndex)
	if err != nil {
		return err
	}
	limits, err := h.service.GetLimits(c.Request().Context(), call)
	if err != nil {
		return err
	}
	return answerLimits(c, &call, limits)
}

// PatchLimits answers PATCH /v1/limits.
func (h *handlers) PatchLimits(c echo.Context, p rest.PatchLimitsParams) error {
	call, err := h.call(c)
	if err != nil {
		return err
	}
	var change session.ClusterLimitsChange
	if err := h.readBody(c, func(body []byte) (err error) { change, err = decodeLimitsChange(body); return err }); err != nil {
		return err
	}
	if change.IfMatch, err = parseIfMatch(p.IfMatch); err != nil {
		return err
	}
	limits, err := h.service.PatchLimits(c.Request().Context(), call, change)
	if err != nil {
		return err
	}
	return answerLimits(c, &call, limits)
}

func answerLimits(c echo.Context, call *session.Call, limits session.ClusterLimitsResult) error {
	setReadMeta(c, call, limits.Meta)
	setETag(c, limits.Version)
	return writeModel(c, http.StatusOK, limitsModel(limits.ClusterLimits))
}
