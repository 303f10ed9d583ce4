package backendtest

import (
	"crypto/rand"
	"errors"
	"net/netip"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

func fieldOf(err error) string {
	var e *session.Error
	if errors.As(err, &e) {
		return e.Field
	}
	return ""
}

func retryAfter(err error) time.Duration {
	var e *session.Error
	if errors.As(err, &e) {
		return e.RetryAfter
	}
	return 0
}

// mustKey draws a key that opens nothing.
func mustKey(e *env) session.Key {
	e.Helper()
	k, err := session.NewKey(rand.Reader)
	e.ok("draw a key", err)
	return k
}

func netAddr(s string) netip.Addr { return netip.MustParseAddr(s) }
