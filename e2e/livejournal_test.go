package e2e_test

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
)

const (
	journalUser     = "ada"
	journalPassword = "Lantern-3-harbour-plum"
)

// speaksLiveJournal turns the protocol on at every node, with what log-ins by MD5 need.
func speaksLiveJournal(_ int, settings fields) {
	settings["protocols"] = fields{"livejournal": true}
	settings["tokenizer"] = fields{"safe_password": "a safe password of tests"}
}

// startJournal starts a cluster that speaks LiveJournal's protocol, with a user who may log in by MD5.
func startJournal(t *testing.T) *cluster {
	t.Helper()
	c := startCluster(t, 3, speaksLiveJournal)
	r := newUser(c.admin(), journalUser, journalPassword, "user")
	r.body.(fields)["policies"] = []string{"default", "livejournal-short", "livejournal-long"}
	r.body.(fields)["md5_login"] = true
	c.must(0, http.StatusCreated, r)
	return c
}

func (c *cluster) urls() (list []string) {
	for _, s := range c.nodes {
		list = append(list, "http://"+s.api)
	}
	return list
}

// runClient runs a program that is no part of this project against all nodes.
func (c *cluster) runClient(program string, args ...string) {
	c.t.Helper()
	client := exec.CommandContext(c.t.Context(), program, append(append(args, journalUser, journalPassword), c.urls()...)...)
	if text, err := client.CombinedOutput(); err != nil || string(text) != "all good\n" {
		c.t.Errorf("%s: %v\n%s", args[len(args)-1], err, text)
	}
}

// TestLiveJournalByOtherClients: XML-RPC clients of Python and Perl, which nobody wrote for this server.
func TestLiveJournalByOtherClients(t *testing.T) {
	t.Parallel()
	python, perl := need(t, "python3"), need(t, "perl")
	needPerl(t, perl, "XMLRPC::Lite")
	c := startJournal(t)
	c.runClient(python, "testdata/livejournal.py")
	c.runClient(perl, "testdata/livejournal.pl")
}

// needPerl makes sure of a module of Perl that scripts/ci-deps installs.
func needPerl(t *testing.T, perl, module string) {
	t.Helper()
	if exec.CommandContext(t.Context(), perl, "-M"+module, "-e", "1").Run() == nil {
		return
	}
	text := "Perl's " + module + " is not installed, so this test cannot run: scripts/ci-deps installs it"
	if os.Getenv("HYDRASTORE_E2E") == "require" {
		t.Fatal(text)
	}
	t.Skip(text)
}

// curl asks node i in the flat protocol, with the options that LiveJournal's documentation has for its clients.
func (c *cluster) curl(i int, data string, headers ...string) map[string]string {
	c.t.Helper()
	args := []string{"--silent", "--show-error", "--max-time", "20", "--data", data}
	for _, h := range headers {
		args = append(args, "--header", h)
	}
	text, err := exec.CommandContext(c.t.Context(), need(c.t, "curl"), append(args, c.urls()[i]+"/interface/flat")...).CombinedOutput()
	if err != nil {
		c.t.Fatalf("curl: %v\n%s", err, text)
	}
	lines := strings.Split(string(text), "\n")
	out := map[string]string{}
	for at := 0; at+1 < len(lines); at += 2 {
		out[lines[at]] = lines[at+1]
	}
	return out
}

func hexMD5(text string) string {
	sum := md5.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}

// byChallenge is what a client sends for a challenge.
func byChallenge(mode, challenge string) string {
	return fmt.Sprintf("mode=%s&user=%s&auth_method=challenge&auth_challenge=%s&auth_response=%s", mode, journalUser, challenge,
		hexMD5(challenge+hexMD5(journalPassword)))
}

// TestLiveJournalWithCurl: the flat protocol from log-in to log-out, at one node after the other.
func TestLiveJournalWithCurl(t *testing.T) {
	t.Parallel()
	c := startJournal(t)
	made := c.curl(0, "mode=sessiongenerate&user="+journalUser+"&password="+journalPassword+"&expiration=long")
	if made["success"] != "OK" || !strings.HasPrefix(made["ljsession"], "ws:"+journalUser+":1:") {
		t.Fatalf("sessiongenerate: %v", made)
	}
	by := []string{"X-LJ-Auth: cookie", "Cookie: ljsession=" + made["ljsession"]}
	for i := range 3 {
		if got := c.curl(i, "mode=login&user="+journalUser+"&auth_method=cookie", by...); got["success"] != "OK" || got["name"] != journalUser {
			t.Errorf("login at node %d: %v", i+1, got)
		}
		if got := c.must(i, http.StatusOK, look(made["ljsession"])).body; got.User != journalUser || got.Policy != "livejournal-long" {
			t.Errorf("REST at node %d: %+v", i+1, got)
		}
	}
	challenge := c.curl(1, "mode=getchallenge")["challenge"]
	if got := c.curl(2, byChallenge("sessionexpire", challenge)+"&expire_id_1=1"); len(got) != 1 || got["success"] != "OK" {
		t.Errorf("sessionexpire: %v", got)
	}
	for i := range 3 {
		got := c.curl(i, "mode=login&user="+journalUser+"&auth_method=cookie", by...)
		if got["success"] != "FAIL" || got["errmsg"] != "Invalid password" {
			t.Errorf("after its end at node %d: %v", i+1, got)
		}
	}
}

// TestLiveJournalChallengeAcrossAKilledLeader: a challenge outlives the leader that it was made under, and so does its use.
func TestLiveJournalChallengeAcrossAKilledLeader(t *testing.T) {
	t.Parallel()
	c := startJournal(t)
	leader := c.leader(c.admin())
	others := []int{(leader + 1) % 3, (leader + 2) % 3}
	fresh, used := c.curl(leader, "mode=getchallenge")["challenge"], c.curl(others[0], "mode=getchallenge")["challenge"]
	if got := c.curl(leader, byChallenge("login", used)); got["success"] != "OK" {
		t.Fatalf("before: %v", got)
	}
	c.nodes[leader].kill()
	if got := c.curl(others[0], byChallenge("login", fresh)); got["success"] != "OK" {
		t.Errorf("at a node that lives: %v", got)
	}
	for _, i := range others {
		for _, challenge := range []string{fresh, used} {
			if got := c.curl(i, byChallenge("login", challenge)); got["errmsg"] != "Invalid password" {
				t.Errorf("a used challenge at node %d: %v", i+1, got)
			}
		}
	}
	c.nodes[leader].start()
	c.nodes[leader].awaitReady()
	for _, challenge := range []string{fresh, used} {
		if got := c.curl(leader, byChallenge("login", challenge)); got["errmsg"] != "Invalid password" {
			t.Errorf("a used challenge at the node that was killed: %v", got)
		}
	}
}
