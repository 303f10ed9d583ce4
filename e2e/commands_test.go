package e2e_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// operator is a person with a shell: one HOME, the saved log-in in it, and the addresses of a cluster.
type operator struct {
	t       *testing.T
	home    string
	environ []string
}

// does runs a command line, wants this exit code, and returns what it wrote to standard output.
func (o *operator) does(want int, line, stdin string) string {
	o.t.Helper()
	got := command{args: words(line), environ: o.environ, stdin: stdin, dir: o.home}.run(o.t)
	if got.code != want {
		o.t.Fatalf("hydrastore %s: exit code %d, want %d\n%s%s", line, got.code, want, got.stdout, got.stderr)
	}
	return got.stdout
}

// reads runs a command line with -o json and decodes its answer.
func (o *operator) reads(line string, into any) {
	o.t.Helper()
	text := o.does(0, line+" -o json", "")
	if err := json.Unmarshal([]byte(text), into); err != nil {
		o.t.Fatalf("hydrastore %s -o json: %v\n%s", line, err, text)
	}
}

// TestCommandsAtACluster goes through a day of an operator with the real binary: log in, make users, look at sessions and end them,
// hand the leadership over, remove a dead server, and get back in by the node's socket when the password is lost.
func TestCommandsAtACluster(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, nil)
	o := &operator{t: t, home: t.TempDir(), environ: []string{"HYDRASTORE_ADDRESS=" + strings.Join(c.apis(), ",")}}

	o.does(3, "whoami", "")
	o.does(3, "login admin --password-file -", "not the password\n")
	o.does(0, "login admin --password-file -", adminPassword+"\n")
	var me body
	if o.reads("whoami", &me); me.User != adminName {
		t.Errorf("whoami says %+v", me)
	}
	o.does(0, "user add ada --new-password-file -", userPassword+"\n")
	o.does(1, "user add ada --new-password-file -", userPassword+"\n") // it exists
	ada := c.must(1, http.StatusCreated, logIn("ada", userPassword)).body
	var shown body
	if o.reads("session show "+ada.ID, &shown); shown.User != "ada" {
		t.Errorf("session show says %+v", shown)
	}
	o.does(0, "session revoke "+ada.ID, "")
	c.must(2, http.StatusUnauthorized, check(ada.Key))
	o.does(0, "policy set short --idle-timeout 90s", "")
	o.does(0, "logout", "")
	o.does(3, "user list", "")

	c.lostPassword(o)
	c.deadServer(o)
}

// lostPassword sets the admin's password anew over a node's socket.
func (c *cluster) lostPassword(o *operator) {
	c.t.Helper()
	const next = "Pepper-6-silent-harbor"
	socket := filepath.Join(c.nodes[0].dir, "operator.sock")
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o600 {
		c.t.Errorf("the operator's socket: %v, %v; want mode 0600", info, err)
	}
	with := *o
	with.environ = nil
	with.does(0, "user passwd admin --new-password-file - --socket "+socket, next+"\n")
	o.does(3, "login admin --password-file -", adminPassword+"\n")
	o.does(0, "login admin --password-file -", next+"\n")
}

// deadServer hands the leadership over, and finds the commands working with one node dead.
func (c *cluster) deadServer(o *operator) {
	c.t.Helper()
	o.does(0, "cluster transfer", "")
	c.nodes[0].kill()
	o.does(0, "whoami", "")
	o.does(4, "health --address "+c.nodes[0].api, "")
	o.does(0, "health --address "+c.nodes[1].api, "")
	o.does(0, "cluster remove n1", "")
	var status body
	if o.reads("cluster members", &status); len(status.Members) != 2 {
		c.t.Errorf("members after a removal: %+v", status.Members)
	}
}
