package rest

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"github.com/hydrastore/hydrastore/session"
)

// binder reads the parameters of one request. The first error stays in err; what is read after it is meaningless.
type binder struct {
	request *http.Request
	context echo.Context
	query   url.Values
	err     error
}

// bind refuses every query parameter that the operation does not know, that comes twice or that is empty: a filter
// that selects nothing because it is misspelt would select everything.
func bind(c echo.Context, known ...string) binder {
	b := binder{request: c.Request(), context: c}
	if b.request.URL.RawQuery == "" {
		return b
	}
	if b.query, b.err = url.ParseQuery(b.request.URL.RawQuery); b.err != nil {
		b.err = session.Invalid("query", "the query is not well-formed: every parameter is name=value with percent-escapes, joined by '&'")
		return b
	}
	for name, values := range b.query {
		if b.err = checkQueryParameter(name, values, known); b.err != nil {
			return b
		}
	}
	return b
}

func checkQueryParameter(name string, values, known []string) error {
	switch {
	case !slices.Contains(known, name):
		return session.Invalid(fieldName(name), "unknown query parameter; this route takes %s", listed(known))
	case len(values) > 1:
		return session.Invalid(name, "given %d times, may be given once", len(values))
	case values[0] == "":
		return session.Invalid(name, "is empty: leave it out or give it a value")
	case !utf8.ValidString(values[0]):
		return session.Invalid(name, "is not valid UTF-8")
	}
	return nil
}

func (b *binder) path(name string) string {
	value := b.context.Param(name)
	if b.request.URL.RawPath != "" { // then the router matched, and cut the parameter out of, the escaped path
		unescaped, err := url.PathUnescape(value)
		if err != nil {
			b.fail(session.Invalid(name, "has a wrong percent-escape"))
		}
		value = unescaped
	}
	if value == "" || !utf8.ValidString(value) {
		b.fail(session.Invalid(name, "must be valid UTF-8 and not empty"))
	}
	return value
}

func (b *binder) queryText(name string, oneOf ...string) *string {
	value, given := b.lookUp(name)
	if !given {
		return nil
	}
	if len(oneOf) > 0 && !slices.Contains(oneOf, value) {
		b.fail(session.Invalid(name, "must be %s", listed(oneOf)))
	}
	return &value
}

func (b *binder) queryBoolean(name string) *bool {
	value, given := b.lookUp(name)
	if !given {
		return nil
	}
	if value != "true" && value != "false" {
		b.fail(session.Invalid(name, "must be true or false"))
	}
	yes := value == "true"
	return &yes
}

func (b *binder) queryInteger(name string, least, most int) *int {
	value, given := b.lookUp(name)
	if !given {
		return nil
	}
	number, err := strconv.ParseInt(value, 10, 64)
	if err != nil || number < int64(least) || number > int64(most) || value[0] == '+' {
		b.fail(session.Invalid(name, "must be a whole number between %d and %d", least, most))
	}
	n := int(number)
	return &n
}

func (b *binder) querySeconds(name string, least, most float64) *float64 {
	value, given := b.lookUp(name)
	if !given {
		return nil
	}
	seconds, err := strconv.ParseFloat(value, 64)
	plain := strings.Trim(value, "0123456789.") == "" // no hex, exponent, sign, infinity
	if err != nil || !plain || seconds < least || seconds > most {
		b.fail(session.Invalid(name, "must be a number of seconds between %g and %.0f", least, most))
	}
	return &seconds
}

func (b *binder) lookUp(name string) (string, bool) {
	if b.err != nil || b.query == nil {
		return "", false
	}
	values, given := b.query[name]
	if !given {
		return "", false
	}
	return values[0], true
}

// canonicalHeaders spares the hot path the spelling: http.CanonicalHeaderKey allocates for names it does not intern.
var canonicalHeaders = map[string]string{
	"Hydrastore-Session":    "Hydrastore-Session",
	"Hydrastore-Client-IP":  "Hydrastore-Client-Ip",
	"Hydrastore-User-Agent": "Hydrastore-User-Agent",
	"If-Match":              "If-Match",
	"Idempotency-Key":       "Idempotency-Key",
}

func (b *binder) header(name string) *string {
	canonical, known := canonicalHeaders[name]
	if !known {
		canonical = http.CanonicalHeaderKey(name)
	}
	values := b.request.Header[canonical]
	switch {
	case len(values) == 0:
		return nil
	case len(values) > 1:
		b.fail(session.Invalid(name, "given %d times, may be given once", len(values)))
	}
	return &values[0]
}

func (b *binder) fail(err *session.Error) {
	if b.err == nil {
		b.err = err
	}
}

func listed(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// fieldName makes a foreign name fit for an answer.
func fieldName(name string) string {
	const most = 64
	name = strings.ToValidUTF8(name, "�")
	if len(name) > most {
		return strings.ToValidUTF8(name[:most], "") + "…"
	}
	return name
}
