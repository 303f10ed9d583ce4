package api

import (
	"crypto/rand"
	"net/http"
	"net/netip"
	"strings"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"github.com/hydrastore/hydrastore/api/internal/rest"
	"github.com/hydrastore/hydrastore/session"
)

const (
	headerSession   = "Hydrastore-Session"
	headerClientIP  = "Hydrastore-Client-IP"
	headerUserAgent = "Hydrastore-User-Agent"

	bearerScheme = "Bearer "
)

// subjectHeaders as http.Header keys them.
var subjectHeaders = [...]string{"Hydrastore-Session", "Hydrastore-Client-Ip", "Hydrastore-User-Agent"}

// call says who asks and from where, on the routes where a caller speaks for itself alone.
func (h *handlers) call(c echo.Context) (session.Call, error) {
	for _, name := range subjectHeaders {
		if err := refuseHeader(c, name); err != nil {
			return session.Call{}, err
		}
	}
	return h.ownCall(c)
}

// refuseHeader holds a subject header to the routes where it means something.
func refuseHeader(c echo.Context, name string) error {
	if _, given := c.Request().Header[name]; given {
		return session.Invalid(strings.Replace(name, "-Ip", "-IP", 1), "is taken on the /v1/session routes only")
	}
	return nil
}

// readCall is call for reads.
func (h *handlers) readCall(c echo.Context, consistency *rest.Consistency, minIndex *string) (session.Call, error) {
	call, err := h.call(c)
	if err != nil {
		return call, err
	}
	return call, setFreshness(&call, consistency, minIndex)
}

// subject is what the subject headers of the /v1/session routes say.
type subject struct{ session, clientIP, userAgent *string }

// subjectCall is call on the /v1/session routes, where a service may ask for its user.
func (h *handlers) subjectCall(c echo.Context, s subject) (session.Call, error) {
	call, err := h.ownCall(c)
	if err != nil {
		return call, err
	}
	call.Subject, err = s.presented()
	return call, err
}

// ownCall reads the caller's own key, from Authorization or else from the cookie.
func (h *handlers) ownCall(c echo.Context) (session.Call, error) {
	r := c.Request()
	call := session.Call{Operator: h.operator, UserAgent: userAgent(r.UserAgent())}
	if !h.operator {
		call.Address = h.server.addresses.client(r)
	}
	text, presented, err := bearer(r.Header)
	if err != nil {
		return call, err
	}
	if !presented {
		if text, presented = h.server.cookies.key(r); !presented {
			return call, nil
		}
		if err := h.server.cookies.allow(r); err != nil {
			return call, err
		}
	}
	if call.Key, err = session.ParseKey(text); err != nil {
		return call, garbled(echo.HeaderAuthorization)
	}
	return call, nil
}

// garbledKey is a key that opens nothing by its very form. To the caller it is the 401 of every such key.
type garbledKey struct{ coded *session.Error }

func (e *garbledKey) Error() string { return e.coded.Error() }
func (e *garbledKey) Unwrap() error { return e.coded }

// garbled names where the key came from, so that a service knows whether it is its own or its user's.
func garbled(field string) error {
	err := session.ErrUnauthenticated()
	err.Field = field
	return &garbledKey{err}
}

func bearer(header http.Header) (text string, presented bool, err error) {
	values := header[echo.HeaderAuthorization]
	switch {
	case len(values) == 0:
		return "", false, nil
	case len(values) > 1:
		return "", false, session.Invalid(echo.HeaderAuthorization, "given %d times, may be given once", len(values))
	case len(values[0]) < len(bearerScheme) || !strings.EqualFold(values[0][:len(bearerScheme)], bearerScheme):
		return "", false, &session.Error{Code: session.CodeUnauthenticated, Field: echo.HeaderAuthorization,
			Message: "must be the word Bearer, a space and a session key"}
	}
	return strings.TrimLeft(values[0][len(bearerScheme):], " "), true, nil
}

func (s subject) presented() (*session.Presented, error) {
	if s.session == nil {
		switch {
		case s.clientIP != nil:
			return nil, session.Invalid(headerClientIP, "is taken together with %s only", headerSession)
		case s.userAgent != nil:
			return nil, session.Invalid(headerUserAgent, "is taken together with %s only", headerSession)
		}
		return nil, nil
	}
	presented := &session.Presented{}
	if s.clientIP != nil {
		address, err := parseAddress(headerClientIP, *s.clientIP)
		if err != nil {
			return nil, err
		}
		presented.Address = address
	}
	if s.userAgent != nil {
		presented.UserAgent = userAgent(*s.userAgent)
	}
	key, err := session.ParseKey(*s.session)
	if err != nil {
		return presented, garbled(headerSession)
	}
	presented.Key = key
	return presented, nil
}

// unknownKey returns a well-formed key that opens nothing, in the place of garbage, where the service must still judge
// the caller.
func unknownKey() (session.Key, error) { return session.NewKey(rand.Reader) }

func parseAddress(field, text string) (netip.Addr, error) {
	address, err := netip.ParseAddr(text)
	if err != nil || address.Zone() != "" {
		return netip.Addr{}, session.Invalid(field, "must be an IPv4 or IPv6 address, without port and zone")
	}
	return address.Unmap(), nil
}

// userAgent cuts what a browser says of itself: its length is nobody's fault that a session should fail for.
func userAgent(text string) string {
	if len(text) > session.MaxUserAgentBytes {
		text = text[:session.MaxUserAgentBytes]
	}
	if utf8.ValidString(text) {
		return text
	}
	return strings.ToValidUTF8(text, "")
}

func setFreshness(call *session.Call, consistency *rest.Consistency, minIndex *string) error {
	if consistency != nil && *consistency == rest.ConsistencyLocal {
		call.Consistency = session.Local
	}
	if minIndex == nil {
		return nil
	}
	if !isIndexToken(*minIndex) {
		return session.Invalid("min_index", "must be what a Hydrastore-Index header said: <history>:<index>")
	}
	call.MinIndex = session.IndexToken(*minIndex)
	return nil
}

func isIndexToken(text string) bool {
	const most = 128
	history, index, found := strings.Cut(text, ":")
	return found && len(text) <= most && history != "" && index != "" &&
		strings.Trim(history, cookieNameAlphabet) == "" && strings.Trim(index, "0123456789") == ""
}
