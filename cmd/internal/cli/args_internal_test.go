package cli

import (
	"slices"
	"strings"
	"testing"
)

func TestRewriteShortLogin(t *testing.T) {
	t.Parallel()
	cases := []struct{ in, want string }{
		{"", ""},
		{"session list", "session list"},
		{"whoami -us KEY", "whoami --session-key=KEY"},
		{"-us KEY whoami", "--session-key=KEY whoami"},
		{"whoami -us", "whoami --session-key"},
		{"whoami -us -o json", "whoami --session-key=-o json"}, // as FlowTraq: the next word is the key
		{"login -un ada -up secret", "login --user=ada --password=secret"},
		{"login -un ada -up secret -us", "login --user=ada --password=secret --issue-key=flowtraq"},
		{"login -us -un ada -up secret", "login --issue-key=flowtraq --user=ada --password=secret"},
		{"session list -un ada -us -o json", "session list --user=ada --issue-key=flowtraq -o json"},
		{"login -up -secret- -un ada", "login --password=-secret- --user=ada"},
		{"login -un", "login --user"},
		{"login --user ada -us", "login --user ada --issue-key=flowtraq"},
		{"whoami --user=ada --password-file f -us", "whoami --user=ada --password-file f --issue-key=flowtraq"},
		{"session list --user-agent x -us KEY", "session list --user-agent x --session-key=KEY"},
		{"user add -- -un -us", "user add -- -un -us"},
		{"whoami -us KEY -- -un", "whoami --session-key=KEY -- -un"},
		{"bench -unknown -use", "bench -unknown -use"},
	}
	for _, c := range cases {
		if got := rewriteShortLogin(strings.Fields(c.in)); !slices.Equal(got, strings.Fields(c.want)) {
			t.Errorf("%q: got %q, want %q", c.in, got, strings.Fields(c.want))
		}
	}
}
