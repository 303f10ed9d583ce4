package auth

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/hydrastore/hydrastore/session"
)

// Kind of a directory: how a user's name becomes an entry, and where its groups are found.
type Kind string

const (
	// OpenLDAP: the user's entry is named by a pattern, groups are entries that name their members.
	OpenLDAP Kind = "openldap"
	// Microsoft: users log in as DOMAIN\user, and their entries name their groups (Active Directory).
	Microsoft Kind = "microsoft"
)

// DirectoryConfig describes an LDAP directory. Start from DefaultDirectoryConfig. It is copied and not changed after.
type DirectoryConfig struct {
	Kind Kind
	// Servers that hold the same directory, asked in this order while one does not answer: ldaps://HOST[:636], or
	// ldap://HOST[:389], which is turned to TLS by StartTLS before anything is said.
	Servers []string
	// TLS verifies the servers. ServerName is filled in for each. Default: the system's authorities.
	TLS *tls.Config
	// Insecure leaves ldap:// as it is: passwords cross the network in the clear.
	Insecure bool

	// UserPattern names the user's entry, with {user} or %s in the place of the user: uid={user},ou=people,dc=example,dc=org.
	// With Microsoft it may also be what the servers take as a name, such as {user}@example.org; default {domain}\{user}. Whatever it is, the
	// entry that it binds as must be that of the account.
	UserPattern string
	// BaseDN is where groups (OpenLDAP) or users (Microsoft) are searched.
	BaseDN string
	// Domain (Microsoft) is the one whose users log in, as it stands before the backslash.
	Domain string

	// NestedGroups (Microsoft) also counts the groups under BaseDN in which the user's groups are, however far: one more search at each log-in,
	// which costs the directory more than the others.
	NestedGroups bool

	// AllowedGroups may log in; none = whoever has the right password.
	AllowedGroups []string
	// GroupPolicies give policies to groups, the first that fits by default.
	GroupPolicies []GroupPolicy

	// GroupRoles give roles to groups.
	GroupRoles []GroupRole

	// Timeout bounds one log-in: connecting, waiting for a turn, binding and searching, over all servers. Default 3 s.
	Timeout time.Duration
	// MaxConnections open at once, so log-ins at once; others wait. Up to as many are kept for the next ones. Default 8.
	MaxConnections int

	// Dial connects; default (&net.Dialer{}).DialContext.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// DefaultDirectoryConfig returns the defaults that the fields tell of.
func DefaultDirectoryConfig(k Kind) DirectoryConfig {
	c := DirectoryConfig{Kind: k, Timeout: 3 * time.Second, MaxConnections: 8}
	if k == Microsoft {
		c.UserPattern = accountPattern
	}
	return c
}

// retryPause is what a client is told to wait when a directory does not answer.
const retryPause = time.Second

// Directory judges log-ins by binding to an LDAP directory as the user. It keeps no password and no account of its own.
type Directory struct {
	config DirectoryConfig
	names  naming
	rules  groupRules
	pool   *connPool
}

var _ Authenticator = (*Directory)(nil)

// NewDirectory makes a Directory. It connects when the first user logs in. Errors: session.CodeInvalid, with the field of the
// configuration in snake case.
func NewDirectory(c DirectoryConfig) (*Directory, error) {
	if c.Timeout <= 0 || c.MaxConnections <= 0 {
		return nil, session.Invalid("timeout", "a directory needs a timeout and a number of connections")
	}
	if c.NestedGroups && c.Kind != Microsoft {
		return nil, session.Invalid("nested_groups", "only Active Directory follows groups within groups by itself")
	}
	names, err := newNaming(c)
	if err != nil {
		return nil, err
	}
	rules, err := newGroupRules(c)
	if err != nil {
		return nil, err
	}
	servers, err := parseServers(c)
	if err != nil {
		return nil, err
	}
	return &Directory{config: c, names: names, rules: rules, pool: newConnPool(c, servers)}, nil
}

// parseServers reads the servers' addresses.
func parseServers(c DirectoryConfig) ([]server, error) {
	if len(c.Servers) == 0 {
		return nil, session.Invalid("servers", "a directory needs at least one server, such as ldaps://ldap.example.org")
	}
	var all []server
	for _, text := range c.Servers {
		u, err := url.Parse(text)
		if err != nil || u.Hostname() == "" || u.Scheme != "ldap" && u.Scheme != "ldaps" || u.User != nil || u.RawQuery != "" || u.Path != "" && u.Path != "/" {
			return nil, session.Invalid("servers", "%q is no server of a directory: write ldaps://HOST or ldap://HOST, with a port if it is not 636 or 389", text)
		}
		s := server{host: u.Hostname(), port: u.Port(), tls: u.Scheme == "ldaps", startTLS: u.Scheme == "ldap" && !c.Insecure}
		if s.port == "" {
			s.port = map[bool]string{true: "636", false: "389"}[s.tls]
		}
		all = append(all, s)
	}
	return all, nil
}

// Name implements Authenticator.
func (d *Directory) Name() string { return string(d.config.Kind) }

// Close implements Authenticator.
func (d *Directory) Close() { d.pool.close() }

// Authenticate implements Authenticator.
func (d *Directory) Authenticate(ctx context.Context, user, password string) (Grant, error) {
	who, err := d.names.of(user)
	if err != nil {
		return Grant{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, d.config.Timeout)
	defer cancel()
	var groups []group
	err = d.pool.use(ctx, func(c *ldap.Conn) error {
		var err error
		groups, err = d.ask(c, who, password)
		return err
	})
	if err != nil {
		return Grant{}, err
	}
	return d.rules.judge(groups)
}

// ask binds as the user, which proves the password, and reads as the user what the directory says of it.
func (d *Directory) ask(c *ldap.Conn, who identity, password string) ([]group, error) {
	if err := c.Bind(who.bind, password); err != nil {
		return nil, judgeBind(err)
	}
	if d.config.Kind == Microsoft {
		return d.askMicrosoft(c, who)
	}
	return d.askOpenLDAP(c, who)
}

// judgeBind tells the directory's refusals of a user from its failures. Which of them a wrong password, an unknown user or a
// locked one gets differs between directories.
func judgeBind(err error) error {
	if ldap.IsErrorAnyOf(err, ldap.LDAPResultInvalidCredentials, ldap.LDAPResultNoSuchObject, ldap.LDAPResultInvalidDNSyntax,
		ldap.LDAPResultInappropriateAuthentication, ldap.LDAPResultConstraintViolation, ldap.LDAPResultInsufficientAccessRights,
		ldap.LDAPResultUnwillingToPerform) {
		return ErrRefused
	}
	return fmt.Errorf("bind as the user: %w", err)
}
