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
	query   []parameter
	err     error
}

type parameter struct{ name, value string }

// bind refuses every query parameter that the operation does not know, that comes twice or that is empty: a filter
// that selects nothing because it is misspelt would select everything.
func bind(c echo.Context, known ...string) binder {
	b := binder{request: c.Request(), context: c}
	for rest := b.request.URL.RawQuery; rest != "" && b.err == nil; {
		var pair string
		pair, rest, _ = strings.Cut(rest, "&")
		b.add(pair, known)
	}
	return b
}

// add takes one name=value of the query. Own code, because url.ParseQuery makes a map and a slice for each.
func (b *binder) add(pair string, known []string) {
	name, value, _ := strings.Cut(pair, "=")
	name, nameErr := url.QueryUnescape(name)
	value, valueErr := url.QueryUnescape(value)
	if nameErr != nil || valueErr != nil || strings.Contains(pair, ";") {
		b.fail(session.Invalid("query", "the query is not well-formed: every parameter is name=value with percent-escapes, joined by '&'"))
		return
	}
	if err := checkQueryParameter(name, value, known); err != nil {
		b.fail(err)
		return
	}
	for _, earlier := range b.query {
		if earlier.name == name {
			b.fail(session.Invalid(name, "given more than once"))
		}
	}
	b.query = append(b.query, parameter{name, value})
}

func checkQueryParameter(name, value string, known []string) *session.Error {
	switch {
	case !slices.Contains(known, name):
		return session.Invalid(fieldName(name), "unknown query parameter; this route takes %s", listed(known))
	case value == "":
		return session.Invalid(name, "is empty: leave it out or give it a value")
	case !utf8.ValidString(value):
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
	if b.err != nil {
		return "", false
	}
	for _, p := range b.query {
		if p.name == name {
			return p.value, true
		}
	}
	return "", false
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
