package auth

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/hydrastore/hydrastore/session"
)

// GroupPolicy lets the members of a group log in under a policy.
type GroupPolicy struct {
	Group  string // a common name, or a whole distinguished name
	Policy string
}

// GroupRole gives the members of a group a role, if they have no account.
type GroupRole struct {
	Group string // as in GroupPolicy
	Role  session.Role
}

// group is one that a user belongs to.
type group struct {
	name string // common name
	dn   *ldap.DN
}

// parseGroup reads a group's distinguished name; its common name is the value of the first part.
func parseGroup(dn string) (group, error) {
	parsed, err := ldap.ParseDN(dn)
	if err != nil {
		return group{}, fmt.Errorf("parse a group's name: %w", err)
	}
	if len(parsed.RDNs) == 0 || len(parsed.RDNs[0].Attributes) == 0 {
		return group{}, fmt.Errorf("parse a group's name: it is empty")
	}
	return group{name: parsed.RDNs[0].Attributes[0].Value, dn: parsed}, nil
}

// groupName is a group as settings write it.
type groupName struct {
	name string   // of one written as a common name
	dn   *ldap.DN // of one written whole
}

func parseGroupName(field, text string) (groupName, error) {
	if text == "" {
		return groupName{}, session.Invalid(field, "a group's name is empty")
	}
	if !strings.Contains(text, "=") {
		return groupName{name: text}, nil
	}
	dn, err := ldap.ParseDN(text)
	if err != nil {
		return groupName{}, session.Invalid(field, "the group %q is no distinguished name: %v", text, err)
	}
	return groupName{dn: dn}, nil
}

func (n groupName) matches(g group) bool {
	if n.dn != nil {
		return n.dn.EqualFold(g.dn)
	}
	return strings.EqualFold(n.name, g.name)
}

func (n groupName) in(groups []group) bool { return slices.ContainsFunc(groups, n.matches) }

// groupRules say what a user's groups give.
type groupRules struct {
	allowed  []groupName
	policies []policyRule
	roles    []roleRule
}

type policyRule struct {
	group  groupName
	policy string
}

type roleRule struct {
	group groupName
	role  session.Role
}

func newGroupRules(c DirectoryConfig) (groupRules, error) {
	var rules groupRules
	for _, text := range c.AllowedGroups {
		name, err := parseGroupName("allowed_groups", text)
		if err != nil {
			return rules, err
		}
		rules.allowed = append(rules.allowed, name)
	}
	for _, p := range c.GroupPolicies {
		name, err := parseGroupName("group_policies", p.Group)
		if err != nil {
			return rules, err
		}
		if err := session.ValidatePolicyName(p.Policy); err != nil {
			return rules, session.Invalid("group_policies", "%q is no policy's name", p.Policy)
		}
		rules.policies = append(rules.policies, policyRule{name, p.Policy})
	}
	for _, r := range c.GroupRoles {
		name, err := parseGroupName("group_roles", r.Group)
		if err != nil {
			return rules, err
		}
		if !slices.Contains(session.Roles(), r.Role) {
			return rules, session.Invalid("group_roles", "%q is no role: use user, service or admin", r.Role)
		}
		rules.roles = append(rules.roles, roleRule{name, r.Role})
	}
	return rules, nil
}

// needed tells whether a user's groups have to be known.
func (r groupRules) needed() bool { return len(r.allowed)+len(r.policies)+len(r.roles) > 0 }

// judge gives the members of these groups what is theirs, or ErrRefused.
func (r groupRules) judge(groups []group) (Grant, error) {
	in := func(n groupName) bool { return n.in(groups) }
	if len(r.allowed) > 0 && !slices.ContainsFunc(r.allowed, in) {
		return Grant{}, ErrRefused
	}
	var g Grant
	for _, rule := range r.policies {
		if in(rule.group) && !slices.Contains(g.Policies, rule.policy) {
			g.Policies = append(g.Policies, rule.policy)
		}
	}
	for _, rule := range r.roles {
		if in(rule.group) && !slices.Contains(g.Roles, rule.role) {
			g.Roles = append(g.Roles, rule.role)
		}
	}
	slices.Sort(g.Roles)
	return g, nil
}
