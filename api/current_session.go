package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/hydrastore/hydrastore/api/internal/rest"
	"github.com/hydrastore/hydrastore/session"
)

// Check answers GET /v1/session.
func (h *handlers) Check(c echo.Context, p rest.CheckParams) error {
	call, err := h.subjectCall(c, subject{p.HydrastoreSession, p.HydrastoreClientIP, p.HydrastoreUserAgent})
	if err != nil {
		return err
	}
	if err := setFreshness(&call, p.Consistency, p.MinIndex); err != nil {
		return err
	}
	if p.Touch != nil && *p.Touch {
		if p.MinIndex != nil {
			return session.Invalid("touch", "touch=true and min_index contradict each other: a min_index read never counts as a use")
		}
		call.Consistency = session.Linearizable // a use needs the leader: a local read that counts is no local read
	}
	if p.MaxAuthAge != nil {
		call.MaxAuthAge = secondsOf(*p.MaxAuthAge)
	}
	checked, err := h.service.Check(c.Request().Context(), call, p.Touch != nil && !*p.Touch)
	if err != nil {
		return err
	}
	return h.answerChecked(c, &call, &checked)
}

// Touch answers POST /v1/session/touch.
func (h *handlers) Touch(c echo.Context, p rest.TouchParams) error {
	call, err := h.subjectCall(c, subject{p.HydrastoreSession, p.HydrastoreClientIP, p.HydrastoreUserAgent})
	if err != nil {
		return err
	}
	checked, err := h.service.Touch(c.Request().Context(), call)
	if err != nil {
		return err
	}
	return h.answerChecked(c, &call, &checked)
}

// Rotate answers POST /v1/session/rotate.
func (h *handlers) Rotate(c echo.Context, p rest.RotateParams) error {
	call, err := h.subjectCall(c, subject{p.HydrastoreSession, p.HydrastoreClientIP, p.HydrastoreUserAgent})
	if err != nil {
		return err
	}
	issued, err := h.service.Rotate(c.Request().Context(), call)
	if err != nil {
		return err
	}
	return h.answerReissued(c, &call, &issued)
}

// Reauthenticate answers POST /v1/session/reauthenticate.
func (h *handlers) Reauthenticate(c echo.Context, p rest.ReauthenticateParams) error {
	call, err := h.subjectCall(c, subject{p.HydrastoreSession, p.HydrastoreClientIP, p.HydrastoreUserAgent})
	if err != nil {
		return err
	}
	var proof session.Proof
	if err := h.readBody(c, func(body []byte) (err error) { proof, err = decodeProof(body); return err }); err != nil {
		return err
	}
	issued, err := h.service.Reauthenticate(c.Request().Context(), call, proof)
	if err != nil {
		return err
	}
	return h.answerReissued(c, &call, &issued)
}

// answerReissued answers with a session's new key. Who brought the old one as a cookie gets the new one as a cookie too.
func (h *handlers) answerReissued(c echo.Context, call *session.Call, issued *session.Issued) error {
	setMeta(c, issued.Meta)
	setETag(c, issued.AttributesVersion)
	if _, asHeader := c.Request().Header[echo.HeaderAuthorization]; !asHeader && call.Subject == nil {
		h.server.cookies.issue(c.Response().Header(), c.Request(), issued.Key)
	}
	return writeAppended(h, c, http.StatusOK, appendIssued, issued)
}

// PatchAttributes answers PATCH /v1/session/attributes.
func (h *handlers) PatchAttributes(c echo.Context, p rest.PatchAttributesParams) error {
	call, err := h.subjectCall(c, subject{p.HydrastoreSession, p.HydrastoreClientIP, p.HydrastoreUserAgent})
	if err != nil {
		return err
	}
	ifMatch, err := parseIfMatch(p.IfMatch)
	if err != nil {
		return err
	}
	return h.patch(c, call, ifMatch, h.service.PatchAttributes)
}

// SealAttributes answers PATCH /v1/session/sealed_attributes.
func (h *handlers) SealAttributes(c echo.Context, p rest.SealAttributesParams) error {
	call, err := h.subjectCall(c, subject{p.HydrastoreSession, p.HydrastoreClientIP, p.HydrastoreUserAgent})
	if err != nil {
		return err
	}
	ifMatch, err := parseIfMatch(p.IfMatch)
	if err != nil {
		return err
	}
	return h.patch(c, call, ifMatch, h.service.SealAttributes)
}

// patchFunc is one of the two ways to change attributes.
type patchFunc func(context.Context, session.Call, session.AttributePatch, *uint64) (session.Checked, error)

func (h *handlers) patch(c echo.Context, call session.Call, ifMatch *uint64, change patchFunc) error {
	var patch session.AttributePatch
	if err := h.readBody(c, func(body []byte) (err error) { patch, err = decodeAttributePatch(body); return err }); err != nil {
		return err
	}
	checked, err := change(c.Request().Context(), call, patch, ifMatch)
	if err != nil {
		return err
	}
	return h.answerChecked(c, &call, &checked)
}

// Logout answers DELETE /v1/session: 204 for a key that opens nothing, too, be it ever so garbled.
func (h *handlers) Logout(c echo.Context, p rest.LogoutParams) error {
	call, err := h.subjectCall(c, subject{p.HydrastoreSession, p.HydrastoreClientIP, p.HydrastoreUserAgent})
	var bad *garbledKey
	switch {
	case errors.As(err, &bad) && bad.coded.Field == headerSession:
		// The caller must still be a service: the service judges that, with a key that opens nothing.
		if call.Subject.Key, err = unknownKey(); err != nil {
			return err
		}
	case errors.As(err, &bad) && p.HydrastoreSession == nil:
		h.server.cookies.clear(c.Response().Header(), c.Request())
		return c.NoContent(http.StatusNoContent)
	case err != nil:
		return err
	}
	meta, err := h.service.Logout(c.Request().Context(), call)
	if err != nil {
		return err
	}
	h.server.cookies.clear(c.Response().Header(), c.Request())
	return done(c, meta)
}

func (h *handlers) answerChecked(c echo.Context, call *session.Call, checked *session.Checked) error {
	setReadMeta(c, call, checked.Meta)
	setETag(c, checked.AttributesVersion)
	return writeAppended(h, c, http.StatusOK, appendChecked, checked)
}
