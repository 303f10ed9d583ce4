package auth

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/hydrastore/hydrastore/session"
)

// identity is a user as a directory names it.
type identity struct {
	bind  string // name to bind with
	login string // the user's part of the login, folded
}

// naming turns user names into names of the directory.
type naming struct {
	kind      Kind
	pattern   string // with {user}, and with {domain} filled in
	isDN      bool
	domain    string // folded
	byAccount bool   // the name to bind with is made of what is searched for: it can be nobody else's
	attribute string // that holds the login in the user's entry
}

// Active Directory's own bounds: a NetBIOS name, and a sAMAccountName of the old kind, without these characters.
const (
	maxDomainRunes      = 15
	maxAccountRunes     = 20
	forbiddenInAccounts = `"/\[]:;|=,+*?<>@`
)

// accountPattern names an account by its domain and nothing else.
const accountPattern = `{domain}\{user}`

// firstOfDN is the beginning of a pattern whose first part is nothing but the login.
var firstOfDN = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9-]*)=\{user\},`)

func newNaming(c DirectoryConfig) (naming, error) {
	n := naming{kind: c.Kind, pattern: strings.ReplaceAll(c.UserPattern, "%s", "{user}")}
	if strings.Count(n.pattern, "{user}") != 1 {
		return n, session.Invalid("user_pattern", "needs {user} once, where the user's name goes, this is %q", c.UserPattern)
	}
	if c.BaseDN == "" {
		return n, session.Invalid("base_dn", "a distinguished name is needed, under which is searched")
	}
	if _, err := ldap.ParseDN(c.BaseDN); err != nil {
		return n, session.Invalid("base_dn", "%q is no distinguished name: %v", c.BaseDN, err)
	}
	n.isDN = strings.Contains(n.pattern, "=")
	if n.isDN {
		if _, err := ldap.ParseDN(strings.ReplaceAll(n.pattern, "{user}", "x")); err != nil {
			return n, session.Invalid("user_pattern", "%q is no distinguished name: %v", c.UserPattern, err)
		}
	}
	switch c.Kind {
	case OpenLDAP:
		first := firstOfDN.FindStringSubmatch(n.pattern)
		if first == nil {
			return n, session.Invalid("user_pattern", "must begin with an attribute that is the user's name, such as uid={user},ou=people,dc=example,dc=org; this is %q", c.UserPattern)
		}
		n.attribute = first[1]
	case Microsoft:
		domain, err := session.FoldUserName(c.Domain)
		if err != nil || len([]rune(domain)) > maxDomainRunes || strings.ContainsAny(domain, forbiddenInAccounts) {
			return n, session.Invalid("domain", "the name is needed that stands before the backslash when users log in, of at most %d characters", maxDomainRunes)
		}
		n.attribute, n.domain = "sAMAccountName", domain
		n.byAccount = n.pattern == accountPattern
		n.pattern = strings.ReplaceAll(n.pattern, "{domain}", c.Domain)
	default:
		return n, session.Invalid("kind", "%q is no kind of directory: use %s or %s", c.Kind, OpenLDAP, Microsoft)
	}
	return n, nil
}

// of names the user in the directory; ErrRefused when it can have nobody of that name.
func (n naming) of(user string) (identity, error) {
	login := user
	if n.kind == Microsoft {
		domain, account, found := strings.Cut(user, `\`)
		if !found || domain != n.domain || account == "" || len([]rune(account)) > maxAccountRunes || strings.ContainsAny(account, forbiddenInAccounts) {
			return identity{}, ErrRefused
		}
		login = account
	}
	name := login
	if n.isDN {
		name = ldap.EscapeDN(login)
	}
	return identity{bind: strings.Replace(n.pattern, "{user}", name, 1), login: login}, nil
}

// own finds the login as the directory spells it. A directory takes more spellings of a name for the same than this cluster
// does (wide letters, repeated spaces, accents), and each would be another user here, with limits of its own and untouched by the disabling
// of the first. So only a spelling that is the directory's own, but for case, is let in.
func (n naming) own(who identity, e *ldap.Entry) (string, error) {
	for _, value := range e.GetEqualFoldAttributeValues(n.attribute) {
		if folded, err := session.FoldUserName(value); err == nil && folded == who.login {
			return value, nil
		}
	}
	if len(e.GetEqualFoldAttributeValues(n.attribute)) == 0 {
		return "", fmt.Errorf("a user may not read the attribute %s of its own entry: allow that in the directory", n.attribute)
	}
	return "", ErrRefused
}
