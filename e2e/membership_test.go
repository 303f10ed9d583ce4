package e2e_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"testing"
)

// TestWipedNodeComesBackUnderANewID loses the disk of a follower, and then the leader too. The wiped node comes back at its old place
// and finds one node that still has data. What its old id had voted for and acknowledged is forgotten, so it may not help that one
// to a majority: with it, a leader could come to be that lacks acknowledged writes. When the leader is back, the wiped node is
// taken in under a new id, and its vote counts.
func TestWipedNodeComesBackUnderANewID(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, nil)
	admin := c.admin()
	service := c.service(admin)
	key := c.must(0, http.StatusCreated, vouch(service, "ada", nil)).body.Key
	leader := c.leader(admin)
	wiped, other := (leader+1)%3, (leader+2)%3
	old := c.idOf(wiped, admin)

	c.nodes[wiped].kill()
	c.nodes[leader].kill()
	if err := os.RemoveAll(c.nodes[wiped].dir); err != nil {
		t.Fatal(err)
	}
	c.nodes[wiped].start()
	c.awaitAlive(wiped)
	for _, node := range []int{other, wiped} { // each answers after several elections that nobody may win
		a := c.must(node, http.StatusServiceUnavailable, vouch(service, "ada", nil))
		if a.body.Code != "no_quorum" && a.body.Code != "unavailable" {
			t.Errorf("%s without a majority: %s", c.nodes[node].name, a.text)
		}
	}

	c.nodes[leader].start()
	c.awaitReady()
	members := c.awaitMembers(wiped, admin, "leader", "follower", "follower")
	if slices.ContainsFunc(members, func(m member) bool { return m.ID == old }) {
		t.Errorf("the old id %s is still a member: %+v", old, members)
	}
	if id := c.idOf(wiped, admin); id == old {
		t.Errorf("the node came back under its old id %s", old)
	}
	c.must(wiped, http.StatusOK, check(key))

	c.nodes[c.leader(admin)].kill()
	c.must(wiped, http.StatusOK, check(key))
	for i, s := range c.nodes {
		if s.hasExited() {
			s.start()
			s.awaitReady()
			c.must(i, http.StatusOK, check(key))
		}
	}
}

// awaitAlive waits until node i answers at all.
func (c *cluster) awaitAlive(i int) {
	c.t.Helper()
	l := newLine(c.nodes[i].api)
	defer l.close()
	eventually(c.t, c.nodes[i].name+" to answer", func() error {
		_, err := l.expect(http.StatusOK, request{method: http.MethodGet, path: "/livez"})
		return err
	})
}

// TestFourthNodeJoinsAndLeaves lets a node join a running cluster, waits until it has a vote, needs that vote, and removes
// the node again.
func TestFourthNodeJoinsAndLeaves(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, nil)
	admin := c.admin()
	service := c.service(admin)
	key := c.must(0, http.StatusCreated, vouch(service, "ada", nil)).body.Key

	fourth := c.place()
	c.configure(3, c.peers()[:3], 0)
	fourth.start()
	fourth.awaitReady()
	c.must(3, http.StatusOK, check(key))
	c.awaitMembers(3, admin, "leader", "follower", "follower", "follower")
	if n := c.mustStatus(3, admin).FailuresTolerated; n != 1 {
		t.Errorf("four voters say that they tolerate %d failures, want 1", n)
	}

	// Four voters need three: with one of the first three dead, the fourth is needed.
	leader := c.leader(admin)
	dead := slices.Index([]bool{leader != 0, leader != 1, leader != 2}, true)
	c.nodes[dead].kill()
	c.must(3, http.StatusCreated, vouch(service, "ada", nil))
	c.nodes[dead].start()
	c.nodes[dead].awaitReady()
	c.awaitMembers(0, admin, "leader", "follower", "follower", "follower")

	id := c.idOf(3, admin)
	c.must(1, http.StatusNoContent, remove("/v1/cluster/members/"+id, admin))
	members := c.awaitMembers(0, admin, "leader", "follower", "follower")
	if slices.ContainsFunc(members, func(m member) bool { return m.ID == id }) {
		t.Errorf("the removed node is still a member: %+v", members)
	}
	c.awaitOut(fourth, key)
	c.must(0, http.StatusOK, check(key))
	if n := c.mustStatus(0, admin).FailuresTolerated; n != 1 {
		t.Errorf("three voters say that they tolerate %d failures, want 1", n)
	}
}

