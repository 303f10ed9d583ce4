package cluster_test

import (
	"testing"
	"time"
)

// longWait is an election timeout that no test would sit through: an election that comes sooner did not wait for it.
const longWait = 10 * patience

func TestANewbornClusterElectsAtOnce(t *testing.T) {
	t.Parallel()
	nodes := several(t, nil, 3)
	for _, n := range nodes {
		n.kill()
		n.cfg.ElectionTimeout = longWait
		n.reopen()
		n.start()
	}
	leaderOf(t, nodes...)
	settled(t, nodes...)
}

func TestALoneVoterLeadsAtOnce(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	cfg.BootstrapExpect, cfg.ElectionTimeout = 1, longWait
	n := open(t, nil, cfg).start()
	leaderOf(t, n)
	n.kill()
	n.reopen()
	started := time.Now()
	n.start()
	leaderOf(t, n)
	t.Logf("led %v after its start", time.Since(started))
}
