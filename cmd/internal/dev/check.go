package dev

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"time"
)

func (c *cluster) settingsSocket(i int) string {
	return filepath.Join(c.places[i].dir, "operator.sock")
}

// makeUsers makes sure of the admin and the demo user with the passwords that are shown, in a folder of an earlier run
// too: the operator's socket may change what a lost password locks.
func (c *cluster) makeUsers(ctx context.Context, adminPassword string) error {
	if err := c.ensureUser(ctx, adminUser, adminPassword, "admin", nil); err != nil {
		return err
	}
	if err := c.ensureUser(ctx, demoUser, demoPassword, "user", c.policies); err != nil || !c.seals {
		return err
	}
	// So that the old ways to log in can be tried, too. The checks that follow log it in with its password, which they need first.
	_, err := c.operator().must(ctx, http.MethodPatch, "/v1/users/"+demoUser, "", map[string]any{"md5_login": true}, http.StatusOK)
	return err
}

func (c *cluster) ensureUser(ctx context.Context, name, password, role string, policies []string) error {
	type fields map[string]any
	a, err := c.at(0).do(ctx, http.MethodPost, "/v1/sessions", "", fields{"user": name, "password": password})
	if err != nil {
		return err
	}
	if a.status == http.StatusCreated { // it is there with this password
		_, err := c.at(0).must(ctx, http.MethodDelete, "/v1/session", a.Key, nil, http.StatusNoContent)
		return err
	}
	user := fields{"user": name, "password": password, "roles": []string{role}}
	if len(policies) > 0 {
		user["policies"] = policies
	}
	a, err = c.operator().must(ctx, http.MethodPost, "/v1/users", "", user, http.StatusCreated, http.StatusConflict)
	if err != nil || a.status == http.StatusCreated {
		return err
	}
	delete(user, "user")
	user["disabled"] = false
	_, err = c.operator().must(ctx, http.MethodPatch, "/v1/users/"+name, "", user, http.StatusOK)
	return err
}

// check is the demonstration: one user, three nodes, one truth; or, where each node keeps its own sessions, one node that knows the key and two that do not.
// Every step is shown; the error says how many went wrong.
func (c *cluster) check(ctx context.Context, out *screen) error {
	wrong := 0
	step := func(what string, node int, method, path, key string, body any, want int, tell func(answer) string) answer {
		begin := time.Now()
		a, err := c.at(node).do(ctx, method, path, key, body)
		ok := err == nil && a.status == want
		if !ok {
			wrong++
		}
		out.step(ok, what+" at "+c.places[node].name, outcome(a, err, want, tell), time.Since(begin))
		return a
	}
	known := func(a answer) string { return fmt.Sprintf("user %s, session %d", a.User, a.Number) }
	refused := func(answer) string { return "refused, as it should be" }
	unknown := func(answer) string { return "unknown here: each node keeps its own sessions" }
	nothing := func(answer) string { return "" }

	login := map[string]string{"user": demoUser, "password": demoPassword}
	key := step("log in", 0, http.MethodPost, "/v1/sessions", "", login, http.StatusCreated, known).Key
	if c.ownSessions {
		step("check", 0, http.MethodGet, "/v1/session", key, nil, http.StatusOK, known)
		step("check", 1, http.MethodGet, "/v1/session", key, nil, http.StatusUnauthorized, unknown)
		step("check", 2, http.MethodGet, "/v1/session", key, nil, http.StatusUnauthorized, unknown)
		step("log out", 0, http.MethodDelete, "/v1/session", key, nil, http.StatusNoContent, nothing)
		step("check", 0, http.MethodGet, "/v1/session", key, nil, http.StatusUnauthorized, refused)
		return failures(wrong)
	}
	step("check", 1, http.MethodGet, "/v1/session", key, nil, http.StatusOK, known)
	step("check", 2, http.MethodGet, "/v1/session", key, nil, http.StatusOK, known)
	step("log out", 1, http.MethodDelete, "/v1/session", key, nil, http.StatusNoContent, nothing)
	step("check", 0, http.MethodGet, "/v1/session", key, nil, http.StatusUnauthorized, refused)
	step("check", 2, http.MethodGet, "/v1/session", key, nil, http.StatusUnauthorized, refused)
	return failures(wrong)
}

func failures(wrong int) error {
	if wrong > 0 {
		return fmt.Errorf("%d of the checks failed", wrong)
	}
	return nil
}

func outcome(a answer, err error, want int, tell func(answer) string) string {
	switch {
	case errors.Is(err, context.Canceled):
		return "interrupted"
	case err != nil:
		return err.Error()
	case a.status != want:
		return fmt.Sprintf("%d, should be %d: %s", a.status, want, a.Detail)
	}
	text := fmt.Sprint(a.status)
	if more := tell(a); more != "" {
		text += "  " + more
	}
	return text
}
