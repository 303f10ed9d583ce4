package api

import (
	"errors"
	"math"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/hydrastore/hydrastore/api/internal/rest"
	"github.com/hydrastore/hydrastore/session"
)

// Login answers POST /v1/sessions. A password needs no key beside it: one that is garbled is as good as one that has ended,
// or a browser with such a cookie, which no page can remove, could never log in again.
func (h *handlers) Login(c echo.Context, p rest.LoginParams) error {
	call, err := h.loginCall(c, p)
	var bad *garbledKey
	if err != nil && !errors.As(err, &bad) {
		return err
	}
	var login session.Login
	if err := h.readBody(c, func(body []byte) (err error) { login, err = decodeLogin(body); return err }); err != nil {
		return err
	}
	if bad != nil && (login.Vouched || p.HydrastoreSession != nil) {
		return bad
	}
	if login.IdempotencyKey, err = parseIdempotencyKey(p.IdempotencyKey); err != nil {
		return err
	}
	issued, err := h.service.Login(c.Request().Context(), call, login)
	if err != nil {
		return err
	}
	setMeta(c, issued.Meta)
	setETag(c, issued.AttributesVersion)
	header := c.Response().Header()
	header[echo.HeaderLocation] = []string{"/v1/sessions/" + issued.ID.String()}
	if !login.Vouched {
		h.server.cookies.issue(header, c.Request(), issued.Key)
	}
	return writeAppended(h, c, http.StatusCreated, appendIssued, &issued)
}

// loginCall is call for a log-in, which may come with the key of a session that it replaces. One that is garbled replaces
// nothing, like one that has ended.
func (h *handlers) loginCall(c echo.Context, p rest.LoginParams) (session.Call, error) {
	for _, name := range subjectHeaders[1:] {
		if err := refuseHeader(c, name); err != nil {
			return session.Call{}, err
		}
	}
	call, err := h.subjectCall(c, subject{session: p.HydrastoreSession})
	var bad *garbledKey
	if errors.As(err, &bad) && bad.coded.Field == headerSession {
		call.Subject.Key, err = unknownKey()
	}
	return call, err
}

// ListSessions answers GET /v1/sessions.
func (h *handlers) ListSessions(c echo.Context, p rest.ListSessionsParams) error {
	filter, err := sessionFilter(p.User, p.ClientIP, p.Policy, p.IdleLongerThan, p.Permanent)
	if err != nil {
		return err
	}
	return h.answerSessions(c, filter, page(p.Limit, p.Cursor), p.Consistency, p.MinIndex)
}

// ListUserSessions answers GET /v1/users/{user}/sessions.
func (h *handlers) ListUserSessions(c echo.Context, user string, p rest.ListUserSessionsParams) error {
	filter, err := sessionFilter(&user, nil, nil, nil, p.Permanent)
	if err != nil {
		return err
	}
	return h.answerSessions(c, filter, page(p.Limit, p.Cursor), p.Consistency, p.MinIndex)
}

func (h *handlers) answerSessions(c echo.Context, f session.Filter, p session.Page, consistency *rest.Consistency, minIndex *string) error {
	call, err := h.readCall(c, consistency, minIndex)
	if err != nil {
		return err
	}
	list, err := h.service.ListSessions(c.Request().Context(), call, f, p)
	if err != nil {
		return err
	}
	setReadMeta(c, &call, list.Meta)
	return writeAppended(h, c, http.StatusOK, appendSessionList, &list)
}

// RevokeSessions answers DELETE /v1/sessions. Nobody ends every session by leaving something out.
func (h *handlers) RevokeSessions(c echo.Context, p rest.RevokeSessionsParams) error {
	call, err := h.call(c)
	if err != nil {
		return err
	}
	filter, err := sessionFilter(p.User, p.ClientIP, p.Policy, p.IdleLongerThan, p.Permanent)
	if err != nil {
		return err
	}
	switch all := p.All != nil && *p.All; {
	case filter.IsZero() && !all:
		return session.Invalid("all", "name a filter (user, client_ip, policy, idle_longer_than, permanent), or say all=true to end every session that is not permanent")
	case !filter.IsZero() && all:
		return session.Invalid("all", "all=true and a filter contradict each other")
	}
	revoked, err := h.service.RevokeSessions(c.Request().Context(), call, filter)
	if err != nil {
		return err
	}
	return answerRevoked(c, revoked)
}

// RevokeUserSessions answers DELETE /v1/users/{user}/sessions.
func (h *handlers) RevokeUserSessions(c echo.Context, user string, p rest.RevokeUserSessionsParams) error {
	call, err := h.call(c)
	if err != nil {
		return err
	}
	if user, err = session.FoldUserName(user); err != nil {
		return err
	}
	which := session.UserSessions{Permanent: p.Permanent != nil && *p.Permanent, ExceptCurrent: p.Except != nil}
	revoked, err := h.service.RevokeUserSessions(c.Request().Context(), call, user, which)
	if err != nil {
		return err
	}
	return answerRevoked(c, revoked)
}

func answerRevoked(c echo.Context, revoked session.Revoked) error {
	setMeta(c, revoked.Meta)
	return writeModel(c, http.StatusOK, rest.Revoked{Revoked: revoked.Count, SessionsNode: present(revoked.Node)})
}

// GetSession answers GET /v1/sessions/{id}.
func (h *handlers) GetSession(c echo.Context, text string, p rest.GetSessionParams) error {
	call, err := h.readCall(c, p.Consistency, p.MinIndex)
	if err != nil {
		return err
	}
	id, err := session.ParseID(text)
	if err != nil {
		return err
	}
	checked, err := h.service.GetSession(c.Request().Context(), call, id)
	if err != nil {
		return err
	}
	return h.answerChecked(c, &call, &checked)
}

// RevokeSession answers DELETE /v1/sessions/{id}.
func (h *handlers) RevokeSession(c echo.Context, text string) error {
	call, err := h.call(c)
	if err != nil {
		return err
	}
	id, err := session.ParseID(text)
	if err != nil {
		return err
	}
	meta, err := h.service.RevokeSession(c.Request().Context(), call, id)
	if err != nil {
		return err
	}
	return done(c, meta)
}

// sessionFilter folds the user's name here: a name that folds to nothing must not become a filter that selects everything.
func sessionFilter(user, clientIP, policy *string, idleSeconds *float64, permanent *bool) (session.Filter, error) {
	f := session.Filter{Permanent: permanent != nil && *permanent}
	var err error
	if user != nil {
		if f.User, err = session.FoldUserName(*user); err != nil {
			return f, err
		}
	}
	if f.ClientAddress, err = optionalAddress("client_ip", clientIP); err != nil {
		return f, err
	}
	if policy != nil {
		if err := session.ValidatePolicyName(*policy); err != nil {
			return f, err
		}
		f.Policy = *policy
	}
	if idleSeconds != nil {
		f.IdleLongerThan = secondsOf(*idleSeconds)
	}
	return f, nil
}

// secondsOf reads a parameter in seconds, to the millisecond.
func secondsOf(seconds float64) time.Duration {
	return time.Duration(math.Round(seconds*1000)) * time.Millisecond
}

func page(limit *int, cursor *string) session.Page {
	var p session.Page
	if limit != nil {
		p.Limit = *limit
	}
	if cursor != nil {
		p.Cursor = *cursor
	}
	return p
}
