package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// balancer forwards TCP without looking into it, from an address that the nodes know it by.
const balancer = `global
    log stdout format raw local0
defaults
    mode tcp
    timeout connect 1s
    timeout client 30s
    timeout server 30s
listen nodes
    bind %s
    server n1 %s source 127.0.0.2 send-proxy-v2 check check-send-proxy inter 100ms
`

// TestClientsBehindATCPBalancer are known by their own addresses.
func TestClientsBehindATCPBalancer(t *testing.T) {
	haproxy := need(t, "haproxy")
	c := startCluster(t, 1, func(_ int, settings fields) {
		api := settings["api"].(fields)
		api["trusted_proxies"], api["proxy_protocol"] = []string{"127.0.0.2"}, true
	})
	address, config := freeAddress(t), filepath.Join(c.dir, "balancer.cfg")
	if err := os.WriteFile(config, []byte(fmt.Sprintf(balancer, address, c.nodes[0].api)), 0o600); err != nil {
		t.Fatal(err)
	}
	startProcess(t, c.dir, "haproxy", environment(), haproxy, "-db", "-f", config)
	var got answer
	eventually(t, "a log-in through the balancer", func() (err error) {
		l := newLine(address)
		defer l.close()
		got, err = l.expect(http.StatusCreated, logIn(adminName, adminPassword))
		return err
	})
	if got.body.ClientIP != "127.0.0.1" {
		t.Errorf("got the address %q, want the client's 127.0.0.1, not the balancer's", got.body.ClientIP)
	}
}
