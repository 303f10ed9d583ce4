package e2e_test

import (
	"net/http"
	"strconv"
	"testing"
	"time"
)

// TestWrongPasswordsAreThrottled: three wrong passwords, each at another node, and all nodes say when to come back. Others log in meanwhile, and when
// that time has passed so does the user.
func TestWrongPasswordsAreThrottled(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, func(_ int, settings fields) {
		settings["throttle"] = fields{"window": "30s", "per_user": 3, "per_address": 30}
	})
	admin := c.admin()
	c.must(0, http.StatusCreated, newUser(admin, "ada", userPassword, "user"))
	c.must(0, http.StatusCreated, newUser(admin, "bob", userPassword, "user"))
	for i := range 3 {
		c.must(i, http.StatusUnauthorized, logIn("ada", "not-this-password"))
	}
	wait := 0
	for i := range 3 {
		refused := c.must(i, http.StatusTooManyRequests, logIn("ada", userPassword))
		seconds, err := strconv.Atoi(refused.header.Get("Retry-After"))
		if err != nil || seconds < 1 || seconds > 10 || refused.body.Code != "throttled" {
			t.Errorf("node %d: code %q, Retry-After %q; want throttled and 1 to 10 s", i+1, refused.body.Code, refused.header.Get("Retry-After"))
		}
		wait = max(wait, seconds)
		c.must(i, http.StatusCreated, logIn("bob", userPassword))
	}
	time.Sleep(time.Duration(wait) * time.Second) // what the answer asks for
	c.must(1, http.StatusCreated, logIn("ada", userPassword))
}
