package slapdtest

import (
	"fmt"
	"os"
	"strings"
)

// configuration is slapd's, in the form that one file holds.
func (s *Server) configuration() string {
	schemas, modules := "/etc/ldap/schema", "/usr/lib/ldap"
	if _, err := os.Stat(schemas); err != nil {
		schemas, modules = "/etc/openldap/schema", "/usr/lib64/openldap"
	}
	var out strings.Builder
	for _, name := range []string{"core", "cosine", "nis", "inetorgperson"} {
		fmt.Fprintf(&out, "include %s/%s.schema\n", schemas, name)
	}
	// Two attributes of Active Directory, with its matching rules.
	fmt.Fprintf(&out, `attributetype ( 1.2.840.113556.1.4.221 NAME 'sAMAccountName' EQUALITY caseIgnoreMatch
 SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.2.102 NAME 'memberOf' EQUALITY distinguishedNameMatch
 SYNTAX 1.3.6.1.4.1.1466.115.121.1.12 )
modulepath %s
moduleload back_mdb
pidfile %s
TLSCACertificateFile %s
TLSCertificateFile %s
TLSCertificateKeyFile %s
TLSVerifyClient never
access to attrs=userPassword by anonymous auth by self write by * none
access to * by users read by * none
database mdb
suffix "%s"
rootdn "%s"
rootpw %s
directory %s
`, modules, s.path("slapd.pid"), s.certificate.file, s.path("server.pem"), s.path("server.key"), BaseDN, rootDN, rootPassword, s.path("data"))
	return out.String()
}

// content is the directory as LDIF.
func content() string {
	var out strings.Builder
	fmt.Fprintf(&out, "dn: %s\nobjectClass: dcObject\nobjectClass: organization\no: Example\ndc: example\n\n", BaseDN)
	for _, unit := range []string{"people", "accounts", "groups"} {
		fmt.Fprintf(&out, "dn: ou=%s,%s\nobjectClass: organizationalUnit\nou: %s\n\n", unit, BaseDN, unit)
	}
	for _, user := range []string{"ada", "bob", `o\,neil`} {
		name := strings.ReplaceAll(user, `\`, "")
		fmt.Fprintf(&out, "dn: uid=%s,ou=people,%s\nobjectClass: inetOrgPerson\nuid: %s\ncn: %s\nsn: %s\nuserPassword: %s%s\n\n",
			user, BaseDN, name, name, name, name, Password)
	}
	fmt.Fprintf(&out, "dn: cn=eve,ou=accounts,%s\nobjectClass: person\nobjectClass: extensibleObject\ncn: eve\nsn: eve\nsAMAccountName: Eve\n"+
		"memberOf: cn=staff,ou=groups,%s\nuserPassword: eve%s\n\n", BaseDN, BaseDN, Password)
	// frank's entry has the account name of nobody else; that of another entry is frank.
	fmt.Fprintf(&out, "dn: cn=frank,ou=accounts,%s\nobjectClass: person\nobjectClass: extensibleObject\ncn: frank\nsn: frank\nsAMAccountName: grace\n"+
		"userPassword: frank%s\n\n", BaseDN, Password)
	fmt.Fprintf(&out, "dn: cn=other,ou=accounts,%s\nobjectClass: person\nobjectClass: extensibleObject\ncn: other\nsn: other\nsAMAccountName: frank\n"+
		"memberOf: cn=staff,ou=groups,%s\nuserPassword: other%s\n\n", BaseDN, BaseDN, Password)
	fmt.Fprintf(&out, "dn: cn=staff,ou=groups,%s\nobjectClass: posixGroup\ncn: staff\ngidNumber: 1\nmemberUid: ada\nmemberUid: bob\n\n", BaseDN)
	fmt.Fprintf(&out, "dn: cn=ops,ou=groups,%s\nobjectClass: posixGroup\ncn: ops\ngidNumber: 2\nmemberUid: ada\n\n", BaseDN)
	fmt.Fprintf(&out, "dn: cn=named,ou=groups,%s\nobjectClass: groupOfNames\ncn: named\nmember: uid=bob,ou=people,%s\n\n", BaseDN, BaseDN)
	return out.String()
}
