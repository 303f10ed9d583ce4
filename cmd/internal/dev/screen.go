package dev

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// screen is what the person sees.
type screen struct{ w io.Writer }

func (s *screen) line(format string, args ...any) { fmt.Fprintf(s.w, format+"\n", args...) }

func (s *screen) nodes(c *cluster) {
	s.line("Three nodes in this process:\n")
	for _, p := range c.places {
		s.line("  %-6s  %-22s  peers %-16s  gossip %s", p.name, p.url(), p.peer, p.gossip)
	}
	s.line("")
}

func (s *screen) ready(leader string, took time.Duration) {
	s.line("ready after %v; the leader is %s\n", took.Round(10*time.Millisecond), leader)
}

func (s *screen) users(adminPassword string, printed bool) {
	shown := "as in HYDRASTORE_ADMIN_PASSWORD"
	if printed {
		shown = adminPassword
	}
	s.line("  user %-6s  password %s", adminUser, shown)
	s.line("  user %-6s  password %s\n", demoUser, demoPassword)
}

func (s *screen) step(ok bool, what, outcome string, took time.Duration) {
	mark := "ok  "
	if !ok {
		mark = "FAIL"
	}
	s.line("  %s  %-18s  %s  (%v)", mark, what, outcome, took.Round(100*time.Microsecond))
}

// verdict ends a run with --once.
func (s *screen) verdict(checked error) error {
	if checked == nil {
		s.line("\nall checks passed")
	}
	return checked
}

// repeat gives the lines that do the same by hand.
func (s *screen) repeat(c *cluster, kept, dir string) {
	one, two, three := c.places[0].url(), c.places[1].url(), c.places[2].url()
	others, out := "# known at the others", "# log out at "+c.places[1].name+", and it is refused everywhere"
	at := two
	if c.ownSessions {
		others, out, at = "# refused by the others: each node keeps its own sessions", "# log out, and it is refused here too", one
	}
	lines := []string{
		"# log in at " + c.places[0].name + " and take the key from the answer",
		fmt.Sprintf(`KEY=$(curl -s %s/v1/sessions -H 'Content-Type: application/json' \`, one),
		fmt.Sprintf(`  -d '{"user":"%s","password":"%s"}' | grep -o 'hs_[A-Za-z0-9_-]*')`, demoUser, demoPassword),
		"",
		others,
		fmt.Sprintf(`curl -s %s/v1/session -H "Authorization: Bearer $KEY"`, two),
		fmt.Sprintf(`curl -s %s/v1/session -H "Authorization: Bearer $KEY"`, three),
		"",
		out,
		fmt.Sprintf(`curl -s -X DELETE %s/v1/session -H "Authorization: Bearer $KEY"`, at),
		fmt.Sprintf(`curl -s %s/v1/session -H "Authorization: Bearer $KEY"`, one),
		"",
		"# the cluster, over a node's own socket, without a password",
		"hydrastore cluster members --socket " + c.settingsSocket(0),
	}
	s.line("\nThe same by hand:\n")
	for _, line := range lines {
		s.line("%s", strings.TrimRight("  "+line, " "))
	}
	s.line("")
	fate := "goes when it ends"
	if kept != "" {
		fate = "stays"
	}
	s.line("It stays up until Ctrl-C. The data are in %s, which %s.", dir, fate)
}
