package api

import (
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/hydrastore/hydrastore/session"
)

const (
	// cookiePrefix makes browsers insist on Secure, Path=/ and no Domain, so that no sibling host can plant the cookie.
	cookiePrefix       = "__Host-"
	cookieNameAlphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
)

// cookies is the session cookie of one server; the zero value is off.
type cookies struct{ name string }

func newCookies(name string) cookies {
	if name == "" {
		return cookies{}
	}
	return cookies{name: cookiePrefix + strings.TrimPrefix(name, cookiePrefix)}
}

func (k cookies) on() bool { return k.name != "" }

// key returns the text of the session cookie. Two cookies of the name are nobody's: no browser sends them.
func (k cookies) key(r *http.Request) (string, bool) {
	if !k.on() {
		return "", false
	}
	found := r.CookiesNamed(k.name)
	switch len(found) {
	case 0:
		return "", false
	case 1:
		return found[0].Value, true
	}
	return "", true
}

// allow refuses a change that a page of another origin may have caused: the browser adds the cookie to that, too.
func (k cookies) allow(r *http.Request) error {
	if r.Method == http.MethodGet || sameOrigin(r) {
		return nil
	}
	return session.Errorf(session.CodeForbidden,
		"a change with a session cookie must come from the same origin: neither Sec-Fetch-Site nor Origin says so")
}

// issue gives the key to a browser that logs in from this origin. Programs, which send no Origin, get no cookie.
func (k cookies) issue(header http.Header, r *http.Request, key session.Key) {
	if k.on() && sameOrigin(r) {
		header.Add("Set-Cookie", k.cookie(key.Reveal(), 0).String())
	}
}

// clear takes the cookie back from whoever presented it.
func (k cookies) clear(header http.Header, r *http.Request) {
	if _, presented := k.key(r); presented {
		header.Add("Set-Cookie", k.cookie("", -1).String())
	}
}

func (k cookies) cookie(value string, maxAge int) *http.Cookie {
	return &http.Cookie{Name: k.name, Value: value, Path: "/", MaxAge: maxAge, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
}

// sameOrigin trusts Sec-Fetch-Site, which pages cannot forge, and where a browser sends none, an Origin that is this
// host over TLS (or on this very machine). A request that carries neither is not proved to be same-origin.
func sameOrigin(r *http.Request) bool {
	if sites := r.Header["Sec-Fetch-Site"]; len(sites) > 0 {
		return len(sites) == 1 && sites[0] == "same-origin"
	}
	origins := r.Header["Origin"]
	if len(origins) != 1 {
		return false
	}
	origin, err := url.Parse(origins[0])
	if err != nil || origin.Host == "" || !strings.EqualFold(origin.Host, r.Host) {
		return false
	}
	return origin.Scheme == "https" || origin.Scheme == "http" && isLoopback(origin.Hostname())
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}
