package api

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"

	"github.com/labstack/echo/v4"

	"github.com/hydrastore/hydrastore/api/protocol"
	"github.com/hydrastore/hydrastore/session"
)

const (
	jsonType       = "application/json"
	mergePatchType = "application/merge-patch+json"

	// pooledBytes is the largest buffer that goes back to a pool: one huge body must not stay in memory for ever.
	pooledBytes = 64 << 10
)

// buffers are for bodies on the way in and answers on the way out.
type buffers struct{ pool sync.Pool }

func (b *buffers) get() *[]byte {
	if buffer, ok := b.pool.Get().(*[]byte); ok {
		return buffer
	}
	buffer := make([]byte, 0, 1024)
	return &buffer
}

// put takes a buffer back. Nothing may refer to its bytes any more.
func (b *buffers) put(buffer *[]byte) {
	if cap(*buffer) <= pooledBytes {
		*buffer = (*buffer)[:0]
		b.pool.Put(buffer)
	}
}

// readBody gives the body of a request to decode, which must keep no part of it.
func (h *handlers) readBody(c echo.Context, decode func(body []byte) error) error {
	r := c.Request()
	if err := checkMediaType(r); err != nil {
		return err
	}
	buffer := h.server.buffers.get()
	defer h.server.buffers.put(buffer)
	if err := h.server.readAll(r, buffer); err != nil {
		return err
	}
	return protocol.BodyError(decode(*buffer))
}

// checkMediaType wants JSON in UTF-8, uncompressed. That also keeps HTML forms of foreign pages out.
func checkMediaType(r *http.Request) error {
	if encoding := r.Header.Get(echo.HeaderContentEncoding); encoding != "" && encoding != "identity" {
		return unsupported(echo.HeaderContentEncoding, "compressed bodies are not taken")
	}
	given := r.Header[echo.HeaderContentType]
	if len(given) == 1 && given[0] == jsonType {
		return nil
	}
	if len(given) != 1 {
		return unsupported(echo.HeaderContentType, "must be given once, as "+jsonType)
	}
	mediaType, parameters, err := mime.ParseMediaType(given[0])
	known := mediaType == jsonType || mediaType == mergePatchType && r.Method == http.MethodPatch
	if err != nil || !known {
		return unsupported(echo.HeaderContentType, "must be "+jsonType)
	}
	if charset, given := parameters["charset"]; given && !strings.EqualFold(charset, "utf-8") {
		return unsupported(echo.HeaderContentType, "JSON is UTF-8 here, no other charset is taken")
	}
	return nil
}

func unsupported(field, message string) error {
	return &statusError{http.StatusUnsupportedMediaType, session.Invalid(field, "%s", message)}
}

// readAll reads the body into the buffer, up to the limit.
func (s *Server) readAll(r *http.Request, buffer *[]byte) error {
	limit := s.config.MaxBodyBytes
	if r.ContentLength > limit {
		return s.bodyTooLarge()
	}
	b := (*buffer)[:0]
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := r.Body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		*buffer = b
		switch {
		case int64(len(b)) > limit:
			return s.bodyTooLarge()
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return session.Invalid(protocol.FieldBody, "could not be read to its end")
		}
	}
}

func (s *Server) bodyTooLarge() error {
	return &statusError{http.StatusRequestEntityTooLarge,
		session.TooLarge(protocol.FieldBody, "a body has at most %d bytes", s.config.MaxBodyBytes)}
}

// refuseBody holds the routes that take none to it: a body there is a misunderstanding.
func refuseBody(r *http.Request) error {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return nil
	}
	var one [1]byte
	if n, _ := io.ReadFull(r.Body, one[:]); n == 0 && r.ContentLength < 0 {
		return nil
	}
	return session.Invalid(protocol.FieldBody, "this route takes no body")
}
