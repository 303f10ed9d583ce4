package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/session"
)

func authenticatorSettings() []Setting {
	settings := []Setting{
		{Key: "authenticator.order", Default: "local", Help: "Who judges passwords, in this order: `local` (the cluster's own users; always the first), `openldap`, `microsoft` (also spelled `ldap`). Equal on all nodes.",
			field: func(c *Config) any { return &c.Authenticator.order }},
		{Key: "authenticator.local.argon2_memory_kib", Default: "19456", Help: "Memory that one new password hash costs, in KiB. More makes guessing from a stolen disk dearer, and each log-in too. Hashes that cost less are made anew when their user logs in.",
			field: func(c *Config) any { return &c.Authenticator.memoryKiB }},
		{Key: "authenticator.local.argon2_iterations", Default: "2", Help: "Passes over that memory: time, at the same memory.",
			field: func(c *Config) any { return &c.Authenticator.iterations }},
	}
	settings = append(settings, directorySettings("openldap", func(c *Config) *directory { return &c.Authenticator.openldap },
		"The name of a user's entry, `{user}` (or `%s`) for the user: `uid={user},ou=people,dc=example,dc=org`. Needed.", "",
		"Where groups are searched, by `memberUid`, `member` and `uniqueMember`. Needed.")...)
	settings = append(settings, Setting{Key: "authenticator.microsoft.domain", Help: "The domain's NetBIOS name: users log in as `DOMAIN\\user`. Needed.",
		field: func(c *Config) any { return &c.Authenticator.microsoft.domain }},
		Setting{Key: "authenticator.microsoft.nested_groups", Default: "false", Help: "Count the groups, under `base_dn`, in which the user's groups are, however far: one more search at each log-in.",
			field: func(c *Config) any { return &c.Authenticator.microsoft.nestedGroups }})
	return append(settings, directorySettings("microsoft", func(c *Config) *directory { return &c.Authenticator.microsoft },
		"The name to bind with. `{user}@example.org` works too; the servers must then say that it is the account's (RFC 4532).", `{domain}\{user}`,
		"Where the user's entry is searched, by `sAMAccountName`; its `memberOf` has the groups. Needed.")...)
}

func directorySettings(kind string, of func(*Config) *directory, patternHelp, pattern, baseHelp string) []Setting {
	at := "authenticator." + kind + "."
	return []Setting{
		{Key: at + "servers", Help: "Servers of the directory, the next one when one does not answer: `ldaps://HOST`, or `ldap://HOST`, which is turned to TLS by StartTLS. Needed.",
			field: func(c *Config) any { return &of(c).servers }},
		{Key: at + "ca_file", Help: "PEM certificates that sign the servers'. Default: the system's.",
			field: func(c *Config) any { return &of(c).caFile }},
		{Key: at + "insecure", Default: "false", Help: "Use `ldap://` without StartTLS: passwords cross the network in the clear.",
			field: func(c *Config) any { return &of(c).insecure }},
		{Key: at + "user_pattern", Default: pattern, Help: patternHelp,
			field: func(c *Config) any { return &of(c).userPattern }},
		{Key: at + "base_dn", Help: baseHelp,
			field: func(c *Config) any { return &of(c).baseDN }},
		{Key: at + "allowed_groups", Help: "Only members of one of these groups may log in. A group is written as its common name, or whole as a distinguished name (in the file only, because of the commas). Default: everybody may.",
			field: func(c *Config) any { return &of(c).allowedGroups }},
		{Key: at + "group_policies", Help: "`GROUP=POLICY`: policies that the members of groups may log in under. The first that fits is a user's default.",
			field: func(c *Config) any { return &of(c).groupPolicies }},
		{Key: at + "group_roles", Help: "`GROUP=ROLE`, `user`, `service` or `admin`: roles that the members of groups have, if they have no account here. Default: `user` for everybody.",
			field: func(c *Config) any { return &of(c).groupRoles }},
		{Key: at + "timeout", Default: "3s", Help: "How long one log-in may wait for the directory in all. Below `limits.request_timeout`.",
			field: func(c *Config) any { return &of(c).timeout }},
		{Key: at + "max_connections", Default: "8", Help: "Connections at once, so log-ins at once. They are kept for the next log-ins.",
			field: func(c *Config) any { return &of(c).maxConnections }},
	}
}

