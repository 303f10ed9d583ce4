package api

import (
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"github.com/hydrastore/hydrastore/api/internal/rest"
	"github.com/hydrastore/hydrastore/session"
)

// ListUsers answers GET /v1/users.
func (h *handlers) ListUsers(c echo.Context, p rest.ListUsersParams) error {
	call, err := h.readCall(c, p.Consistency, p.MinIndex)
	if err != nil {
		return err
	}
	list, err := h.service.ListUsers(c.Request().Context(), call, page(p.Limit, p.Cursor))
	if err != nil {
		return err
	}
	setReadMeta(c, &call, list.Meta)
	return writeModel(c, http.StatusOK, userPageModel(list))
}

// CreateUser answers POST /v1/users.
func (h *handlers) CreateUser(c echo.Context) error {
	call, err := h.call(c)
	if err != nil {
		return err
	}
	var user session.NewUser
	if err := h.readBody(c, func(body []byte) (err error) { user, err = decodeNewUser(body); return err }); err != nil {
		return err
	}
	created, err := h.service.CreateUser(c.Request().Context(), call, user)
	if err != nil {
		return err
	}
	c.Response().Header().Set(echo.HeaderLocation, "/v1/users/"+url.PathEscape(created.Name))
	return answerUser(c, &call, http.StatusCreated, created)
}

// GetUser answers GET /v1/users/{user}.
func (h *handlers) GetUser(c echo.Context, name string, p rest.GetUserParams) error {
	call, err := h.readCall(c, p.Consistency, p.MinIndex)
	if err != nil {
		return err
	}
	user, err := h.service.GetUser(c.Request().Context(), call, name)
	if err != nil {
		return err
	}
	return answerUser(c, &call, http.StatusOK, user)
}

// UpdateUser answers PATCH /v1/users/{user}.
func (h *handlers) UpdateUser(c echo.Context, name string, p rest.UpdateUserParams) error {
	call, err := h.call(c)
	if err != nil {
		return err
	}
	var change session.UserChange
	if err := h.readBody(c, func(body []byte) (err error) { change, err = decodeUserChange(body); return err }); err != nil {
		return err
	}
	if change.IfMatch, err = parseIfMatch(p.IfMatch); err != nil {
		return err
	}
	user, err := h.service.UpdateUser(c.Request().Context(), call, name, change)
	if err != nil {
		return err
	}
	return answerUser(c, &call, http.StatusOK, user)
}

// DeleteUser answers DELETE /v1/users/{user}.
func (h *handlers) DeleteUser(c echo.Context, name string) error {
	call, err := h.call(c)
	if err != nil {
		return err
	}
	meta, err := h.service.DeleteUser(c.Request().Context(), call, name)
	if err != nil {
		return err
	}
	return done(c, meta)
}

func answerUser(c echo.Context, call *session.Call, status int, user session.UserResult) error {
	setReadMeta(c, call, user.Meta)
	setETag(c, user.Version)
	model := userModel(user.User)
	model.SessionsNode = present(user.Node)
	return writeModel(c, status, model)
}
