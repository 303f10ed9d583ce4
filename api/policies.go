package api

import (
	"context"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/hydrastore/hydrastore/api/internal/rest"
	"github.com/hydrastore/hydrastore/session"
)

// ListPolicies answers GET /v1/policies.
func (h *handlers) ListPolicies(c echo.Context, p rest.ListPoliciesParams) error {
	call, err := h.readCall(c, p.Consistency, p.MinIndex)
	if err != nil {
		return err
	}
	list, err := h.service.ListPolicies(c.Request().Context(), call)
	if err != nil {
		return err
	}
	setReadMeta(c, &call, list.Meta)
	return writeModel(c, http.StatusOK, policyPageModel(list))
}

// GetPolicy answers GET /v1/policies/{name}.
func (h *handlers) GetPolicy(c echo.Context, name string, p rest.GetPolicyParams) error {
	call, err := h.readCall(c, p.Consistency, p.MinIndex)
	if err != nil {
		return err
	}
	policy, err := h.service.GetPolicy(c.Request().Context(), call, name)
	if err != nil {
		return err
	}
	return answerPolicy(c, &call, policy)
}

// PutPolicy answers PUT /v1/policies/{name}.
func (h *handlers) PutPolicy(c echo.Context, name string, p rest.PutPolicyParams) error {
	return h.changePolicy(c, name, p.IfMatch, h.service.PutPolicy)
}

// PatchPolicy answers PATCH /v1/policies/{name}.
func (h *handlers) PatchPolicy(c echo.Context, name string, p rest.PatchPolicyParams) error {
	return h.changePolicy(c, name, p.IfMatch, h.service.PatchPolicy)
}

type policyChanger func(context.Context, session.Call, string, session.PolicyChange) (session.PolicyResult, error)

func (h *handlers) changePolicy(c echo.Context, name string, ifMatch *string, change policyChanger) error {
	call, err := h.call(c)
	if err != nil {
		return err
	}
	var settings session.PolicyChange
	if err := h.readBody(c, func(body []byte) (err error) { settings, err = decodePolicyChange(body); return err }); err != nil {
		return err
	}
	if settings.IfMatch, err = parseIfMatch(ifMatch); err != nil {
		return err
	}
	policy, err := change(c.Request().Context(), call, name, settings)
	if err != nil {
		return err
	}
	return answerPolicy(c, &call, policy)
}

// DeletePolicy answers DELETE /v1/policies/{name}.
func (h *handlers) DeletePolicy(c echo.Context, name string) error {
	call, err := h.call(c)
	if err != nil {
		return err
	}
	meta, err := h.service.DeletePolicy(c.Request().Context(), call, name)
	if err != nil {
		return err
	}
	return done(c, meta)
}

func answerPolicy(c echo.Context, call *session.Call, policy session.PolicyResult) error {
	setReadMeta(c, call, policy.Meta)
	setETag(c, policy.Version)
	return writeModel(c, http.StatusOK, policyModel(policy.Policy))
}
