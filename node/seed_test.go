package node_test

import (
	"testing"
	"time"

	"github.com/hydrastore/hydrastore/auth"
	"github.com/hydrastore/hydrastore/node"
	"github.com/hydrastore/hydrastore/session"
)

// TestReadyMeansThatTheFirstValuesAreThere: whoever has waited for a new cluster to be ready can log in as its admin, however long
// the password takes to hash, and finds every policy of the configuration.
func TestReadyMeansThatTheFirstValuesAreThere(t *testing.T) {
	t.Parallel()
	c := startTrio(t, 1, func(_ int, config *node.Config) {
		config.Hashing = auth.Config{Params: auth.Params{MemoryKiB: 64 << 10, Iterations: 6, Parallelism: 1}}
		web := session.DefaultPolicy()
		web.Name, web.IdleTimeout = "web", time.Hour
		config.Policies = append(config.Policies, web)
	})
	issued, err := c.nodes[0].Login(t.Context(), from("192.0.2.1"), session.Login{User: "admin", Password: adminPassword})
	if err != nil {
		t.Fatalf("the first admin logs in at a node that is ready: %v", err)
	}
	policies, err := c.nodes[0].ListPolicies(t.Context(), with(issued.Key))
	if err != nil || len(policies.Items) != 2 {
		t.Errorf("policies: %+v, %v; want default and web", policies, err)
	}
}
