package auth_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/auth/slapdtest"
	"github.com/hydrastore/hydrastore/session"
)

// startSlapd starts a directory, or skips the test where slapd is not installed and need not be.
func startSlapd(t *testing.T) *slapdtest.Server {
	t.Helper()
	if _, err := slapdtest.Path(); err != nil {
		if os.Getenv("HYDRASTORE_E2E") == "require" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	s, err := slapdtest.Start(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// openLDAP is the configuration for the users of startSlapd, over TLS.
func openLDAP(t *testing.T, s *slapdtest.Server) auth.DirectoryConfig {
	t.Helper()
	c := auth.DefaultDirectoryConfig(auth.OpenLDAP)
	c.Servers, c.TLS = []string{s.URLTLS()}, trust(t, s)
	c.UserPattern, c.BaseDN = slapdtest.UserPattern, slapdtest.BaseDN
	c.Timeout = patience
	return c
}

// patience bounds log-ins that a good run answers within milliseconds.
const patience = time.Minute

func trust(t *testing.T, s *slapdtest.Server) *tls.Config {
	t.Helper()
	text, err := os.ReadFile(s.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}

func newDirectory(t *testing.T, c auth.DirectoryConfig) *auth.Directory {
	t.Helper()
	d, err := auth.NewDirectory(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// outcome names what came of a log-in.
func outcome(err error) string {
	switch {
	case err == nil:
		return "in"
	case errors.Is(err, auth.ErrRefused):
		return "refused"
	}
	return "unknown"
}

func TestOpenLDAPJudgesByBinding(t *testing.T) {
	t.Parallel()
	s := startSlapd(t)
	plain := openLDAP(t, s)
	plain.Servers, plain.Insecure = []string{s.URL()}, true
	starting := openLDAP(t, s)
	starting.Servers = []string{s.URL()}
	for name, c := range map[string]auth.DirectoryConfig{"ldaps": openLDAP(t, s), "StartTLS": starting, "in the clear": plain} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDirectory(t, c)
			for _, l := range []struct{ user, password, want string }{
				{"ada", "ada" + slapdtest.Password, "in"},
				{"bob", "bob" + slapdtest.Password, "in"},
				{"o,neil", "o,neil" + slapdtest.Password, "in"},
				{"ada", "bob" + slapdtest.Password, "refused"},
				{"ada", "x", "refused"},
				{"nobody", "ada" + slapdtest.Password, "refused"},
				{"eve", "eve" + slapdtest.Password, "refused"}, // not among the people
				{"ada,ou=people", "ada" + slapdtest.Password, "refused"},
				{"*", "ada" + slapdtest.Password, "refused"},
				{"ａｄａ", "ada" + slapdtest.Password, "refused"}, // slapd takes wide letters for the same name
				{"x\\", "x", "refused"}, {"#", "x", "refused"}, {strings.Repeat("é", 64), "x", "refused"},
			} {
				if _, err := d.Authenticate(t.Context(), l.user, l.password); outcome(err) != l.want {
					t.Errorf("%q with %q: got %s (%v), want %s", l.user, l.password, outcome(err), err, l.want)
				}
			}
		})
	}
}

// TestAnUntrustedServerHearsNoPassword: over TLS the server must prove that it is the one that was meant.
func TestAnUntrustedServerHearsNoPassword(t *testing.T) {
	t.Parallel()
	s := startSlapd(t)
	for _, url := range []string{s.URLTLS(), s.URL()} {
		c := openLDAP(t, s)
		c.Servers, c.TLS = []string{url}, nil // the system does not know the tests' authority
		_, err := newDirectory(t, c).Authenticate(t.Context(), "ada", "ada"+slapdtest.Password)
		var unknown x509.UnknownAuthorityError
		if outcome(err) != "unknown" || !errors.As(err, &unknown) && !strings.Contains(err.Error(), "unknown authority") {
			t.Errorf("%s: got %v, want a refusal of the certificate", url, err)
		}
	}
}

func TestMicrosoftWantsItsDomain(t *testing.T) {
	t.Parallel()
	s := startSlapd(t)
	c := auth.DefaultDirectoryConfig(auth.Microsoft)
	c.Servers, c.TLS, c.BaseDN, c.Domain, c.Timeout = []string{s.URLTLS()}, trust(t, s), slapdtest.BaseDN, "CORP", patience
	c.UserPattern = slapdtest.AccountPattern // slapd binds by distinguished names only
	c.GroupPolicies = []auth.GroupPolicy{{Group: "Staff", Policy: "office"}, {Group: "ops", Policy: "night"}}
	d := newDirectory(t, c)
	for _, l := range []struct{ user, password, want string }{
		{`corp\eve`, "eve" + slapdtest.Password, "in"},
		{`corp\eve`, "x", "refused"},
		{`eve`, "eve" + slapdtest.Password, "refused"},
		{`other\eve`, "eve" + slapdtest.Password, "refused"},
		{`corp\`, "eve" + slapdtest.Password, "refused"},
		{`corp\corp\eve`, "eve" + slapdtest.Password, "refused"},
		{`corp\` + strings.Repeat("e", 21), "x", "refused"},
		{`corp\ｅｖｅ`, "eve" + slapdtest.Password, "refused"},
		{`corp\frank`, "frank" + slapdtest.Password, "refused"}, // binds, but not as the entry with that account name
		{`corp\grace`, "frank" + slapdtest.Password, "refused"},
	} {
		g, err := d.Authenticate(t.Context(), l.user, l.password)
		if outcome(err) != l.want {
			t.Errorf("%q with %q: got %s (%v), want %s", l.user, l.password, outcome(err), err, l.want)
		}
		if err == nil && !slices.Equal(g.Policies, []string{"office"}) {
			t.Errorf("got the policies %q, want the one of staff", g.Policies)
		}
	}
}

var rolesWanted = map[string][]session.Role{
	"ada": {session.RoleAdmin}, "bob": {session.RoleAdmin, session.RoleUser}, "o,neil": nil,
}

func TestGroupsDecide(t *testing.T) {
	t.Parallel()
	s := startSlapd(t)
	c := openLDAP(t, s)
	c.AllowedGroups = []string{"ops", "cn=Named,ou=groups," + slapdtest.BaseDN}
	c.GroupPolicies = []auth.GroupPolicy{{"named", "by-name"}, {"ops", "night"}, {"staff", "office"}, {"staff", "night"}}
	c.GroupRoles = []auth.GroupRole{{"named", session.RoleUser}, {"named", session.RoleAdmin}, {"staff", session.RoleAdmin}}
	d := newDirectory(t, c)
	want := func(user, outcomeWanted string, policies ...string) {
		t.Helper()
		g, err := d.Authenticate(t.Context(), user, user+slapdtest.Password)
		if roles := rolesWanted[user]; err == nil && !slices.Equal(g.Roles, roles) {
			t.Errorf("%s: got the roles %q, want %q", user, g.Roles, roles)
		}
		if outcome(err) != outcomeWanted || !slices.Equal(g.Policies, policies) {
			t.Errorf("%s: got %s (%v) with %q, want %s with %q", user, outcome(err), err, g.Policies, outcomeWanted, policies)
		}
	}
	want("ada", "in", "night", "office")
	want("bob", "in", "by-name", "office", "night")
	want("o,neil", "refused")
	if err := s.RemoveFromGroup("ops", "ada"); err != nil {
		t.Fatal(err)
	}
	want("ada", "refused")
	if err := s.AddToGroup("ops", "o,neil"); err != nil {
		t.Fatal(err)
	}
	want("o,neil", "in", "night")
}

// TestADeadDirectoryIsNoWrongPassword, and when it is back it answers at once, though all kept connections are dead.
func TestADeadDirectoryIsNoWrongPassword(t *testing.T) {
	t.Parallel()
	s := startSlapd(t)
	d := newDirectory(t, openLDAP(t, s))
	login := func() string {
		_, err := d.Authenticate(t.Context(), "ada", "ada"+slapdtest.Password)
		return outcome(err)
	}
	if got := login(); got != "in" {
		t.Fatalf("got %s, want in", got)
	}
	s.Stop()
	if got := login(); got != "unknown" {
		t.Errorf("without a server: got %s, want unknown", got)
	}
	if err := s.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := login(); got != "in" {
		t.Errorf("with the server back: got %s, want in", got)
	}
	s.Stop()
	if err := s.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := login(); got != "in" {
		t.Errorf("over a connection that died unseen: got %s, want in", got)
	}
}

func TestAnotherServerStepsIn(t *testing.T) {
	t.Parallel()
	s := startSlapd(t)
	silent := silentServer(t)
	c := openLDAP(t, s)
	c.Servers = []string{"ldaps://127.0.0.1:1", "ldaps://" + silent, s.URLTLS()}
	c.Timeout = 8 * time.Second
	d := newDirectory(t, c)
	for range 2 {
		if _, err := d.Authenticate(t.Context(), "ada", "ada"+slapdtest.Password); err != nil {
			t.Errorf("got %v", err)
		}
	}
}

// TestAServerThatHangsOrIsBusyIsPassedOver: connecting to it works, asking it does not.
func TestAServerThatHangsOrIsBusyIsPassedOver(t *testing.T) {
	t.Parallel()
	s := startSlapd(t)
	for name, first := range map[string]string{
		"hangs": "ldap://" + silentServer(t),
		"busy":  fakeDirectory(t, func(byte, string) [][]byte { return [][]byte{answer(bindResponse, ldap.LDAPResultBusy)} }),
		"ends":  fakeDirectory(t, func(byte, string) [][]byte { return [][]byte{answer(bindResponse, ldap.LDAPResultUnavailable)} }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := openLDAP(t, s)
			c.Servers, c.Insecure, c.Timeout = []string{first, s.URL()}, true, 8*time.Second
			d := newDirectory(t, c)
			for range 2 {
				if _, err := d.Authenticate(t.Context(), "ada", "ada"+slapdtest.Password); err != nil {
					t.Errorf("got %v", err)
				}
			}
			if _, err := d.Authenticate(t.Context(), "ada", "wrong"); outcome(err) != "refused" {
				t.Errorf("a wrong password: got %s (%v)", outcome(err), err)
			}
		})
	}
}

// TestAFrozenServerIsPassedOver, though connections to it were kept.
func TestAFrozenServerIsPassedOver(t *testing.T) {
	t.Parallel()
	one, two := startSlapd(t), startSlapd(t)
	c := openLDAP(t, one)
	c.Servers, c.Insecure, c.Timeout = []string{one.URL(), two.URL()}, true, 8*time.Second
	d := newDirectory(t, c)
	login := func() error {
		_, err := d.Authenticate(t.Context(), "ada", "ada"+slapdtest.Password)
		return err
	}
	if err := login(); err != nil {
		t.Fatal(err)
	}
	if err := one.Process().Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := login(); err != nil {
		t.Errorf("got %v", err)
	}
}

// TestAPrincipalNameMustBeTheAccounts: with {user}@domain somebody else's principal name may look like an account's.
func TestAPrincipalNameMustBeTheAccounts(t *testing.T) {
	t.Parallel()
	for bound, want := range map[string]string{
		`u:CORP\Ada`: "in", `u:CORP\mallory`: "refused", `u:OTHER\ada`: "refused", "": "unknown", "u:S-1-5-21-1-2-3-500": "unknown",
	} {
		c := auth.DefaultDirectoryConfig(auth.Microsoft)
		c.Servers, c.Insecure, c.BaseDN, c.Domain, c.UserPattern = []string{fakeDomain(t, bound)}, true, slapdtest.BaseDN, "CORP", "{user}@example.org"
		c.GroupPolicies = []auth.GroupPolicy{{"staff", "office"}, {"outer", "night"}}
		g, err := newDirectory(t, c).Authenticate(t.Context(), `corp\ada`, "right")
		if outcome(err) != want {
			t.Errorf("bound as %q: got %s (%v), want %s", bound, outcome(err), err, want)
		}
		if err == nil && !slices.Equal(g.Policies, []string{"office"}) {
			t.Errorf("got the policies %q", g.Policies)
		}
	}
}

// TestGroupsWithinGroups count where that is asked for.
func TestGroupsWithinGroups(t *testing.T) {
	t.Parallel()
	for nested, want := range map[bool][]string{false: {"office"}, true: {"night", "office"}} {
		c := auth.DefaultDirectoryConfig(auth.Microsoft)
		c.Servers, c.Insecure, c.BaseDN, c.Domain, c.NestedGroups = []string{fakeDomain(t, "")}, true, slapdtest.BaseDN, "CORP", nested
		c.GroupPolicies = []auth.GroupPolicy{{"outer", "night"}, {"staff", "office"}}
		g, err := newDirectory(t, c).Authenticate(t.Context(), `corp\ada`, "right")
		if err != nil || !slices.Equal(g.Policies, want) {
			t.Errorf("nested %v: got the policies %q (%v), want %q", nested, g.Policies, err, want)
		}
	}
}

// fakeDomain is a domain with one user, in a group that is in another one, who is bound as the given authorization identity.
func fakeDomain(t *testing.T, bound string) string {
	t.Helper()
	return fakeDirectory(t, func(operation byte, request string) [][]byte {
		switch {
		case operation == bindRequest:
			return [][]byte{answer(bindResponse, ldap.LDAPResultSuccess)}
		case operation == extendedRequest:
			return [][]byte{answer(extendedResponse, ldap.LDAPResultSuccess, tlv(0x8b, []byte(bound)))}
		case strings.Contains(request, "1.2.840.113556.1.4.1941"):
			return [][]byte{
				entry("cn=outer,"+slapdtest.BaseDN, nil), entry("cn=staff,"+slapdtest.BaseDN, nil), answer(searchDone, ldap.LDAPResultSuccess),
			}
		}
		return [][]byte{
			entry("cn=ada,"+slapdtest.BaseDN, map[string]string{"sAMAccountName": "Ada", "memberOf": "cn=staff," + slapdtest.BaseDN}),
			answer(searchDone, ldap.LDAPResultSuccess),
		}
	})
}

// silentServer takes connections and never says a word.
func silentServer(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
		}
	}()
	return l.Addr().String()
}

// TestASlowDirectoryIsBounded: no stage of a log-in waits longer than the timeout, or than the caller.
func TestASlowDirectoryIsBounded(t *testing.T) {
	t.Parallel()
	const timeout, late = 300 * time.Millisecond, patience // a busy machine answers late, a broken bound never
	stopped := startSlapd(t)
	warm := openLDAP(t, stopped)
	warm.Timeout = timeout
	frozen := newDirectory(t, warm)
	eventually(t, func() bool {
		_, err := frozen.Authenticate(t.Context(), "ada", "ada"+slapdtest.Password)
		return err == nil
	})
	if err := stopped.Process().Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	silent := func(c auth.DirectoryConfig, scheme string) *auth.Directory {
		c.Servers, c.Timeout = []string{scheme + silentServer(t)}, timeout
		return newDirectory(t, c)
	}
	insecure := openLDAP(t, stopped)
	insecure.Insecure = true
	for name, d := range map[string]*auth.Directory{
		"in the TLS handshake": silent(openLDAP(t, stopped), "ldaps://"), "in StartTLS": silent(openLDAP(t, stopped), "ldap://"),
		"in the bind": silent(insecure, "ldap://"), "on a kept connection": frozen,
	} {
		begin := time.Now()
		_, err := d.Authenticate(t.Context(), "ada", "ada"+slapdtest.Password)
		if took := time.Since(begin); outcome(err) != "unknown" || took > late {
			t.Errorf("%s: got %s (%v) after %v", name, outcome(err), err, took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := d.Authenticate(ctx, "ada", "x"); outcome(err) != "unknown" {
			t.Errorf("%s, caller gone: got %s (%v)", name, outcome(err), err)
		}
	}
}

func eventually(t *testing.T, ask func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ask(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain")
		}
	}
}

// TestConnectionsAreReusedAndBounded: many log-ins of many users take few connections, and each is judged as itself.
func TestConnectionsAreReusedAndBounded(t *testing.T) {
	t.Parallel()
	s := startSlapd(t)
	c := openLDAP(t, s)
	c.MaxConnections = 2
	c.GroupPolicies = []auth.GroupPolicy{{"ops", "night"}}
	var dialled atomic.Int32
	c.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		dialled.Add(1)
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	d := newDirectory(t, c)
	var logins sync.WaitGroup
	for range 20 {
		logins.Go(func() {
			for _, l := range []struct {
				user, password, want string
				policies             int
			}{
				{"ada", "ada" + slapdtest.Password, "in", 1}, {"bob", "bob" + slapdtest.Password, "in", 0}, {"ada", "wrong", "refused", 0},
			} {
				g, err := d.Authenticate(t.Context(), l.user, l.password)
				if outcome(err) != l.want || len(g.Policies) != l.policies {
					t.Errorf("%s: got %s (%v) with %q", l.user, outcome(err), err, g.Policies)
				}
			}
		})
	}
	logins.Wait()
	if n := dialled.Load(); n > 2 {
		t.Errorf("60 log-ins took %d connections, 2 are allowed and none broke", n)
	}
}

// TestMicrosoftHearsDomainAndUser: a domain's servers want DOMAIN\user for a name.
func TestMicrosoftHearsDomainAndUser(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	heard := make(chan string, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		request := make([]byte, 512)
		n, _ := c.Read(request)
		heard <- string(request[:n])
	}()
	c := auth.DefaultDirectoryConfig(auth.Microsoft)
	c.Servers, c.Insecure, c.BaseDN, c.Domain = []string{"ldap://" + l.Addr().String()}, true, slapdtest.BaseDN, "CORP"
	if _, err := newDirectory(t, c).Authenticate(t.Context(), `corp\ada`, "secret of ada"); outcome(err) != "unknown" {
		t.Errorf("a server that hangs up: got %s (%v)", outcome(err), err)
	}
	if got := <-heard; !strings.Contains(got, `CORP\ada`) || !strings.Contains(got, "secret of ada") {
		t.Errorf("the server heard %q", got)
	}
}

func TestDirectoriesThatCannotWorkAreRefused(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*auth.DirectoryConfig){
		"no server":              func(c *auth.DirectoryConfig) { c.Servers = nil },
		"no scheme":              func(c *auth.DirectoryConfig) { c.Servers = []string{"ldap.example.org"} },
		"another scheme":         func(c *auth.DirectoryConfig) { c.Servers = []string{"https://ldap.example.org"} },
		"a path":                 func(c *auth.DirectoryConfig) { c.Servers = []string{"ldaps://ldap.example.org/dc=example"} },
		"no place for the user":  func(c *auth.DirectoryConfig) { c.UserPattern = "uid=ada,dc=example" },
		"two places":             func(c *auth.DirectoryConfig) { c.UserPattern = "uid={user},ou={user}" },
		"user not first":         func(c *auth.DirectoryConfig) { c.UserPattern = "ou=people,uid={user}" },
		"part of a value":        func(c *auth.DirectoryConfig) { c.UserPattern = "uid=x{user},dc=example" },
		"no base":                func(c *auth.DirectoryConfig) { c.BaseDN = "" },
		"a base that is none":    func(c *auth.DirectoryConfig) { c.BaseDN = "example" },
		"a group without a name": func(c *auth.DirectoryConfig) { c.AllowedGroups = []string{""} },
		"a group that is no DN":  func(c *auth.DirectoryConfig) { c.GroupPolicies = []auth.GroupPolicy{{"=,", "p"}} },
		"no role":                func(c *auth.DirectoryConfig) { c.GroupRoles = []auth.GroupRole{{"ops", "root"}} },
		"no domain":              func(c *auth.DirectoryConfig) { c.Kind = auth.Microsoft },
		"too long a domain":      func(c *auth.DirectoryConfig) { c.Kind, c.Domain = auth.Microsoft, "ABCDEFGHIJKLMNOP" },
		"an unknown kind":        func(c *auth.DirectoryConfig) { c.Kind = "ad" },
		"no policy's name":       func(c *auth.DirectoryConfig) { c.GroupPolicies = []auth.GroupPolicy{{"ops", "no name"}} },
		"nested groups":          func(c *auth.DirectoryConfig) { c.NestedGroups = true },
		"no time":                func(c *auth.DirectoryConfig) { c.Timeout = 0 },
	} {
		c := auth.DefaultDirectoryConfig(auth.OpenLDAP)
		c.Servers, c.UserPattern, c.BaseDN = []string{"ldaps://ldap.example.org"}, "uid=%s,dc=example", "dc=example"
		if _, err := auth.NewDirectory(c); err != nil {
			t.Fatalf("the good one: %v", err)
		}
		change(&c)
		var e *session.Error
		if _, err := auth.NewDirectory(c); !errors.As(err, &e) || e.Code != session.CodeInvalid || e.Field == "" {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
