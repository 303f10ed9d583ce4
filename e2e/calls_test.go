package e2e_test

import (
	"net/http"
	"net/url"
)

// The requests that tests make, in the words of api/openapi.yaml.

type fields map[string]any

func logIn(user, password string) request {
	return request{method: http.MethodPost, path: "/v1/sessions", body: fields{"user": user, "password": password}}
}

// vouch logs a user in without a password, by a service's key.
func vouch(service, user string, more fields) request {
	body := fields{"user": user}
	for name, value := range more {
		body[name] = value
	}
	return request{method: http.MethodPost, path: "/v1/sessions", key: service, body: body}
}

// check asks whether the key is good; that is a use.
func check(key string) request {
	return request{method: http.MethodGet, path: "/v1/session", key: key}
}

// look asks the same and keeps nothing alive.
func look(key string) request {
	return request{method: http.MethodGet, path: "/v1/session?touch=false", key: key}
}

func touch(key string) request {
	return request{method: http.MethodPost, path: "/v1/session/touch", key: key}
}

func logOut(key string) request {
	return request{method: http.MethodDelete, path: "/v1/session", key: key}
}

// patch changes a user's attributes by the service's key, if they are at the version etag.
func patch(service, key, etag string, attributes fields) request {
	r := request{method: http.MethodPatch, path: "/v1/session/attributes", key: service, subject: key, body: attributes}
	if etag != "" {
		r.headers = map[string]string{"If-Match": etag}
	}
	return r
}

func sessionsOf(admin, user, cursor string) request {
	path := "/v1/users/" + url.PathEscape(user) + "/sessions?limit=1000"
	if cursor != "" {
		path += "&cursor=" + url.QueryEscape(cursor)
	}
	return request{method: http.MethodGet, path: path, key: admin}
}

func clusterStatus(admin string) request {
	return request{method: http.MethodGet, path: "/v1/cluster", key: admin}
}

func newUser(admin, name, password, role string) request {
	return request{method: http.MethodPost, path: "/v1/users", key: admin, body: fields{"user": name, "password": password, "roles": []string{role}}}
}

func ready() request { return request{method: http.MethodGet, path: "/readyz"} }
