//go:build !race

package node_test

import "time"

const electionTimeout = 500 * time.Millisecond
