package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/auth"
)

const directories = `
authenticator:
  order: [local, openldap, ldap]
  openldap:
    servers: [ldaps://one.example.org, ldap://two.example.org:1389]
    user_pattern: uid=%s,ou=people,dc=example,dc=org
    base_dn: dc=example,dc=org
    allowed_groups: [staff, "cn=ops,dc=example,dc=org"]
    group_policies: ["cn=ops,dc=example,dc=org=night", staff=day]
    group_roles: [ops=admin]
    timeout: 2s
  microsoft:
    nested_groups: true
    servers: [ldaps://dc.example.org]
    base_dn: dc=example,dc=org
    domain: CORP
`

func TestDirectories(t *testing.T) {
	t.Parallel()
	c, err := load(t, directories, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Authenticator.Directories) != 2 {
		t.Fatalf("got %+v", c.Authenticator.Directories)
	}
	open, microsoft := c.Authenticator.Directories[0], c.Authenticator.Directories[1]
	if open.Kind != auth.OpenLDAP || len(open.Servers) != 2 || open.Timeout != 2*time.Second || open.MaxConnections != 8 || open.Insecure || open.TLS == nil {
		t.Errorf("got %+v", open)
	}
	if want := (auth.GroupPolicy{Group: "cn=ops,dc=example,dc=org", Policy: "night"}); len(open.GroupPolicies) != 2 || open.GroupPolicies[0] != want {
		t.Errorf("got %+v, want first %+v", open.GroupPolicies, want)
	}
	if want := (auth.GroupRole{Group: "ops", Role: "admin"}); len(open.GroupRoles) != 1 || open.GroupRoles[0] != want {
		t.Errorf("got %+v, want %+v", open.GroupRoles, want)
	}
	if microsoft.Kind != auth.Microsoft || microsoft.UserPattern != `{domain}\{user}` || microsoft.Domain != "CORP" || !microsoft.NestedGroups || microsoft.Timeout != 3*time.Second {
		t.Errorf("got %+v", microsoft)
	}
	if c.Authenticator.Hashing != auth.DefaultParams() {
		t.Errorf("got the costs %+v", c.Authenticator.Hashing)
	}
}

// TestDirectoriesThatCannotWork are told by the setting that is to be mended.
func TestDirectoriesThatCannotWork(t *testing.T) {
	t.Parallel()
	notPEM := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(notPEM, []byte("-"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ environ, want string }{
		{"ORDER=openldap", "HYDRASTORE_AUTHENTICATOR_ORDER: authenticator.order: local comes first"},
		{"ORDER=local,kerberos", `authenticator.order: use local, openldap and microsoft, this is "kerberos"`},
		{"ORDER=local,ldap,microsoft,openldap", "authenticator.order: microsoft is named twice"},
		{"ORDER=local,openldap", "authenticator.microsoft.servers: has no effect while microsoft is not in authenticator.order"},
		{"OPENLDAP_SERVERS=ldap.example.org", "authenticator.openldap.servers: \"ldap.example.org\" is no server"},
		{"OPENLDAP_USER_PATTERN=ada", "authenticator.openldap.user_pattern: needs {user} once"},
		{"OPENLDAP_BASE_DN=example", "authenticator.openldap.base_dn: "},
		{"OPENLDAP_GROUP_POLICIES=ops", "authenticator.openldap.group_policies: GROUP=POLICY is needed"},
		{"OPENLDAP_GROUP_POLICIES=ops=no policy", "authenticator.openldap.group_policies: \"no policy\" is no policy's name"},
		{"OPENLDAP_GROUP_ROLES=ops=root", "authenticator.openldap.group_roles: \"root\" is no role"},
		{"OPENLDAP_CA_FILE=" + notPEM, "holds no PEM certificate"},
		{"OPENLDAP_TIMEOUT=5s", "authenticator.openldap.timeout: 5s is not below limits.request_timeout"},
		{"OPENLDAP_TIMEOUT=1ms", "authenticator.openldap.timeout: a duration from 100ms"},
		{"OPENLDAP_MAX_CONNECTIONS=0", "authenticator.openldap.max_connections: a number from 1"},
		{"MICROSOFT_DOMAIN=A.VERY.LONG.DOMAIN", "authenticator.microsoft.domain: "},
		{"LOCAL_ARGON2_MEMORY_KIB=64", "authenticator.local.argon2_memory_kib: a number from 7168"},
		{"LOCAL_ARGON2_ITERATIONS=0", "authenticator.local.argon2_iterations: a number from 1"},
	} {
		_, err := load(t, directories, []string{"HYDRASTORE_AUTHENTICATOR_" + c.environ}, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.environ, err, c.want)
		}
	}
}
