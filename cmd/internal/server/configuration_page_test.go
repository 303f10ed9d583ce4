package server_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/api"
	"github.com/hydrastore/hydrastore/api/faircom"
	"github.com/hydrastore/hydrastore/api/livejournal"
	"github.com/hydrastore/hydrastore/api/netx"
	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/cmd/internal/config"
	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/node/audit"
	"github.com/hydrastore/hydrastore/session"
)

var update = flag.Bool("update", false, "write the generated parts of docs/configuration.md")

const configurationPage = "../../../docs/configuration.md"

// TestConfigurationPage: what the page says of settings, defaults and limits is what the code does.
func TestConfigurationPage(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(configurationPage)
	if err != nil {
		t.Fatal(err)
	}
	want := replacePart(t, string(text), "settings", config.Reference())
	want = replacePart(t, want, "limits", limitsTable())
	if *update {
		if err := os.WriteFile(configurationPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(text) != want {
		t.Errorf("docs/configuration.md is not what the code does; run: go test ./cmd/internal/server -run TestConfigurationPage -update\n%s", firstDifference(string(text), want))
	}
}

// replacePart puts content between the comments that begin and end the part.
func replacePart(t *testing.T, page, name, content string) string {
	t.Helper()
	_, after, found := strings.Cut(page, "<!-- "+name+":")
	begin, _, closed := strings.Cut(after, "-->\n")
	_, rest, ended := strings.Cut(after, "<!-- end of "+name+" -->")
	if !found || !closed || !ended {
		t.Fatalf("the page has no part %s", name)
	}
	before, _, _ := strings.Cut(page, "<!-- "+name+":")
	return before + "<!-- " + name + ":" + begin + "-->\n" + content + "<!-- end of " + name + " -->" + rest
}

func firstDifference(got, want string) string {
	a, b := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range a {
		if i >= len(b) || a[i] != b[i] {
			return fmt.Sprintf("line %d:\n got %s\nwant %s", i+1, a[i], strings.Join(b[min(i, len(b)):min(i+1, len(b))], ""))
		}
	}
	return "the page is too short"
}

// TestThrottleDefaults: the table of settings says what a node does by itself.
func TestThrottleDefaults(t *testing.T) {
	t.Parallel()
	d := auth.DefaultThrottle()
	want := map[string]string{
		"throttle.window": "5m", "throttle.per_user": fmt.Sprint(d.PerUser), "throttle.per_address": fmt.Sprint(d.PerAddress), "throttle.per_node": fmt.Sprint(d.PerNode),
	}
	if d.Window != 5*time.Minute {
		t.Errorf("window %v", d.Window)
	}
	for _, s := range config.Settings() {
		if w, ours := want[s.Key]; ours && s.Default != w {
			t.Errorf("%s: the table says %s, the node %s", s.Key, s.Default, w)
		}
	}
}

func limitsTable() string {
	a, n := api.DefaultConfig(), node.DefaultLimits()
	rows := []struct{ what, limit string }{
		{"Body of a request", size(int(a.MaxBodyBytes))},
		{"Request line and headers", size(a.MaxHeaderBytes)},
		{"Time for the headers, for the whole request", fmt.Sprintf("%v, %v", a.ReadHeaderTimeout, a.ReadTimeout)},
		{"Silence on a kept connection", a.IdleTimeout.String()},
		{"User name, trimmed and folded", size(session.MaxUserNameBytes)},
		{"Password", fmt.Sprintf("%d characters to %s", session.MinPasswordRunes, size(session.MaxPasswordBytes))},
		{"Policy name; policies; policies of one user", fmt.Sprintf("%s; %d; %d", size(session.MaxPolicyNameBytes), session.MaxPolicies, session.MaxPoliciesPerUser)},
		{"Limit on sessions of one user or address; on all sessions", fmt.Sprintf("%s; %s", thousands(session.MaxSessionsPerOwner), thousands(session.MaxSessions))},
		{"Any timer of a policy", fmt.Sprintf("%v to %s days", session.MinIdleTimeout, thousands(int(session.MaxTimeout/(24*time.Hour))))},
		{"Earlier keys of a session that are known as such; the grace of a rotated one", fmt.Sprintf("%d; %v", session.MaxRetiredKeys, session.MaxRotateGrace)},
		{"Session key, of the longest format", size(session.MaxKeyBytes)},
		{"User agent", size(session.MaxUserAgentBytes)},
		{"Attributes of a session", fmt.Sprintf("%d, in all %s", session.MaxAttributes, size(session.MaxAttributesBytes))},
		{"Name, value, nesting of an attribute", fmt.Sprintf("%s, %s, %d levels", size(session.MaxAttributeNameBytes), size(session.MaxAttributeBytes), session.MaxAttributeDepth)},
		{"Attributes under `attributes: local`, in the memory of a node", size(n.LocalAttributeBytes)},
		{"Value of a sealed attribute", size(session.MaxSealedAttributeBytes)},
		{"Safe password; earlier ones that are still in use", fmt.Sprintf("%s to %s; %d", size(session.MinSafePasswordBytes), size(session.MaxPasswordBytes), session.MaxSealKeys-1)},
		{"Preferences of a user", fmt.Sprintf("as attributes of a session: %d, in all %s", session.MaxAttributes, size(session.MaxAttributesBytes))},
		{"FairCom: a setting of a session, its description; `requestId`", fmt.Sprintf("%s, %s; %s", size(faircom.MaxSettingBytes), size(faircom.MaxDescriptionBytes), size(faircom.MaxRequestIDBytes))},
		{"FairCom: tokens in a request; sessions in an answer", fmt.Sprintf("%d; %s", faircom.MaxTokensDescribed, thousands(faircom.MaxSessionsListed))},
		{"NetX: parameters, `id` of a request", fmt.Sprintf("%d, %s", netx.MaxParams, size(netx.MaxIDBytes))},
		{"`Idempotency-Key`", fmt.Sprintf("%s, remembered for %v, at most %s of them", size(session.MaxIdempotencyKeyBytes), session.IdempotencyLifetime, thousands(session.MaxIdempotencyRecords))},
		{"Page of a list", fmt.Sprintf("%d, at most %s", session.DefaultPageSize, thousands(session.MaxPageSize))},
		{"Counters of wrong passwords, in the cluster", thousands(session.MaxAttemptCounters) + "; the oldest makes room"},
		{"A challenge of a log-in, and used ones that are remembered", fmt.Sprintf("%.0f s, %s in the cluster; beyond that log-ins by challenge fail",
			session.ChallengeLifetime.Seconds(), thousands(session.MaxUsedChallenges))},
		{"LiveJournal's protocol: body of a request, arguments of one", fmt.Sprintf("%d KiB, %s", livejournal.MaxBodyBytes>>10, thousands(livejournal.MaxArguments))},
		{"Sessions that one request ends by their numbers", thousands(session.MaxSessionNumbers)},
		{"Writes waiting at a node", thousands(n.QueueCommands)},
		{"Commands, bytes in a batch", fmt.Sprintf("%s, %s", thousands(n.BatchCommands), size(n.BatchBytes))},
		{"Batches of a node under way; waiting at the leader", fmt.Sprintf("%d; %s", n.BatchesInFlight, thousands(n.InboxBatches))},
		{"Audit lines waiting to be written", thousands(audit.DefaultQueueLines)},
		{"Failed log-ins at a node with a log entry of their own; the others once a second in a sum", fmt.Sprintf("%d a second, %d at once", node.LoginFailuresPerSecond, node.LoginFailuresAtOnce)},
		{"Configuration file", size(config.MaxFileBytes)},
	}
	var out strings.Builder
	out.WriteString("| what | limit |\n| --- | --- |\n")
	for _, r := range rows {
		fmt.Fprintf(&out, "| %s | %s |\n", r.what, r.limit)
	}
	return out.String()
}

func size(bytes int) string {
	switch {
	case bytes >= 1<<20 && bytes%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", bytes>>20)
	case bytes >= 1<<10 && bytes%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", bytes>>10)
	}
	return fmt.Sprintf("%d bytes", bytes)
}

func thousands(n int) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