// awaitOut waits until a removed node says that it is not ready, and wants it to serve nothing that it cannot know.
func (c *cluster) awaitOut(s *server, key string) {
	c.t.Helper()
	l := newLine(s.api)
	defer l.close()
	eventually(c.t, s.name+" to know that it is out", func() error {
		if s.hasExited() {
			return nil
		}
		a, err := l.do(ready())
		if err == nil && a.status == http.StatusOK {
			return errors.New("it says that it is ready")
		}
		return nil
	})
	if a, err := l.do(check(key)); err == nil && a.status != http.StatusServiceUnavailable {
		c.t.Errorf("%s was removed and answers a check with %d %s", s.name, a.status, a.text)
	}
}

// idOf asks node i for its id.
func (c *cluster) idOf(i int, admin string) string {
	c.t.Helper()
	return c.mustStatus(i, admin).NodeID
}

func (c *cluster) mustStatus(i int, admin string) body {
	c.t.Helper()
	return c.must(i, http.StatusOK, clusterStatus(admin)).body
}

// TestTwoClustersDoNotMerge restarts two clusters of the same name, without any keys between peers, with join lists that hold each
// other's addresses. Both stay what they are.
func TestTwoClustersDoNotMerge(t *testing.T) {
	t.Parallel()
	a, b := startCluster(t, 3, nil), startCluster(t, 3, nil)
	type side struct {
		c          *cluster
		admin, key string
		id         string
	}
	var sides []side
	for _, c := range []*cluster{a, b} {
		admin := c.admin()
		key := c.must(1, http.StatusCreated, vouch(c.service(admin), "ada", nil)).body.Key
		sides = append(sides, side{c, admin, key, c.mustStatus(0, admin).ClusterID})
	}
	if sides[0].id == sides[1].id {
		t.Fatalf("both clusters have the id %s", sides[0].id)
	}
	everyone := append(a.peers(), b.peers()...)
	for _, s := range sides {
		for i, node := range s.c.nodes {
			node.kill()
			s.c.configure(i, everyone, 3)
		}
	}
	for i := range 3 { // in turns, so that the clusters meet while each is incomplete
		a.nodes[i].start()
		b.nodes[i].start()
	}
	for i, s := range sides {
		s.c.awaitReady()
		s.c.awaitMembers(0, s.admin, "leader", "follower", "follower")
		stranger := sides[1-i]
		for at := range s.c.nodes {
			if err := s.c.standsAlone(at, s.admin, s.id); err != nil {
				t.Error(err)
			}
			s.c.must(at, http.StatusOK, check(s.key))
			s.c.must(at, http.StatusUnauthorized, check(stranger.key))
		}
	}

	// Asked to take in a node of the other cluster, each refuses.
	for i, s := range sides {
		stranger := sides[1-i].c.nodes[0].peer
		l := newLine(s.c.nodes[0].api)
		defer l.close()
		answer, err := l.do(request{method: http.MethodPost, path: "/v1/cluster/members", key: s.admin, body: fields{"peer_address": stranger}})
		if err != nil || answer.status != http.StatusConflict {
			t.Errorf("to take in a node of another cluster: %d %s, %v; want 409", answer.status, answer.text, err)
		}
		if err := s.c.standsAlone(0, s.admin, s.id); err != nil {
			t.Error(err)
		}
	}
}

// standsAlone wants node i to see this cluster id and the members that the test has placed.
func (c *cluster) standsAlone(i int, admin, id string) error {
	status, err := c.status(i, admin)
	if err != nil {
		return err
	}
	var peers []string
	for _, m := range status.Members {
		peers = append(peers, m.PeerAddress)
	}
	want := c.peers()
	slices.Sort(peers)
	slices.Sort(want)
	if status.ClusterID != id || !slices.Equal(peers, want) {
		return fmt.Errorf("%s sees cluster %s of %v, want %s of %v", c.nodes[i].name, status.ClusterID, peers, id, want)
	}
	return nil
}
