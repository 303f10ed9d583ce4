package api

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/hydrastore/hydrastore/session"
)

const (
	headerIndex = "Hydrastore-Index"
	headerAge   = "Age"
	headerAgeMS = "Hydrastore-Age-Ms"
	headerETag  = "Etag"
)

// Header values that never change are shared by all answers; net/http does not write to them.
var (
	valueJSON    = []string{jsonType}
	valueNoStore = []string{"no-store"}
	valueNoSniff = []string{"nosniff"}
)

// setMeta says which index the answer belongs to and, of reads that did not ask the leader, how old it is.
func setMeta(c echo.Context, m session.Meta) {
	if m.Index != "" {
		c.Response().Header()[headerIndex] = []string{string(m.Index)}
	}
}

func setReadMeta(c echo.Context, call *session.Call, m session.Meta) {
	setMeta(c, m)
	if m.Age < 0 || call.Consistency != session.Local && call.MinIndex == "" {
		return
	}
	header := c.Response().Header()
	header[headerAge] = []string{strconv.Itoa(wholeSeconds(m.Age))}
	ms := (m.Age + time.Millisecond - 1) / time.Millisecond
	header[headerAgeMS] = []string{strconv.FormatInt(int64(ms), 10)}
}

func setETag(c echo.Context, version uint64) {
	b := make([]byte, 0, 22)
	b = append(b, '"')
	b = strconv.AppendUint(b, version, 10)
	b = append(b, '"')
	c.Response().Header()[headerETag] = []string{string(b)}
}

// bufferedByNet is up to which size net/http finds the length by itself. Where it does, the header stays out: with nine
// entries a header map leaves its small form, and that costs more than all our own work on an answer.
const bufferedByNet = 2048

// writeBlob writes a whole answer in one piece.
func writeBlob(c echo.Context, status int, contentType string, body []byte) error {
	c.Response().Header().Set(echo.HeaderContentType, contentType)
	return writeBody(c, status, body)
}

func writeBody(c echo.Context, status int, body []byte) error {
	response := c.Response()
	if len(body) >= bufferedByNet {
		response.Header()[echo.HeaderContentLength] = []string{strconv.Itoa(len(body))}
	}
	response.WriteHeader(status)
	_, _ = response.Write(body) // a client that does not wait for its answer is no failure of ours
	return nil
}

// writeAppended answers with what appending makes, from a pooled buffer.
func writeAppended[T any](h *handlers, c echo.Context, status int, appending func([]byte, *T) []byte, value *T) error {
	buffer := h.server.buffers.get()
	defer h.server.buffers.put(buffer)
	*buffer = appending((*buffer)[:0], value)
	c.Response().Header()[echo.HeaderContentType] = valueJSON
	return writeBody(c, status, *buffer)
}

// writeModel answers with a generated model.
func writeModel(c echo.Context, status int, model any) error {
	body, err := json.Marshal(model)
	if err != nil {
		return err
	}
	c.Response().Header()[echo.HeaderContentType] = valueJSON
	return writeBody(c, status, body)
}

// done answers a change that has nothing to show.
func done(c echo.Context, m session.Meta) error {
	setMeta(c, m)
	return c.NoContent(http.StatusNoContent)
}
