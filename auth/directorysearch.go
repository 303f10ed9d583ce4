package auth

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/hydrastore/hydrastore/session"
)

// maxGroups of one user. A directory that has more to say is taken for misconfigured, not cut: a group that is left out could
// be the one that matters.
const maxGroups = 1000

// askOpenLDAP reads the user's entry, and the groups that name it.
func (d *Directory) askOpenLDAP(c *ldap.Conn, who identity) ([]group, error) {
	entry, err := d.one(c, &ldap.SearchRequest{
		BaseDN: who.bind, Scope: ldap.ScopeBaseObject, Filter: "(objectClass=*)", Attributes: []string{d.names.attribute},
	})
	if err != nil {
		return nil, err
	}
	login, err := d.names.own(who, entry)
	if err != nil || !d.rules.needed() {
		return nil, err
	}
	dn := ldap.EscapeFilter(entry.DN)
	found, err := d.search(c, &ldap.SearchRequest{
		BaseDN: d.config.BaseDN, Scope: ldap.ScopeWholeSubtree, SizeLimit: maxGroups, Attributes: []string{"1.1"}, // no attributes: RFC 4511 4.5.1.8
		Filter: fmt.Sprintf("(|(memberUid=%s)(member=%s)(uniqueMember=%s))", ldap.EscapeFilter(login), dn, dn),
	})
	if err != nil {
		return nil, fmt.Errorf("search the user's groups: %w", err)
	}
	return parseGroups(namesOf(found))
}

// inChain is LDAP_MATCHING_RULE_IN_CHAIN of Active Directory: it follows members of members.
const inChain = "1.2.840.113556.1.4.1941"

// askMicrosoft finds the user's entry, which names its groups. The primary group is not among them: so Active Directory keeps it.
func (d *Directory) askMicrosoft(c *ldap.Conn, who identity) ([]group, error) {
	entry, err := d.one(c, &ldap.SearchRequest{
		BaseDN: d.config.BaseDN, Scope: ldap.ScopeWholeSubtree, SizeLimit: 2,
		Filter:     fmt.Sprintf("(%s=%s)", d.names.attribute, ldap.EscapeFilter(who.login)),
		Attributes: []string{d.names.attribute, "memberOf"},
	})
	if err != nil {
		return nil, err
	}
	if _, err := d.names.own(who, entry); err != nil {
		return nil, err
	}
	if err := d.boundAs(c, who, entry); err != nil {
		return nil, err
	}
	names := entry.GetEqualFoldAttributeValues("memberOf")
	if len(names) > maxGroups {
		return nil, fmt.Errorf("the user is in more than %d groups", maxGroups)
	}
	if d.config.NestedGroups && d.rules.needed() {
		found, err := d.search(c, &ldap.SearchRequest{
			BaseDN: d.config.BaseDN, Scope: ldap.ScopeWholeSubtree, SizeLimit: maxGroups, Attributes: []string{"1.1"},
			Filter: fmt.Sprintf("(member:%s:=%s)", inChain, ldap.EscapeFilter(entry.DN)),
		})
		if err != nil {
			return nil, fmt.Errorf("search the groups of the user's groups: %w", err)
		}
		names = append(names, namesOf(found)...)
	}
	return parseGroups(names)
}

func namesOf(entries []*ldap.Entry) (names []string) {
	for _, e := range entries {
		names = append(names, e.DN)
	}
	return names
}

func parseGroups(names []string) ([]group, error) {
	groups := make([]group, 0, len(names))
	for _, name := range names {
		g, err := parseGroup(name)
		if err != nil {
			return nil, err
		}
		groups = append(groups, g)
	}
	return groups, nil
}

// boundAs makes sure that the password was that of the entry. A name to bind with that is not made of the account's may be another one's: a
// user whose principal name, or entry, is named like somebody else's account would log in as that one.
func (d *Directory) boundAs(c *ldap.Conn, who identity, entry *ldap.Entry) error {
	switch {
	case d.names.byAccount:
		return nil
	case d.names.isDN:
		bound, err := ldap.ParseDN(who.bind)
		found, wrong := ldap.ParseDN(entry.DN)
		if err != nil || wrong != nil {
			return fmt.Errorf("compare the user's entry with the one that is bound: %w", errors.Join(err, wrong))
		}
		if !bound.EqualFold(found) {
			return ErrRefused
		}
		return nil
	}
	is, err := c.WhoAmI(nil) // RFC 4532; Active Directory says u:DOMAIN\account
	if err != nil {
		return fmt.Errorf("ask who is bound: %w", err)
	}
	account, named := strings.CutPrefix(is.AuthzID, "u:")
	if !named || !strings.Contains(account, `\`) {
		return errNoAccountName
	}
	if folded, err := session.FoldUserName(account); err != nil || folded != d.names.domain+`\`+who.login {
		return ErrRefused
	}
	return nil
}

var errNoAccountName = errors.New("the directory does not say which account is bound: use the default user_pattern")

var errNotOneEntry = errors.New("the directory does not show the user exactly one entry of its name under base_dn: check base_dn, and that users may read their own entries")

// one is search for what must be there once.
func (d *Directory) one(c *ldap.Conn, r *ldap.SearchRequest) (*ldap.Entry, error) {
	found, err := d.search(c, r)
	switch {
	case ldap.IsErrorAnyOf(err, ldap.LDAPResultSizeLimitExceeded, ldap.LDAPResultNoSuchObject), err == nil && len(found) != 1:
		return nil, errNotOneEntry
	case err != nil:
		return nil, fmt.Errorf("read the user's entry: %w", err)
	}
	return found[0], nil
}

func (d *Directory) search(c *ldap.Conn, r *ldap.SearchRequest) ([]*ldap.Entry, error) {
	r.DerefAliases, r.TimeLimit = ldap.NeverDerefAliases, int((d.config.Timeout+time.Second-1)/time.Second)
	result, err := c.Search(r)
	if err != nil {
		return nil, err
	}
	return result.Entries, nil
}
