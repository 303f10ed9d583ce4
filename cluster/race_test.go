//go:build race

package cluster_test

import "time"

// electionTimeout is long under the race detector, which slows everything.
const electionTimeout = 2 * time.Second
