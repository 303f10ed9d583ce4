package e2e_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/auth/slapdtest"
)

// startSlapd starts a real directory, which goes with the test.
func startSlapd(t *testing.T) *slapdtest.Server {
	t.Helper()
	if path, err := slapdtest.Path(); err == nil {
		t.Setenv("PATH", os.Getenv("PATH")+string(os.PathListSeparator)+filepath.Dir(path))
	}
	need(t, "slapd")
	s, err := slapdtest.Start(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// byDirectory makes every node ask slapd, over TLS, about users of the groups staff and ops.
func byDirectory(s *slapdtest.Server) func(int, fields) {
	return func(_ int, settings fields) {
		settings["authenticator"] = fields{
			"order": []string{"local", "openldap"},
			"openldap": fields{
				"servers": []string{s.URL()}, "ca_file": s.CAFile(), "user_pattern": slapdtest.UserPattern, "base_dn": slapdtest.BaseDN,
				"allowed_groups": []string{"staff", "ops"}, "group_policies": []string{"ops=night", "staff=day"},
				"group_roles": []string{"ops=admin"}, "timeout": "3s",
			},
		}
		settings["policies"] = fields{"night": fields{"idle_timeout_s": 60}, "day": fields{"idle_timeout_s": 120}}
	}
}

// TestLogInThroughADirectory: right and wrong passwords, groups that change, a directory that is slow and one that is dead; and the cluster's
// own users never notice.
func TestLogInThroughADirectory(t *testing.T) {
	s := startSlapd(t)
	c := startCluster(t, 3, byDirectory(s))
	admin := c.admin()
	ada := logIn("Ada", "ada"+slapdtest.Password)
	issued := c.must(0, http.StatusCreated, ada).body
	if got := c.must(1, http.StatusOK, check(issued.Key)).body; got.User != "ada" || got.Policy != "night" {
		t.Errorf("at another node: got %q under %q", got.User, got.Policy)
	}
	c.must(2, http.StatusOK, clusterStatus(issued.Key)) // which is for admins
	for i := range 3 {
		c.must(i, http.StatusUnauthorized, logIn("ada", "bob"+slapdtest.Password))
		c.must(i, http.StatusUnauthorized, logIn("o,neil", "o,neil"+slapdtest.Password)) // in no group
		c.must(i, http.StatusUnauthorized, logIn("ａｄａ", "ada"+slapdtest.Password))
	}

	if err := s.RemoveFromGroup("ops", "ada"); err != nil {
		t.Fatal(err)
	}
	if got := c.must(2, http.StatusCreated, ada).body; got.Policy != "day" || got.Number != 2 {
		t.Errorf("out of the group: got policy %q, number %d", got.Policy, got.Number)
	} else {
		c.must(0, http.StatusForbidden, clusterStatus(got.Key))
	}
	if err := s.RemoveFromGroup("staff", "ada"); err != nil {
		t.Fatal(err)
	}
	c.must(2, http.StatusUnauthorized, ada)
	c.must(0, http.StatusOK, check(issued.Key)) // groups are judged at log-in

	bob := logIn("bob", "bob"+slapdtest.Password)
	if err := s.Process().Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	slow := c.must(1, http.StatusServiceUnavailable, bob)
	if took := time.Since(begin); took > 9*time.Second || slow.header.Get("Retry-After") == "" {
		t.Errorf("a silent directory: 503 after %v, Retry-After %q", took, slow.header.Get("Retry-After"))
	}
	c.admin()
	s.Stop()
	c.must(1, http.StatusServiceUnavailable, bob)
	c.must(1, http.StatusUnauthorized, logIn(adminName, "bob"+slapdtest.Password))
	c.must(1, http.StatusOK, check(issued.Key))
	if err := s.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.must(1, http.StatusCreated, bob)

	disabled := request{method: http.MethodPost, path: "/v1/users", key: admin, body: fields{"user": "bob", "disabled": true}}
	c.must(0, http.StatusCreated, disabled)
	c.must(2, http.StatusUnauthorized, bob)
	for _, n := range c.nodes {
		if strings.Contains(n.log(), slapdtest.Password) {
			t.Errorf("the log of %s holds a password", n.name)
		}
	}
}
