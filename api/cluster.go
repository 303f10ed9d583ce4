package api

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/hydrastore/hydrastore/api/internal/rest"
	"github.com/hydrastore/hydrastore/session"
)

// ClusterStatus answers GET /v1/cluster.
func (h *handlers) ClusterStatus(c echo.Context, p rest.ClusterStatusParams) error {
	call, err := h.readCall(c, p.Consistency, p.MinIndex)
	if err != nil {
		return err
	}
	status, err := h.service.ClusterStatus(c.Request().Context(), call)
	if err != nil {
		return err
	}
	return writeModel(c, http.StatusOK, clusterModel(status))
}

// AddMember answers POST /v1/cluster/members.
func (h *handlers) AddMember(c echo.Context) error {
	call, err := h.call(c)
	if err != nil {
		return err
	}
	var peerAddress string
	if err := h.readBody(c, func(body []byte) (err error) { peerAddress, err = decodeNewMember(body); return err }); err != nil {
		return err
	}
	meta, err := h.service.AddMember(c.Request().Context(), call, peerAddress)
	if err != nil {
		return err
	}
	return done(c, meta)
}

// RemoveMember answers DELETE /v1/cluster/members/{id}.
func (h *handlers) RemoveMember(c echo.Context, id string) error {
	call, err := h.call(c)
	if err != nil {
		return err
	}
	meta, err := h.service.RemoveMember(c.Request().Context(), call, id)
	if err != nil {
		return err
	}
	return done(c, meta)
}

// TransferLeadership answers POST /v1/cluster/leader, with or without a body.
func (h *handlers) TransferLeadership(c echo.Context) error {
	call, err := h.call(c)
	if err != nil {
		return err
	}
	var id string
	if c.Request().ContentLength != 0 {
		if err := h.readBody(c, func(body []byte) (err error) { id, err = decodeLeaderTransfer(body); return err }); err != nil {
			return err
		}
	}
	meta, err := h.service.TransferLeadership(c.Request().Context(), call, id)
	if err != nil {
		return err
	}
	return done(c, meta)
}

// Reseal answers POST /v1/cluster/reseal.
func (h *handlers) Reseal(c echo.Context, p rest.ResealParams) error {
	call, err := h.call(c)
	if err != nil {
		return err
	}
	resealed, err := h.service.Reseal(c.Request().Context(), call, page(nil, p.Cursor).Cursor)
	if err != nil {
		return err
	}
	setMeta(c, resealed.Meta)
	model := rest.Resealed{Resealed: resealed.Count, NextCursor: unlessZero(resealed.NextCursor)}
	if resealed.Left != session.LeftUnknown {
		model.Left = &resealed.Left
	}
	return writeModel(c, http.StatusOK, model)
}
