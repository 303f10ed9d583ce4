package e2e_test

import (
	"net/http"
	"path/filepath"
	"testing"
)

// startHAProxy puts HAProxy in front of the first three nodes, or of two, with the configuration that people deploy, and waits until it
// answers. It returns the address.
func startHAProxy(t *testing.T, c *cluster) string {
	t.Helper()
	path := need(t, "haproxy")
	config, err := filepath.Abs("../deploy/haproxy.cfg")
	if err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	third := freeAddress(t) // where nobody is
	if len(c.nodes) > 2 {
		third = c.nodes[2].api
	}
	environ := environment("LB_LISTEN="+address, "NODE1="+c.nodes[0].api, "NODE2="+c.nodes[1].api, "NODE3="+third)
	p := startProcess(t, c.dir, "haproxy", environ, path, "-db", "-f", config)
	eventually(t, "HAProxy to answer", func() error {
		if p.hasExited() {
			t.Fatalf("haproxy ended: %v", p.cmd.ProcessState)
		}
		l := newLine(address)
		defer l.close()
		_, err := l.expect(http.StatusOK, ready())
		return err
	})
	return address
}
