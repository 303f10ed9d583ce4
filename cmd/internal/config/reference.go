package config

import (
	"fmt"
	"regexp"
	"strings"
)

// Reference returns the table of docs/configuration.md, in Markdown.
func Reference() string {
	var out strings.Builder
	out.WriteString("| setting | type | default | meaning |\n| --- | --- | --- | --- |\n")
	for _, s := range Settings() {
		value := ""
		if s.Default != "" {
			value = "`" + s.Default + "`"
		}
		help := s.Help
		if s.Secret {
			help += " Secret: file or environment only, there is no flag."
		}
		fmt.Fprintf(&out, "| `%s` | %s | %s | %s |\n", s.Key, s.Type(), value, help)
	}
	return out.String()
}

// link is one of Markdown, from a page in docs to the file $1.
var link = regexp.MustCompile(`\[[^]]*\]\(([^)#]*)[^)]*\)`)

// plainHelp is a setting's help for a terminal: no Markdown, links as the file's place, the default at the end.
func plainHelp(s Setting) string {
	help := strings.ReplaceAll(s.Help, "`", "")
	help = link.ReplaceAllString(help, "docs/$1")
	if s.Default != "" {
		help += " Default: " + s.Default + "."
	}
	return help
}
