//go:build race

package node_test

import "time"

// electionTimeout is long under the race detector: it slows the nodes, and these tests judge no time.
const electionTimeout = 2 * time.Second
