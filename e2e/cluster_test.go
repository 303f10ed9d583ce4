package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	adminName       = "admin"
	adminPassword   = "Orbit-4-cobalt-lantern"
	servicePassword = "Meadow-7-copper-violin"
)

// cluster is hydrastore processes that belong together.
type cluster struct {
	t       *testing.T
	dir     string
	nodes   []*server
	changes func(i int, settings fields) // of each node's configuration; nil = none
	noAdmin bool                         // the cluster begins without any account
}

// server is one node: its place, and the process that runs there at the moment.
type server struct {
	*process
	t                      *testing.T
	name, dir, config, bin string
	api, peer, gossip      string // addresses
	environ                []string
}

// startCluster starts n nodes that found a cluster together, and waits until each is ready. changes may alter each node's
// configuration before it is written.
func startCluster(t *testing.T, n int, changes func(i int, settings fields)) *cluster {
	t.Helper()
	return (&cluster{t: t, dir: t.TempDir(), changes: changes}).found(n)
}

func (c *cluster) found(n int) *cluster {
	c.t.Helper()
	for range n {
		c.place()
	}
	for i := range c.nodes {
		c.configure(i, c.peers(), n)
		c.nodes[i].start()
	}
	c.awaitReady()
	return c
}

// place finds addresses and a folder for one more node.
func (c *cluster) place() *server {
	c.t.Helper()
	name := "n" + strconv.Itoa(len(c.nodes)+1)
	s := &server{
		t: c.t, name: name, dir: filepath.Join(c.dir, name), config: filepath.Join(c.dir, name+".yaml"), bin: mustBinary(c.t),
		api: freeAddress(c.t), peer: freeAddress(c.t), gossip: freeAddress(c.t),
		environ: environment("HYDRASTORE_ADMIN_PASSWORD=" + adminPassword),
	}
	if c.noAdmin {
		s.environ = environment()
	}
	c.nodes = append(c.nodes, s)
	return s
}

func (c *cluster) peers() []string {
	var list []string
	for _, s := range c.nodes {
		list = append(list, s.peer)
	}
	return list
}

// configure writes the configuration of node i. JSON is YAML too.
func (c *cluster) configure(i int, join []string, expect int) {
	c.t.Helper()
	s := c.nodes[i]
	settings := fields{
		"node":    fields{"name": s.name, "data_dir": s.dir},
		"api":     fields{"listen": s.api, "trusted_proxies": []string{"127.0.0.1"}},
		"peer":    fields{"listen": s.peer},
		"gossip":  fields{"listen": s.gossip},
		"cluster": fields{"join": join, "bootstrap_expect": expect},
		"log":     fields{"requests": false},
		// Twice the default: that no request fails is judged, and a busy machine may need more than one election. How long they take is
		// judged where leaders are killed. HAProxy waits longer.
		"limits": fields{"request_timeout": "10s"},
	}
	if raceBinary() { // which is too slow for the default
		settings["cluster"].(fields)["heartbeat_timeout"] = "2s"
		settings["limits"] = fields{"request_timeout": "20s"}
	}
	if c.changes != nil {
		c.changes(i, settings)
	}
	text, err := json.MarshalIndent(settings, "", "  ")
	if err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(s.config, text, 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// start runs the node at its place. It does not wait.
func (s *server) start() {
	s.t.Helper()
	s.process = startProcess(s.t, filepath.Dir(s.dir), s.name, s.environ, s.bin, "server", "--config", s.config)
}

// environment is what processes under test see of this one's.
func environment(more ...string) []string {
	list := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.TempDir(), "GORACE=halt_on_error=1"}
	if dir := os.Getenv("GOCOVERDIR"); dir != "" {
		list = append(list, "GOCOVERDIR="+dir)
	}
	return append(list, more...)
}

// awaitReady waits until the node says that it can serve.
func (s *server) awaitReady() {
	s.t.Helper()
	l := newLine(s.api)
	defer l.close()
	eventually(s.t, s.name+" to be ready", func() error {
		if s.hasExited() {
			s.t.Fatalf("%s ended: %v", s.name, s.cmd.ProcessState)
		}
		_, err := l.expect(http.StatusOK, ready())
		return err
	})
}

func (c *cluster) awaitReady() {
	c.t.Helper()
	for _, s := range c.nodes {
		s.awaitReady()
	}
}

// must does one request at node i, on a connection of its own.
func (c *cluster) must(i, want int, r request) answer {
	c.t.Helper()
	l := newLine(c.nodes[i].api)
	defer l.close()
	a, err := l.expect(want, r)
	if err != nil {
		c.t.Fatal(err)
	}
	return a
}

// admin logs the admin in and returns the key.
func (c *cluster) admin() string {
	c.t.Helper()
	return c.must(0, http.StatusCreated, logIn(adminName, adminPassword)).body.Key
}

// service makes a user with role service and returns the key of a session of it.
func (c *cluster) service(admin string) string {
	c.t.Helper()
	c.must(0, http.StatusCreated, newUser(admin, "app", servicePassword, "service"))
	return c.must(len(c.nodes)-1, http.StatusCreated, logIn("app", servicePassword)).body.Key
}

// leader waits until a running node says that it leads, and returns its place.
func (c *cluster) leader(admin string) int {
	c.t.Helper()
	at := -1
	eventually(c.t, "a leader", func() error {
		for i, s := range c.nodes {
			if s.process == nil || s.hasExited() {
				continue
			}
			status, err := c.status(i, admin)
			if err != nil {
				return err
			}
			if status.LeaderID != "" && status.LeaderID == status.NodeID {
				at = i
				return nil
			}
		}
		return errors.New("no node says that it leads")
	})
	return at
}

func (c *cluster) status(i int, admin string) (body, error) {
	l := newLine(c.nodes[i].api)
	defer l.close()
	a, err := l.expect(http.StatusOK, clusterStatus(admin))
	return a.body, err
}

// awaitMembers waits until node i sees exactly these roles, in any order, and every member healthy; it returns the members.
func (c *cluster) awaitMembers(i int, admin string, roles ...string) []member {
	c.t.Helper()
	var members []member
	slices.Sort(roles)
	eventually(c.t, fmt.Sprintf("%s to see the members %v", c.nodes[i].name, roles), func() error {
		status, err := c.status(i, admin)
		if err != nil {
			return err
		}
		var seen []string
		for _, m := range status.Members {
			seen = append(seen, m.Role)
			if !m.Healthy {
				seen = append(seen, "unhealthy")
			}
		}
		slices.Sort(seen)
		if members = status.Members; !slices.Equal(seen, roles) {
			return fmt.Errorf("it sees %v", seen)
		}
		return nil
	})
	return members
}

// metric reads one series of node i's /metrics; one that is missing is 0.
func (c *cluster) metric(i int, series string) float64 {
	c.t.Helper()
	text := c.must(i, http.StatusOK, request{method: http.MethodGet, path: "/metrics"}).text
	for line := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(line, series+" "); found {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				c.t.Fatalf("metric %s: %v", series, err)
			}
			return n
		}
	}
	return 0
}
