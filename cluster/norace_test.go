//go:build !race

package cluster_test

import "time"

// electionTimeout of the clusters in these tests.
const electionTimeout = 300 * time.Millisecond
