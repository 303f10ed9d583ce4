package livejournal

import (
	"context"
	"net/http"

	"github.com/hydrastore/hydrastore/session"
)

const (
	// cookieHeader with cookieValue must come with a cookie: no page of another site can send it.
	cookieHeader = "X-Lj-Auth"
	cookieValue  = "cookie"

	// maxCookies bounds how many cookies of one request are looked at.
	maxCookies = 4
)

// cookieNames are tried in this order.
var cookieNames = [...]string{"ljmastersession", "ljsession"}

func (r *request) byCookie() bool { return r.args["auth_method"] == "cookie" }

// credentials reads who asks, by the password in one of the forms that it comes in.
func (r *request) credentials() (session.Call, error) {
	given := &session.Credentials{User: r.user, Password: r.args["password"]}
	switch r.args["auth_method"] {
	case "", "clear":
		if sum, sent := r.args["hpassword"]; sent {
			if sum == "" {
				return session.Call{}, session.ErrWrongCredentials()
			}
			given.Digest = &session.Digest{MD5: sum}
		}
	case "challenge":
		given.Digest = &session.Digest{Challenge: r.args["auth_challenge"], Response: r.args["auth_response"]}
	default:
		return session.Call{}, session.ErrWrongCredentials()
	}
	if given.Digest != nil {
		given.Password = ""
	}
	call := r.call
	call.Credentials = given
	return call, nil
}

// cookie finds the session of the first cookie that is good for the user, and renews it when that is due. It returns the names of
// the cookies that came, too.
func (d *desk) cookie(ctx context.Context, r *request) (session.Key, []string, error) {
	wrong := session.ErrWrongCredentials()
	if r.headers.Get(cookieHeader) != cookieValue {
		return session.Key{}, nil, wrong
	}
	keys, names := r.cookieKeys()
	for _, key := range keys {
		call := r.call
		call.Key = key
		checked, err := d.service.Check(ctx, call, true)
		switch {
		case session.CodeOf(err) == session.CodeUnauthenticated:
			continue
		case err != nil:
			return session.Key{}, nil, err
		case checked.User != r.user:
			continue
		}
		return key, names, d.renew(ctx, call, checked)
	}
	return session.Key{}, nil, wrong
}

// renew extends a session when less than half of its time is left, and not before.
func (d *desk) renew(ctx context.Context, call session.Call, checked session.Checked) error {
	if checked.ExpiresAt.IsZero() || checked.ExpiresAt.Sub(checked.At) >= checked.IdleTimeout/2 {
		return nil
	}
	_, err := d.service.Check(ctx, call, false)
	if session.CodeOf(err) == session.CodeUnauthenticated {
		return session.ErrWrongCredentials() // it ended in between
	}
	return err
}

func (r *request) cookieKeys() (keys []session.Key, names []string) {
	jar := &http.Request{Header: http.Header{"Cookie": r.headers["Cookie"]}}
	for _, name := range cookieNames {
		for _, cookie := range jar.CookiesNamed(name) {
			key, err := session.ParseKey(cookie.Value)
			if names = append(names, name); err == nil && len(keys) < maxCookies {
				keys = append(keys, key)
			}
		}
	}
	return keys, compact(names)
}

func compact(names []string) []string {
	var out []string
	for _, name := range names {
		if len(out) == 0 || out[len(out)-1] != name {
			out = append(out, name)
		}
	}
	return out
}