// authenticators builds the chain and refuses what would be ignored.
func (l *loader) authenticators() {
	a := &l.config.Authenticator
	l.hashing()
	if len(a.order) == 0 || a.order[0] != "local" {
		l.problem("authenticator.order", "local comes first: an account that has a password here is judged by it alone")
		return
	}
	kinds := map[string]auth.Kind{"openldap": auth.OpenLDAP, "microsoft": auth.Microsoft, "ldap": auth.Microsoft}
	var used []auth.Kind
	for _, word := range a.order[1:] {
		kind, known := kinds[word]
		switch {
		case !known:
			l.problem("authenticator.order", "use local, openldap and microsoft, this is %s", describe(word))
		case slices.Contains(used, kind):
			l.problem("authenticator.order", "%s is named twice", kind)
		default:
			used = append(used, kind)
			l.directory(kind)
		}
	}
	for _, kind := range []auth.Kind{auth.OpenLDAP, auth.Microsoft} {
		if len(l.written(kind).servers) > 0 && !slices.Contains(used, kind) {
			l.problem("authenticator."+string(kind)+".servers", "has no effect while %s is not in authenticator.order", kind)
		}
	}
}

func (l *loader) hashing() {
	a := &l.config.Authenticator
	if a.memoryKiB < 7<<10 || a.memoryKiB > 1<<20 { // OWASP's least (Password Storage Cheat Sheet): 7 MiB, with five passes
		l.problem("authenticator.local.argon2_memory_kib", "a number from 7168 to 1048576 is needed here, this is %d", a.memoryKiB)
	}
	if a.iterations < 1 || a.iterations > 64 {
		l.problem("authenticator.local.argon2_iterations", "a number from 1 to 64 is needed here, this is %d", a.iterations)
	}
	a.Hashing = auth.Params{MemoryKiB: uint32(a.memoryKiB), Iterations: uint32(a.iterations), Parallelism: 1}
}

func (l *loader) written(kind auth.Kind) *directory {
	if kind == auth.Microsoft {
		return &l.config.Authenticator.microsoft
	}
	return &l.config.Authenticator.openldap
}

// directory completes one directory. auth judges what it is given; nothing is connected.
func (l *loader) directory(kind auth.Kind) {
	d, at := l.written(kind), "authenticator."+string(kind)+"."
	before := len(l.problems)
	c := auth.DirectoryConfig{
		Kind: kind, Servers: d.servers, Insecure: d.insecure, UserPattern: d.userPattern, BaseDN: d.baseDN, Domain: d.domain,
		NestedGroups:  d.nestedGroups,
		AllowedGroups: d.allowedGroups, Timeout: d.timeout, MaxConnections: d.maxConnections,
		TLS: l.trusted(at+"ca_file", d.caFile),
	}
	for _, p := range l.pairs(at+"group_policies", "POLICY", d.groupPolicies) {
		c.GroupPolicies = append(c.GroupPolicies, auth.GroupPolicy{Group: p[0], Policy: p[1]})
	}
	for _, p := range l.pairs(at+"group_roles", "ROLE", d.groupRoles) {
		c.GroupRoles = append(c.GroupRoles, auth.GroupRole{Group: p[0], Role: session.Role(p[1])})
	}
	l.between(at+"timeout", d.timeout, 100*time.Millisecond, time.Minute)
	if d.timeout >= l.config.Limits.RequestTimeout {
		l.problem(at+"timeout", "%v is not below limits.request_timeout (%v): requests would be given up first", d.timeout, l.config.Limits.RequestTimeout)
	}
	if d.maxConnections < 1 || d.maxConnections > 1000 {
		l.problem(at+"max_connections", "a number from 1 to 1000 is needed here, this is %d", d.maxConnections)
	}
	if len(l.problems) > before {
		return
	}
	var e *session.Error
	if _, err := auth.NewDirectory(c); errors.As(err, &e) {
		l.problem(at+e.Field, "%s", e.Message)
		return
	}
	l.config.Authenticator.Directories = append(l.config.Authenticator.Directories, c)
}

// trusted reads the authorities that a directory's servers are proved by.
func (l *loader) trusted(key, file string) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if file == "" {
		return c
	}
	text, err := readBounded(file, MaxFileBytes)
	if err != nil {
		l.problem(key, "%s %v", file, err)
		return c
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(text) {
		l.problem(key, "%s holds no PEM certificate", file)
	}
	return c
}

// pairs splits at the last equals sign: a distinguished name holds some, what it gets none.
func (l *loader) pairs(key, what string, texts []string) [][2]string {
	var all [][2]string
	for _, text := range texts {
		at := strings.LastIndexByte(text, '=')
		if at < 1 {
			l.problem(key, "GROUP=%s is needed here, this is %s", what, describe(text))
			continue
		}
		all = append(all, [2]string{strings.TrimSpace(text[:at]), strings.TrimSpace(text[at+1:])})
	}
	return all
}
