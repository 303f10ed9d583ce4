package e2e_test

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// keepsItsOwn lets each node keep its own sessions, and speak the protocols of others.
func keepsItsOwn(_ int, settings fields) {
	settings["user"] = fields{"sessionPersistence": false}
	settings["protocols"] = fields{"faircom": true, "netx": true, "netx_path": "/x7/v1.2/json"}
	settings["jsonActionApiDefaults"] = fields{"maxJsonApiSessions": 0, "maxJsonApiSessionsPerIpAddress": 0}
}

// TestOwnSessions: three nodes whose users are one another's and whose sessions are not, with the protocols of others, through kill -9.
func TestOwnSessions(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, keepsItsOwn)
	admin, second := c.admin(), c.must(1, http.StatusCreated, logIn(adminName, adminPassword)).body.Key
	c.must(0, http.StatusCreated, newProtocolUser(admin, protocolPassword))
	c.must(1, http.StatusUnauthorized, clusterStatus(admin))

	key := c.must(0, http.StatusCreated, logIn(protocolUser, protocolPassword)).body.Key
	c.must(0, http.StatusOK, check(key))
	c.must(1, http.StatusUnauthorized, check(key))
	c.must(2, http.StatusUnauthorized, check(key))
	here := c.must(0, http.StatusOK, sessionsOf(admin, protocolUser, "")).body
	there := c.must(1, http.StatusOK, sessionsOf(second, protocolUser, "")).body
	status := c.must(0, http.StatusOK, clusterStatus(admin)).body
	if len(here.Items) != 1 || here.OfNode != status.NodeID || len(there.Items) != 0 || there.OfNode == "" || there.OfNode == here.OfNode || status.OfNode != status.NodeID {
		t.Errorf("%d sessions of %q, %d of %q; the status is of %q at %q", len(here.Items), here.OfNode, len(there.Items), there.OfNode, status.OfNode, status.NodeID)
	}
	shown := command{args: []string{"session", "list", "--socket", filepath.Join(c.nodes[0].dir, "operator.sock")}}.run(t)
	if shown.code != 0 || !strings.Contains(shown.stdout, protocolUser) || !strings.Contains(shown.stdout, "of node "+status.NodeID+" alone") {
		t.Errorf("session list: %+v", shown)
	}
	file := filepath.Join(t.TempDir(), "sessions.jsonl")
	if moved := (command{args: []string{"migrate", "--from", c.nodes[0].config, "--to", file}}).run(t); moved.code != 2 || !strings.Contains(moved.stderr, "user.sessionPersistence: false") {
		t.Errorf("migrate: %+v", moved)
	}

	netXKey, _ := decodeAs[netXAnswer](t, c.must(0, http.StatusOK, netX("authenticate", protocolUser, protocolPassword)).text).Result.(string)
	if at0, at1 := c.netXValid(0, netXKey), c.netXValid(1, netXKey); at0 != true || at1 != false {
		t.Errorf("NetX's key: valid %v where it was made, %v elsewhere", at0, at1)
	}
	token := decodeAs[fairComAnswer](t, c.must(1, http.StatusOK, fairCom("createSession", "", fields{"username": protocolUser, "password": protocolPassword})).text).AuthToken
	if at1, at2 := c.fairComPing(1, token), c.fairComPing(2, token); at1 != 0 || at2 != 12031 {
		t.Errorf("FairCom's token: ping %d where it was made, %d elsewhere", at1, at2)
	}

	c.nodes[0].kill()
	c.nodes[0].start()
	c.nodes[0].awaitReady()
	c.must(0, http.StatusOK, check(key))
	c.must(0, http.StatusOK, check(admin))
	c.must(1, http.StatusUnauthorized, check(key))
	if valid := c.netXValid(0, netXKey); valid != true {
		t.Errorf("NetX's key after kill -9: valid %v", valid)
	}

	disable := request{method: http.MethodPatch, path: "/v1/users/" + protocolUser, key: second, body: fields{"disabled": true}}
	c.must(1, http.StatusOK, disable)
	c.must(0, http.StatusUnauthorized, check(key))
	if valid, ping := c.netXValid(0, netXKey), c.fairComPing(1, token); valid != false || ping != 12031 {
		t.Errorf("of a disabled user: NetX's key valid %v, FairCom's token ping %d", valid, ping)
	}
}

func (c *cluster) netXValid(i int, key string) any {
	c.t.Helper()
	return decodeAs[netXAnswer](c.t, c.must(i, http.StatusOK, netX("validateSession", key)).text).Result
}

func (c *cluster) fairComPing(i int, token string) int {
	c.t.Helper()
	return decodeAs[fairComAnswer](c.t, c.must(i, http.StatusOK, fairCom("pingSession", token, nil)).text).ErrorCode
}

// TestNodeWithAnotherSessionPersistence: it ends, when it wants to join and when it comes back with a changed file, and says what to do.
func TestNodeWithAnotherSessionPersistence(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, nil)
	admin := c.admin()
	c.changes = keepsItsOwn
	late := c.place()
	c.configure(3, c.peers(), 0)
	late.start()
	wantEnd := func(s *server) {
		t.Helper()
		if code := s.awaitExit(); code != 1 || !strings.Contains(s.log(), "user.sessionPersistence: false") || !strings.Contains(s.log(), "user.sessionPersistence: true") {
			t.Errorf("%s: exit code %d, log:\n%s", s.name, code, s.log())
		}
		s.kill() // it was to end
	}
	wantEnd(late)
	c.nodes = c.nodes[:3]
	c.awaitMembers(0, admin, "leader", "follower", "follower")
	c.nodes[2].terminate()
	c.configure(2, c.peers(), 3)
	c.nodes[2].start()
	wantEnd(c.nodes[2])
	c.must(0, http.StatusOK, check(admin))
	c.must(1, http.StatusOK, check(admin))
}
