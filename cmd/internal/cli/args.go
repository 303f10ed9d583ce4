package cli

import (
	"slices"
	"strings"

	"github.com/hydrastore/hydrastore/session"
)

// rewriteShortLogin turns the spellings -un, -up and -us of FlowTraq's tools into long flags, before anything is parsed.
//
// -us presents a key and takes the next word, unless a user or password is given: then it asks for a key to be issued under the policy
// that FlowTraq's keys have here, printed alone on standard error. Words after "--" are left as they are.
func rewriteShortLogin(args []string) []string {
	end := slices.Index(args, "--")
	if end < 0 {
		end = len(args)
	}
	flags := args[:end]
	asksForKey := slices.ContainsFunc(flags, namesLogin)
	out := make([]string, 0, len(args))
	for i := 0; i < len(flags); i++ {
		long := ""
		switch flags[i] {
		case "-un":
			long = "--user"
		case "-up":
			long = "--password"
		case "-us":
			long = "--session-key"
		}
		switch {
		case long == "":
			out = append(out, flags[i])
		case long == "--session-key" && asksForKey:
			out = append(out, "--issue-key="+session.PresetFlowTraq)
		case i+1 == len(flags):
			out = append(out, long) // without a value: the parser says so
		default:
			i++
			out = append(out, long+"="+flags[i]) // joined, so that a value may begin with a dash
		}
	}
	return append(out, args[end:]...)
}

// namesLogin tells whether a word says who logs in, or with which password.
func namesLogin(word string) bool {
	name, _, _ := strings.Cut(word, "=")
	return slices.Contains([]string{"-un", "-up", "--user", "--password", "--password-file"}, name)
}
