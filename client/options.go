package client

import (
	"strconv"
	"time"

	"github.com/hydrastore/hydrastore/session"
)

// Option changes one call. One that the route does not take is refused by the server with session.CodeInvalid.
type Option func(*request)

// As asks with another key of the caller's own.
func As(key session.Key) Option { return func(r *request) { r.key = key } }

// For presents a user's key, with a service's own in Config.Key, on calls about the called session.
func For(p session.Presented) Option {
	return func(r *request) {
		r.header("Hydrastore-Session", p.Key.Reveal())
		if p.Address.IsValid() {
			r.header("Hydrastore-Client-Ip", p.Address.String())
		}
		if p.UserAgent != "" {
			r.header("Hydrastore-User-Agent", p.UserAgent)
		}
	}
}

// Local reads the memory of whichever node answers. Such a read extends no session.
func Local() Option { return func(r *request) { r.query("consistency", "local") } }

// MinIndex reads from whichever node answers, once it has applied that index: Meta.Index of an earlier call.
func MinIndex(token session.IndexToken) Option {
	return func(r *request) {
		if token != "" {
			r.query("min_index", string(token))
		}
	}
}

// Look makes a Check that does not count as a use.
func Look() Option { return func(r *request) { r.query("touch", "false") } }

// MaxAuthAge makes a Check fail with session.CodeReauthenticate when the user proved who it is longer ago.
func MaxAuthAge(d time.Duration) Option {
	return func(r *request) { r.query("max_auth_age", strconv.FormatFloat(inSeconds(d), 'f', -1, 64)) }
}

// IfMatch makes a change only if version is the current one; else it fails with session.CodeVersionMismatch.
func IfMatch(version uint64) Option {
	return func(r *request) {
		r.header("If-Match", `"`+strconv.FormatUint(version, 10)+`"`)
		r.idempotent = false // done once, it would fail the second time
	}
}
